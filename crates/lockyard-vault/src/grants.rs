//! Grants of one key to one identity, as older versions kept them in the table `key_grant`.
//!
//! Operators gave them before registries were managed identities of a directory. No decision looks
//! at them: each start turns what is left of them into access policies, which everybody can see and
//! take away. A policy is about a whole vault; there is nothing narrower to turn a grant into.

use lockyard_base::{Guid, RowId};
use lockyard_keyring::{Identity, VaultAddress};
use rusqlite::Transaction;

use crate::{
    Vault, VaultError,
    access::{AccessPolicy, Permissions, PolicyEdit, edited},
    keys::FoundKey,
    rows::Place,
};

/// What a grant of a registry gave.
const REGISTRY_NEEDED: [u8; 1] = [1 | 2 | 4];

impl Vault {
    /// Who has an old grant that nobody has changed.
    pub fn old_grants(&self) -> Result<Vec<Identity>, VaultError> {
        self.database.read(|transaction| {
            let mut found = Vec::new();
            for vault in self.all_vaults(transaction)? {
                for key in self.keys_in(transaction, &vault)? {
                    let grants = self.grants_of(transaction, &key)?;
                    found.extend(grants.into_iter().map(|(_, identity)| identity));
                }
            }
            Ok(found)
        })
    }

    /// Turns old grants into access policies of their vaults, for the identities in `wanted`, and
    /// forgets the rest; returns who got one where. Again changes nothing.
    ///
    /// The vaults have their places already: a policy names the tenant. A grant whose row was
    /// changed gives nothing and stays.
    pub fn convert_grants(
        &self,
        wanted: &[Identity],
    ) -> Result<Vec<(VaultAddress, Identity)>, VaultError> {
        if self.old_grants()?.is_empty() {
            return Ok(Vec::new());
        }
        self.change(|transaction| {
            let mut given = Vec::new();
            for vault in self.all_vaults(transaction)? {
                let mut properties = vault.properties.clone();
                for key in self.keys_in(transaction, &vault)? {
                    for (grant, identity) in self.grants_of(transaction, &key)? {
                        let sql = "DELETE FROM key_grant WHERE grant_id = ?1";
                        transaction.execute(sql, [grant.as_bytes()])?;
                        let place = (properties.name.clone(), identity);
                        if !wanted.contains(&identity) || given.contains(&place) {
                            continue;
                        }
                        given.push(place);
                        let tenant = properties.place.tenant;
                        let policy = AccessPolicy {
                            tenant,
                            object: Guid::from_bytes(*identity.as_bytes()),
                            application: None,
                            permissions: Permissions::of_a_registry(),
                        };
                        let policies = std::mem::take(&mut properties.policies);
                        properties.policies =
                            edited(policies, PolicyEdit::Add, vec![policy], tenant)?;
                    }
                }
                if properties != vault.properties {
                    properties.updated = self.clock.wall();
                    self.update_vault(transaction, vault.row(), &properties)?;
                }
            }
            Ok(given)
        })
    }

    /// The grants of a key that open.
    fn grants_of(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
    ) -> Result<Vec<(RowId, Identity)>, VaultError> {
        let mut select = transaction.prepare(
            "SELECT grant_id, identity, sealed_operations FROM key_grant WHERE key_id = ?1",
        )?;
        let rows = select.query_map([found.key.as_bytes()], |row| {
            let (id, identity) = (RowId::from_bytes(row.get(0)?), row.get(1)?);
            Ok((id, Identity::from_bytes(identity), row.get::<_, Vec<u8>>(2)?))
        })?;
        let mut grants = Vec::new();
        for row in rows {
            let (row, identity, sealed) = row?;
            let opened =
                with_place(row, found, &identity, |place| self.rows.open_row(place, &sealed));
            if opened.is_ok_and(|operations| operations[..] == REGISTRY_NEEDED) {
                grants.push((row, identity));
            }
        }
        Ok(grants)
    }

    /// Writes a grant as older versions did.
    #[cfg(any(test, feature = "testing"))]
    pub fn old_grant(
        &self,
        identity: &Identity,
        key: &lockyard_keyring::KeyId,
    ) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.find_key(transaction, key)?;
            let row = RowId::random(&*self.entropy);
            let sealed = with_place(row, &found, identity, |place| {
                self.rows.seal(&*self.entropy, place, &REGISTRY_NEEDED)
            });
            transaction.execute(
                "INSERT INTO key_grant (grant_id, key_id, identity, sealed_operations, created_at)
                 VALUES (?1, ?2, ?3, ?4, 0)",
                rusqlite::params![
                    row.as_bytes(),
                    found.key.as_bytes(),
                    identity.as_bytes(),
                    sealed
                ],
            )?;
            Ok(())
        })
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

#[cfg(test)]
mod tests {
    use crate::tests::{key, open};

    use super::*;

    #[test]
    fn old_grants_become_policies_of_those_who_need_them() {
        let directory = tempfile::tempdir().unwrap();
        let vault = open(&directory);
        let id = key();
        vault.create_vault(&id.vault).unwrap();
        vault.create_key(&id, crate::RsaSize::R2048).unwrap();
        let [used, unused, forged] = [1, 2, 3].map(|byte| Identity::from_bytes([byte; 16]));
        for identity in [used, unused, forged] {
            vault.old_grant(&identity, &id).unwrap();
        }
        let forge = "UPDATE key_grant SET identity = ?1 WHERE identity = ?2";
        let intruder = Identity::from_bytes([9; 16]);
        let values = [intruder.as_bytes(), forged.as_bytes()];
        vault.database.writer().execute(forge, values).unwrap();

        let wanted = [used, intruder];
        assert_eq!(vault.convert_grants(&wanted).unwrap(), [(id.vault.clone(), used)]);
        for again in [vault.convert_grants(&wanted), vault.convert_grants(&[unused])] {
            assert_eq!(again.unwrap(), []);
        }
        let properties = vault.vault(&id.vault).unwrap().unwrap();
        let [policy] = &properties.policies[..] else { panic!("{properties:?}") };
        assert_eq!(policy.object, Guid::from_bytes(*used.as_bytes()));
        assert_eq!(policy.tenant, properties.place.tenant);
        assert_eq!(policy.permissions, Permissions::of_a_registry());
    }
}
