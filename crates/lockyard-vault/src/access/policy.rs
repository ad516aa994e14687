//! Access policies: who holds which permissions in a vault.
//!
//! Permissions keep the spelling that their author gave them and are compared whatever their case
//! (BEHAVIOUR 2.3); those for secrets, certificates and storage are kept so that a policy reads
//! back as it was written, and grant nothing, since a vault holds keys only.

use lockyard_base::Guid;

use super::{Caller, Operation};
use crate::VaultError;

/// The most access policies that a vault has.
pub(crate) const POLICIES_MAX: usize = 1024;
/// The most permissions of one kind in a policy, and the longest word among them.
const PERMISSIONS_MAX: usize = 64;
const WORD_LEN_MAX: usize = 64;
/// The word that stands for every permission.
const ALL: &str = "all";

/// What one user, group or application may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPolicy {
    /// The tenant; must be the vault's.
    pub tenant: Guid,
    /// The user, group or service principal.
    pub object: Guid,
    /// Only when it calls through this application.
    pub application: Option<Guid>,
    /// What it may do.
    pub permissions: Permissions,
}

/// Permissions as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Permissions {
    /// For keys; the only ones that mean anything here.
    pub keys: Vec<String>,
    /// For secrets.
    pub secrets: Vec<String>,
    /// For certificates.
    pub certificates: Vec<String>,
    /// For storage accounts.
    pub storage: Vec<String>,
}

/// How a list of policies changes (`accessPolicies/add`, `replace`, `remove`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyEdit {
    /// Adds permissions to what there is.
    Add,
    /// Puts entries in the place of those for the same principals.
    Replace,
    /// Takes permissions away; an entry that has none left goes.
    Remove,
}

impl AccessPolicy {
    /// Whether it is about this caller.
    pub(super) fn concerns(&self, caller: &Caller) -> bool {
        self.tenant == caller.tenant
            && (self.object == caller.object || caller.groups.contains(&self.object))
            && self.application.is_none_or(|only| caller.application == Some(only))
    }

    /// Whether it allows this.
    pub(super) fn allows(&self, operation: Operation) -> bool {
        self.permissions.keys.iter().any(|word| {
            word.eq_ignore_ascii_case(ALL) || word.eq_ignore_ascii_case(operation.as_str())
        })
    }

    fn same_principal(&self, other: &Self) -> bool {
        self.tenant == other.tenant
            && self.object == other.object
            && self.application == other.application
    }
}

impl Permissions {
    /// Everything of every kind, as az writes it for a vault's creator.
    pub fn everything() -> Self {
        let all = || vec![ALL.to_owned()];
        Self { keys: all(), secrets: all(), certificates: all(), storage: all() }
    }

    /// What a registry needs of the vault that holds its customer key (BEHAVIOUR rule 9).
    pub fn of_a_registry() -> Self {
        let keys = ["get", "wrapKey", "unwrapKey"].map(str::to_owned).to_vec();
        Self { keys, ..Self::default() }
    }

    fn kinds(&self) -> [&Vec<String>; 4] {
        [&self.keys, &self.secrets, &self.certificates, &self.storage]
    }

    fn kinds_mut(&mut self) -> [&mut Vec<String>; 4] {
        [&mut self.keys, &mut self.secrets, &mut self.certificates, &mut self.storage]
    }

    fn is_empty(&self) -> bool {
        self.kinds().iter().all(|words| words.is_empty())
    }

    fn add(&mut self, more: &Self) {
        for (mine, theirs) in self.kinds_mut().into_iter().zip(more.kinds()) {
            for word in theirs {
                if !mine.iter().any(|have| have.eq_ignore_ascii_case(word)) {
                    mine.push(word.clone());
                }
            }
        }
    }

    fn remove(&mut self, gone: &Self) {
        for (mine, theirs) in self.kinds_mut().into_iter().zip(gone.kinds()) {
            mine.retain(|have| !theirs.iter().any(|word| have.eq_ignore_ascii_case(word)));
        }
    }

    fn check(&self) -> Result<(), VaultError> {
        for word in &self.keys {
            if !word.eq_ignore_ascii_case(ALL) && word.parse::<Operation>().is_err() {
                return Err(VaultError::BadRequest(format!("`{word}` is no permission for keys")));
            }
        }
        let bad = |words: &&Vec<String>| {
            words.len() > PERMISSIONS_MAX
                || words.iter().any(|word| {
                    word.is_empty()
                        || word.len() > WORD_LEN_MAX
                        || !word.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
        };
        if self.kinds().iter().any(bad) {
            return Err(VaultError::BadRequest("a permission is a short word".to_owned()));
        }
        Ok(())
    }
}

/// A list without two entries for one principal, checked against the vault's tenant and limits.
pub(crate) fn merged(
    policies: Vec<AccessPolicy>,
    tenant: Guid,
) -> Result<Vec<AccessPolicy>, VaultError> {
    let mut list: Vec<AccessPolicy> = Vec::new();
    if policies.len() > POLICIES_MAX {
        return Err(too_many());
    }
    for policy in policies {
        checked(&policy, tenant)?;
        match list.iter_mut().find(|have| have.same_principal(&policy)) {
            Some(have) => have.permissions.add(&policy.permissions),
            None => list.push(policy),
        }
    }
    Ok(list)
}

/// The list after an edit, checked like [`merged`].
pub(crate) fn edited(
    mut list: Vec<AccessPolicy>,
    edit: PolicyEdit,
    entries: Vec<AccessPolicy>,
    tenant: Guid,
) -> Result<Vec<AccessPolicy>, VaultError> {
    for entry in merged(entries, tenant)? {
        match (list.iter_mut().find(|have| have.same_principal(&entry)), edit) {
            (Some(have), PolicyEdit::Add) => have.permissions.add(&entry.permissions),
            (Some(have), PolicyEdit::Replace) => have.permissions = entry.permissions,
            (Some(have), PolicyEdit::Remove) => have.permissions.remove(&entry.permissions),
            (None, PolicyEdit::Add | PolicyEdit::Replace) => list.push(entry),
            (None, PolicyEdit::Remove) => {}
        }
    }
    if edit == PolicyEdit::Remove {
        list.retain(|have| !have.permissions.is_empty());
    }
    if list.len() > POLICIES_MAX { Err(too_many()) } else { Ok(list) }
}

fn checked(policy: &AccessPolicy, tenant: Guid) -> Result<(), VaultError> {
    if policy.tenant != tenant {
        return Err(VaultError::BadRequest(format!(
            "the access policy of `{}` names tenant `{}`, and the vault belongs to `{tenant}`",
            policy.object, policy.tenant
        )));
    }
    policy.permissions.check()
}

fn too_many() -> VaultError {
    VaultError::BadRequest(format!("a vault has at most {POLICIES_MAX} access policies"))
}
