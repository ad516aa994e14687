//! What a vault is: its properties, as the control plane shows them and the decision reads them.

use lockyard_base::{Guid, Timestamp};
use lockyard_keyring::VaultAddress;

use super::Tags;
use crate::{
    VaultError,
    access::{AccessPolicy, NetworkRules, PublicAccess},
    words::words,
};

const GROUP_LEN_MAX: usize = 90;
const LOCATION_LEN_MAX: usize = 64;

/// A vault, live or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultProperties {
    /// Its name, as its creator wrote it.
    pub name: VaultAddress,
    /// Where it belongs.
    pub place: Placement,
    /// The service tier; says nothing about hardware here.
    pub sku: Sku,
    /// Its tags.
    pub tags: Tags,
    /// Who may do what, as long as policies count; kept when they don't.
    pub policies: Vec<AccessPolicy>,
    /// Whether policies or roles count.
    pub model: PermissionModel,
    /// How that was decided.
    pub decision: Decision,
    /// The creator that got a policy because nobody chose a model.
    pub founder: Option<Guid>,
    /// The address rules.
    pub network: NetworkRules,
    /// Whether there is access from outside at all.
    pub public_access: PublicAccess,
    /// What other services may do; kept for those who ask.
    pub enablements: Enablements,
    /// For how many days what is deleted can be recovered: 7 to 90.
    pub retention_days: u8,
    /// Whether nobody may purge before those days are over; irreversible.
    pub purge_protection: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When its properties last changed.
    pub updated: Timestamp,
    /// Set while it is deleted.
    pub deleted: Option<DeletedAt>,
}

impl VaultProperties {
    /// The vault's resource id.
    pub fn resource_id(&self) -> String {
        let Placement { subscription, resource_group, .. } = &self.place;
        format!(
            "/subscriptions/{subscription}/resourceGroups/{resource_group}\
             /providers/Microsoft.KeyVault/vaults/{}",
            self.name
        )
    }

    /// What `enableRbacAuthorization` shows: while nobody has decided, policies can still be set.
    pub fn shows_rbac(&self) -> bool {
        self.model == PermissionModel::Roles
    }

    /// What happens to keys of this vault when they are deleted.
    pub fn recovery_level(&self) -> RecoveryLevel {
        match (self.retention_days >= 90, self.purge_protection) {
            (true, false) => RecoveryLevel::RecoverablePurgeable,
            (true, true) => RecoveryLevel::Recoverable,
            (false, false) => RecoveryLevel::CustomizedRecoverablePurgeable,
            (false, true) => RecoveryLevel::CustomizedRecoverable,
        }
    }
}

/// When something was deleted, and when it will be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletedAt {
    /// The deletion.
    pub deleted: Timestamp,
    /// The end of the retention.
    pub purge: Timestamp,
}

/// Where a vault belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The tenant whose tokens count.
    pub tenant: Guid,
    /// The subscription.
    pub subscription: Guid,
    /// The resource group.
    pub resource_group: String,
    /// The location, a word that means nothing here.
    pub location: String,
}

impl Placement {
    /// Checks the words of a placement.
    pub fn new(
        tenant: Guid,
        subscription: Guid,
        resource_group: &str,
        location: &str,
    ) -> Result<Self, VaultError> {
        let group_ok = (1..=GROUP_LEN_MAX).contains(&resource_group.len())
            && !resource_group.ends_with('.')
            && resource_group.chars().all(|c| c.is_alphanumeric() || "-_.()".contains(c));
        if !group_ok {
            return Err(VaultError::BadRequest(format!("`{resource_group}` is no resource group")));
        }
        let location: String =
            location.chars().filter(|c| *c != ' ').collect::<String>().to_ascii_lowercase();
        let location_ok = (1..=LOCATION_LEN_MAX).contains(&location.len())
            && location.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !location_ok {
            return Err(VaultError::BadRequest(format!("`{location}` is no location")));
        }
        Ok(Self { tenant, subscription, resource_group: resource_group.to_owned(), location })
    }

    /// The placement of a vault that an operator made before there was a control plane.
    pub(crate) fn unplaced() -> Self {
        let nobody = Guid::from_bytes([0; 16]);
        Self {
            tenant: nobody,
            subscription: nobody,
            resource_group: "lockyard".to_owned(),
            location: "local".to_owned(),
        }
    }

    /// Whether no control plane has placed the vault yet.
    pub fn is_unplaced(&self) -> bool {
        self.tenant == Guid::from_bytes([0; 16])
    }

    /// Whether both name the same subscription and resource group.
    pub fn same_group(&self, other: &Self) -> bool {
        self.subscription == other.subscription
            && self.resource_group.eq_ignore_ascii_case(&other.resource_group)
    }
}

words! {
    /// A vault's tier.
    Sku {
        /// Software keys.
        Standard = "standard",
        /// Accepted; keys are as software-backed as all others, and say so.
        Premium = "premium",
    }
}

words! {
    /// Which grants count in a vault.
    PermissionModel {
        /// Access policies.
        Policies = "policies",
        /// Role assignments.
        Roles = "roles",
        /// Access policies, until the first explicit grant decides (az-wire 5.2).
        Undecided = "undecided",
    }
}

words! {
    /// Who or what decided a vault's permission model.
    DecidedBy {
        /// Nobody yet.
        Nobody = "nobody",
        /// Its creator, at its making.
        Creator = "creator",
        /// Somebody who changed the property later.
        Statement = "statement",
        /// The first access policy after the creator's.
        FirstPolicy = "firstPolicy",
        /// The first role assignment at the vault.
        FirstRole = "firstRole",
    }
}

/// How a vault's permission model came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub by: DecidedBy,
    /// When.
    pub at: Timestamp,
}

/// What other services may do with a vault; nothing here acts on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enablements {
    /// `enabledForDeployment`.
    pub for_deployment: bool,
    /// `enabledForDiskEncryption`.
    pub for_disk_encryption: bool,
    /// `enabledForTemplateDeployment`.
    pub for_template_deployment: bool,
}

words! {
    /// What becomes of deleted keys.
    RecoveryLevel {
        /// Kept for 90 days, and can be purged before.
        RecoverablePurgeable = "Recoverable+Purgeable",
        /// Kept for 90 days.
        Recoverable = "Recoverable",
        /// Kept for 7 to 89 days, and can be purged before.
        CustomizedRecoverablePurgeable = "CustomizedRecoverable+Purgeable",
        /// Kept for 7 to 89 days.
        CustomizedRecoverable = "CustomizedRecoverable",
    }
}
