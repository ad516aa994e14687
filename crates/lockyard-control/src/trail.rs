//! Doing and recording: every operation on a vault, and every change of who has which role, of an
//! identity and of a resource group, is in the audit trail before anybody learns its result.
//!
//! Both happen on one blocking thread, which nothing cancels: a client that goes away while a verb
//! is under way keeps it out of no trail.

use std::{fmt, sync::Arc};

use lockyard_audit::{Audit, Event, Operation, Outcome};
use lockyard_base::{BootInstant, Clock, chain};

use crate::{Call, ControlError};

/// Records what the control plane does.
#[derive(Clone)]
pub(crate) struct Trail {
    audit: Arc<dyn Audit>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

/// What is about to be done.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    operation: Operation,
    resource: String,
    id: String,
    changes: bool,
    counted: bool,
    /// What there is to say about why or how; whoever does it may add it.
    pub(crate) reason: String,
}

impl Deed {
    /// Looks at something: what cannot be recorded is refused.
    pub(crate) fn read(operation: Operation, resource: impl ToString) -> Self {
        let (resource, reason) = (resource.to_string(), String::new());
        Self { operation, id: resource.clone(), resource, changes: false, counted: false, reason }
    }

    /// Changes something: once it is done, it is done.
    pub(crate) fn change(operation: Operation, resource: impl ToString) -> Self {
        Self { changes: true, ..Self::read(operation, resource) }
    }

    /// The same, but of refusals that are alike the first is recorded and the others are counted:
    /// anybody who can sign in may try (decision 0012).
    pub(crate) fn refusals_counted(self) -> Self {
        Self { counted: true, ..self }
    }

    /// The same to this resource, now that it is known.
    pub(crate) fn at(self, resource: impl ToString) -> Self {
        Self { resource: resource.to_string(), ..self }
    }

    /// The same about something inside the resource.
    pub(crate) fn about(self, id: impl ToString) -> Self {
        Self { id: id.to_string(), ..self }
    }
}

impl Trail {
    pub(crate) fn new(audit: Arc<dyn Audit>, clock: Arc<dyn Clock>) -> Self {
        Self { audit, clock }
    }

    /// Does something where blocking is allowed and records it before anybody learns the result.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        call: &Call,
        deed: Deed,
        work: impl FnOnce(&mut Deed) -> Result<T, ControlError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let (this, call) = (self.clone(), call.clone());
        let task = tokio::task::spawn_blocking(move || this.act_blocking(&call, deed, work));
        match task.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Does what [`Trail::act`] does and blocks the thread.
    pub(crate) fn act_blocking<T>(
        &self,
        call: &Call,
        mut deed: Deed,
        work: impl FnOnce(&mut Deed) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let began = self.clock.boot();
        let done = work(&mut deed);
        let (changed, counted) = (deed.changes && done.is_ok(), deed.counted && done.is_err());
        let event = self.event(call, deed, began, done.as_ref().err());
        let recorded = if counted {
            self.audit.append_first_blocking(event)
        } else {
            self.audit.append_blocking(event)
        };
        // A refusal is a refusal, recorded or not; a change that is made cannot be unmade, and the
        // trail itself says in the log that it has lost one.
        match (done, recorded) {
            (Ok(_), Err(error)) if !changed => Err(ControlError::Unrecorded(error)),
            (done, _) => done,
        }
    }

    fn event(
        &self,
        call: &Call,
        deed: Deed,
        began: BootInstant,
        failure: Option<&ControlError>,
    ) -> Event {
        let outcome = failure.map_or_else(Outcome::ok, |error| {
            let (status, code) = error.code();
            Outcome::failed(status, code, chain(error).to_string())
        });
        let mut event = Event::new(deed.operation, deed.resource, outcome);
        event.took = self.clock.boot().since(began);
        event.done = deed.changes && failure.is_none();
        event.reason = deed.reason;
        event.operation_version = call.version.to_string();
        event.correlation.clone_from(&call.origin.correlation);
        event.caller.clone_from(&call.origin.caller);
        event.caller.object_id = call.caller.to_string();
        event.request.clone_from(&call.origin.request);
        event.request.id = deed.id;
        event
    }
}

/// What the trail says of roles that went with the place where they were given.
pub(crate) fn dropped(roles: usize) -> String {
    format!("{roles} role assignments at it were dropped")
}
