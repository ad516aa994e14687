//! Keys and their versions: making them, listing them, switching them off and on.
//!
//! A private key lies sealed in its version's row, bound to vault, key, version and to every clear
//! column that decides about its use; whoever changes one of them in the database makes the key
//! useless, never usable. So every reading of a version opens its row, listings included, and
//! every change of such a column seals the row anew.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use lockyard_base::{RowId, Timestamp};
use lockyard_keyring::{
    KeyId, KeyKind, KeyName, KeyNameError, KeyVersion, KeyVersionName, VaultAddress, VersionedKeyId,
};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use zeroize::Zeroizing;

use crate::{RsaSize, Vault, VaultError, rows::Place, rsa::RsaKey, vault::open_name};

/// A whole key, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyTarget {
    /// All versions of this key.
    Key(KeyId),
    /// This version alone.
    Version(VersionedKeyId),
}

impl KeyTarget {
    fn key(&self) -> &KeyId {
        match self {
            Self::Key(key) => key,
            Self::Version(version) => &version.key,
        }
    }
}

impl FromStr for KeyTarget {
    type Err = KeyNameError;

    /// Reads `vault/key` or `vault/key/version`.
    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [vault, name] => Ok(Self::Key(KeyId { vault: vault.parse()?, name: name.parse()? })),
            _ => text.parse().map(Self::Version),
        }
    }
}

impl fmt::Display for KeyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}

/// When a key version may wrap; unwrapping is allowed at all times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Not before this time.
    pub not_before: Option<Timestamp>,
    /// Not from this time on.
    pub expires: Option<Timestamp>,
}

impl Vault {
    /// Makes a new RSA key, or a new version of the key if there is one of that name.
    ///
    /// Takes up to seconds for large keys.
    pub fn create_key(&self, key: &KeyId, size: RsaSize) -> Result<VersionedKeyId, VaultError> {
        // Before the transaction, so that nobody waits for it.
        let private = RsaKey::generate(size).ok_or(VaultError::Generate)?;
        self.insert_version(key, size, private.as_ref())
    }

    /// Stores a private key as the newest version of its key.
    pub(crate) fn insert_version(
        &self,
        key: &KeyId,
        size: RsaSize,
        private: &[u8],
    ) -> Result<VersionedKeyId, VaultError> {
        self.change(|transaction| {
            let vault = self
                .find_vault(transaction, &key.vault)?
                .ok_or_else(|| VaultError::VaultNotFound(key.vault.clone()))?;
            let found = match self.find_key_in(transaction, vault, key)? {
                Some(found) => found,
                None => self.insert_key(transaction, vault, key)?,
            };
            let newest: i64 = transaction.query_row(
                "SELECT coalesce(max(ordinal), 0) FROM key_version WHERE key_id = ?1",
                [found.key.as_bytes()],
                |row| row.get(0),
            )?;
            let row = VersionRow {
                id: RowId::random(&*self.entropy),
                ordinal: newest + 1,
                kind: size.word().to_owned(),
                enabled: true,
                not_before: None,
                expires: None,
                sealed: Vec::new(),
            };
            let sealed = self.seal_version(found, &row, private);
            let now = self.now();
            transaction.execute(
                "INSERT INTO key_version (version_id, key_id, ordinal, kind, enabled, not_before,
                     expires, sealed_key, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, 1, NULL, NULL, ?5, ?6, ?6)",
                params![
                    row.id.as_bytes(),
                    found.key.as_bytes(),
                    row.ordinal,
                    row.kind,
                    sealed,
                    now
                ],
            )?;
            Ok(VersionedKeyId { key: key.clone(), version: version_name(row.id) })
        })
    }

    /// Lists the keys of a vault by name.
    pub fn keys(&self, vault: &VaultAddress) -> Result<Vec<KeyId>, VaultError> {
        self.database.read(|transaction| {
            let id = self
                .find_vault(transaction, vault)?
                .ok_or_else(|| VaultError::VaultNotFound(vault.clone()))?;
            let mut select = transaction
                .prepare("SELECT key_id, name_index, sealed_name FROM key WHERE vault_id = ?1")?;
            let mut rows = select.query([id.as_bytes()])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                let found = FoundKey { vault: id, key: RowId::from_bytes(row.get(0)?) };
                let index: [u8; 32] = row.get(1)?;
                let sealed: Vec<u8> = row.get(2)?;
                let name =
                    with_key_place(found, &index, |place| open_name(&self.rows, place, &sealed))?;
                keys.push(KeyId { vault: vault.clone(), name });
            }
            keys.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
            Ok(keys)
        })
    }

    /// Lists the versions of a key, newest first.
    pub fn versions(&self, key: &KeyId) -> Result<Vec<KeyVersion>, VaultError> {
        self.database.read(|transaction| {
            let found = self.find_key(transaction, key)?;
            self.versions_of(transaction, found, key)
        })
    }

    pub(crate) fn versions_of(
        &self,
        transaction: &Transaction<'_>,
        found: FoundKey,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, VaultError> {
        let mut versions = Vec::new();
        for row in version_rows(transaction, found)? {
            // For its verdict alone; the key itself is wiped at once.
            self.open_version(found, &row)?;
            versions.push(KeyVersion {
                id: VersionedKeyId { key: key.clone(), version: version_name(row.id) },
                enabled: row.enabled,
                not_before: row.not_before.map(Timestamp::from_micros),
                expires: row.expires.map(Timestamp::from_micros),
                kind: KeyKind::Rsa,
            });
        }
        Ok(versions)
    }

    /// Allows the use of a key version, or of all versions of a key.
    pub fn enable(&self, target: &KeyTarget) -> Result<(), VaultError> {
        self.rewrite(target, |row| row.enabled = true)
    }

    /// Forbids every use of a key version, or of all versions of a key.
    pub fn disable(&self, target: &KeyTarget) -> Result<(), VaultError> {
        self.rewrite(target, |row| row.enabled = false)
    }

    /// Sets when a key version, or all versions of a key, may wrap.
    pub fn set_validity(&self, target: &KeyTarget, validity: Validity) -> Result<(), VaultError> {
        if let (Some(from), Some(to)) = (validity.not_before, validity.expires)
            && from >= to
        {
            return Err(VaultError::EmptyValidity);
        }
        self.rewrite(target, |row| {
            row.not_before = validity.not_before.map(Timestamp::as_micros);
            row.expires = validity.expires.map(Timestamp::as_micros);
        })
    }

    /// Changes bound columns of the target's versions and seals them anew, all or none.
    fn rewrite(
        &self,
        target: &KeyTarget,
        edit: impl Fn(&mut VersionRow),
    ) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.find_key(transaction, target.key())?;
            let rows = match target {
                KeyTarget::Key(_) => version_rows(transaction, found)?,
                KeyTarget::Version(version) => vec![
                    version_row(transaction, found, &version.version)?
                        .ok_or_else(|| VaultError::VersionNotFound(version.clone()))?,
                ],
            };
            for mut row in rows {
                let private = self.open_version(found, &row)?;
                edit(&mut row);
                let sealed = self.seal_version(found, &row, &private);
                transaction.execute(
                    "UPDATE key_version SET enabled = ?2, not_before = ?3, expires = ?4,
                         sealed_key = ?5, updated_at = ?6
                     WHERE version_id = ?1",
                    params![
                        row.id.as_bytes(),
                        row.enabled,
                        row.not_before,
                        row.expires,
                        sealed,
                        self.now()
                    ],
                )?;
                self.opened.forget(row.id);
            }
            Ok(())
        })
    }

    /// Finds a key's row and proves that it is this key's.
    pub(crate) fn find_key(
        &self,
        transaction: &Transaction<'_>,
        key: &KeyId,
    ) -> Result<FoundKey, VaultError> {
        let vault = self
            .find_vault(transaction, &key.vault)?
            .ok_or_else(|| VaultError::VaultNotFound(key.vault.clone()))?;
        self.find_key_in(transaction, vault, key)?
            .ok_or_else(|| VaultError::KeyNotFound(key.clone()))
    }

    fn find_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: RowId,
        key: &KeyId,
    ) -> Result<Option<FoundKey>, VaultError> {
        let index = self.rows.key_index(vault, &key.name);
        let found = transaction
            .prepare_cached(
                "SELECT key_id, sealed_name FROM key WHERE vault_id = ?1 AND name_index = ?2",
            )?
            .query_row([vault.as_bytes().as_slice(), index.as_bytes()], |row| {
                Ok((RowId::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        let Some((row, sealed)) = found else { return Ok(None) };
        let found = FoundKey { vault, key: row };
        let name: KeyName =
            with_key_place(found, index.as_bytes(), |place| open_name(&self.rows, place, &sealed))?;
        if name.as_str().eq_ignore_ascii_case(key.name.as_str()) {
            Ok(Some(found))
        } else {
            Err(VaultError::DamagedRow { table: "key", row })
        }
    }

    fn insert_key(
        &self,
        transaction: &Transaction<'_>,
        vault: RowId,
        key: &KeyId,
    ) -> Result<FoundKey, VaultError> {
        let found = FoundKey { vault, key: RowId::random(&*self.entropy) };
        let index = self.rows.key_index(vault, &key.name);
        let sealed = with_key_place(found, index.as_bytes(), |place| {
            self.rows.seal(&*self.entropy, place, key.name.as_str().as_bytes())
        });
        transaction.execute(
            "INSERT INTO key (key_id, vault_id, name_index, sealed_name, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![found.key.as_bytes(), vault.as_bytes(), index.as_bytes(), sealed, self.now()],
        )?;
        Ok(found)
    }

    /// Returns the key of a version's row, ready for use.
    ///
    /// A key that is in memory already is used only while its row is, byte for byte, the one that
    /// it was opened from; so memory never outvotes the database.
    pub(crate) fn ready_key(
        &self,
        found: FoundKey,
        row: VersionRow,
    ) -> Result<Arc<OpenedKey>, VaultError> {
        let aad = row.with_place(found, |place| self.rows.aad(place));
        if let Some(opened) = self.opened.find(row.id, &aad, &row.sealed) {
            return Ok(opened);
        }
        let damaged = VaultError::DamagedRow { table: "key_version", row: row.id };
        let private = self.open_version(found, &row)?;
        let Some(key) = RsaKey::from_pkcs8(&private) else { return Err(damaged) };
        if RsaSize::from_bits(key.bits()).is_none_or(|size| size.word() != row.kind) {
            return Err(damaged);
        }
        let opened = Arc::new(OpenedKey { aad, sealed: row.sealed, key });
        self.opened.keep(row.id, Arc::clone(&opened));
        Ok(opened)
    }

    /// Opens a version's row; fails if any of its bound columns was changed.
    pub(crate) fn open_version(
        &self,
        found: FoundKey,
        row: &VersionRow,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        row.with_place(found, |place| self.rows.open_row(place, &row.sealed))
            .map_err(|_| VaultError::DamagedRow { table: "key_version", row: row.id })
    }

    fn seal_version(&self, found: FoundKey, row: &VersionRow, private: &[u8]) -> Vec<u8> {
        row.with_place(found, |place| self.rows.seal(&*self.entropy, place, private))
    }
}

/// The rows of a key that was asked for by name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundKey {
    pub(crate) vault: RowId,
    pub(crate) key: RowId,
}

fn with_key_place<T>(found: FoundKey, index: &[u8; 32], work: impl FnOnce(&Place<'_>) -> T) -> T {
    let vault = found.vault.to_string();
    let clear: &[&[u8]] = &[vault.as_bytes()];
    work(&Place { table: "key", column: "sealed_name", row: found.key, index, clear })
}

/// A version as it is stored.
#[derive(Debug)]
pub(crate) struct VersionRow {
    pub(crate) id: RowId,
    /// 1 for a key's first version; decides which is the newest.
    ordinal: i64,
    kind: String,
    pub(crate) enabled: bool,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires: Option<i64>,
    sealed: Vec<u8>,
}

impl VersionRow {
    const COLUMNS: &'static str =
        "SELECT version_id, ordinal, kind, enabled, not_before, expires, sealed_key
         FROM key_version WHERE key_id = ?1";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: RowId::from_bytes(row.get(0)?),
            ordinal: row.get(1)?,
            kind: row.get(2)?,
            enabled: row.get(3)?,
            not_before: row.get(4)?,
            expires: row.get(5)?,
            sealed: row.get(6)?,
        })
    }

    fn with_place<T>(&self, found: FoundKey, work: impl FnOnce(&Place<'_>) -> T) -> T {
        let vault = found.vault.to_string();
        let key = found.key.to_string();
        let time = |micros: Option<i64>| micros.map(i64::to_be_bytes);
        let (not_before, expires) = (time(self.not_before), time(self.expires));
        let clear: &[&[u8]] = &[
            vault.as_bytes(),
            key.as_bytes(),
            &self.ordinal.to_be_bytes(),
            self.kind.as_bytes(),
            &[u8::from(self.enabled)],
            not_before.as_ref().map_or(&[], <[u8; 8]>::as_slice),
            expires.as_ref().map_or(&[], <[u8; 8]>::as_slice),
        ];
        work(&Place { table: "key_version", column: "sealed_key", row: self.id, index: &[], clear })
    }
}

fn version_rows(
    transaction: &Transaction<'_>,
    found: FoundKey,
) -> Result<Vec<VersionRow>, VaultError> {
    let sql = format!("{} ORDER BY ordinal DESC", VersionRow::COLUMNS);
    let mut select = transaction.prepare_cached(&sql)?;
    let rows = select.query_map([found.key.as_bytes()], VersionRow::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn version_row(
    transaction: &Transaction<'_>,
    found: FoundKey,
    version: &KeyVersionName,
) -> Result<Option<VersionRow>, VaultError> {
    let id = version_row_id(version);
    let sql = format!("{} AND version_id = ?2", VersionRow::COLUMNS);
    let mut select = transaction.prepare_cached(&sql)?;
    Ok(select
        .query_row([found.key.as_bytes().as_slice(), id.as_bytes()], VersionRow::read)
        .optional()?)
}

fn version_name(row: RowId) -> KeyVersionName {
    row.to_string().parse().expect("a row id is 32 digits")
}

fn version_row_id(version: &KeyVersionName) -> RowId {
    let mut id = [0; 16];
    hex::decode_to_slice(version.as_str(), &mut id).expect("a version's name is 32 digits");
    RowId::from_bytes(id)
}

/// A key in memory, and what it was opened from.
#[derive(Debug)]
pub(crate) struct OpenedKey {
    aad: Vec<u8>,
    sealed: Vec<u8>,
    pub(crate) key: RsaKey,
}

/// The keys that are in memory, so that a use costs no parsing; wiped when forgotten.
#[derive(Debug, Default)]
pub(crate) struct OpenedKeys(Mutex<HashMap<RowId, Arc<OpenedKey>>>);

impl OpenedKeys {
    /// The most keys that stay in memory; about 10 KiB each.
    const MAX: usize = 1024;

    fn find(&self, version: RowId, aad: &[u8], sealed: &[u8]) -> Option<Arc<OpenedKey>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&version).filter(|key| key.aad == aad && key.sealed == sealed).map(Arc::clone)
    }

    fn keep(&self, version: RowId, key: Arc<OpenedKey>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= Self::MAX {
            kept.clear();
        }
        kept.insert(version, key);
    }

    fn forget(&self, version: RowId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&version);
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;
    use lockyard_seal::{MainKey, SegmentSize, pae};

    use super::*;
    use crate::{
        VaultRootKey,
        rows::{RowKeys, SealedRowKeys},
    };

    /// The vectors of `docs/spec/vault.md`, computed there without this code.
    #[test]
    fn keys_indexes_and_bindings_are_those_of_the_specification() {
        let directory: [u8; 16] = std::array::from_fn(|i| 0xa0 + u8::try_from(i).unwrap());
        let root = VaultRootKey::from_bytes(&std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let hex32 = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
        let wrapping = MainKey::from_bytes(&hex32(
            "19de58f499fd1a323c01b4563b2b5abe9405f344179bbb703c4d3df99cc487e2",
        ));
        let entropy = SeededEntropy::new(1);
        let seal = |purpose: &[u8], key: [u8; 32]| {
            let aad = pae(&[b"vault key", &directory, purpose]);
            wrapping.seal(&entropy, SegmentSize::ROW, &aad, &key)
        };
        let sealed = SealedRowKeys {
            directory,
            check: hex32("a4ac3f7fa4343c646eef08e95ce49fed8b1f14bebff42b37bfdfa482d22f37f8"),
            row: seal(b"row", [0x66; 32]),
            index: seal(b"index", [0x77; 32]),
        };
        let rows = RowKeys::open(&root, &sealed).expect("opens");
        let vault = RowId::from_bytes([0x22; 16]);
        assert_eq!(
            hex::encode(rows.vault_index(&"Payments".parse().unwrap()).as_bytes()),
            "ce82d893fcfec5a6f2449eaac69320478c9d08e97beda706aa97a90417703359"
        );
        assert_eq!(
            hex::encode(rows.key_index(vault, &"Release".parse().unwrap()).as_bytes()),
            "c24a9a1d5761a7634daebc51af702d95a8858027650e1c056f7df55290b67d0e"
        );
        let row = VersionRow {
            id: RowId::from_bytes([0x44; 16]),
            ordinal: 2,
            kind: "RSA-2048".to_owned(),
            enabled: true,
            not_before: None,
            expires: Some(1_700_000_000_000_000),
            sealed: Vec::new(),
        };
        let found = FoundKey { vault, key: RowId::from_bytes([0x33; 16]) };
        let aad = row.with_place(found, |place| rows.aad(place));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &aad);
        assert_eq!(
            hex::encode(hash),
            "cc0f2031da4ac5834d692fd44a0bd4c89dc49861437f9ee986901337e76ab612"
        );
    }

    #[test]
    fn a_target_is_a_key_or_a_version() {
        for text in ["payments/release", "payments/release/0123456789abcdef0123456789abcdef"] {
            assert_eq!(text.parse::<KeyTarget>().expect("a target").to_string(), text);
        }
        for text in ["", "payments", "payments/", "payments/release/", "payments/release/1/2"] {
            assert!(text.parse::<KeyTarget>().is_err(), "{text}");
        }
    }
}
