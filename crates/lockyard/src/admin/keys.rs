//! Operator commands on the embedded vault's keys.

use std::sync::Arc;

use lockyard_keyring::{KeyId, VaultAddress};
use lockyard_vault::{KeyTarget, RsaSize, Vault, VaultError};

use super::KeyRequest;
use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::blocking,
};

impl KeyRequest {
    /// Whether this may grant or deny a use.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::List { .. } => false,
            Self::Create { .. } | Self::Enable { .. } | Self::Disable { .. } => true,
        }
    }
}

/// Performs a command; answers in lines for the operator.
pub(crate) async fn perform(vault: &Arc<Vault>, request: KeyRequest) -> Outcome<Vec<String>> {
    let vault = Arc::clone(vault);
    match request {
        KeyRequest::List { vault: only } => {
            let only = only.map(|name| name.parse()).transpose().or_fail()?;
            blocking(move || list(&vault, only)).await
        }
        KeyRequest::Create { key, bits } => {
            let Ok(KeyTarget::Key(key)) = key.parse() else {
                return Err(Failure::text(format!("`{key}` does not name a key as `vault/name`")));
            };
            let Some(size) = RsaSize::from_bits(bits) else {
                return Err(Failure::text("an RSA key has 2048, 3072 or 4096 bits"));
            };
            blocking(move || create(&vault, &key, size)).await
        }
        KeyRequest::Enable { key } => {
            let target: KeyTarget = key.parse().or_fail()?;
            blocking(move || {
                vault.enable(&target)?;
                Ok::<_, VaultError>(vec![format!("key `{target}` is enabled")])
            })
            .await
        }
        KeyRequest::Disable { key } => {
            let target: KeyTarget = key.parse().or_fail()?;
            blocking(move || {
                vault.disable(&target)?;
                Ok::<_, VaultError>(vec![format!("key `{target}` is disabled")])
            })
            .await
        }
    }
}

fn create(vault: &Vault, key: &KeyId, size: RsaSize) -> Result<Vec<String>, VaultError> {
    match vault.create_vault(&key.vault) {
        Ok(()) | Err(VaultError::VaultExists(_)) => {}
        Err(error) => return Err(error),
    }
    let version = vault.create_key(key, size)?;
    Ok(vec![format!("key version `{version}` is made")])
}

fn list(vault: &Vault, only: Option<VaultAddress>) -> Result<Vec<String>, VaultError> {
    let vaults = match only {
        Some(name) => vec![name],
        None => vault.vaults()?,
    };
    let mut lines = Vec::new();
    for name in vaults {
        for key in vault.keys(&name)? {
            for version in vault.versions(&key)? {
                let state = if version.enabled { "enabled" } else { "disabled" };
                lines.push(format!("{}  {state}", version.id));
            }
        }
    }
    if lines.is_empty() {
        lines.push("there are no keys".to_owned());
    }
    Ok(lines)
}
