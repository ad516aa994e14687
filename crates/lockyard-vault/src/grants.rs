//! Grants of one key to one identity, which operators give without a control plane.
//!
//! A grant counts beside access policies and roles, whichever of them a vault goes by; like role
//! assignments, it does not survive the deletion of its vault. It lies sealed in a row that is bound to key and identity, so that nobody who can write to
//! the database alone can grant anything. What is asked for is always one operation; today's
//! grants give all that a registry needs.

use lockyard_base::RowId;
use lockyard_keyring::{Identity, KeyId};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::{Vault, VaultError, access::Operation, keys::FoundKey, rows::Place};

/// Everything that a grant gives: what a registry needs.
const REGISTRY_NEEDS: u8 = 1 | 2 | 4;

/// The bit that stands for an operation in a grant's row; `None` for what no grant gives.
const fn bit(operation: Operation) -> Option<u8> {
    match operation {
        Operation::Get => Some(1),
        Operation::WrapKey => Some(2),
        Operation::UnwrapKey => Some(4),
        _ => None,
    }
}

impl Vault {
    /// Lets an identity read, wrap and unwrap with all versions of a key; again changes nothing.
    pub fn grant(&self, identity: &Identity, key: &KeyId) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.find_key(transaction, key)?;
            let row = RowId::random(&*self.entropy);
            let sealed = with_place(row, &found, identity, |place| {
                self.rows.seal(&*self.entropy, place, &[REGISTRY_NEEDS])
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
                if self.operations_granted(transaction, &found, &identity)? != 0 {
                    identities.push(identity);
                }
            }
            Ok(identities)
        })
    }

    /// Whether an identity was granted this on a key.
    pub(crate) fn granted(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
        identity: &Identity,
        operation: Operation,
    ) -> Result<bool, VaultError> {
        let Some(bit) = bit(operation) else { return Ok(false) };
        Ok(self.operations_granted(transaction, found, identity)? & bit != 0)
    }

    fn operations_granted(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
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
    found: &FoundKey,
    identity: &Identity,
    work: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let vault = found.vault.to_string();
    let key = found.key.to_string();
    let clear: &[&[u8]] = &[vault.as_bytes(), key.as_bytes(), identity.as_bytes()];
    work(&Place { table: "key_grant", column: "sealed_operations", row, index: &[], clear })
}
