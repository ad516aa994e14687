//! How the words of ids are spelled, and what they may be made of.
//!
//! Paths are compared without regard to case (az-wire 4.1), but published in one spelling: clients
//! compare some ids as plain strings. Only ASCII is accepted, so that two names that fold to the
//! same one are always equal byte for byte after folding.

/// Provider namespaces and types whose spelling is known; anything else keeps what it was given.
const KNOWN: [&str; 36] = [
    "Microsoft.Authorization",
    "Microsoft.ContainerRegistry",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Management",
    "Microsoft.Resources",
    "accessPolicies",
    "cacheRules",
    "checkNameAvailability",
    "credentialSets",
    "deletedManagedHSMs",
    "deletedVaults",
    "deployments",
    "federatedIdentityCredentials",
    "keys",
    "locations",
    "managedHSMs",
    "managementGroups",
    "operationResults",
    "operations",
    "permissions",
    "registries",
    "replications",
    "repositories",
    "resourceGroups",
    "roleAssignments",
    "roleDefinitions",
    "runs",
    "scopeMaps",
    "secrets",
    "tasks",
    "tokens",
    "userAssignedIdentities",
    "vaults",
    "versions",
    "webhooks",
];

/// Returns the published spelling of a namespace or type.
pub(crate) fn canonical(word: &str) -> &str {
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(word)).unwrap_or(word)
}

/// Whether this may be a provider namespace, `Microsoft.Name`.
pub(crate) fn is_namespace(word: &str) -> bool {
    word.contains('.') && word.split('.').all(is_type)
}

/// Whether this may be one piece of a resource type.
pub(crate) fn is_type(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether this may be the name of a resource: the characters of every resource that we have.
pub(crate) fn is_name(word: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.()~@+:,".contains(&b);
    !word.is_empty() && !word.bytes().all(|b| b == b'.') && word.bytes().all(known)
}
