//! What opens the service key: where its secret is read from, and where a first start puts it.
//!
//! A secret is made only for a database that has no service key yet. For one that has, a missing
//! secret stays missing: another one would open nothing and hide the loss.

use std::{
    io,
    path::{Path, PathBuf},
};

use lockyard_base::Entropy;
use lockyard_keyring::{SlotError, SlotKind, SlotSecret};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{config::ServiceSource, private_file};

/// The most that is read of a secret's file.
const FILE_BYTES_MAX: u64 = 4096;
/// The shortest passphrase that is accepted for a new slot, in characters.
const PASSPHRASE_CHARS_MIN: usize = 12;

/// The secret cannot be had.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    /// No such file.
    #[error(
        "the service key file `{}` is missing; give the one that belongs to this data directory \
         with `--service-key FILE`", path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be used.
    #[error("cannot read the secret in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("cannot write the key file `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else than a secret.
    #[error("`{}` holds no secret", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        #[source]
        source: SlotError,
    },
    /// Too easy to guess.
    #[error("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters")]
    Short,
}

/// Reads the secret for opening an existing service key, once for each kind of slot that it may
/// belong to: a key file may also hold a recovery code, or what systemd passes elsewhere.
pub(crate) fn read(source: &ServiceSource) -> Result<Vec<(SlotKind, SlotSecret)>, SecretError> {
    match source {
        ServiceSource::Passphrase(path) => {
            Ok(vec![(SlotKind::Passphrase, SlotSecret::new(passphrase(path)?.as_bytes().to_vec()))])
        }
        ServiceSource::Credential(path)
        | ServiceSource::File(path)
        | ServiceSource::Beside(path) => {
            let text = text(path)?;
            [SlotKind::File, SlotKind::Credential, SlotKind::Recovery]
                .into_iter()
                .map(|kind| Ok((kind, parse(path, &text)?)))
                .collect()
        }
    }
}

/// Reads the secret for a service key that is about to be made, or makes it.
pub(crate) fn read_or_create(
    source: &ServiceSource,
    entropy: &dyn Entropy,
) -> Result<(SlotKind, SlotSecret), SecretError> {
    match source {
        ServiceSource::Passphrase(path) => new_passphrase(path),
        ServiceSource::Credential(path) => Ok((SlotKind::Credential, parse(path, &text(path)?)?)),
        ServiceSource::File(path) | ServiceSource::Beside(path) => {
            if !path.exists() {
                create(path, entropy)?;
            }
            Ok((SlotKind::File, parse(path, &text(path)?)?))
        }
    }
}

/// Reads a passphrase for a new slot.
pub(crate) fn new_passphrase(path: &Path) -> Result<(SlotKind, SlotSecret), SecretError> {
    let words = passphrase(path)?;
    if words.chars().count() < PASSPHRASE_CHARS_MIN {
        return Err(SecretError::Short);
    }
    Ok((SlotKind::Passphrase, SlotSecret::new(words.as_bytes().to_vec())))
}

/// Makes a key file; fails if there is one.
pub(crate) fn create(path: &Path, entropy: &dyn Entropy) -> Result<SlotSecret, SecretError> {
    let secret = SlotSecret::generate(entropy);
    let mut text = secret.dangerous_text();
    text.reserve_exact(1);
    text.push('\n');
    private_file::create(path, text.as_bytes())
        .map_err(|source| SecretError::Write { path: path.to_owned(), source })?;
    Ok(secret)
}

/// Reads the secret in a key file.
pub(crate) fn read_file(path: &Path) -> Result<SlotSecret, SecretError> {
    parse(path, &text(path)?)
}

fn parse(path: &Path, text: &str) -> Result<SlotSecret, SecretError> {
    SlotSecret::from_text(text)
        .map_err(|source| SecretError::Form { path: path.to_owned(), source })
}

fn text(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SecretError::Missing { path: path.to_owned() },
        _ => SecretError::Read { path: path.to_owned(), source },
    };
    utf8(path, private_file::read_secret(path, FILE_BYTES_MAX).map_err(failed)?)
}

/// The first line of a passphrase file, or of standard input.
fn passphrase(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let read = if path == Path::new("-") {
        private_file::read_limited(io::stdin().lock(), FILE_BYTES_MAX)
    } else {
        private_file::read_secret(path, FILE_BYTES_MAX)
    };
    let read = read.map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    let text = utf8(path, read)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn utf8(path: &Path, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, SecretError> {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(SecretError::Form { path: path.to_owned(), source: SlotError::Text }),
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn a_missing_secret_is_made_only_for_a_new_service_key() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("service.key");
        let source = ServiceSource::Beside(path.clone());
        assert!(matches!(read(&source), Err(SecretError::Missing { .. })));
        assert!(!path.exists());
        let entropy = SeededEntropy::new(1);
        let (kind, made) = read_or_create(&source, &entropy).expect("made");
        assert_eq!(kind, SlotKind::File);
        let (_, again) = read_or_create(&source, &entropy).expect("read");
        assert_eq!(*again.dangerous_text(), *made.dangerous_text());
        assert_eq!(read(&source).expect("read").len(), 3);
    }

    #[test]
    fn a_new_passphrase_has_a_least_length_and_is_one_line() {
        let world = tempfile::tempdir().expect("a directory");
        let path = world.path().join("words");
        private_file::replace(&path, b"short words\n").expect("written");
        assert!(matches!(new_passphrase(&path), Err(SecretError::Short)));
        private_file::replace(&path, b"longer words\nnot this\n").expect("written");
        let (_, secret) = new_passphrase(&path).expect("long enough");
        assert_eq!(*secret.dangerous_text(), hex::encode("longer words"));
    }
}
