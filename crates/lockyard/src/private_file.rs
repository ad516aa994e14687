//! Small files that nobody else may read, written so that a crash leaves the old or the new.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags};
use zeroize::Zeroizing;

/// What nobody but the owner may do with a secret file; its group may read it, as credentials are
/// shared.
const FORBIDDEN_MODE: u32 = 0o037;

/// Creates `path` with these bytes, durably; fails with `AlreadyExists` if something is there.
///
/// The name appears only when the content is complete.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(path, bytes)?;
    let placed = rustix::fs::renameat_with(CWD, &staged, CWD, path, RenameFlags::NOREPLACE);
    if let Err(error) = placed {
        fs::remove_file(&staged)?;
        return Err(error.into());
    }
    sync_parent(path)
}

/// Puts these bytes in the place of whatever `path` held, durably.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = stage(path, bytes)?;
    fs::rename(&staged, path)?;
    sync_parent(path)
}

/// Removes `path`; fine if it is not there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads a secret file of at most `most` bytes; a longer one, or one that others may use, is an
/// error.
pub(crate) fn read_secret(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & FORBIDDEN_MODE != 0 {
        let text = format!("other users may use it (mode {mode:03o}); run `chmod 600` on it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    read_limited(file, most)
}

/// Reads at most `most` bytes of a secret; more are an error.
pub(crate) fn read_limited(source: impl io::Read, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let capacity = usize::try_from(most + 1).unwrap_or(usize::MAX);
    // Reserved whole, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() >= capacity {
        let text = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

/// Makes the entry of `path` in its directory durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

fn stage(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let staged = path.with_file_name(name);
    remove(&staged)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    if let Err(error) = file.write_all(bytes).and_then(|()| file.sync_all()) {
        remove(&staged)?;
        return Err(error);
    }
    Ok(staged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_file_is_private_and_never_overwritten() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("secret");
        create(&path, b"one").expect("created");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let again = create(&path, b"two").expect_err("exists");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("there"), b"one");
        replace(&path, b"three").expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"three");
        assert_eq!(fs::read_dir(world.path()).expect("there").count(), 1);
    }

    #[test]
    fn a_secret_that_others_may_read_or_that_is_too_long_is_refused() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("secret");
        create(&path, b"1234").expect("created");
        assert_eq!(read_secret(&path, 4).expect("private").as_slice(), b"1234");
        assert!(read_secret(&path, 3).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(read_secret(&path, 4).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(read_secret(&path, 4).is_ok());
    }
}
