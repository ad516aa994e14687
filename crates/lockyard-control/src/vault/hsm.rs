//! Managed HSMs, of which there are none: az asks for them beside vaults (az-wire 5.1).

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::known;
use lockyard_arm::Scope;
use serde_json::{Value, json};

use super::Vaults;
use crate::{Acted, Call, ControlError, Page, provider::Provider, subscription};

/// Lists of nothing, for whoever sees the subscription, and no name for something new.
#[derive(Debug)]
pub(super) struct None(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for None {
    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = self.0.directory.snapshot();
        if !subscription::is_visible(call, &snapshot) {
            super::may(call, &snapshot, &known::VAULT_READ, under)?;
        }
        Ok(Page::whole(Vec::new()))
    }

    /// `checkMhsmNameAvailability`: no name is to be had.
    async fn ask(&self, call: &Call, at: &Scope, _body: &Value) -> Result<Acted, ControlError> {
        self.0.seen(call, &known::VAULT_NAME_READ, at)?;
        Ok(Acted::Told(json!({
            "nameAvailable": false,
            "reason": "AccountNameInvalid",
            "message": "there are no managed HSMs here; a key vault takes keys of the kinds RSA-HSM \
                        and EC-HSM and says that they are software",
        })))
    }
}
