//! How registries stand, in words for people.

use lockyard_keyring::{LockReason, Standing};
use lockyard_registry::RegistrySummary;

use super::Instance;

/// Which key protects a registry.
pub(crate) fn key_in_words(summary: &RegistrySummary) -> String {
    match &summary.customer_key {
        Some(key) => key.to_string(),
        None => "none, service-managed".to_owned(),
    }
}

/// Whether a registry can be used now, and why not.
pub(crate) fn standing_in_words(instance: &Instance, summary: &RegistrySummary) -> String {
    match instance.keyring.standing(summary.id) {
        Some(Standing::Unlocked) => "unlocked".to_owned(),
        Some(Standing::Degraded) => {
            let trouble = instance.keyring.trouble(summary.id);
            let told = trouble.map(|text| format!(": {text}")).unwrap_or_default();
            format!("unlocked, but the vault does not confirm{told}")
        }
        Some(Standing::Locked(reason)) => match reason {
            LockReason::Starting => "locked, its key has not been asked for yet".to_owned(),
            LockReason::Denied(_, text) | LockReason::Unreachable(text) => {
                format!("locked: {text}")
            }
            LockReason::Damaged(text) => format!("locked, an operator must look: {text}"),
        },
        None => "not taken in yet".to_owned(),
    }
}
