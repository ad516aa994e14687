//! Sealing of the vault's rows, and the blind indexes that stand for names in it.
//!
//! Rows are sealed like all others (`lockyard_seal::Bound`), with the vault directory's own random
//! id in the place of a registry's, and no epoch. Row key and index key are random and sealed
//! under the root key, so that another root key costs two re-seals.

use lockyard_base::{BlindIndex, Entropy, Epoch, RegistryId, RowId};
use lockyard_keyring::{KeyName, VaultAddress};
use lockyard_seal::{Bound, Damaged, IndexKey, IndexKind, MainKey, SegmentSize, pae};
use zeroize::Zeroizing;

use crate::{VaultRootKey, keys::BackupKey};

const CHECK_INFO: &[u8] = b"lockyard/v1/vault/check";
const WRAP_INFO: &[u8] = b"lockyard/v1/vault/wrap";
const BACKUP_INFO: &[u8] = b"lockyard/v1/vault/backup";
/// Backups are bound to the root key alone, so that they outlive the directory.
const NO_DIRECTORY: [u8; 16] = [0; 16];
/// Vault rows bind this in place of an epoch.
const NO_EPOCH: Epoch = Epoch::new(0);

/// What a new vault stores about its keys.
#[derive(Debug)]
pub(crate) struct SealedRowKeys {
    /// The vault directory's random id; public, bound to every row, salt of what is derived.
    pub(crate) directory: [u8; 16],
    /// Tells a wrong root key before anything is opened.
    pub(crate) check: [u8; 32],
    /// The row key, sealed under the root key.
    pub(crate) row: Vec<u8>,
    /// The index key, sealed under the root key.
    pub(crate) index: Vec<u8>,
}

/// The stored keys did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKeysError {
    /// They belong to another root key.
    WrongRootKey,
    /// They belong to this root key and were changed.
    Damaged,
}

/// Seals and opens the rows of one vault directory; wiped on drop.
pub(crate) struct RowKeys {
    directory: RegistryId,
    row: MainKey,
    index: IndexKey,
    pub(crate) backup: BackupKey,
}

/// Where a sealed value lies; it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
    pub(crate) row: RowId,
    /// The row's blind index, or empty if it has none.
    pub(crate) index: &'a [u8],
    /// The clear columns that drive behaviour, in the order of `docs/spec/vault.md`.
    pub(crate) clear: &'a [&'a [u8]],
}

impl RowKeys {
    /// Draws the keys of a new vault directory and seals them.
    pub(crate) fn generate(root: &VaultRootKey, entropy: &dyn Entropy) -> SealedRowKeys {
        let directory = entropy.bytes::<16>();
        let wrapping = MainKey::from_bytes(&root.derived(&directory, WRAP_INFO));
        let seal = |purpose: &[u8]| {
            let secret = Zeroizing::new(entropy.bytes::<32>());
            let aad = key_aad(&directory, purpose);
            wrapping.seal(entropy, SegmentSize::ROW, &aad, secret.as_slice())
        };
        SealedRowKeys {
            directory,
            check: *root.derived(&directory, CHECK_INFO),
            row: seal(b"row"),
            index: seal(b"index"),
        }
    }

    /// Opens the stored keys of a vault directory.
    pub(crate) fn open(root: &VaultRootKey, sealed: &SealedRowKeys) -> Result<Self, RowKeysError> {
        let check = root.derived(&sealed.directory, CHECK_INFO);
        aws_lc_rs::constant_time::verify_slices_are_equal(check.as_slice(), &sealed.check)
            .map_err(|_| RowKeysError::WrongRootKey)?;
        let wrapping = MainKey::from_bytes(&root.derived(&sealed.directory, WRAP_INFO));
        let open = |purpose: &[u8], sealed_key: &[u8]| -> Result<_, RowKeysError> {
            let aad = key_aad(&sealed.directory, purpose);
            let opened = wrapping
                .open(SegmentSize::ROW, &aad, sealed_key)
                .map_err(|Damaged| RowKeysError::Damaged)?;
            let bytes = opened.as_slice().try_into().map_err(|_| RowKeysError::Damaged)?;
            Ok(Zeroizing::<[u8; 32]>::new(bytes))
        };
        Ok(Self {
            directory: RegistryId::from_bytes(sealed.directory),
            row: MainKey::from_bytes(&*open(b"row", &sealed.row)?),
            index: IndexKey::from_bytes(&*open(b"index", &sealed.index)?),
            backup: BackupKey::from_bytes(&root.derived(&NO_DIRECTORY, BACKUP_INFO)),
        })
    }

    /// The associated data of a value in this place.
    pub(crate) fn aad(&self, place: &Place<'_>) -> Vec<u8> {
        let Place { table, column, row, index, clear } = *place;
        Bound { table, column, registry: self.directory, epoch: NO_EPOCH, row, index, clear }.aad()
    }

    /// Seals a value into its place.
    pub(crate) fn seal(
        &self,
        entropy: &dyn Entropy,
        place: &Place<'_>,
        plaintext: &[u8],
    ) -> Vec<u8> {
        self.row.seal(entropy, SegmentSize::ROW, &self.aad(place), plaintext)
    }

    /// Opens a value; fails unless it was sealed into exactly this place.
    pub(crate) fn open_row(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Damaged> {
        self.row.open(SegmentSize::ROW, &self.aad(place), sealed)
    }

    /// The index of a vault's name, whatever its letters' case.
    pub(crate) fn vault_index(&self, vault: &VaultAddress) -> BlindIndex {
        self.blind(&[b"vault", vault.as_str().to_ascii_lowercase().as_bytes()])
    }

    /// The index of a key's name within its vault, whatever its letters' case.
    pub(crate) fn key_index(&self, vault: RowId, key: &KeyName) -> BlindIndex {
        let vault = vault.to_string();
        self.blind(&[b"key", vault.as_bytes(), key.as_str().to_ascii_lowercase().as_bytes()])
    }

    fn blind(&self, value: &[&[u8]]) -> BlindIndex {
        self.index.blind(IndexKind::Record, None, &pae(value))
    }
}

fn key_aad(directory: &[u8; 16], purpose: &[u8]) -> Vec<u8> {
    pae(&[b"vault key", directory, purpose])
}
