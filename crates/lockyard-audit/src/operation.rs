//! What was done, by the name under which the imitated service records it.

use std::fmt;

/// The longest name of an operation in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The name of an operation (BEHAVIOUR rule 59, `operationName`).
///
/// Rooms that record other things than keys make their own with [`Operation::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation(&'static str);

macro_rules! operations {
    ($($constant:ident = $name:literal,)*) => {
        impl Operation {
            $(
                #[doc = concat!("`", $name, "`.")]
                pub const $constant: Self = Self::new($name);
            )*
        }
    };
}

operations! {
    KEY_ATTESTATION_GET = "KeyAttestationGet",
    KEY_BACKUP = "KeyBackup",
    KEY_CREATE = "KeyCreate",
    KEY_DECRYPT = "KeyDecrypt",
    KEY_DELETE = "KeyDelete",
    KEY_ENCRYPT = "KeyEncrypt",
    KEY_GET = "KeyGet",
    KEY_GET_DELETED = "KeyGetDeleted",
    KEY_IMPORT = "KeyImport",
    KEY_LIST = "KeyList",
    KEY_LIST_DELETED = "KeyListDeleted",
    KEY_LIST_VERSIONS = "KeyListVersions",
    KEY_PURGE = "KeyPurge",
    KEY_RECOVER = "KeyRecover",
    KEY_RELEASE = "KeyRelease",
    KEY_RESTORE = "KeyRestore",
    KEY_ROTATE = "KeyRotate",
    KEY_ROTATE_IF_DUE = "KeyRotateIfDue",
    KEY_ROTATION_POLICY_GET = "KeyRotationPolicyGet",
    KEY_ROTATION_POLICY_SET = "KeyRotationPolicySet",
    KEY_SIGN = "KeySign",
    KEY_UNWRAP = "KeyUnwrap",
    KEY_UPDATE = "KeyUpdate",
    KEY_VERIFY = "KeyVerify",
    KEY_WRAP = "KeyWrap",
    RANDOM_BYTES_GET = "RandomBytesGet",
    VAULT_DELETE = "VaultDelete",
    VAULT_GET = "VaultGet",
    VAULT_GET_DELETED = "VaultGetDeleted",
    VAULT_LIST = "VaultList",
    VAULT_LIST_DELETED = "VaultListDeleted",
    VAULT_PATCH = "VaultPatch",
    VAULT_PURGE = "VaultPurge",
    VAULT_PUT = "VaultPut",
    VAULT_RECOVER = "VaultRecover",
    IDENTITY_DELETE = "IdentityDelete",
    IDENTITY_PATCH = "IdentityPatch",
    IDENTITY_PUT = "IdentityPut",
    RESOURCE_GROUP_DELETE = "ResourceGroupDelete",
    RESOURCE_GROUP_PATCH = "ResourceGroupPatch",
    RESOURCE_GROUP_PUT = "ResourceGroupPut",
    ROLE_ASSIGNMENT_DELETE = "RoleAssignmentDelete",
    ROLE_ASSIGNMENT_PUT = "RoleAssignmentPut",
    VAULT_ACCESS_POLICY_CHANGE = "VaultAccessPolicyChange",
    AUTHENTICATION = "Authentication",
    AUDIT_OPENED = "AuditOpened",
    AUDIT_RESUMED = "AuditResumed",
    AUDIT_REFUSALS = "AuditRefusals",
}

impl Operation {
    /// Makes a name: 1 to 64 ASCII letters and digits.
    ///
    /// # Panics
    ///
    /// Panics on any other name; as names are constants, that is while compiling.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= NAME_BYTES_MAX, "1 to 64 bytes");
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_alphanumeric(), "letters and digits only");
            at += 1;
        }
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
