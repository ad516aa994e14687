//! The roles that are always there, under the ids and names that people's scripts use.
//!
//! What they grant is what Azure documents for them (BEHAVIOUR 2.6), so that a rehearsal here
//! means something there. They are assignable everywhere and never change.

use std::sync::OnceLock;

use lockyard_arm::Scope;

use crate::decision::{ActionPattern, Permission, RoleDefinition, RoleDefinitionId};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident = $bits:literal;)*) => {
        /// The ids of the roles that our own code names.
        pub mod role_id {
            use lockyard_base::Guid;

            use crate::decision::RoleDefinitionId;

            $($(#[$meta])* pub const $name: RoleDefinitionId =
                RoleDefinitionId::new(Guid::from_bytes($bits.to_be_bytes()));)*
        }
    };
}

ids! {
    /// Everything but data.
    OWNER = 0x8e3a_f657_a8ff_443c_a75c_2fe8_c4bc_b635_u128;
    /// Everything but data and who may do what.
    CONTRIBUTOR = 0xb249_88ac_6180_42a0_ab88_20f7_382d_d24c_u128;
    /// Seeing everything but data.
    READER = 0xacdd_72a7_3385_48ef_bd42_f606_fba8_1ae7_u128;
    /// Who may do what.
    USER_ACCESS_ADMINISTRATOR = 0x18d7_d88d_d35e_4fb5_a5c3_7773_c20a_72d9_u128;
    /// Pulling.
    ACR_PULL = 0x7f95_1dda_4ed3_4680_a7ca_43fe_172d_538d_u128;
    /// Pushing and pulling.
    ACR_PUSH = 0x8311_e382_0749_4cb8_b61a_304f_252e_45ec_u128;
    /// Deleting images.
    ACR_DELETE = 0xc2f4_ef07_c644_48eb_af81_4b1b_4947_fb11_u128;
    /// All of a vault's data.
    KEY_VAULT_ADMINISTRATOR = 0x0048_2a5a_887f_4fb3_b363_3b7f_e8e7_4483_u128;
    /// Seeing a vault's data, without secrets.
    KEY_VAULT_READER = 0x2109_0545_7ca7_4776_b22c_e363_652d_74d2_u128;
    /// Managing vaults.
    KEY_VAULT_CONTRIBUTOR = 0xf25e_0fa2_a7c8_4377_a976_5494_3a77_a395_u128;
    /// All of a vault's keys.
    KEY_VAULT_CRYPTO_OFFICER = 0x14b4_6e9e_c2b7_41b4_b07b_48a6_ebf6_0603_u128;
    /// Using a vault's keys.
    KEY_VAULT_CRYPTO_USER = 0x1233_8af0_0e69_4776_bea7_57ae_8d29_7424_u128;
    /// Wrapping and unwrapping with a vault's keys.
    KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER = 0xe147_488a_f6f5_4113_8e2d_b224_65e6_5bf6_u128;
    /// Purging deleted vaults.
    KEY_VAULT_PURGE_OPERATOR = 0xa68e_7c17_0ab2_4c09_9a58_125d_ae29_748c_u128;
    /// Handing out the roles of vaults' data.
    KEY_VAULT_DATA_ACCESS_ADMINISTRATOR = 0x8b54_135c_b56d_4d72_a534_2609_7cfd_c8d8_u128;
}

/// What a built-in role is made of.
#[derive(Clone, Copy, Default)]
struct Text {
    name: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
    not_actions: &'static [&'static str],
    data_actions: &'static [&'static str],
    delegable: Option<&'static [RoleDefinitionId]>,
}

/// The built-in roles, in the order of the permission table.
pub fn built_in() -> &'static [RoleDefinition] {
    static ROLES: OnceLock<Vec<RoleDefinition>> = OnceLock::new();
    ROLES.get_or_init(|| {
        let all = general()
            .into_iter()
            .chain(registry())
            .chain(vault())
            .chain(vault_keys())
            .chain(vault_managers());
        all.map(|(id, text)| text.build(id)).collect()
    })
}

impl Text {
    fn build(self, id: RoleDefinitionId) -> RoleDefinition {
        let patterns =
            |texts: &[&'static str]| texts.iter().map(|text| ActionPattern::named(text)).collect();
        RoleDefinition {
            id,
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            custom: false,
            permissions: vec![Permission {
                actions: patterns(self.actions),
                not_actions: patterns(self.not_actions),
                data_actions: patterns(self.data_actions),
                not_data_actions: Vec::new(),
            }],
            assignable_scopes: vec![Scope::root()],
            delegable: self.delegable.map(<[_]>::to_vec),
        }
    }
}

type Roles<const N: usize> = [(RoleDefinitionId, Text); N];

fn general() -> Roles<4> {
    [
        (
            role_id::OWNER,
            Text {
                name: "Owner",
                description: "Manages every resource and decides who may do what.",
                actions: &["*"],
                ..Text::default()
            },
        ),
        (
            role_id::CONTRIBUTOR,
            Text {
                name: "Contributor",
                description: "Manages every resource, but does not decide who may do what.",
                actions: &["*"],
                not_actions: &[
                    "Microsoft.Authorization/*/Delete",
                    "Microsoft.Authorization/*/Write",
                    "Microsoft.Authorization/elevateAccess/Action",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::READER,
            Text {
                name: "Reader",
                description: "Sees every resource and changes none.",
                actions: &["*/read"],
                ..Text::default()
            },
        ),
        (
            role_id::USER_ACCESS_ADMINISTRATOR,
            Text {
                name: "User Access Administrator",
                description: "Decides who may do what, and sees every resource.",
                actions: &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
                ..Text::default()
            },
        ),
    ]
}

fn registry() -> Roles<3> {
    [
        (
            role_id::ACR_PULL,
            Text {
                name: "AcrPull",
                description: "Pulls images.",
                actions: &["Microsoft.ContainerRegistry/registries/pull/read"],
                ..Text::default()
            },
        ),
        (
            role_id::ACR_PUSH,
            Text {
                name: "AcrPush",
                description: "Pushes and pulls images.",
                actions: &[
                    "Microsoft.ContainerRegistry/registries/pull/read",
                    "Microsoft.ContainerRegistry/registries/push/write",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::ACR_DELETE,
            Text {
                name: "AcrDelete",
                description: "Deletes images, tags and repositories.",
                actions: &["Microsoft.ContainerRegistry/registries/artifacts/delete"],
                ..Text::default()
            },
        ),
    ]
}

/// What the roles of a vault's data see of its management.
///
/// Azure means the vault itself by `vaults/*/read` too, as these roles' descriptions say; our
/// patterns are plain text, so it is named.
const SEES_VAULTS: &[&str] = &[
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
    "Microsoft.KeyVault/checkNameAvailability/read",
    "Microsoft.KeyVault/deletedVaults/read",
    "Microsoft.KeyVault/locations/*/read",
    "Microsoft.KeyVault/vaults/read",
    "Microsoft.KeyVault/vaults/*/read",
    "Microsoft.KeyVault/operations/read",
];

fn vault() -> Roles<2> {
    [
        (
            role_id::KEY_VAULT_ADMINISTRATOR,
            Text {
                name: "Key Vault Administrator",
                description: "Does everything with what is in a vault; does not manage the vault.",
                actions: SEES_VAULTS,
                data_actions: &["Microsoft.KeyVault/vaults/*"],
                ..Text::default()
            },
        ),
        (
            role_id::KEY_VAULT_READER,
            Text {
                name: "Key Vault Reader",
                description: "Sees vaults and what is in them, without secret values and keys.",
                actions: SEES_VAULTS,
                data_actions: &[
                    "Microsoft.KeyVault/vaults/*/read",
                    "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
                ],
                ..Text::default()
            },
        ),
    ]
}

fn vault_keys() -> Roles<3> {
    [
        (
            role_id::KEY_VAULT_CRYPTO_OFFICER,
            Text {
                name: "Key Vault Crypto Officer",
                description: "Does everything with a vault's keys; does not manage the vault.",
                actions: SEES_VAULTS,
                data_actions: &[
                    "Microsoft.KeyVault/vaults/keys/*",
                    "Microsoft.KeyVault/vaults/keyrotationpolicies/*",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::KEY_VAULT_CRYPTO_USER,
            Text {
                name: "Key Vault Crypto User",
                description: "Uses a vault's keys.",
                data_actions: &[
                    "Microsoft.KeyVault/vaults/keys/read",
                    "Microsoft.KeyVault/vaults/keys/update/action",
                    "Microsoft.KeyVault/vaults/keys/backup/action",
                    "Microsoft.KeyVault/vaults/keys/encrypt/action",
                    "Microsoft.KeyVault/vaults/keys/decrypt/action",
                    "Microsoft.KeyVault/vaults/keys/wrap/action",
                    "Microsoft.KeyVault/vaults/keys/unwrap/action",
                    "Microsoft.KeyVault/vaults/keys/sign/action",
                    "Microsoft.KeyVault/vaults/keys/verify/action",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER,
            Text {
                name: "Key Vault Crypto Service Encryption User",
                description: "Sees a vault's keys, wraps and unwraps with them: for services that \
                              encrypt under a customer's key.",
                actions: &[
                    "Microsoft.EventGrid/eventSubscriptions/write",
                    "Microsoft.EventGrid/eventSubscriptions/read",
                    "Microsoft.EventGrid/eventSubscriptions/delete",
                ],
                data_actions: &[
                    "Microsoft.KeyVault/vaults/keys/read",
                    "Microsoft.KeyVault/vaults/keys/wrap/action",
                    "Microsoft.KeyVault/vaults/keys/unwrap/action",
                ],
                ..Text::default()
            },
        ),
    ]
}

fn vault_managers() -> Roles<3> {
    [
        (
            role_id::KEY_VAULT_CONTRIBUTOR,
            Text {
                name: "Key Vault Contributor",
                description: "Manages vaults; neither purges them nor touches what is in them.",
                actions: &[
                    "Microsoft.Authorization/*/read",
                    "Microsoft.Insights/alertRules/*",
                    "Microsoft.KeyVault/*",
                    "Microsoft.Resources/deployments/*",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                    "Microsoft.Support/*",
                ],
                not_actions: &[
                    "Microsoft.KeyVault/locations/deletedVaults/purge/action",
                    "Microsoft.KeyVault/hsmPools/*",
                    "Microsoft.KeyVault/managedHsms/*",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::KEY_VAULT_PURGE_OPERATOR,
            Text {
                name: "Key Vault Purge Operator",
                description: "Purges deleted vaults for ever.",
                actions: &[
                    "Microsoft.KeyVault/deletedVaults/read",
                    "Microsoft.KeyVault/locations/deletedVaults/read",
                    "Microsoft.KeyVault/locations/deletedVaults/purge/action",
                    "Microsoft.KeyVault/locations/operationResults/read",
                ],
                ..Text::default()
            },
        ),
        (
            role_id::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR,
            Text {
                name: "Key Vault Data Access Administrator",
                description: "Gives and takes away the roles of vaults' data, and no others.",
                actions: &[
                    "Microsoft.Authorization/roleAssignments/write",
                    "Microsoft.Authorization/roleAssignments/delete",
                    "Microsoft.Authorization/*/read",
                    "Microsoft.Resources/deployments/*",
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                    "Microsoft.Resources/subscriptions/read",
                    "Microsoft.Management/managementGroups/read",
                    "Microsoft.KeyVault/vaults/read",
                    "Microsoft.KeyVault/vaults/*/read",
                    "Microsoft.Support/*",
                ],
                delegable: Some(&[
                    role_id::KEY_VAULT_ADMINISTRATOR,
                    role_id::KEY_VAULT_READER,
                    role_id::KEY_VAULT_CRYPTO_OFFICER,
                    role_id::KEY_VAULT_CRYPTO_USER,
                    role_id::KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER,
                ]),
                ..Text::default()
            },
        ),
    ]
}
