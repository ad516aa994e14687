//! What can be asked of a key: the permissions, the actions of roles, and a key's own operations.

use std::collections::BTreeSet;

use crate::words::words;

words! {
    /// What a caller asks for; the words are those of access policies (BEHAVIOUR 2.3).
    Operation {
        /// Reading a key's public half and attributes.
        Get = "get",
        /// Listing keys, versions and deleted keys.
        List = "list",
        /// Changing attributes.
        Update = "update",
        /// Making a key or a version.
        Create = "create",
        /// Taking in a key from outside.
        Import = "import",
        /// Deleting a key.
        Delete = "delete",
        /// Recovering a deleted key.
        Recover = "recover",
        /// Taking a sealed copy.
        Backup = "backup",
        /// Bringing a sealed copy back.
        Restore = "restore",
        /// Decrypting.
        Decrypt = "decrypt",
        /// Encrypting.
        Encrypt = "encrypt",
        /// Unwrapping a key.
        UnwrapKey = "unwrapKey",
        /// Wrapping a key.
        WrapKey = "wrapKey",
        /// Verifying a signature.
        Verify = "verify",
        /// Signing.
        Sign = "sign",
        /// Removing a deleted key for good.
        Purge = "purge",
        /// Releasing a key to an attested environment; never done here.
        Release = "release",
        /// Making a new version as the rotation policy says.
        Rotate = "rotate",
        /// Reading the rotation policy.
        GetRotationPolicy = "getrotationpolicy",
        /// Changing the rotation policy.
        SetRotationPolicy = "setrotationpolicy",
    }
}

impl Operation {
    /// The data action that a role needs to hold for it (BEHAVIOUR 2.6).
    pub const fn action(self) -> &'static str {
        match self {
            Self::Get | Self::List => "Microsoft.KeyVault/vaults/keys/read",
            Self::Update => "Microsoft.KeyVault/vaults/keys/update/action",
            Self::Create => "Microsoft.KeyVault/vaults/keys/create/action",
            Self::Import => "Microsoft.KeyVault/vaults/keys/import/action",
            Self::Delete => "Microsoft.KeyVault/vaults/keys/delete",
            Self::Recover => "Microsoft.KeyVault/vaults/keys/recover/action",
            Self::Backup => "Microsoft.KeyVault/vaults/keys/backup/action",
            Self::Restore => "Microsoft.KeyVault/vaults/keys/restore/action",
            Self::Decrypt => "Microsoft.KeyVault/vaults/keys/decrypt/action",
            Self::Encrypt => "Microsoft.KeyVault/vaults/keys/encrypt/action",
            Self::UnwrapKey => "Microsoft.KeyVault/vaults/keys/unwrap/action",
            Self::WrapKey => "Microsoft.KeyVault/vaults/keys/wrap/action",
            Self::Verify => "Microsoft.KeyVault/vaults/keys/verify/action",
            Self::Sign => "Microsoft.KeyVault/vaults/keys/sign/action",
            Self::Purge => "Microsoft.KeyVault/vaults/keys/purge/action",
            Self::Release => "Microsoft.KeyVault/vaults/keys/release/action",
            Self::Rotate => "Microsoft.KeyVault/vaults/keys/rotate/action",
            Self::GetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/read",
            Self::SetRotationPolicy => "Microsoft.KeyVault/vaults/keyrotationpolicies/write",
        }
    }
}

words! {
    /// What a key itself allows to be done with it (`key_ops`).
    KeyOperation {
        /// Encrypting.
        Encrypt = "encrypt",
        /// Decrypting.
        Decrypt = "decrypt",
        /// Signing.
        Sign = "sign",
        /// Verifying.
        Verify = "verify",
        /// Wrapping a key.
        WrapKey = "wrapKey",
        /// Unwrapping a key.
        UnwrapKey = "unwrapKey",
    }
}

impl KeyOperation {
    /// What a caller must be allowed for it.
    pub const fn permission(self) -> Operation {
        match self {
            Self::Encrypt => Operation::Encrypt,
            Self::Decrypt => Operation::Decrypt,
            Self::Sign => Operation::Sign,
            Self::Verify => Operation::Verify,
            Self::WrapKey => Operation::WrapKey,
            Self::UnwrapKey => Operation::UnwrapKey,
        }
    }

    /// Whether it makes something new, and is therefore refused outside a key's validity; what
    /// reads something old stays allowed (BEHAVIOUR 2.5).
    pub const fn makes_new(self) -> bool {
        matches!(self, Self::Encrypt | Self::Sign | Self::WrapKey)
    }

    /// Whether elliptic curve keys can do it.
    pub const fn fits_ec(self) -> bool {
        matches!(self, Self::Sign | Self::Verify)
    }
}

/// The operations that a key allows, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeyOperations(BTreeSet<KeyOperation>);

impl KeyOperations {
    /// All six, the default of RSA keys.
    pub fn all() -> Self {
        KeyOperation::ALL.iter().copied().collect()
    }

    /// Signing and verifying, the default of elliptic curve keys.
    pub fn signing() -> Self {
        [KeyOperation::Sign, KeyOperation::Verify].into_iter().collect()
    }

    /// Whether the key allows it.
    pub fn allow(&self, operation: KeyOperation) -> bool {
        self.0.contains(&operation)
    }

    /// The operations.
    pub fn iter(&self) -> impl Iterator<Item = KeyOperation> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<KeyOperation> for KeyOperations {
    fn from_iter<I: IntoIterator<Item = KeyOperation>>(operations: I) -> Self {
        Self(operations.into_iter().collect())
    }
}
