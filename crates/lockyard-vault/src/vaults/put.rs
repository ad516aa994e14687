//! Making and changing vaults, and how their permission model is decided.
//!
//! A change that says nothing about a property leaves it alone, with two exceptions that come from
//! the service: a PUT replaces tags and policies whole.

use lockyard_base::Guid;
use lockyard_keyring::VaultAddress;

use super::{
    DecidedBy, Decision, Enablements, PermissionModel, Placement, Sku, Tags, VaultProperties,
};
use crate::{
    Vault, VaultError,
    access::{AccessPolicy, NetworkRules, Permissions, PolicyEdit, PublicAccess, edited, merged},
};

/// The retention that a vault can have, in days.
const RETENTION: std::ops::RangeInclusive<i64> = 7..=90;
const RETENTION_DEFAULT: u8 = 90;

/// What a PUT does to a name that belongs to a deleted vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreateMode {
    /// Refuses.
    #[default]
    Default,
    /// Recovers it as it was, and ignores the rest of the request.
    Recover,
}

/// What a request says about the permission model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelChoice {
    /// Nothing; a new vault then has policies.
    #[default]
    Silent,
    /// Nothing, and a new vault then goes by roles or by policies as the interface's version has
    /// it (BEHAVIOUR rule 50). Says nothing about a vault that exists.
    Unsaid {
        /// Whether by roles.
        roles: bool,
    },
    /// The body has this `enableRbacAuthorization`; repeating what is shown decides nothing.
    Stated(bool),
    /// A person typed it.
    Typed(bool),
    /// The creator's tool filled it in (az-wire 5.2): a new vault without policies is undecided,
    /// and this creator gets every permission. Says nothing about a vault that exists, nor does
    /// the empty list of policies that comes with it.
    Undecided {
        /// The creator, from its token.
        creator: Guid,
    },
}

/// Properties that a request states; `None` says nothing.
#[derive(Clone, Debug)]
pub struct VaultChange {
    /// `sku.name`.
    pub sku: Option<Sku>,
    /// `tags`.
    pub tags: Option<Tags>,
    /// `accessPolicies`, the whole list.
    pub policies: Option<Vec<AccessPolicy>>,
    /// `enableRbacAuthorization`.
    pub model: ModelChoice,
    /// `enableSoftDelete`; can only be true.
    pub soft_delete: Option<bool>,
    /// `softDeleteRetentionInDays`; fixed when the vault is made.
    pub retention_days: Option<i64>,
    /// `enablePurgeProtection`; can only be switched on.
    pub purge_protection: Option<bool>,
    /// `networkAcls`.
    pub network: Option<NetworkRules>,
    /// `publicNetworkAccess`.
    pub public_access: Option<PublicAccess>,
    /// `enabledForDeployment`.
    pub for_deployment: Option<bool>,
    /// `enabledForDiskEncryption`.
    pub for_disk_encryption: Option<bool>,
    /// `enabledForTemplateDeployment`.
    pub for_template_deployment: Option<bool>,
    /// Whether whoever asks may switch the model of a vault for which one was chosen: that makes
    /// other grants count than did before.
    pub may_switch_model: bool,
}

impl Default for VaultChange {
    /// Says nothing, on behalf of somebody who may say everything.
    fn default() -> Self {
        Self {
            sku: None,
            tags: None,
            policies: None,
            model: ModelChoice::default(),
            soft_delete: None,
            retention_days: None,
            purge_protection: None,
            network: None,
            public_access: None,
            for_deployment: None,
            for_disk_encryption: None,
            for_template_deployment: None,
            may_switch_model: true,
        }
    }
}

/// A PUT of a vault.
#[derive(Clone, Debug)]
pub struct VaultRequest {
    /// Where the vault is to be.
    pub place: Placement,
    /// What to do with a deleted vault of that name.
    pub mode: CreateMode,
    /// Everything else.
    pub change: VaultChange,
}

/// What a PUT did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutVault {
    /// It made the vault.
    Created(VaultProperties),
    /// It changed the vault.
    Updated(VaultProperties),
    /// It recovered the vault.
    Recovered(VaultProperties),
}

impl PutVault {
    /// The vault as it is now.
    pub fn properties(&self) -> &VaultProperties {
        match self {
            Self::Created(vault) | Self::Updated(vault) | Self::Recovered(vault) => vault,
        }
    }
}

impl Vault {
    /// Makes a vault without a placement and with access policies, none yet.
    pub fn create_vault(&self, name: &VaultAddress) -> Result<(), VaultError> {
        self.create_unplaced(name, VaultChange::default())
    }

    /// Makes a vault as operators do: without a placement, and with roles, so that whoever
    /// administers the key vaults of its subscription has it as soon as it is placed.
    pub fn create_vault_with_roles(&self, name: &VaultAddress) -> Result<(), VaultError> {
        let model = ModelChoice::Typed(true);
        self.create_unplaced(name, VaultChange { model, ..VaultChange::default() })
    }

    fn create_unplaced(&self, name: &VaultAddress, change: VaultChange) -> Result<(), VaultError> {
        self.change(|transaction| match self.find_vault(transaction, name)? {
            Some(found) if found.is_live() => Err(VaultError::VaultExists(name.clone())),
            Some(_) => Err(VaultError::VaultDeleted(name.clone())),
            None => {
                let made = self.new_vault(name, Placement::unplaced(), change)?;
                self.insert_vault(transaction, &made)
            }
        })
    }

    /// Makes, changes or recovers a vault (`PUT`).
    pub fn put_vault(
        &self,
        name: &VaultAddress,
        request: VaultRequest,
    ) -> Result<PutVault, VaultError> {
        self.change(|transaction| {
            let found = self.find_vault(transaction, name)?;
            let Some(found) = found else {
                if request.mode == CreateMode::Recover {
                    return Err(VaultError::DeletedVaultNotFound(name.clone()));
                }
                let made = self.new_vault(name, request.place, request.change)?;
                self.insert_vault(transaction, &made)?;
                return Ok(PutVault::Created(made));
            };
            let present = &found.properties;
            if !present.place.same_group(&request.place) {
                // Names are unique everywhere; whose vault it is, is not told.
                return Err(VaultError::VaultExists(name.clone()));
            }
            if !found.is_live() {
                if request.mode != CreateMode::Recover {
                    return Err(VaultError::VaultDeleted(name.clone()));
                }
                let mut recovered = present.clone();
                recovered.deleted = None;
                recovered.updated = self.clock.wall();
                self.update_vault(transaction, found.row(), &recovered)?;
                return Ok(PutVault::Recovered(recovered));
            }
            if request.mode == CreateMode::Recover {
                // Somebody else recovered it just now.
                return Ok(PutVault::Updated(present.clone()));
            }
            if present.place.location != request.place.location {
                return Err(VaultError::BadRequest(format!(
                    "vault `{name}` is in `{}`; a vault does not move",
                    present.place.location
                )));
            }
            if present.place.tenant != request.place.tenant {
                return Err(VaultError::BadRequest(format!(
                    "vault `{name}` belongs to tenant `{}`; that does not change",
                    present.place.tenant
                )));
            }
            let mut change = request.change;
            change.tags = Some(change.tags.unwrap_or_default());
            if let ModelChoice::Undecided { .. } = change.model {
                change.policies = change.policies.filter(|policies| !policies.is_empty());
            }
            let changed = self.changed(present.clone(), change)?;
            self.update_vault(transaction, found.row(), &changed)?;
            Ok(PutVault::Updated(changed))
        })
    }

    /// Changes the properties that are stated (`PATCH`).
    pub fn patch_vault(
        &self,
        name: &VaultAddress,
        change: VaultChange,
    ) -> Result<VaultProperties, VaultError> {
        self.edit_vault(name, |present| self.changed(present, change))
    }

    /// Adds, replaces or removes access policies.
    pub fn edit_policies(
        &self,
        name: &VaultAddress,
        edit: PolicyEdit,
        entries: Vec<AccessPolicy>,
    ) -> Result<VaultProperties, VaultError> {
        self.edit_vault(name, |present| {
            let tenant = present.place.tenant;
            let policies = edited(present.policies.clone(), edit, entries, tenant)?;
            self.changed(present, VaultChange { policies: Some(policies), ..Default::default() })
        })
    }

    /// Tells that a role was assigned at a vault's own scope: an undecided vault goes by roles
    /// from now on. For roles elsewhere, and for those that were taken away, see
    /// [`Vault::roles_changed`].
    pub fn role_assigned(&self, name: &VaultAddress) -> Result<(), VaultError> {
        let now = self.clock.wall();
        self.edit_vault(name, |mut present| {
            if present.model == PermissionModel::Undecided {
                present.model = PermissionModel::Roles;
                present.decision = Decision { by: DecidedBy::FirstRole, at: now };
            }
            Ok(present)
        })
        .map(drop)
    }

    /// Gives a place to the vaults that operators made without one, and tells which.
    pub fn place_vaults(&self, place: &Placement) -> Result<Vec<VaultAddress>, VaultError> {
        self.change(|transaction| {
            let mut placed = Vec::new();
            for found in self.all_vaults(transaction)? {
                if found.properties.place.is_unplaced() {
                    let mut properties = found.properties.clone();
                    properties.place = place.clone();
                    placed.push(properties.name.clone());
                    self.update_vault(transaction, found.row(), &properties)?;
                }
            }
            Ok(placed)
        })
    }

    fn edit_vault(
        &self,
        name: &VaultAddress,
        edit: impl FnOnce(VaultProperties) -> Result<VaultProperties, VaultError>,
    ) -> Result<VaultProperties, VaultError> {
        self.change(|transaction| {
            let found = self.live_vault(transaction, name)?;
            let mut changed = edit(found.properties.clone())?;
            changed.updated = self.clock.wall();
            self.update_vault(transaction, found.row(), &changed)?;
            Ok(changed)
        })
    }

    fn new_vault(
        &self,
        name: &VaultAddress,
        place: Placement,
        mut change: VaultChange,
    ) -> Result<VaultProperties, VaultError> {
        if name.as_str().contains('.') {
            return Err(VaultError::NotEmbedded(name.clone()));
        }
        let now = self.clock.wall();
        let retention = change.retention_days.take().unwrap_or(i64::from(RETENTION_DEFAULT));
        let retention_days =
            u8::try_from(retention).ok().filter(|_| RETENTION.contains(&retention)).ok_or_else(
                || VaultError::BadRequest("softDeleteRetentionInDays is 7 to 90".to_owned()),
            )?;
        let policies = change.policies.take().unwrap_or_default();
        let tenant = place.tenant;
        let mut made = VaultProperties {
            name: name.clone(),
            place,
            sku: Sku::Standard,
            tags: Tags::default(),
            policies: merged(policies, tenant)?,
            model: PermissionModel::Policies,
            decision: Decision { by: DecidedBy::Creator, at: now },
            founder: None,
            network: NetworkRules::default(),
            public_access: PublicAccess::Enabled,
            enablements: Enablements::default(),
            retention_days,
            purge_protection: change.purge_protection.take().unwrap_or_default(),
            created: now,
            updated: now,
            deleted: None,
        };
        match std::mem::take(&mut change.model) {
            ModelChoice::Stated(true)
            | ModelChoice::Typed(true)
            | ModelChoice::Unsaid { roles: true } => {
                made.model = PermissionModel::Roles;
            }
            ModelChoice::Undecided { creator } if made.policies.is_empty() => {
                made.model = PermissionModel::Undecided;
                made.decision.by = DecidedBy::Nobody;
                made.founder = Some(creator);
                made.policies = vec![AccessPolicy {
                    tenant,
                    object: creator,
                    application: None,
                    permissions: Permissions::everything(),
                }];
            }
            ModelChoice::Silent
            | ModelChoice::Unsaid { roles: false }
            | ModelChoice::Stated(false)
            | ModelChoice::Typed(false)
            | ModelChoice::Undecided { .. } => {}
        }
        self.changed(made, change)
    }

    /// The properties after a change, or why it is refused.
    fn changed(
        &self,
        mut vault: VaultProperties,
        change: VaultChange,
    ) -> Result<VaultProperties, VaultError> {
        let refused = |sentence: &str| Err(VaultError::BadRequest(sentence.to_owned()));
        if change.soft_delete == Some(false) {
            return refused("enableSoftDelete cannot be false: soft delete is always on");
        }
        if change.retention_days.is_some_and(|days| days != i64::from(vault.retention_days)) {
            return refused("softDeleteRetentionInDays was fixed when the vault was made");
        }
        match change.purge_protection {
            Some(false) if vault.purge_protection => {
                return refused("enablePurgeProtection cannot be switched off");
            }
            stated => vault.purge_protection |= stated.unwrap_or_default(),
        }
        if let Some(network) = change.network {
            network.check()?;
            vault.network = network;
        }
        vault.sku = change.sku.unwrap_or(vault.sku);
        vault.tags = change.tags.unwrap_or(vault.tags);
        vault.public_access = change.public_access.unwrap_or(vault.public_access);
        let Enablements { for_deployment, for_disk_encryption, for_template_deployment } =
            &mut vault.enablements;
        for (flag, stated) in [
            (for_deployment, change.for_deployment),
            (for_disk_encryption, change.for_disk_encryption),
            (for_template_deployment, change.for_template_deployment),
        ] {
            *flag = stated.unwrap_or(*flag);
        }
        let now = self.clock.wall();
        let stated = match change.model {
            ModelChoice::Typed(rbac) => Some(rbac),
            ModelChoice::Stated(rbac) if rbac != vault.shows_rbac() => Some(rbac),
            ModelChoice::Stated(_)
            | ModelChoice::Silent
            | ModelChoice::Unsaid { .. }
            | ModelChoice::Undecided { .. } => None,
        };
        if let Some(rbac) = stated {
            let switched = rbac != vault.shows_rbac() && vault.model != PermissionModel::Undecided;
            if switched && !change.may_switch_model {
                return Err(VaultError::ModelSwitchForbidden(vault.name));
            }
            vault.model = if rbac { PermissionModel::Roles } else { PermissionModel::Policies };
            vault.decision = Decision { by: DecidedBy::Statement, at: now };
        }
        if let Some(policies) = change.policies {
            let policies = merged(policies, vault.place.tenant)?;
            let new = !same_policies(&policies, &vault.policies);
            vault.policies = policies;
            if new && vault.model == PermissionModel::Undecided {
                vault.model = PermissionModel::Policies;
                vault.decision = Decision { by: DecidedBy::FirstPolicy, at: now };
            }
        }
        vault.updated = now;
        Ok(vault)
    }
}

/// Whether two lists say the same; clients send policies back in any order.
fn same_policies(one: &[AccessPolicy], other: &[AccessPolicy]) -> bool {
    one.len() == other.len() && one.iter().all(|policy| other.contains(policy))
}
