//! `checkNameAvailability`: whether a vault could have a name.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::known;
use lockyard_arm::{Body, Scope};
use lockyard_vault::NameAvailability;
use serde_json::{Value, json};

use super::{VAULTS, Vaults};
use crate::{Acted, Call, ControlError, provider::Provider};

/// Who answers.
#[derive(Debug)]
pub(super) struct Names(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for Names {
    async fn ask(&self, call: &Call, at: &Scope, body: &Value) -> Result<Acted, ControlError> {
        self.0.seen(call, &known::VAULT_NAME_READ, at)?;
        let body = Body::of(body)?;
        if !body.required("type")?.eq_ignore_ascii_case(VAULTS) {
            return Err(body.refuse("type", "must be `Microsoft.KeyVault/vaults`").into());
        }
        let (vaults, name) = (Arc::clone(&self.0), body.required("name")?.to_owned());
        let checked = self.0.directory.blocking(move |_| {
            let availability = vaults.vault.check_name(&name)?;
            Ok::<_, ControlError>((availability, name))
        });
        let (availability, name) = checked.await?;
        Ok(Acted::Told(match availability {
            NameAvailability::Available => json!({ "nameAvailable": true }),
            NameAvailability::Invalid => json!({
                "nameAvailable": false,
                "reason": "AccountNameInvalid",
                "message": "a vault's name has 3 to 24 letters, digits and single hyphens, begins \
                            with a letter and ends with a letter or digit",
            }),
            NameAvailability::Taken => json!({
                "nameAvailable": false,
                "reason": "AlreadyExists",
                "message": format!(
                    "the name '{name}' is taken by a vault, which may be deleted and not yet purged"
                ),
            }),
        }))
    }
}
