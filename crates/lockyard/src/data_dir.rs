//! The data directory: private, and used by one process at a time.
//!
//! It knows what belongs into the directory and refuses to settle in one that holds something
//! else. The lock is the kernel's (`flock`), so that it ends with the process that holds it,
//! however that process ends; the number written into the lock file is only there to be told.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use thiserror::Error;

use crate::failure::Failure;

const LOCK: &str = "lockyard.lock";
const DATABASE: &str = "lockyard.db";
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// What may lie in a directory before its database is made: what an interrupted first start leaves
/// behind, and what file systems put into their root.
const BEFORE_DATABASE: [&str; 8] = [
    LOCK,
    "service.key",
    "service.key.new",
    "vault",
    "vault.key",
    "lost+found",
    "lockyard.db-wal",
    "lockyard.db-shm",
];

/// A data directory that this process alone uses.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

/// The data directory cannot be used; nothing in it was changed.
#[derive(Debug, Error)]
pub(crate) enum DataDirError {
    /// The file system refuses.
    #[error("cannot use the data directory `{}`", path.display())]
    Io {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner could read it.
    #[error(
        "the data directory `{}` is open to other users (mode {mode:03o}); \
         run `chmod 700` on it", path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process holds the lock.
    #[error(
        "{} uses the data directory `{}`; stop it, or give another directory with `--data-dir`",
        holder(*pid), path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who, as far as the lock file says.
        pid: Option<u32>,
    },
    /// The directory holds something that is not ours.
    #[error(
        "`{}` holds `{stranger}` but no Lockyard database; give an empty directory with \
         `--data-dir`, or restore the database from a backup", path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        stranger: String,
    },
    /// A command that works on data finds none.
    #[error(
        "there is no Lockyard data in `{}`; give the right directory with `--data-dir`, \
         or start `lockyard serve` to make it", path.display()
    )]
    Missing {
        /// The directory.
        path: PathBuf,
    },
}

impl DataDirError {
    /// The sentence for the person, with what to do.
    pub(crate) fn into_failure(self) -> Failure {
        let failure = Failure::new(&self);
        match self {
            Self::Io { .. } => failure.advise(format!(
                "give a directory that user {} may write, with `--data-dir DIR`",
                rustix::process::geteuid().as_raw()
            )),
            Self::Exposed { .. }
            | Self::InUse { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. } => failure,
        }
    }
}

impl DataDir {
    /// Takes the directory for a server: makes it if it is missing.
    pub(crate) fn prepare(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Io { path: path.to_owned(), source };
        create_durably(path).map_err(failed)?;
        if holds_data(path) {
            private(path)?;
        } else {
            if let Some(stranger) = stranger(path).map_err(failed)? {
                return Err(DataDirError::Foreign { path: path.to_owned(), stranger });
            }
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Self::lock(path)
    }

    /// Takes an initialised directory for a command.
    pub(crate) fn existing(path: &Path) -> Result<Self, DataDirError> {
        if !holds_data(path) {
            // A directory that may not be looked into is not a missing one.
            if let Err(source) = fs::read_dir(path)
                && source.kind() != io::ErrorKind::NotFound
            {
                return Err(DataDirError::Io { path: path.to_owned(), source });
            }
            return Err(DataDirError::Missing { path: path.to_owned() });
        }
        private(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, DataDirError> {
        let file = path.join(LOCK);
        let failed = |source| DataDirError::Io { path: file.clone(), source };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                lock.set_len(0).map_err(failed)?;
                writeln!(lock, "{}", std::process::id()).map_err(failed)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                lock.rewind().and_then(|()| lock.read_to_string(&mut text)).map_err(failed)?;
                let pid = text.trim().parse().ok();
                Err(DataDirError::InUse { path: path.to_owned(), pid })
            }
            Err(error) => Err(failed(error.into())),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The registry's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Whether the database was ever begun.
    pub(crate) fn has_database(&self) -> bool {
        holds_data(&self.path)
    }

    /// The local authority's certificate.
    pub(crate) fn authority_certificate(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// Where sealed parts lie.
    pub(crate) fn parts(&self) -> PathBuf {
        self.path.join("parts")
    }
}

/// Makes the directory and its parents if they are missing, so that a power cut leaves them there.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent {
        create_durably(parent)?;
    }
    DirBuilder::new().mode(0o700).create(path)?;
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether the database of an instance was ever begun here.
fn holds_data(path: &Path) -> bool {
    fs::metadata(path.join(DATABASE)).is_ok_and(|file| file.len() > 0)
}

fn private(path: &Path) -> Result<(), DataDirError> {
    let metadata =
        fs::metadata(path).map_err(|source| DataDirError::Io { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(DataDirError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Something in the directory that a first start would not have put there.
fn stranger(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != DATABASE && !BEFORE_DATABASE.contains(&name.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_the_directory() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("data");
        let held = DataDir::prepare(&path).expect("free");
        let error = DataDir::prepare(&path).expect_err("held");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        assert!(DataDir::prepare(&path).is_ok());
    }

    #[test]
    fn a_directory_with_something_else_in_it_is_left_alone() {
        let world = tempfile::tempdir().expect("a directory");
        fs::write(world.path().join("thesis.tex"), "x").expect("written");
        let before = fs::metadata(world.path()).expect("there").permissions();
        let error = DataDir::prepare(world.path()).expect_err("foreign");
        assert!(matches!(error, DataDirError::Foreign { .. }), "{error}");
        assert_eq!(fs::metadata(world.path()).expect("there").permissions(), before);
        assert_eq!(fs::read_dir(world.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_directory_is_made_private_once_and_refused_when_opened_to_others_later() {
        let world = tempfile::tempdir().expect("a directory");
        fs::set_permissions(world.path(), Permissions::from_mode(0o755)).expect("set");
        drop(DataDir::prepare(world.path()).expect("empty"));
        let mode = fs::metadata(world.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::write(world.path().join(DATABASE), "x").expect("written");
        fs::set_permissions(world.path(), Permissions::from_mode(0o750)).expect("set");
        let error = DataDir::prepare(world.path()).expect_err("exposed");
        assert!(matches!(error, DataDirError::Exposed { mode: 0o750, .. }), "{error}");
    }

    #[test]
    fn a_command_makes_no_directory() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("none");
        let error = DataDir::existing(&path).expect_err("missing");
        assert!(matches!(error, DataDirError::Missing { .. }), "{error}");
        assert!(!path.exists());
    }
}
