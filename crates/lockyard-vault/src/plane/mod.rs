//! The data plane of one vault, as one caller: every verb authorizes, then acts.
//!
//! The order is the service's: firewall, tenant, permission, existence, attributes. Nothing here
//! knows HTTP; all verbs block (disk, RSA) and belong on blocking threads. A verb that changes
//! something does so only while the vault's row is still the one that the decision was made on;
//! if it changed meanwhile, the decision is made anew. Roles lie in another database: where they
//! decide, they are asked once more, act and commit included, while they cannot change
//! ([`Roles::hold`]). So no change takes effect on a right that was gone before it committed.
//!
//! Reading and using a key promise less: a right counts that was there when it was asked for, after
//! the request came; what is computed upon it may be told a moment after the right went.

mod keys;
mod remembered;
mod uses;

pub(crate) use remembered::Remembered;
pub use uses::Output;
pub(crate) use uses::check_use;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use lockyard_keyring::{KeyName, VaultAddress};
use rusqlite::Transaction;

use crate::{
    Vault, VaultError,
    access::{Caller, Operation, Roles, authorize},
    vaults::{FoundVault, PermissionModel},
};

/// How often a decision is made anew before the caller is asked to try again.
const DECISIONS_MAX: usize = 8;

/// One vault's data plane as one caller sees it.
pub struct DataPlane<'v> {
    vault: &'v Vault,
    name: VaultAddress,
    caller: Caller,
    roles: &'v dyn Roles,
    /// The vault as it was found first, for the audit trail.
    seen: OnceLock<Arc<FoundVault>>,
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
        DataPlane { vault: self, name: name.clone(), caller, roles, seen: OnceLock::new() }
    }
}

impl DataPlane<'_> {
    /// The vault's resource id, for the audit trail; of one that can't be found, its name.
    pub fn audit_resource(&self) -> String {
        match self.seen.get() {
            Some(seen) => seen.properties.resource_id(),
            None => self.vault.audit_resource(&self.name),
        }
    }

    /// Remembers the vault that the request found, which is what the audit trail names.
    fn note(&self, seen: &Arc<FoundVault>) {
        let _first = self.seen.get_or_init(|| Arc::clone(seen));
    }

    /// Runs a reading verb for a caller who may do this.
    fn reading<T>(
        &self,
        operation: Operation,
        key: Option<&KeyName>,
        work: impl Fn(&Transaction<'_>, &FoundVault) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        self.decided(operation, key, |seen| {
            self.vault.database.read(|transaction| {
                self.unchanged(transaction, seen)?;
                work(transaction, seen)
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
        let act = |seen: &Arc<FoundVault>| {
            self.vault.change(|transaction| {
                self.unchanged(transaction, seen)?;
                work(transaction, seen)
            })
        };
        self.decided(operation, key, |seen| {
            if seen.properties.model != PermissionModel::Roles {
                return act(seen);
            }
            let mut done = None;
            self.roles.hold(&mut || {
                let may = authorize(&seen.properties, &self.caller, operation, key, self.roles);
                done = Some(may.and_then(|()| act(seen)));
            })?;
            done.expect("what is held for is run")
        })
    }

    fn decided<T>(
        &self,
        operation: Operation,
        key: Option<&KeyName>,
        act: impl Fn(&Arc<FoundVault>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        for _ in 0..DECISIONS_MAX {
            let seen = self
                .vault
                .database
                .read(|transaction| self.vault.live_vault(transaction, &self.name))?;
            self.note(&seen);
            authorize(&seen.properties, &self.caller, operation, key, self.roles)?;
            match act(&seen) {
                Err(VaultError::Contended(_)) => {}
                done => return done,
            }
        }
        Err(VaultError::Contended(self.name.clone()))
    }

    fn unchanged(
        &self,
        transaction: &Transaction<'_>,
        seen: &Arc<FoundVault>,
    ) -> Result<(), VaultError> {
        let now = self.vault.live_vault(transaction, &self.name)?;
        if Arc::ptr_eq(&now, seen) { Ok(()) } else { Err(VaultError::Contended(self.name.clone())) }
    }
}
