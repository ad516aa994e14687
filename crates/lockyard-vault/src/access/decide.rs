//! The decision itself, and what a refusal tells.

use std::{fmt, net::IpAddr};

use lockyard_base::Guid;
use lockyard_keyring::{KeyName, VaultAddress};
use thiserror::Error;

use super::{Caller, Operation, Source};
use crate::{
    VaultError,
    vaults::{DecidedBy, PermissionModel, VaultProperties},
};

/// Answers for role assignments; implemented by whoever keeps them.
pub trait Roles: Send + Sync + fmt::Debug {
    /// Whether one of the caller's assignments (its groups' included) at `scope` or above holds
    /// this data action and none of its exceptions takes it away.
    ///
    /// `scope` is a vault's resource id, or that with `/keys/<name>` behind it.
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable>;

    /// Runs `work` once, and lets no answer of [`Roles::allow`] change meanwhile.
    ///
    /// A verb that changes something asks, acts and commits inside. Whoever keeps roles that can be
    /// taken away overrides this: as it stands here, a role may go between answer and commit.
    /// `work` changes vaults and no roles, and should be short.
    fn hold(&self, work: &mut dyn FnMut()) -> Result<(), RolesUnavailable> {
        work();
        Ok(())
    }
}

/// Role assignments cannot be read now; nothing is concluded about anybody's rights.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("role assignments cannot be read: {0}")]
pub struct RolesUnavailable(pub String);

/// A world without role assignments.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRoles;

impl Roles for NoRoles {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(false)
    }
}

/// Who was refused what, with all that an error body names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked.
    pub caller: Caller,
    /// For what; its `Display` is the permission, [`Operation::action`] the role's action.
    pub operation: Operation,
    /// In which vault.
    pub vault: VaultAddress,
    /// Where that vault says it is.
    pub location: String,
    /// On which resource: the vault's id, or that of a key in it.
    pub resource: String,
}

impl Refusal {
    /// The address that the caller called from, if it has one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.caller.source {
            Source::Address(address) => Some(address.to_canonical()),
            Source::TrustedService => None,
        }
    }
}

/// Decides whether a caller may do this in a vault, to a key if one is named.
///
/// Fails with the firewall's, the tenant's, the policies' or the roles' refusal, in that order, or
/// with [`VaultError::RolesUnavailable`]. A vault that is deleted refuses nothing here: whoever
/// acts finds no such vault.
pub fn authorize(
    vault: &VaultProperties,
    caller: &Caller,
    operation: Operation,
    key: Option<&KeyName>,
    roles: &dyn Roles,
) -> Result<(), VaultError> {
    enter(vault, caller, operation, key)?;
    let refusal = || Box::new(refusal(vault, caller, operation, key));
    match vault.model {
        PermissionModel::Policies | PermissionModel::Undecided => {
            if policies_allow(vault, caller, operation, |_| true) {
                return Ok(());
            }
            Err(VaultError::ForbiddenByPolicy(refusal()))
        }
        PermissionModel::Roles => {
            // A creator whom nobody asked keeps what the vault gave it at its making, until
            // somebody decides otherwise: else the first role would lock it out.
            let founder = match vault.decision.by {
                DecidedBy::FirstRole => vault.founder,
                DecidedBy::Nobody
                | DecidedBy::Creator
                | DecidedBy::Statement
                | DecidedBy::FirstPolicy => None,
            };
            if founder.is_some()
                && policies_allow(vault, caller, operation, |object| Some(object) == founder)
            {
                return Ok(());
            }
            let scope = resource(vault, key);
            if roles.allow(caller, operation.action(), &scope)? {
                return Ok(());
            }
            Err(VaultError::ForbiddenByRbac(refusal()))
        }
    }
}

/// The first half of the decision: the firewall and the tenant.
fn enter(
    vault: &VaultProperties,
    caller: &Caller,
    operation: Operation,
    key: Option<&KeyName>,
) -> Result<(), VaultError> {
    if !vault.network.pass(vault.public_access, caller.source) {
        let refusal = refusal(vault, caller, operation, key);
        return Err(VaultError::ForbiddenByFirewall(Box::new(refusal)));
    }
    if caller.tenant != vault.place.tenant {
        return Err(VaultError::WrongTenant { vault: vault.place.tenant, caller: caller.tenant });
    }
    Ok(())
}

fn policies_allow(
    vault: &VaultProperties,
    caller: &Caller,
    operation: Operation,
    counts: impl Fn(Guid) -> bool,
) -> bool {
    vault
        .policies
        .iter()
        .filter(|policy| counts(policy.object) && policy.concerns(caller))
        .any(|policy| policy.allows(operation))
}

fn refusal(
    vault: &VaultProperties,
    caller: &Caller,
    operation: Operation,
    key: Option<&KeyName>,
) -> Refusal {
    Refusal {
        caller: caller.clone(),
        operation,
        vault: vault.name.clone(),
        location: vault.place.location.clone(),
        resource: resource(vault, key),
    }
}

fn resource(vault: &VaultProperties, key: Option<&KeyName>) -> String {
    match key {
        Some(key) => format!("{}/keys/{key}", vault.resource_id()),
        None => vault.resource_id(),
    }
}
