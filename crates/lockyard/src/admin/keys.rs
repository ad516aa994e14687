//! Operator commands on the embedded vault's keys.

use std::sync::Arc;

use lockyard_audit::Operation;
use lockyard_keyring::{KeyId, VaultAddress};
use lockyard_vault::{KeyTarget, RsaSize, Vault, VaultError};

use super::KeyRequest;
use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::{Deed, OpenedVault, blocking_outcome},
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

/// Performs a command and records it; answers in lines for the operator.
pub(crate) async fn perform(opened: &OpenedVault, request: KeyRequest) -> Outcome<Vec<String>> {
    let command = Command::parse(request)?;
    let deed = command.deed();
    let vault = Arc::clone(&opened.vault);
    let done = blocking_outcome(move || command.run(&vault).or_fail()).await;
    let mut warnings = Vec::new();
    if let Ok(Done { vault_is_new: true, .. }) = &done {
        let deed = Deed { operation: Operation::VAULT_PUT, id: String::new(), ..deed.clone() };
        warnings.extend(opened.record(deed, None).await);
    }
    let failure = done.as_ref().err().map(ToString::to_string);
    warnings.extend(opened.record(deed, failure).await);
    done.map(|Done { mut lines, .. }| {
        lines.append(&mut warnings);
        lines
    })
}

/// A request that makes sense.
enum Command {
    List(Option<VaultAddress>),
    Create(KeyId, RsaSize),
    Enable(KeyTarget),
    Disable(KeyTarget),
}

/// What a command came to.
struct Done {
    lines: Vec<String>,
    vault_is_new: bool,
}

impl Command {
    fn parse(request: KeyRequest) -> Outcome<Self> {
        Ok(match request {
            KeyRequest::List { vault } => {
                Self::List(vault.map(|name| name.parse()).transpose().or_fail()?)
            }
            KeyRequest::Create { key, bits } => {
                let Ok(KeyTarget::Key(key)) = key.parse() else {
                    let text = format!("`{key}` does not name a key as `vault/name`");
                    return Err(Failure::text(text));
                };
                let Some(size) = RsaSize::from_bits(bits) else {
                    return Err(Failure::text("an RSA key has 2048, 3072 or 4096 bits"));
                };
                Self::Create(key, size)
            }
            KeyRequest::Enable { key } => Self::Enable(key.parse().or_fail()?),
            KeyRequest::Disable { key } => Self::Disable(key.parse().or_fail()?),
        })
    }

    fn deed(&self) -> Deed {
        let (operation, vault, id, client) = match self {
            Self::List(vault) => {
                (Operation::KEY_LIST, vault.clone(), String::new(), "lockyard vault key list")
            }
            Self::Create(key, _) => (
                Operation::KEY_CREATE,
                Some(key.vault.clone()),
                key.to_string(),
                "lockyard vault key create",
            ),
            Self::Enable(target) => (
                Operation::KEY_UPDATE,
                Some(target.key().vault.clone()),
                target.to_string(),
                "lockyard vault key enable",
            ),
            Self::Disable(target) => (
                Operation::KEY_UPDATE,
                Some(target.key().vault.clone()),
                target.to_string(),
                "lockyard vault key disable",
            ),
        };
        Deed { operation, vault, id, client }
    }

    fn run(self, vault: &Vault) -> Result<Done, VaultError> {
        let mut vault_is_new = false;
        let lines = match self {
            Self::List(only) => list(vault, only)?,
            Self::Create(key, size) => {
                vault_is_new = match vault.create_vault_with_roles(&key.vault) {
                    Ok(()) => true,
                    Err(VaultError::VaultExists(_)) => false,
                    Err(error) => return Err(error),
                };
                let version = vault.create_key(&key, size)?;
                vec![format!("key version `{version}` is made")]
            }
            Self::Enable(target) => {
                vault.enable(&target)?;
                vec![format!("key `{target}` is enabled")]
            }
            Self::Disable(target) => {
                vault.disable(&target)?;
                vec![format!("key `{target}` is disabled")]
            }
        };
        Ok(Done { lines, vault_is_new })
    }
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
