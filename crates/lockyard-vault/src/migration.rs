//! Steps from older schemas to the present one, each in one transaction: all of it or nothing.
//!
//! The step from 1 to 2 gives every vault, key and version its sealed record. A row that does not
//! open gets an empty one and so stays as damaged as it was; it keeps nobody from the rest.

use lockyard_base::{Entropy, RowId, Timestamp};
use lockyard_keyring::VaultAddress;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::{
    OpenVaultError,
    access::{KeyOperations, NetworkRules, PublicAccess},
    crypto::{KeyShape, NewPrivate},
    keys::{KeyRecord, VersionRecord, VersionRow, with_key_record_place},
    rows::RowKeys,
    schema::VERSION,
    stored,
    vaults::{
        DecidedBy, Decision, Enablements, PermissionModel, Placement, Sku, Tags, VaultProperties,
        name_place, with_record_place,
    },
};

/// Brings the database to the present schema.
pub(crate) fn migrate(
    writer: &mut Connection,
    rows: &RowKeys,
    entropy: &dyn Entropy,
) -> Result<(), OpenVaultError> {
    let run = |writer: &mut Connection| {
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found < 2 {
            let step = FromOne { transaction: &transaction, rows, entropy };
            step.vaults()?;
            step.keys()?;
            step.versions()?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()
    };
    run(writer).map_err(OpenVaultError::from_sqlite)
}

struct FromOne<'t> {
    transaction: &'t Transaction<'t>,
    rows: &'t RowKeys,
    entropy: &'t dyn Entropy,
}

impl FromOne<'_> {
    fn vaults(&self) -> rusqlite::Result<()> {
        self.transaction.execute_batch(
            "ALTER TABLE vault ADD COLUMN purge_at INTEGER;
             ALTER TABLE vault ADD COLUMN sealed_record BLOB NOT NULL DEFAULT x'';",
        )?;
        let mut select = self
            .transaction
            .prepare("SELECT vault_id, name_index, sealed_name, created_at FROM vault")?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let id = RowId::from_bytes(row.get(0)?);
            let index: [u8; 32] = row.get(1)?;
            let name = self.rows.open_row(&name_place(id, &index), &row.get::<_, Vec<u8>>(2)?);
            let name: Option<VaultAddress> =
                name.ok().and_then(|name| std::str::from_utf8(&name).ok()?.parse().ok());
            let Some(name) = name else { continue };
            let record = stored::write_vault(&as_operators_make(name, row.get(3)?));
            let sealed = with_record_place(id, &index, None, |place| {
                self.rows.seal(self.entropy, place, &record)
            });
            self.transaction.execute(
                "UPDATE vault SET sealed_record = ?2 WHERE vault_id = ?1",
                params![id.as_bytes(), sealed],
            )?;
        }
        Ok(())
    }

    fn keys(&self) -> rusqlite::Result<()> {
        self.transaction.execute_batch(
            "ALTER TABLE key ADD COLUMN purge_at INTEGER;
             ALTER TABLE key ADD COLUMN rotate_at INTEGER;
             ALTER TABLE key ADD COLUMN sealed_record BLOB NOT NULL DEFAULT x'';",
        )?;
        let mut select =
            self.transaction.prepare("SELECT key_id, vault_id, name_index, created_at FROM key")?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let (id, vault): ([u8; 16], [u8; 16]) = (row.get(0)?, row.get(1)?);
            let (id, vault) = (RowId::from_bytes(id), RowId::from_bytes(vault));
            let index: [u8; 32] = row.get(2)?;
            let created = Timestamp::from_micros(row.get(3)?);
            let record = stored::write_key(&KeyRecord { created, deleted: None, policy: None });
            let sealed = with_key_record_place(vault, id, &index, (None, None), |place| {
                self.rows.seal(self.entropy, place, &record)
            });
            self.transaction.execute(
                "UPDATE key SET sealed_record = ?2 WHERE key_id = ?1",
                params![id.as_bytes(), sealed],
            )?;
        }
        Ok(())
    }

    fn versions(&self) -> rusqlite::Result<()> {
        self.transaction.execute_batch(
            "CREATE TABLE key_version_2 (
                 key_id BLOB NOT NULL REFERENCES key,
                 version_id BLOB NOT NULL,
                 ordinal INTEGER NOT NULL,
                 kind TEXT NOT NULL,
                 enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
                 not_before INTEGER,
                 expires INTEGER,
                 sealed_key BLOB NOT NULL,
                 sealed_record BLOB NOT NULL,
                 PRIMARY KEY (key_id, version_id),
                 UNIQUE (key_id, ordinal)
             ) STRICT;",
        )?;
        let mut select = self.transaction.prepare(
            "SELECT v.key_id, k.vault_id, v.created_at, v.updated_at, v.version_id, v.ordinal,
                    v.kind, v.enabled, v.not_before, v.expires, v.sealed_key
             FROM key_version v JOIN key k USING (key_id)",
        )?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let (key, vault): ([u8; 16], [u8; 16]) = (row.get(0)?, row.get(1)?);
            let (key, vault) = (RowId::from_bytes(key), RowId::from_bytes(vault));
            let times: (i64, i64) = (row.get(2)?, row.get(3)?);
            let version = VersionRow {
                id: RowId::from_bytes(row.get(4)?),
                ordinal: row.get(5)?,
                kind: row.get(6)?,
                enabled: row.get(7)?,
                not_before: row.get(8)?,
                expires: row.get(9)?,
                sealed_key: row.get(10)?,
                sealed_record: Vec::new(),
            };
            let sealed = self.version_record(vault, key, &version, times).unwrap_or_default();
            self.transaction.execute(
                "INSERT INTO key_version_2 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    key.as_bytes(),
                    version.id.as_bytes(),
                    version.ordinal,
                    version.kind,
                    version.enabled,
                    version.not_before,
                    version.expires,
                    version.sealed_key,
                    sealed
                ],
            )?;
        }
        drop(found);
        drop(select);
        self.transaction.execute_batch(
            "DROP TABLE key_version; ALTER TABLE key_version_2 RENAME TO key_version;",
        )
    }

    /// The record of a version of schema 1, which had RSA keys with all operations only.
    fn version_record(
        &self,
        vault: RowId,
        key: RowId,
        row: &VersionRow,
        (created, updated): (i64, i64),
    ) -> Option<Vec<u8>> {
        let private = row
            .with_place("sealed_key", vault, key, |place| {
                self.rows.open_row(place, &row.sealed_key)
            })
            .ok()?;
        let private = NewPrivate::from_pkcs8(KeyShape::from_word(&row.kind)?, &private).ok()?;
        let record = stored::write_version(&VersionRecord {
            public: private.public,
            operations: KeyOperations::all(),
            tags: Tags::default(),
            hsm: false,
            created: Timestamp::from_micros(created),
            updated: Timestamp::from_micros(updated),
        });
        Some(row.with_place("sealed_record", vault, key, |place| {
            self.rows.seal(self.entropy, place, &record)
        }))
    }
}

/// What a vault of schema 1 is: as operators make them, without a place and without policies.
fn as_operators_make(name: VaultAddress, created: i64) -> VaultProperties {
    let created = Timestamp::from_micros(created);
    VaultProperties {
        name,
        place: Placement::unplaced(),
        sku: Sku::Standard,
        tags: Tags::default(),
        policies: Vec::new(),
        model: PermissionModel::Policies,
        decision: Decision { by: DecidedBy::Creator, at: created },
        founder: None,
        network: NetworkRules::default(),
        public_access: PublicAccess::Enabled,
        enablements: Enablements::default(),
        retention_days: 90,
        purge_protection: false,
        created,
        updated: created,
        deleted: None,
    }
}
