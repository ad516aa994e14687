//! Key vaults as resources: what `az keyvault`, SDKs and templates ask of Resource Manager.
//!
//! The vaults themselves are `lockyard-vault`'s; here are the rights, the words of bodies and
//! answers, and what lies between a vault and the directory: roles that were assigned at a vault.
//! Those go with the vault when it is deleted and never come back (BEHAVIOUR rule 47): the vault
//! is deleted first and its roles are dropped then, and before one is made or recovered, whatever
//! an interrupted deletion left at its scope is dropped again. So no crash between the two stores
//! brings a right back to life.
//!
//! A change is decided and made while the directory lets nothing change: a right that is taken
//! away counts for nothing from the moment when that is told.

mod body;
mod deleted;
mod hsm;
mod key;
mod name;
mod policies;
mod rendered;
mod resource;
mod rotation;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockyard_access::{
    Directory, RoleDefinition, Snapshot,
    decision::{Action, Plane, known},
};
use lockyard_arm::{ResourceId, Scope};
use lockyard_keyring::VaultAddress;
use lockyard_vault::{PermissionModel, Vault, VaultError, VaultProperties};

use crate::{
    Call, ControlError, decided, group::Groups, provider::Provider, subscription::may, trail::Trail,
};

pub use rotation::{read_rotation_policy, shown_rotation_policy};

/// The namespace of all types here.
const NAMESPACE: &str = "Microsoft.KeyVault";

/// The type of a vault.
const VAULTS: &str = "Microsoft.KeyVault/vaults";

/// What the providers of vaults stand on.
pub(crate) struct Vaults {
    pub(crate) directory: Arc<Directory>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) groups: Groups,
    pub(crate) trail: Trail,
    /// What follows a vault's name and a dot in its address.
    pub(crate) suffix: String,
    /// Held by whoever makes, recovers or deletes a vault.
    pub(crate) turn: Mutex<()>,
}

impl fmt::Debug for Vaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vaults")
    }
}

/// The lines of vaults in the table of types.
pub(crate) fn providers(vaults: &Arc<Vaults>) -> Vec<(&'static str, Arc<dyn Provider>)> {
    let ground = || Arc::clone(vaults);
    vec![
        (VAULTS, Arc::new(resource::VaultResources(ground()))),
        ("Microsoft.KeyVault/vaults/accessPolicies", Arc::new(policies::Policies(ground()))),
        ("Microsoft.KeyVault/vaults/keys", Arc::new(key::Keys(ground()))),
        ("Microsoft.KeyVault/vaults/keys/versions", Arc::new(key::Versions(ground()))),
        ("Microsoft.KeyVault/deletedVaults", Arc::new(deleted::AllDeleted(ground()))),
        ("Microsoft.KeyVault/locations/deletedVaults", Arc::new(deleted::Deleted(ground()))),
        ("Microsoft.KeyVault/checkNameAvailability", Arc::new(name::Names(ground()))),
        ("Microsoft.KeyVault/checkMhsmNameAvailability", Arc::new(hsm::None(ground()))),
        ("Microsoft.KeyVault/managedHSMs", Arc::new(hsm::None(ground()))),
        ("Microsoft.KeyVault/deletedManagedHSMs", Arc::new(hsm::None(ground()))),
    ]
}

impl Vaults {
    /// Decides whether the caller may, and changes something while that stays so; blocks.
    fn decided<T>(
        &self,
        call: &Call,
        action: &Action,
        scope: &Scope,
        work: impl FnOnce(&Snapshot) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let (asked, action, at) = (call.clone(), action.clone(), scope.clone());
        let decide = move |snapshot: &Snapshot| may(&asked, snapshot, &action, &at);
        decided::effect_blocking(&self.directory, decide, || work(&self.directory.snapshot()))
    }

    /// Decides whether the caller may look.
    fn seen(&self, call: &Call, action: &Action, scope: &Scope) -> Result<(), ControlError> {
        may(call, &self.directory.snapshot(), action, scope)
    }

    /// The live vault of this id; blocks.
    fn find(&self, id: &ResourceId) -> Result<VaultProperties, ControlError> {
        let found = match address(id.name()) {
            Ok(name) => self.vault.vault(&name)?.filter(|vault| is_at(vault, id.scope())),
            Err(_) => None,
        };
        found.ok_or_else(|| missing(id))
    }

    /// Takes away every role that was given at a vault or at something in it; blocks.
    fn drop_roles(&self, scope: &Scope) -> Result<usize, ControlError> {
        let snapshot = self.directory.snapshot();
        if !snapshot.assignments().any(|assignment| scope.contains(&assignment.scope)) {
            return Ok(0);
        }
        Ok(self.directory.unassign_within(scope)?.len())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        // Nothing is kept under it that a panic could leave half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a scope in a vault that is not there; blocks.
    pub(crate) fn must_exist(&self, scope: &Scope) -> Result<(), ControlError> {
        match vault_above(scope) {
            Some(id) => self.find(&id).map(drop),
            None => Ok(()),
        }
    }

    /// Hears of all roles that there are, as a start does: a crash may have come between giving a
    /// role and hearing of it. Blocks.
    pub(crate) fn hear_of_roles(&self) -> Result<(), ControlError> {
        let snapshot = self.directory.snapshot();
        snapshot.assignments().try_for_each(|assignment| {
            self.hear_of_role(&assignment.scope, snapshot.role(assignment.role))
        })
    }

    /// Hears that a role was given: the first one to a vault's data, at a vault or at something in
    /// it, decides a vault that nobody chose a model for. Again changes nothing. Blocks.
    pub(crate) fn hear_of_role(
        &self,
        scope: &Scope,
        role: Option<&RoleDefinition>,
    ) -> Result<(), ControlError> {
        let gives = |role: &RoleDefinition| {
            known::ALL.iter().any(|action| action.plane() == Plane::Data && role.grants(action))
        };
        let (Some(id), true) = (vault_above(scope), role.is_some_and(gives)) else { return Ok(()) };
        match self.find(&id) {
            Ok(vault) if vault.model == PermissionModel::Undecided => {
                Ok(self.vault.role_assigned(&vault.name)?)
            }
            // Decided is decided; one that was deleted meanwhile took the role with it.
            Ok(_) | Err(ControlError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The vault that a scope is, or lies in.
fn vault_above(scope: &Scope) -> Option<ResourceId> {
    let mut at = Some(scope.clone());
    while let Some(scope) = at {
        if scope.resource_type().is_some_and(|kind| kind.is(VAULTS)) {
            return scope.try_into().ok();
        }
        at = scope.parent();
    }
    None
}

/// Where a vault stands in lists, which are in this order.
fn place(vault: &VaultProperties) -> String {
    vault.name.as_str().to_ascii_lowercase()
}

/// Reads the name of a vault.
fn address(name: &str) -> Result<VaultAddress, ControlError> {
    let address: Result<VaultAddress, _> = name.parse();
    match address {
        Ok(address) if !name.contains('.') => Ok(address),
        Ok(_) | Err(_) => Err(VaultError::VaultNameNotValid(name.to_owned()).into()),
    }
}

/// Whether a vault lies where an id says.
fn is_at(vault: &VaultProperties, scope: &Scope) -> bool {
    vault.resource_id().parse::<Scope>().is_ok_and(|own| own == *scope)
}

fn missing(id: &ResourceId) -> ControlError {
    let group = id.resource_group().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "there is no key vault '{}' in the resource group '{group}'; `az keyvault list` shows all, \
         `az keyvault list-deleted` those that can be recovered",
        id.name()
    );
    ControlError::missing("ResourceNotFound", message)
}
