//! The vault's root key and the file that it is kept in.
//!
//! The file holds 64 hexadecimal digits and belongs to its owner alone. It is made only together
//! with a new vault: a vault that exists without its key is never given another one, because that
//! would hide the loss until the day somebody needs the old keys.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use lockyard_audit::AuditSecret;
use lockyard_base::Entropy;
use lockyard_seal::hkdf;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::directory;

const AUDIT_INFO: &[u8] = b"lockyard/v1/vault/audit";
/// The most that is read of a key file; a longer file is no key file.
const FILE_BYTES_MAX: u64 = 1024;
/// What nobody but the owner may do with the key file; its group may read it, as systemd
/// credentials are shared.
const FORBIDDEN_MODE: u32 = 0o037;

/// A vault directory's own key: 32 secret bytes, wiped on drop.
pub struct VaultRootKey(Box<Zeroizing<[u8; 32]>>);

impl VaultRootKey {
    /// Draws a new root key; only for a vault that is about to be initialised.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        entropy.fill(key.0.as_mut_slice());
        key
    }

    /// Makes the key that has these bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(*bytes)))
    }

    /// Reads the key from `file`, or makes both if neither the file nor a vault in
    /// `vault_directory` exists yet.
    pub fn read_or_create(
        file: &Path,
        vault_directory: &Path,
        entropy: &dyn Entropy,
    ) -> Result<Self, RootKeyError> {
        match Self::read(file) {
            Err(RootKeyError::Missing { .. }) if !directory::holds_vault(vault_directory) => {
                Self::create(file, entropy)
            }
            read => read,
        }
    }

    /// Reads the key from `file`: 64 hexadecimal digits, white space around them ignored.
    pub fn read(file: &Path) -> Result<Self, RootKeyError> {
        let failed = |source| RootKeyError::Read { path: file.to_owned(), source };
        let opened = match File::open(file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RootKeyError::Missing { path: file.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        };
        let mode = opened.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(RootKeyError::Exposed { path: file.to_owned(), mode });
        }
        let mut text = Zeroizing::new(Vec::with_capacity(128));
        opened.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        hex::decode_to_slice(text.trim_ascii(), key.0.as_mut_slice())
            .map_err(|_| RootKeyError::Malformed { path: file.to_owned() })?;
        Ok(key)
    }

    /// Draws a new key and writes it to `file`, which must not exist; returns when it is durable.
    pub fn create(file: &Path, entropy: &dyn Entropy) -> Result<Self, RootKeyError> {
        let failed = |source| RootKeyError::Create { path: file.to_owned(), source };
        let key = Self::generate(entropy);
        let text = Zeroizing::new(hex::encode(key.0.as_slice()));
        let mut created = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .map_err(failed)?;
        created.write_all(text.as_bytes()).map_err(failed)?;
        created.write_all(b"\n").map_err(failed)?;
        created.sync_all().map_err(failed)?;
        directory::sync_parent(file).map_err(failed)?;
        Ok(key)
    }

    /// What opens the vault's audit trail: whoever may read the vault may read what was done with
    /// it, and nobody needs the database for that.
    pub fn audit_secret(&self) -> AuditSecret {
        AuditSecret::from_bytes(&hkdf(&[], self.0.as_slice(), AUDIT_INFO))
    }

    /// The key for one purpose within the vault that has this `salt`; purposes never share a key.
    pub(crate) fn derived(&self, salt: &[u8; 16], info: &[u8]) -> Zeroizing<[u8; 32]> {
        hkdf(salt, self.0.as_slice(), info)
    }
}

impl fmt::Debug for VaultRootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultRootKey(…)")
    }
}

/// The root key could not be read or made; nothing was changed.
#[derive(Debug, Error)]
pub enum RootKeyError {
    /// The vault exists, its key file does not.
    #[error("the vault key file `{path}` is missing; give the vault's own with `--vault-key FILE`")]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Others than the owner could use the key.
    #[error(
        "the vault key file `{path}` is open to other users (mode {mode:03o}); \
         run `chmod 600` on it"
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else.
    #[error("the vault key file `{path}` does not hold 64 hexadecimal digits")]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The file is there and could not be read.
    #[error("cannot read the vault key file `{path}`")]
    Read {
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be made.
    #[error("cannot create the vault key file `{path}`")]
    Create {
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn a_created_key_reads_back_and_is_never_overwritten() {
        let world = tempfile::tempdir().expect("a directory");
        let file = world.path().join("vault.key");
        let entropy = SeededEntropy::new(1);
        let key = VaultRootKey::create(&file, &entropy).expect("created");
        assert_eq!(VaultRootKey::read(&file).expect("read").0, key.0);
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        let again = VaultRootKey::create(&file, &entropy);
        assert!(matches!(again, Err(RootKeyError::Create { .. })), "{again:?}");
        assert_eq!(VaultRootKey::read(&file).expect("unchanged").0, key.0);
    }

    #[test]
    fn a_key_file_that_others_may_read_or_that_holds_no_key_is_refused() {
        let world = tempfile::tempdir().expect("a directory");
        let file = world.path().join("vault.key");
        let write = |text: &str, mode: u32| {
            fs::write(&file, text).expect("written");
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
            VaultRootKey::read(&file)
        };
        let digits = "0f".repeat(32);
        for mode in [0o644, 0o604, 0o660, 0o622] {
            let read = write(&digits, mode);
            assert!(matches!(read, Err(RootKeyError::Exposed { .. })), "{mode:o}");
        }
        for mode in [0o600, 0o400, 0o440] {
            assert!(write(&format!(" {digits}\n"), mode).is_ok(), "{mode:o}");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("set");
        }
        for text in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"0f".repeat(4096)] {
            let read = write(text, 0o600);
            assert!(matches!(read, Err(RootKeyError::Malformed { .. })), "{text}");
        }
    }

    #[test]
    fn the_audit_trails_secret_agrees_with_the_vector_of_its_specification() {
        let root: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("small"));
        assert_eq!(
            hex::encode(hkdf(&[], &root, AUDIT_INFO).as_slice()),
            "6da69c9d060952f035132d46b4bfe3baccead4b60dbd3051048df556c25c53a0"
        );
        assert_eq!(
            format!("{:?}", VaultRootKey::from_bytes(&root).audit_secret()),
            "AuditSecret(…)"
        );
    }

    #[test]
    fn a_root_key_does_not_print_its_bytes() {
        assert_eq!(format!("{:?}", VaultRootKey::from_bytes(&[0xa5; 32])), "VaultRootKey(…)");
    }
}
