//! Actions: what can be done, in Azure's words.

use std::{borrow::Cow, fmt, hash::Hash, hash::Hasher};

use thiserror::Error;

/// The longest action or pattern in bytes.
pub const ACTION_BYTES_MAX: usize = 512;

/// A text that is no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "an action looks like `Microsoft.Provider/type/read` and has at most {ACTION_BYTES_MAX} bytes"
)]
pub struct ActionError;

/// Which of a role's lists speaks of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plane {
    /// Managing resources: `actions`, `notActions`.
    Control,
    /// Using what is in them: `dataActions`, `notDataActions`.
    Data,
}

/// Something that can be done; compared without regard to case.
#[derive(Clone)]
pub struct Action {
    plane: Plane,
    text: Cow<'static, str>,
}

impl Action {
    /// Reads an action of a plane.
    pub fn parse(plane: Plane, text: &str) -> Result<Self, ActionError> {
        if is_action(text.as_bytes()) {
            Ok(Self { plane, text: Cow::Owned(text.to_owned()) })
        } else {
            Err(ActionError)
        }
    }

    /// An action that the code names itself.
    const fn named(plane: Plane, text: &'static str) -> Self {
        assert!(is_action(text.as_bytes()), "the code names only actions");
        Self { plane, text: Cow::Borrowed(text) }
    }

    /// The action as it was written, `Microsoft.Provider/type/verb`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The plane that it belongs to.
    pub const fn plane(&self) -> Plane {
        self.plane
    }
}

/// Letters, digits, `.`, `-`, `_` between slashes, at least two pieces.
const fn is_action(text: &[u8]) -> bool {
    let (mut at, mut slashes, mut piece) = (0, 0, 0);
    while at < text.len() {
        match text[at] {
            b'/' if piece > 0 => {
                slashes += 1;
                piece = 0;
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => piece += 1,
            _ => return false,
        }
        at += 1;
    }
    slashes > 0 && piece > 0 && text.len() <= ACTION_BYTES_MAX
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Action({:?}, {})", self.plane, self.text)
    }
}

impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        self.plane == other.plane && self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl Eq for Action {}

impl Hash for Action {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.plane.hash(state);
        self.text.to_ascii_lowercase().hash(state);
    }
}

/// The actions that our own code asks about, and no others: the rows of the permission table.
pub mod known {
    use super::{Action, Plane};

    macro_rules! actions {
        ($($(#[$meta:meta])* $plane:ident $name:ident = $text:literal;)*) => {
            $($(#[$meta])* pub const $name: Action = Action::named(Plane::$plane, $text);)*

            /// All of them, in the order of the table.
            pub const ALL: &[Action] = &[$($name),*];
        };
    }

    actions! {
        // subscriptions and resource groups
        /// See a subscription.
        Control SUBSCRIPTION_READ = "Microsoft.Resources/subscriptions/read";
        /// See the resources of a subscription or group, of every type.
        Control RESOURCES_READ = "Microsoft.Resources/subscriptions/resources/read";
        /// See a resource group.
        Control RESOURCE_GROUP_READ = "Microsoft.Resources/subscriptions/resourceGroups/read";
        /// Make or change a resource group.
        Control RESOURCE_GROUP_WRITE = "Microsoft.Resources/subscriptions/resourceGroups/write";
        /// Delete a resource group with all that is in it.
        Control RESOURCE_GROUP_DELETE = "Microsoft.Resources/subscriptions/resourceGroups/delete";
        /// See a deployment.
        Control DEPLOYMENT_READ = "Microsoft.Resources/deployments/read";
        /// Deploy a template.
        Control DEPLOYMENT_WRITE = "Microsoft.Resources/deployments/write";
        /// Forget a deployment.
        Control DEPLOYMENT_DELETE = "Microsoft.Resources/deployments/delete";
        /// Stop a deployment.
        Control DEPLOYMENT_CANCEL = "Microsoft.Resources/deployments/cancel/action";
        /// Try a template.
        Control DEPLOYMENT_VALIDATE = "Microsoft.Resources/deployments/validate/action";
        /// Foretell what a template would change.
        Control DEPLOYMENT_WHAT_IF = "Microsoft.Resources/deployments/whatIf/action";
        /// See what a deployment did.
        Control DEPLOYMENT_OPERATION_READ = "Microsoft.Resources/deployments/operations/read";

        // who may do what
        /// See role definitions.
        Control ROLE_DEFINITION_READ = "Microsoft.Authorization/roleDefinitions/read";
        /// Make or change a custom role.
        Control ROLE_DEFINITION_WRITE = "Microsoft.Authorization/roleDefinitions/write";
        /// Delete a custom role.
        Control ROLE_DEFINITION_DELETE = "Microsoft.Authorization/roleDefinitions/delete";
        /// See role assignments.
        Control ROLE_ASSIGNMENT_READ = "Microsoft.Authorization/roleAssignments/read";
        /// Give somebody a role.
        Control ROLE_ASSIGNMENT_WRITE = "Microsoft.Authorization/roleAssignments/write";
        /// Take a role away from somebody.
        Control ROLE_ASSIGNMENT_DELETE = "Microsoft.Authorization/roleAssignments/delete";
        /// See users, groups, service principals and applications.
        Control DIRECTORY_READ = "Microsoft.Authorization/directory/read";
        /// Make and change them, and give them credentials: whoever may do this can become anybody.
        Control DIRECTORY_WRITE = "Microsoft.Authorization/directory/write";
        /// Delete them.
        Control DIRECTORY_DELETE = "Microsoft.Authorization/directory/delete";

        // managed identities
        /// See a managed identity.
        Control IDENTITY_READ = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
        /// Make or change a managed identity.
        Control IDENTITY_WRITE = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
        /// Delete a managed identity.
        Control IDENTITY_DELETE = "Microsoft.ManagedIdentity/userAssignedIdentities/delete";
        /// Let a resource act as a managed identity.
        Control IDENTITY_ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

        // registries: management
        /// See a registry.
        Control REGISTRY_READ = "Microsoft.ContainerRegistry/registries/read";
        /// Make or change a registry: its encryption, key and identities too.
        Control REGISTRY_WRITE = "Microsoft.ContainerRegistry/registries/write";
        /// Delete a registry.
        Control REGISTRY_DELETE = "Microsoft.ContainerRegistry/registries/delete";
        /// See what a registry uses.
        Control REGISTRY_USAGE = "Microsoft.ContainerRegistry/registries/listUsages/read";
        /// See the admin user's passwords.
        Control REGISTRY_CREDENTIALS = "Microsoft.ContainerRegistry/registries/listCredentials/action";
        /// Change the admin user's passwords.
        Control REGISTRY_CREDENTIAL_RENEW =
            "Microsoft.ContainerRegistry/registries/regenerateCredential/action";
        /// Make passwords for a registry's token.
        Control REGISTRY_TOKEN_CREDENTIALS =
            "Microsoft.ContainerRegistry/registries/generateCredentials/action";
        /// Copy an image from another registry.
        Control REGISTRY_IMPORT = "Microsoft.ContainerRegistry/registries/importImage/action";
        /// See tokens.
        Control REGISTRY_TOKEN_READ = "Microsoft.ContainerRegistry/registries/tokens/read";
        /// Make or change tokens.
        Control REGISTRY_TOKEN_WRITE = "Microsoft.ContainerRegistry/registries/tokens/write";
        /// Delete tokens.
        Control REGISTRY_TOKEN_DELETE = "Microsoft.ContainerRegistry/registries/tokens/delete";
        /// See scope maps.
        Control REGISTRY_SCOPE_MAP_READ = "Microsoft.ContainerRegistry/registries/scopeMaps/read";
        /// Make or change scope maps.
        Control REGISTRY_SCOPE_MAP_WRITE = "Microsoft.ContainerRegistry/registries/scopeMaps/write";
        /// Delete scope maps.
        Control REGISTRY_SCOPE_MAP_DELETE = "Microsoft.ContainerRegistry/registries/scopeMaps/delete";

        // registries: images
        /// Pull images, list tags and referrers, see repositories and their attributes.
        Control REGISTRY_PULL = "Microsoft.ContainerRegistry/registries/pull/read";
        /// Push images, change attributes.
        Control REGISTRY_PUSH = "Microsoft.ContainerRegistry/registries/push/write";
        /// Delete images, tags and repositories.
        Control REGISTRY_ARTIFACT_DELETE = "Microsoft.ContainerRegistry/registries/artifacts/delete";

        // vaults: management
        /// See a vault.
        Control VAULT_READ = "Microsoft.KeyVault/vaults/read";
        /// Make, change or recover a vault.
        Control VAULT_WRITE = "Microsoft.KeyVault/vaults/write";
        /// Delete a vault.
        Control VAULT_DELETE = "Microsoft.KeyVault/vaults/delete";
        /// Change a vault's access policies.
        Control VAULT_POLICY_WRITE = "Microsoft.KeyVault/vaults/accessPolicies/write";
        /// See a key through management.
        Control VAULT_KEY_READ = "Microsoft.KeyVault/vaults/keys/read";
        /// Make a key through management, if it is not there.
        Control VAULT_KEY_WRITE = "Microsoft.KeyVault/vaults/keys/write";
        /// See a key's versions through management.
        Control VAULT_KEY_VERSION_READ = "Microsoft.KeyVault/vaults/keys/versions/read";
        /// Ask whether a vault could have a name.
        Control VAULT_NAME_READ = "Microsoft.KeyVault/checkNameAvailability/read";
        /// See all deleted vaults of a subscription.
        Control DELETED_VAULTS_READ = "Microsoft.KeyVault/deletedVaults/read";
        /// See a deleted vault.
        Control DELETED_VAULT_READ = "Microsoft.KeyVault/locations/deletedVaults/read";
        /// Purge a deleted vault.
        Control DELETED_VAULT_PURGE = "Microsoft.KeyVault/locations/deletedVaults/purge/action";

        // vaults: keys
        /// See keys and their versions.
        Data KEY_READ = "Microsoft.KeyVault/vaults/keys/read";
        /// Make a key or a version of one.
        Data KEY_CREATE = "Microsoft.KeyVault/vaults/keys/create/action";
        /// Bring a key along.
        Data KEY_IMPORT = "Microsoft.KeyVault/vaults/keys/import/action";
        /// Change a key's attributes: enable and disable it too.
        Data KEY_UPDATE = "Microsoft.KeyVault/vaults/keys/update/action";
        /// Delete a key.
        Data KEY_DELETE = "Microsoft.KeyVault/vaults/keys/delete";
        /// Recover a deleted key.
        Data KEY_RECOVER = "Microsoft.KeyVault/vaults/keys/recover/action";
        /// Purge a deleted key.
        Data KEY_PURGE = "Microsoft.KeyVault/vaults/keys/purge/action";
        /// Back a key up.
        Data KEY_BACKUP = "Microsoft.KeyVault/vaults/keys/backup/action";
        /// Restore a key from a backup.
        Data KEY_RESTORE = "Microsoft.KeyVault/vaults/keys/restore/action";
        /// Encrypt.
        Data KEY_ENCRYPT = "Microsoft.KeyVault/vaults/keys/encrypt/action";
        /// Decrypt.
        Data KEY_DECRYPT = "Microsoft.KeyVault/vaults/keys/decrypt/action";
        /// Wrap another key.
        Data KEY_WRAP = "Microsoft.KeyVault/vaults/keys/wrap/action";
        /// Unwrap another key.
        Data KEY_UNWRAP = "Microsoft.KeyVault/vaults/keys/unwrap/action";
        /// Sign.
        Data KEY_SIGN = "Microsoft.KeyVault/vaults/keys/sign/action";
        /// Verify a signature.
        Data KEY_VERIFY = "Microsoft.KeyVault/vaults/keys/verify/action";
        /// Make a new version by rotation.
        Data KEY_ROTATE = "Microsoft.KeyVault/vaults/keys/rotate/action";
        /// See a rotation policy.
        Data KEY_ROTATION_POLICY_READ = "Microsoft.KeyVault/vaults/keyrotationpolicies/read";
        /// Change a rotation policy.
        Data KEY_ROTATION_POLICY_WRITE = "Microsoft.KeyVault/vaults/keyrotationpolicies/write";
    }
}
