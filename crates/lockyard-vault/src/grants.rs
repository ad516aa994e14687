//! Who may use a key: grants of operations to identities.
//!
//! A grant lies sealed in a row that is bound to key and identity, so that nobody who can write to
//! the database alone can grant anything. What is asked for is always one operation; today's
//! grants give all that a registry needs.

use lockyard_base::RowId;
use lockyard_keyring::{Identity, KeyId};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::{Vault, VaultError, keys::FoundKey, rows::Place};

/// What an identity may do with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Reading the key's versions and attributes.
    Get,
    /// Wrapping a share.
    Wrap,
    /// Unwrapping a share.
    Unwrap,
}

impl Operation {
    const ALL: u8 = Self::Get.bit() | Self::Wrap.bit() | Self::Unwrap.bit();

    /// The bit that stands for it in a grant's row.
    const fn bit(self) -> u8 {
        match self {
            Self::Get => 1,
            Self::Wrap => 2,
            Self::Unwrap => 4,
        }
    }
}

impl Vault {
    /// Lets an identity read, wrap and unwrap with all versions of a key; again changes nothing.
    pub fn grant(&self, identity: &Identity, key: &KeyId) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.find_key(transaction, key)?;
            let row = RowId::random(&*self.entropy);
            let sealed = with_place(row, found, identity, |place| {
                self.rows.seal(&*self.entropy, place, &[Operation::ALL])
            });
            transaction.execute(
                "INSERT INTO key_grant (grant_id, key_id, identity, sealed_operations, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (key_id, identity) DO UPDATE SET grant_id = excluded.grant_id,
                     sealed_operations = excluded.sealed_operations",
                params![
                    row.as_bytes(),
                    found.key.as_bytes(),
                    identity.as_bytes(),
                    sealed,
                    self.now()
                ],
            )?;
            Ok(())
        })
    }

    /// Takes an identity's right to a key away; fine if it had none.
    pub fn revoke(&self, identity: &Identity, key: &KeyId) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.find_key(transaction, key)?;
            transaction.execute(
                "DELETE FROM key_grant WHERE key_id = ?1 AND identity = ?2",
                [found.key.as_bytes(), identity.as_bytes()],
            )?;
            Ok(())
        })
    }

    /// Lists the identities that may use a key.
    pub fn grants(&self, key: &KeyId) -> Result<Vec<Identity>, VaultError> {
        self.database.read(|transaction| {
            let found = self.find_key(transaction, key)?;
            let mut select = transaction
                .prepare("SELECT identity FROM key_grant WHERE key_id = ?1 ORDER BY identity")?;
            let rows = select.query_map([found.key.as_bytes()], |row| row.get(0))?;
            let mut identities = Vec::new();
            for identity in rows {
                let identity = Identity::from_bytes(identity?);
                if self.granted(transaction, found, &identity)? != 0 {
                    identities.push(identity);
                }
            }
            Ok(identities)
        })
    }

    /// Whether an identity may do this with a key.
    pub(crate) fn allows(
        &self,
        transaction: &Transaction<'_>,
        found: FoundKey,
        identity: &Identity,
        operation: Operation,
    ) -> Result<bool, VaultError> {
        Ok(self.granted(transaction, found, identity)? & operation.bit() != 0)
    }

    fn granted(
        &self,
        transaction: &Transaction<'_>,
        found: FoundKey,
        identity: &Identity,
    ) -> Result<u8, VaultError> {
        let grant = transaction
            .prepare_cached(
                "SELECT grant_id, sealed_operations FROM key_grant
                 WHERE key_id = ?1 AND identity = ?2",
            )?
            .query_row([found.key.as_bytes(), identity.as_bytes()], |row| {
                Ok((RowId::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        let Some((row, sealed)) = grant else { return Ok(0) };
        let damaged = || VaultError::DamagedRow { table: "key_grant", row };
        let opened = with_place(row, found, identity, |place| self.rows.open_row(place, &sealed))
            .map_err(|_| damaged())?;
        match opened[..] {
            [operations] => Ok(operations),
            _ => Err(damaged()),
        }
    }
}

fn with_place<T>(
    row: RowId,
    found: FoundKey,
    identity: &Identity,
    work: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let vault = found.vault.to_string();
    let key = found.key.to_string();
    let clear: &[&[u8]] = &[vault.as_bytes(), key.as_bytes(), identity.as_bytes()];
    work(&Place { table: "key_grant", column: "sealed_operations", row, index: &[], clear })
}
