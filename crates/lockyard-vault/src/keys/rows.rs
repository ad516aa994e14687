//! The rows of keys and versions: found by name, proved to be what they say, sealed anew.

use lockyard_base::{RowId, Timestamp};
use lockyard_keyring::{KeyId, KeyName, KeyVersionName, VaultAddress, VersionedKeyId};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use zeroize::Zeroizing;

use super::{KeyAttributes, KeyBundle, RotationPolicy, Validity};
use crate::{
    Vault, VaultError,
    access::KeyOperations,
    crypto::{KeyShape, PublicKey},
    rows::Place,
    stored,
    vaults::{DeletedAt, FoundVault, Tags, VaultProperties},
};

/// What a key's sealed record says beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) created: Timestamp,
    pub(crate) deleted: Option<DeletedAt>,
    pub(crate) policy: Option<RotationPolicy>,
}

/// What a version's sealed record says beside its clear columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionRecord {
    pub(crate) public: PublicKey,
    pub(crate) operations: KeyOperations,
    pub(crate) tags: Tags,
    pub(crate) hsm: bool,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
}

/// A key that was read.
#[derive(Clone, Debug)]
pub(crate) struct FoundKey {
    pub(crate) vault: RowId,
    pub(crate) key: RowId,
    pub(crate) name: KeyName,
    pub(crate) record: KeyRecord,
    /// When the rotation job is to look at it.
    pub(crate) rotate_at: Option<i64>,
}

impl FoundKey {
    pub(crate) fn is_live(&self) -> bool {
        self.record.deleted.is_none()
    }

    fn purge_at(&self) -> Option<i64> {
        self.record.deleted.map(|deleted| deleted.purge.as_micros())
    }
}

/// A key's row as it lies in the database.
struct KeyRow {
    key: RowId,
    index: [u8; 32],
    sealed_name: Vec<u8>,
    purge_at: Option<i64>,
    rotate_at: Option<i64>,
    sealed_record: Vec<u8>,
}

impl KeyRow {
    const COLUMNS: &'static str =
        "SELECT key_id, name_index, sealed_name, purge_at, rotate_at, sealed_record
         FROM key WHERE vault_id = ?1";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: RowId::from_bytes(row.get(0)?),
            index: row.get(1)?,
            sealed_name: row.get(2)?,
            purge_at: row.get(3)?,
            rotate_at: row.get(4)?,
            sealed_record: row.get(5)?,
        })
    }
}

/// A version's row as it lies in the database.
#[derive(Debug)]
pub(crate) struct VersionRow {
    pub(crate) id: RowId,
    /// 1 for a key's first version; decides which is the newest.
    pub(crate) ordinal: i64,
    pub(crate) kind: String,
    pub(crate) enabled: bool,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires: Option<i64>,
    pub(crate) sealed_key: Vec<u8>,
    pub(crate) sealed_record: Vec<u8>,
}

impl VersionRow {
    const COLUMNS: &'static str = "SELECT version_id, ordinal, kind, enabled, not_before, expires,
                sealed_key, sealed_record
         FROM key_version WHERE key_id = ?1";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: RowId::from_bytes(row.get(0)?),
            ordinal: row.get(1)?,
            kind: row.get(2)?,
            enabled: row.get(3)?,
            not_before: row.get(4)?,
            expires: row.get(5)?,
            sealed_key: row.get(6)?,
            sealed_record: row.get(7)?,
        })
    }

    /// The place of one of its sealed columns; both are bound to every clear one.
    pub(crate) fn with_place<T>(
        &self,
        column: &'static str,
        vault: RowId,
        key: RowId,
        work: impl FnOnce(&Place<'_>) -> T,
    ) -> T {
        let (vault, key) = (vault.to_string(), key.to_string());
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
        work(&Place { table: "key_version", column, row: self.id, index: &[], clear })
    }

    fn damaged(&self) -> VaultError {
        VaultError::DamagedRow { table: "key_version", row: self.id }
    }
}

/// A version that was read; its columns can be believed.
#[derive(Debug)]
pub(crate) struct FoundVersion {
    pub(crate) row: VersionRow,
    pub(crate) shape: KeyShape,
    pub(crate) record: VersionRecord,
}

impl FoundVersion {
    pub(crate) fn name(&self) -> KeyVersionName {
        self.row.id.to_string().parse().expect("a row id is 32 digits")
    }

    pub(crate) fn validity(&self) -> Validity {
        Validity {
            not_before: self.row.not_before.map(Timestamp::from_micros),
            expires: self.row.expires.map(Timestamp::from_micros),
        }
    }

    pub(crate) fn attributes(&self, vault: &VaultProperties) -> KeyAttributes {
        KeyAttributes {
            enabled: self.row.enabled,
            validity: self.validity(),
            created: self.record.created,
            updated: self.record.updated,
            recovery_level: vault.recovery_level(),
            recoverable_days: vault.retention_days,
        }
    }

    pub(crate) fn bundle(&self, vault: &VaultProperties, key: &FoundKey) -> KeyBundle {
        KeyBundle {
            id: self.id(&vault.name, key),
            shape: self.shape,
            hsm: self.record.hsm,
            public: self.record.public.clone(),
            operations: self.record.operations.clone(),
            attributes: self.attributes(vault),
            tags: self.record.tags.clone(),
        }
    }

    pub(crate) fn id(&self, vault: &VaultAddress, key: &FoundKey) -> VersionedKeyId {
        let key = KeyId { vault: vault.clone(), name: key.name.clone() };
        VersionedKeyId { key, version: self.name() }
    }
}

impl Vault {
    /// Finds a key, live or deleted, and proves that its row is this key's.
    pub(crate) fn find_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: RowId,
        name: &KeyName,
    ) -> Result<Option<FoundKey>, VaultError> {
        let index = self.rows.key_index(vault, name);
        let sql = format!("{} AND name_index = ?2", KeyRow::COLUMNS);
        let row = transaction
            .prepare_cached(&sql)?
            .query_row([vault.as_bytes().as_slice(), index.as_bytes()], KeyRow::read)
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let found = self.open_key(vault, &row)?;
        if found.name.as_str().eq_ignore_ascii_case(name.as_str()) {
            Ok(Some(found))
        } else {
            Err(VaultError::DamagedRow { table: "key", row: row.key })
        }
    }

    /// Finds a live key of a live vault.
    pub(crate) fn find_key(
        &self,
        transaction: &Transaction<'_>,
        key: &KeyId,
    ) -> Result<FoundKey, VaultError> {
        let vault = self.live_vault(transaction, &key.vault)?;
        self.live_key(transaction, &vault, &key.name)
    }

    pub(crate) fn live_key(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<FoundKey, VaultError> {
        self.find_key_in(transaction, vault.row(), name)?.filter(FoundKey::is_live).ok_or_else(
            || {
                let vault = vault.properties.name.clone();
                VaultError::KeyNotFound(KeyId { vault, name: name.clone() })
            },
        )
    }

    /// All keys of a vault, live and deleted, by name.
    pub(crate) fn keys_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
    ) -> Result<Vec<FoundKey>, VaultError> {
        let mut select = transaction.prepare_cached(KeyRow::COLUMNS)?;
        let rows = select.query_map([vault.row().as_bytes()], KeyRow::read)?;
        let mut keys = Vec::new();
        for row in rows {
            keys.push(self.open_key(vault.row(), &row?)?);
        }
        keys.sort_by_cached_key(|found| found.name.as_str().to_ascii_lowercase());
        Ok(keys)
    }

    fn open_key(&self, vault: RowId, row: &KeyRow) -> Result<FoundKey, VaultError> {
        let damaged = || VaultError::DamagedRow { table: "key", row: row.key };
        let name = with_name_place(vault, row.key, &row.index, |place| {
            self.rows.open_row(place, &row.sealed_name)
        })
        .map_err(|_| damaged())?;
        let name: KeyName = std::str::from_utf8(&name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or_else(damaged)?;
        let times = (row.purge_at, row.rotate_at);
        let record = with_record_place(vault, row.key, &row.index, times, |place| {
            self.rows.open_row(place, &row.sealed_record)
        })
        .map_err(|_| damaged())?;
        let record = stored::read_key(&record).ok_or_else(damaged)?;
        let found = FoundKey { vault, key: row.key, name, record, rotate_at: row.rotate_at };
        if found.purge_at() == row.purge_at { Ok(found) } else { Err(damaged()) }
    }

    pub(crate) fn insert_key(
        &self,
        transaction: &Transaction<'_>,
        vault: RowId,
        name: &KeyName,
        policy: Option<RotationPolicy>,
    ) -> Result<FoundKey, VaultError> {
        let record = KeyRecord { created: self.clock.wall(), deleted: None, policy };
        let key = RowId::random(&*self.entropy);
        let found = FoundKey { vault, key, name: name.clone(), record, rotate_at: None };
        let index = self.rows.key_index(vault, name);
        let sealed_name = with_name_place(vault, key, index.as_bytes(), |place| {
            self.rows.seal(&*self.entropy, place, name.as_str().as_bytes())
        });
        transaction.execute(
            "INSERT INTO key (key_id, vault_id, name_index, sealed_name, created_at, purge_at,
                 rotate_at, sealed_record)
             VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, ?6)",
            params![
                key.as_bytes(),
                vault.as_bytes(),
                index.as_bytes(),
                sealed_name,
                found.record.created.as_micros(),
                self.seal_key(&found)
            ],
        )?;
        Ok(found)
    }

    /// Stores what a key's record says now.
    pub(crate) fn update_key(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
    ) -> Result<(), VaultError> {
        transaction.execute(
            "UPDATE key SET purge_at = ?2, rotate_at = ?3, sealed_record = ?4 WHERE key_id = ?1",
            params![found.key.as_bytes(), found.purge_at(), found.rotate_at, self.seal_key(found)],
        )?;
        Ok(())
    }

    /// Removes a key, its versions and its grants for good.
    pub(crate) fn erase_key(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
    ) -> Result<(), VaultError> {
        for table in ["key_grant", "key_version", "key"] {
            let sql = format!("DELETE FROM {table} WHERE key_id = ?1");
            transaction.execute(&sql, [found.key.as_bytes()])?;
        }
        self.opened.forget(found.key, None);
        Ok(())
    }

    fn seal_key(&self, found: &FoundKey) -> Vec<u8> {
        let index = self.rows.key_index(found.vault, &found.name);
        let record = stored::write_key(&found.record);
        let times = (found.purge_at(), found.rotate_at);
        with_record_place(found.vault, found.key, index.as_bytes(), times, |place| {
            self.rows.seal(&*self.entropy, place, &record)
        })
    }

    /// All versions of a key, newest first.
    pub(crate) fn versions_in(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
    ) -> Result<Vec<FoundVersion>, VaultError> {
        let sql = format!("{} ORDER BY ordinal DESC", VersionRow::COLUMNS);
        let mut select = transaction.prepare_cached(&sql)?;
        let rows = select.query_map([key.key.as_bytes()], VersionRow::read)?;
        rows.map(|row| self.open_version(key, row?)).collect()
    }

    /// At most `limit` versions that are older than version number `below`, newest first.
    pub(crate) fn versions_below(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
        below: i64,
        limit: usize,
    ) -> Result<Vec<FoundVersion>, VaultError> {
        let sql =
            format!("{} AND ordinal < ?2 ORDER BY ordinal DESC LIMIT ?3", VersionRow::COLUMNS);
        let mut select = transaction.prepare_cached(&sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = select.query_map(params![key.key.as_bytes(), below, limit], VersionRow::read)?;
        rows.map(|row| self.open_version(key, row?)).collect()
    }

    /// One version of a key, or its newest.
    pub(crate) fn version_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &VaultAddress,
        key: &FoundKey,
        version: Option<&KeyVersionName>,
    ) -> Result<FoundVersion, VaultError> {
        let found = match version {
            None => self.versions_below(transaction, key, i64::MAX, 1)?.pop(),
            Some(version) => {
                let sql = format!("{} AND version_id = ?2", VersionRow::COLUMNS);
                let id = version_row_id(version);
                transaction
                    .prepare_cached(&sql)?
                    .query_row([key.key.as_bytes().as_slice(), id.as_bytes()], VersionRow::read)
                    .optional()?
                    .map(|row| self.open_version(key, row))
                    .transpose()?
            }
        };
        found.ok_or_else(|| {
            let key = KeyId { vault: vault.clone(), name: key.name.clone() };
            match version {
                Some(version) => {
                    VaultError::VersionNotFound(VersionedKeyId { key, version: version.clone() })
                }
                None => VaultError::KeyNotFound(key),
            }
        })
    }

    fn open_version(&self, key: &FoundKey, row: VersionRow) -> Result<FoundVersion, VaultError> {
        let record = row
            .with_place("sealed_record", key.vault, key.key, |place| {
                self.rows.open_row(place, &row.sealed_record)
            })
            .map_err(|_| row.damaged())?;
        let shape = KeyShape::from_word(&row.kind).ok_or_else(|| row.damaged())?;
        let record = stored::read_version(&record).ok_or_else(|| row.damaged())?;
        if record.public.shape() != Some(shape) {
            return Err(row.damaged());
        }
        Ok(FoundVersion { row, shape, record })
    }

    /// Opens a version's private key; fails if any of its bound columns was changed.
    pub(crate) fn open_private(
        &self,
        key: &FoundKey,
        row: &VersionRow,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        row.with_place("sealed_key", key.vault, key.key, |place| {
            self.rows.open_row(place, &row.sealed_key)
        })
        .map_err(|_| row.damaged())
    }

    /// Seals a version's record and private key into its row.
    pub(crate) fn seal_version(&self, key: &FoundKey, version: &mut FoundVersion, private: &[u8]) {
        let (row, rows) = (&version.row, &self.rows);
        let sealed_key = row.with_place("sealed_key", key.vault, key.key, |place| {
            rows.seal(&*self.entropy, place, private)
        });
        let record = stored::write_version(&version.record);
        let sealed_record = row.with_place("sealed_record", key.vault, key.key, |place| {
            rows.seal(&*self.entropy, place, &record)
        });
        version.row.sealed_key = sealed_key;
        version.row.sealed_record = sealed_record;
    }

    pub(crate) fn store_version(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
        row: &VersionRow,
    ) -> Result<(), VaultError> {
        transaction.execute(
            "INSERT INTO key_version (key_id, version_id, ordinal, kind, enabled, not_before,
                 expires, sealed_key, sealed_record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (key_id, version_id) DO UPDATE SET enabled = excluded.enabled,
                 not_before = excluded.not_before, expires = excluded.expires,
                 sealed_key = excluded.sealed_key, sealed_record = excluded.sealed_record",
            params![
                key.key.as_bytes(),
                row.id.as_bytes(),
                row.ordinal,
                row.kind,
                row.enabled,
                row.not_before,
                row.expires,
                row.sealed_key,
                row.sealed_record
            ],
        )?;
        self.opened.forget(key.key, Some(row.id));
        Ok(())
    }
}

/// The place of a key's name.
fn with_name_place<T>(
    vault: RowId,
    key: RowId,
    index: &[u8; 32],
    work: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let vault = vault.to_string();
    let clear: &[&[u8]] = &[vault.as_bytes()];
    work(&Place { table: "key", column: "sealed_name", row: key, index, clear })
}

/// The place of a key's record; `times` are `purge_at` and `rotate_at`.
pub(crate) fn with_record_place<T>(
    vault: RowId,
    key: RowId,
    index: &[u8; 32],
    times: (Option<i64>, Option<i64>),
    work: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let vault = vault.to_string();
    let (purge_at, rotate_at) = (times.0.map(i64::to_be_bytes), times.1.map(i64::to_be_bytes));
    let clear: &[&[u8]] = &[
        vault.as_bytes(),
        purge_at.as_ref().map_or(&[], <[u8; 8]>::as_slice),
        rotate_at.as_ref().map_or(&[], <[u8; 8]>::as_slice),
    ];
    work(&Place { table: "key", column: "sealed_record", row: key, index, clear })
}

fn version_row_id(version: &KeyVersionName) -> RowId {
    let mut id = [0; 16];
    hex::decode_to_slice(version.as_str(), &mut id).expect("a version's name is 32 digits");
    RowId::from_bytes(id)
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
            sealed_key: Vec::new(),
            sealed_record: Vec::new(),
        };
        let key = RowId::from_bytes([0x33; 16]);
        let aad = row.with_place("sealed_key", vault, key, |place| rows.aad(place));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &aad);
        assert_eq!(
            hex::encode(hash),
            "cc0f2031da4ac5834d692fd44a0bd4c89dc49861437f9ee986901337e76ab612"
        );
    }
}
