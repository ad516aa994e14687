//! `vaults/{name}/accessPolicies/{add|replace|remove}`: edits of the list, not a resource.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::known;
use lockyard_arm::{Body, ResourceId};
use lockyard_audit::Operation;
use lockyard_vault::PolicyEdit;
use serde_json::{Value, json};

use super::{NAMESPACE, Vaults, body::policies, rendered, vault_above};
use crate::{Call, ControlError, Put, provider::Provider, trail::Deed};

/// The provider of `Microsoft.KeyVault/vaults/accessPolicies`.
#[derive(Debug)]
pub(super) struct Policies(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for Policies {
    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let edit = [
            ("add", PolicyEdit::Add),
            ("replace", PolicyEdit::Replace),
            ("remove", PolicyEdit::Remove),
        ];
        let edit = edit.into_iter().find(|(word, _)| id.name().eq_ignore_ascii_case(word));
        let (Some((word, edit)), Some(vault)) = (edit, vault_above(id.scope())) else {
            let message = "access policies are changed with `add`, `replace` or `remove`";
            return Err(ControlError::invalid("BadRequest", message));
        };
        let body = Body::of(body)?;
        let properties = body.object("properties")?;
        properties.refuse_others(&["accessPolicies"])?;
        if properties.list("accessPolicies")?.is_none() {
            return Err(properties.refuse("accessPolicies", "is required").into());
        }
        let entries = policies(&properties)?;
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), vault.clone());
        let work = move |deed: &mut Deed| {
            let write = known::VAULT_POLICY_WRITE;
            let changed = vaults.decided(&asking, &write, at.scope(), |_| {
                let present = vaults.find(&at)?;
                Ok(vaults.vault.edit_policies(&present.name, edit, entries)?)
            })?;
            deed.reason = format!("permission model: {}", changed.model);
            Ok(Put::Replaced(json!({
                "id": format!("{}/accessPolicies/", changed.resource_id()),
                "name": word,
                "type": format!("{NAMESPACE}/vaults/accessPolicies"),
                "location": changed.place.location,
                "properties": { "accessPolicies": rendered::policies(&changed.policies) },
            })))
        };
        let deed = Deed::change(Operation::VAULT_ACCESS_POLICY_CHANGE, &vault).about(id);
        self.0.trail.act(call, deed, work).await
    }
}
