//! Doing and recording: every verb of the data plane goes through [`Asked::act`].
//!
//! Both happen on a thread of their own, which nothing cancels: a client that goes away while a verb
//! is under way keeps it out of no trail.

use std::{net::IpAddr, net::Ipv4Addr, sync::Arc};

use http::{StatusCode, header, request::Parts};
use lockyard_audit::{Event, Operation, Outcome};
use lockyard_base::chain;
use lockyard_vault::{
    Caller, DataPlane, DeletedKey, KeyBundle, KeyItem, Output, Page, RotationPolicy, Source,
    VaultError,
};
use tokio::{sync::oneshot, task::spawn_blocking};
use zeroize::Zeroizing;

use super::{Asked, failure::VaultFailure, query::Query};
use crate::trace::Correlation;

/// Where a request came from, as the trail has it.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    peer: Option<IpAddr>,
    client: String,
    target: String,
    correlation: String,
    version: String,
}

impl Origin {
    pub(super) fn new(
        peer: Option<IpAddr>,
        parts: &Parts,
        correlation: &Correlation,
        query: &Query,
    ) -> Self {
        let agent = parts.headers.get(header::USER_AGENT);
        Self {
            peer,
            client: agent.and_then(|agent| agent.to_str().ok()).unwrap_or_default().to_owned(),
            target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            correlation: correlation.to_string(),
            version: query.version.clone(),
        }
    }
}

/// What is about to be done.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    operation: Operation,
    id: String,
    changes: bool,
}

impl Deed {
    /// Looks at something, or uses it: what cannot be recorded is refused.
    pub(super) fn read(operation: Operation, id: impl ToString) -> Self {
        Self { operation, id: id.to_string(), changes: false }
    }

    /// Changes something: once it is done, it is done.
    pub(super) fn change(operation: Operation, id: impl ToString) -> Self {
        Self { operation, id: id.to_string(), changes: true }
    }
}

/// A result that may know which version it is about.
pub(super) trait About {
    /// The version, as the trail names it.
    fn version(&self) -> Option<String> {
        None
    }
}

impl About for () {}
impl About for Vec<u8> {}
impl About for Zeroizing<Vec<u8>> {}
impl About for Page<KeyItem> {}
impl About for RotationPolicy {}

impl About for KeyBundle {
    fn version(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl About for DeletedKey {
    fn version(&self) -> Option<String> {
        Some(self.bundle.id.to_string())
    }
}

impl<T> About for Output<T> {
    fn version(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl Asked<'_> {
    /// Does something as the caller and records it before anybody learns the result.
    ///
    /// A change and its record are one piece of work on a blocking thread, which runs to its end
    /// even while the process shuts down. Whatever else is done takes its turn at the workers and
    /// waits for its record without a thread: cut off in between, its result has been given to
    /// nobody.
    pub(super) async fn act<T: About + Send + 'static>(
        &self,
        deed: Deed,
        work: impl FnOnce(&DataPlane<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultFailure> {
        let (vaults, name, caller) = (self.faces.vaults.clone(), self.vault.clone(), self.caller());
        let event = self.event(&deed, &caller);
        let clock = Arc::clone(&self.faces.clock);
        let began = clock.boot();
        let audit = Arc::clone(&vaults.audit);
        let doing = move || {
            let plane = vaults.vault.data_plane(&name, caller, &*vaults.roles);
            let result = work(&plane);
            let took = clock.boot().since(began);
            let event = Event { resource: plane.audit_resource(), took, ..event };
            (told(event, &result, deed.changes), result)
        };
        if deed.changes {
            let changing = spawn_blocking(move || {
                let (event, result) = doing();
                let recorded = audit.append_blocking(event);
                // A change that is made cannot be unmade, and the trail itself says in the log that
                // it has lost one.
                drop(recorded);
                result.map_err(VaultFailure::from)
            });
            return changing.await.map_err(VaultFailure::fault)?;
        }
        let (tell, told) = oneshot::channel();
        self.faces.vaults.workers.begin(move || {
            let (event, result) = doing();
            let then = move |recorded| drop(tell.send((result, recorded)));
            audit.append_then(event, Box::new(then));
        });
        match told.await {
            // A refusal is a refusal, recorded or not.
            Ok((Err(refusal), _)) => Err(VaultFailure::from(refusal)),
            Ok((Ok(value), Ok(_))) => Ok(value),
            Ok((Ok(_), Err(error))) => Err(VaultFailure::unrecorded(&error)),
            // The work panicked.
            Err(ended) => Err(VaultFailure::fault(ended)),
        }
    }

    /// The caller, as the vault knows callers.
    fn caller(&self) -> Caller {
        let (token, snapshot) = (&self.caller, self.faces.directory.snapshot());
        let groups = snapshot.groups_of(token.principal);
        Caller {
            tenant: token.tenant.guid(),
            object: token.principal.guid(),
            application: Some(token.client.guid()),
            groups: groups.into_iter().map(lockyard_access::PrincipalId::guid).collect(),
            resource: token.resource().map(ToString::to_string),
            // Whoever has no address, as nobody on a socket has, is let in nowhere by address.
            source: Source::Address(self.origin.peer.unwrap_or(Ipv4Addr::UNSPECIFIED.into())),
        }
    }

    fn event(&self, deed: &Deed, caller: &Caller) -> Event {
        let origin = &self.origin;
        let mut event = Event::new(deed.operation, String::new(), Outcome::ok());
        event.operation_version.clone_from(&origin.version);
        event.correlation.clone_from(&origin.correlation);
        event.caller.address = origin.peer.map(|address| address.to_canonical());
        event.caller.object_id = caller.object.to_string();
        event.caller.application_id = self.caller.client.to_string();
        event.caller.managed_identity = caller.resource.clone().unwrap_or_default();
        event.request.client.clone_from(&origin.client);
        event.request.uri = self.urls.of(&origin.target);
        event.request.id.clone_from(&deed.id);
        event
    }
}

/// The event with what came of it.
fn told<T: About>(mut event: Event, result: &Result<T, VaultError>, changes: bool) -> Event {
    match result {
        Ok(value) => {
            event.outcome = Outcome::ok();
            event.request.id = value.version().unwrap_or(event.request.id);
            event.done = changes;
        }
        Err(error) => {
            let code = error.code();
            event.outcome = Outcome::failed(code.status, code.code, chain(error).to_string());
        }
    }
    event
}

/// The status of an answer without a body.
pub(super) const NOTHING: StatusCode = StatusCode::NO_CONTENT;
