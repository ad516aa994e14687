//! The vault's directory: private to its owner, and used by one process at a time.
//!
//! It never looks into the database. The lock is the kernel's (`flock`), so that it ends with the
//! process that holds it, however that process ends.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::OpenVaultError;

const DATABASE: &str = "vault.db";
const LOCK: &str = "vault.lock";
/// What may lie in a directory that is still to become a vault: our lock, a key file under its
/// usual name, and what file systems put into their root.
const HARMLESS: [&str; 3] = [LOCK, "vault.key", "lost+found"];

/// A vault directory that this process alone may use.
#[derive(Debug)]
pub(crate) struct VaultDirectory {
    path: PathBuf,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

impl VaultDirectory {
    /// Makes the directory if it is missing, checks that it is private, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self, OpenVaultError> {
        let failed = |source| OpenVaultError::Directory { path: path.to_owned(), source };
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
            sync_parent(path).map_err(failed)?;
        }
        if holds_vault(path) {
            private(path, "700")?;
            private(&path.join(DATABASE), "600")?;
        } else {
            if let Some(stranger) = stranger(path).map_err(failed)? {
                return Err(OpenVaultError::NotAVault { path: path.to_owned(), stranger });
            }
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let lock = private_file(&path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenVaultError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The database's file, made empty and private if it is missing: SQLite would make it with
    /// the process's mask, and gives its log the mode of the database.
    pub(crate) fn database(&self) -> Result<PathBuf, OpenVaultError> {
        let path = self.path.join(DATABASE);
        private_file(&path)
            .map_err(|source| OpenVaultError::Directory { path: path.clone(), source })?;
        Ok(path)
    }

    /// Makes the directory's entries durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Whether a vault was ever initialised in this directory.
pub(crate) fn holds_vault(directory: &Path) -> bool {
    fs::metadata(directory.join(DATABASE)).is_ok_and(|file| file.len() > 0)
}

/// Makes the entry of `path` in its directory durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn private(path: &Path, cure: &'static str) -> Result<(), OpenVaultError> {
    let metadata = fs::metadata(path)
        .map_err(|source| OpenVaultError::Directory { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(OpenVaultError::Exposed { path: path.to_owned(), mode, cure });
    }
    Ok(())
}

/// Something in the directory that a new vault would not have put there. An empty database may
/// have a log, if its first start was cut short; a log alone belongs to a database that was lost.
fn stranger(directory: &Path) -> io::Result<Option<String>> {
    let begun = directory.join(DATABASE).exists();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let expected = HARMLESS.contains(&name.as_str()) || (begun && name.starts_with(DATABASE));
        if !expected {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
