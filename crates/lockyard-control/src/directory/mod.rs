//! The directory's objects, for whoever may see or change them: what Graph shows.
//!
//! Rights over the directory are roles like all others, at the subscription: `directory/read`,
//! `directory/write` and `directory/delete` of `Microsoft.Authorization`. So those who may give
//! roles may manage principals, contributors may not: who can give an application a password can
//! become it. Everybody may see themselves.

mod change;
mod narrow;

use std::{fmt, sync::Arc};

use lockyard_access::{
    ClientId, Directory, PrincipalId, RecordError, Snapshot,
    decision::{Action, known},
    directory::{Application, ApplicationId, ChangeError, NewSecret, Principal, PrincipalKind},
};
use lockyard_arm::{Condition, Scope};
use lockyard_base::Timestamp;
use thiserror::Error;

pub use change::Membership;
use narrow::{application_is, principal_is};

/// A verb on the directory's objects did not happen.
#[derive(Debug, Error)]
pub enum ObjectsError {
    /// The caller may not.
    #[error(
        "you may not do '{0}' at the subscription; somebody who gives roles there can change that"
    )]
    Denied(Action),
    /// There is no such object.
    #[error("there is no {kind} '{name}' here")]
    Missing {
        /// Of which kind.
        kind: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The list cannot be narrowed like this.
    #[error("this list cannot be narrowed by `{0}`")]
    Filter(String),
    /// What was asked makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The change is not possible.
    #[error(transparent)]
    Refused(ChangeError),
    /// A fault of ours; the cause goes to the log.
    #[error("the directory's records failed")]
    Failed(#[source] ChangeError),
    /// Somebody else changed the directory at the same time.
    #[error("somebody else changed this at the same time, ask again")]
    Overtaken,
}

impl From<ChangeError> for ObjectsError {
    fn from(error: ChangeError) -> Self {
        match error {
            // Whoever guards a change tells of its refusal in better words.
            ChangeError::Denied | ChangeError::Record(RecordError::Overtaken) => Self::Overtaken,
            ChangeError::Record(_) | ChangeError::Reload(_) => Self::Failed(error),
            error => Self::Refused(error),
        }
    }
}

/// A password that was made, told once.
#[derive(Debug)]
pub struct Told {
    /// The application that it is of.
    pub application: Application,
    /// Its id.
    pub id: lockyard_access::CredentialId,
    /// The password itself.
    pub secret: NewSecret,
    /// Until when it is valid.
    pub expires: Timestamp,
}

/// The directory's objects.
#[derive(Clone)]
pub struct Objects {
    directory: Arc<Directory>,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Objects")
    }
}

impl Objects {
    /// The objects of a directory.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    /// The directory as it is now, for what an answer says beside its objects.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.directory.snapshot()
    }

    /// The caller, if it is a person.
    pub fn me(&self, caller: PrincipalId) -> Option<Principal> {
        let snapshot = self.directory.snapshot();
        snapshot.principal(caller).filter(|one| one.kind == PrincipalKind::User).cloned()
    }

    /// A principal that `is` of the kind asked for.
    pub fn principal(
        &self,
        caller: PrincipalId,
        kind: &'static str,
        name: &str,
        is: impl Fn(&PrincipalKind) -> bool,
    ) -> Result<Principal, ObjectsError> {
        let snapshot = self.directory.snapshot();
        let id = name.parse::<PrincipalId>().ok();
        let found = match id {
            Some(id) => snapshot.principal(id),
            None => snapshot.by_upn(name),
        };
        let found = found.filter(|one| is(&one.kind));
        if found.is_none_or(|one| one.id != caller) {
            may(&snapshot, caller, &known::DIRECTORY_READ)?;
        }
        found.cloned().ok_or_else(|| ObjectsError::Missing { kind, name: name.to_owned() })
    }

    /// The principals that `is` of the kind asked for and that the filter lets through, by name.
    pub fn principals(
        &self,
        caller: PrincipalId,
        filter: &[Condition],
        is: impl Fn(&PrincipalKind) -> bool,
    ) -> Result<Vec<Principal>, ObjectsError> {
        let snapshot = self.directory.snapshot();
        let mut kept = Vec::new();
        for principal in snapshot.principals().filter(|one| is(&one.kind)) {
            if principal_is(principal, &snapshot, filter)? {
                kept.push(principal.clone());
            }
        }
        // What makes no sense is refused whether or not there is anybody to hold it against.
        narrow::check(filter)?;
        if kept.is_empty() || kept.iter().any(|one| one.id != caller) {
            may(&snapshot, caller, &known::DIRECTORY_READ)?;
        }
        kept.sort_by(|a, b| a.display_name.cmp(&b.display_name).then(a.id.cmp(&b.id)));
        Ok(kept)
    }

    /// The principals with these ids; those that are not here are left out.
    pub fn by_ids(
        &self,
        caller: PrincipalId,
        ids: &[PrincipalId],
    ) -> Result<Vec<Principal>, ObjectsError> {
        let snapshot = self.directory.snapshot();
        if ids.is_empty() || ids.iter().any(|id| *id != caller) {
            may(&snapshot, caller, &known::DIRECTORY_READ)?;
        }
        Ok(ids.iter().filter_map(|id| snapshot.principal(*id)).cloned().collect())
    }

    /// The applications that the filter lets through, by name.
    pub fn applications(
        &self,
        caller: PrincipalId,
        filter: &[Condition],
    ) -> Result<Vec<Application>, ObjectsError> {
        let snapshot = self.directory.snapshot();
        may(&snapshot, caller, &known::DIRECTORY_READ)?;
        narrow::check(filter)?;
        let mut kept = Vec::new();
        for application in snapshot.applications() {
            if application_is(application, filter)? {
                kept.push(application.clone());
            }
        }
        kept.sort_by(|a, b| a.display_name.cmp(&b.display_name).then(a.client.cmp(&b.client)));
        Ok(kept)
    }

    /// An application by its object id.
    pub fn application(
        &self,
        caller: PrincipalId,
        name: &str,
    ) -> Result<Application, ObjectsError> {
        let snapshot = self.directory.snapshot();
        may(&snapshot, caller, &known::DIRECTORY_READ)?;
        by_object_id(&snapshot, name).cloned()
    }

    /// The members of a group.
    pub fn members(
        &self,
        caller: PrincipalId,
        group: &str,
    ) -> Result<Vec<Principal>, ObjectsError> {
        let group = self.principal(caller, "group", group, |kind| *kind == PrincipalKind::Group)?;
        let snapshot = self.directory.snapshot();
        may(&snapshot, caller, &known::DIRECTORY_READ)?;
        Ok(snapshot.members(group.id).into_iter().cloned().collect())
    }

    /// The groups that somebody is in, directly or not; everybody may know their own.
    pub fn groups_of(
        &self,
        caller: PrincipalId,
        name: &str,
    ) -> Result<Vec<PrincipalId>, ObjectsError> {
        let one = self.principal(caller, "object", name, |_| true)?;
        Ok(self.directory.snapshot().groups_of(one.id))
    }
}

/// Refuses unless the caller may do `action` with the directory.
fn may(snapshot: &Snapshot, caller: PrincipalId, action: &Action) -> Result<(), ObjectsError> {
    let scope = Scope::of_subscription(snapshot.subscription().id.guid());
    if snapshot.decide(caller, action, &scope).allows() {
        Ok(())
    } else {
        Err(ObjectsError::Denied(action.clone()))
    }
}

fn by_object_id<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Application, ObjectsError> {
    let id = name.parse::<ApplicationId>().ok();
    let found = id.and_then(|id| snapshot.applications().find(|one| one.id == id));
    found.ok_or_else(|| ObjectsError::Missing { kind: "application", name: name.to_owned() })
}

/// The application of a client id that was just looked up.
fn by_client(snapshot: &Snapshot, client: ClientId) -> Result<Application, ObjectsError> {
    let found = snapshot.application(client).cloned();
    let missing = || ObjectsError::Missing { kind: "application", name: client.to_string() };
    found.ok_or_else(missing)
}
