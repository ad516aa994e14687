//! What operators and the instance itself do to the embedded vault, in the audit trail.
//!
//! These are changes that are made by the time they are recorded. One that can't be recorded is
//! told to whoever asked for it, and is not undone: taking a right away must work on a full disk.

use lockyard_audit::{Audit as _, Event, Operation, Outcome};
use lockyard_base::chain;
use lockyard_keyring::VaultAddress;

use super::{Instance, OpenedVault, blocking_outcome};
use crate::failure::Failure;

/// What was done to the embedded vault.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    /// What.
    pub(crate) operation: Operation,
    /// To which vault; `None` if to all.
    pub(crate) vault: Option<VaultAddress>,
    /// To which object in it.
    pub(crate) id: String,
    /// The command, or what did it.
    pub(crate) client: &'static str,
}

impl Instance {
    /// Records what the instance did by itself; there is nobody to tell if that fails.
    pub(super) async fn trail(&self, deed: Deed, failure: Option<&Failure>) {
        if let Some(warning) =
            self.opened_vault().record(deed, failure.map(ToString::to_string)).await
        {
            tracing::warn!("{warning}");
        }
    }
}

impl OpenedVault {
    /// Records a deed and what came of it; answers with a warning if that fails.
    pub(crate) async fn record(&self, deed: Deed, failure: Option<String>) -> Option<String> {
        let Self { vault, audit } = self.clone();
        let recorded = blocking_outcome(move || {
            let outcome = match failure {
                None => Outcome::ok(),
                Some(text) => Outcome::failed(400, "BadRequest", text),
            };
            let resource = deed.vault.map(|name| vault.audit_resource(&name));
            let mut event = Event::new(deed.operation, resource.unwrap_or_default(), outcome);
            event.request.id = deed.id;
            deed.client.clone_into(&mut event.request.client);
            event.done = true;
            Ok(audit.append_blocking(event).map_err(|error| chain(&error).to_string()))
        });
        let failed = match recorded.await {
            Ok(Ok(_)) => return None,
            Ok(Err(failed)) => failed,
            Err(failure) => failure.to_string(),
        };
        Some(format!("warning: this is not in the audit trail: {failed}"))
    }
}
