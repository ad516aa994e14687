//! The data plane of one vault, as one caller: every verb authorizes, then acts.
//!
//! The order is the service's: firewall, tenant, permission, existence, attributes. Nothing here
//! knows HTTP; all verbs block (disk, RSA) and belong on blocking threads. A verb that changes
//! something does so only while the vault's row is still the one that the decision was made on;
//! if it changed meanwhile, the decision is made anew.

mod keys;
mod uses;

pub use uses::Output;
pub(crate) use uses::check_use;

use std::{fmt, sync::Arc};

use lockyard_keyring::{Identity, KeyName, VaultAddress};
use rusqlite::Transaction;

use crate::{
    Vault, VaultError,
    access::{Caller, Operation, Roles, authorize, enter},
    keys::FoundKey,
    vaults::FoundVault,
};

/// How often a decision is made anew before the caller is asked to try again.
const DECISIONS_MAX: usize = 8;

/// One vault's data plane as one caller sees it.
pub struct DataPlane<'v> {
    vault: &'v Vault,
    name: VaultAddress,
    caller: Caller,
    roles: &'v dyn Roles,
}

impl fmt::Debug for DataPlane<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPlane").finish_non_exhaustive()
    }
}

impl Vault {
    /// The data plane of a vault, for this caller; `roles` answers where roles decide.
    pub fn data_plane<'v>(
        &'v self,
        name: &VaultAddress,
        caller: Caller,
        roles: &'v dyn Roles,
    ) -> DataPlane<'v> {
        DataPlane { vault: self, name: name.clone(), caller, roles }
    }

    /// Decides with what was read: the vault, and whether a grant of the vault's own covers the
    /// operation.
    pub(crate) fn decide(
        vault: &FoundVault,
        caller: &Caller,
        operation: Operation,
        key: Option<&KeyName>,
        granted: bool,
        roles: &dyn Roles,
    ) -> Result<(), VaultError> {
        let properties = &vault.properties;
        if granted {
            enter(properties, caller, operation, key)
        } else {
            authorize(properties, caller, operation, key, roles)
        }
    }
}

impl DataPlane<'_> {
    /// Runs a reading verb for a caller who may do this.
    fn reading<T>(
        &self,
        operation: Operation,
        key: Option<&KeyName>,
        work: impl Fn(&Transaction<'_>, &FoundVault) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.decided(operation, key, |seen| {
            self.vault.database.read(|transaction| {
                self.unchanged(transaction, operation, key, seen)?;
                work(transaction, &seen.vault)
            })
        })
    }

    /// Runs a changing verb for a caller who may do this.
    fn changing<T>(
        &self,
        operation: Operation,
        key: Option<&KeyName>,
        work: impl Fn(&Transaction<'_>, &FoundVault) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.decided(operation, key, |seen| {
            self.vault.change(|transaction| {
                self.unchanged(transaction, operation, key, seen)?;
                work(transaction, &seen.vault)
            })
        })
    }

    fn decided<T>(
        &self,
        operation: Operation,
        key: Option<&KeyName>,
        act: impl Fn(&Seen) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        for _ in 0..DECISIONS_MAX {
            let seen =
                self.vault.database.read(|transaction| self.see(transaction, operation, key))?;
            Vault::decide(&seen.vault, &self.caller, operation, key, seen.granted, self.roles)?;
            match act(&seen) {
                Err(VaultError::Contended(_)) => {}
                done => return done,
            }
        }
        Err(VaultError::Contended(self.name.clone()))
    }

    /// Reads what the decision needs.
    fn see(
        &self,
        transaction: &Transaction<'_>,
        operation: Operation,
        key: Option<&KeyName>,
    ) -> Result<Seen, VaultError> {
        let vault = self.vault.live_vault(transaction, &self.name)?;
        let key = match key {
            Some(key) => self.vault.find_key_in(transaction, vault.row(), key)?,
            None => None,
        };
        let granted = match &key {
            Some(key) => self.granted(transaction, key, operation)?,
            None => false,
        };
        Ok(Seen { vault, granted })
    }

    fn granted(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
        operation: Operation,
    ) -> Result<bool, VaultError> {
        let identity = Identity::from_bytes(*self.caller.object.as_bytes());
        self.vault.granted(transaction, key, &identity, operation)
    }

    fn unchanged(
        &self,
        transaction: &Transaction<'_>,
        operation: Operation,
        key: Option<&KeyName>,
        seen: &Seen,
    ) -> Result<(), VaultError> {
        let now = self.see(transaction, operation, key)?;
        if Arc::ptr_eq(&now.vault, &seen.vault) && now.granted == seen.granted {
            Ok(())
        } else {
            Err(VaultError::Contended(self.name.clone()))
        }
    }
}

/// What a decision was made on.
struct Seen {
    vault: Arc<FoundVault>,
    granted: bool,
}
