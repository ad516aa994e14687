//! Managed HSMs, of which there are none: az asks for them beside vaults (az-wire 5.1).

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::known;
use lockyard_arm::Scope;
use serde_json::Value;

use super::Vaults;
use crate::{Call, ControlError, provider::Provider, subscription};

/// A list of nothing, for whoever sees the subscription.
#[derive(Debug)]
pub(super) struct None(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for None {
    async fn list(&self, call: &Call, under: &Scope) -> Result<Vec<Value>, ControlError> {
        let snapshot = self.0.directory.snapshot();
        if !subscription::is_visible(call, &snapshot) {
            super::may(call, &snapshot, &known::VAULT_READ, under)?;
        }
        Ok(Vec::new())
    }
}
