//! The one place that decides what a caller may do with a registry. Does no I/O.
//!
//! Every verb asks here, beside its effect, with the directory as it is at that moment: a role, a
//! secret or a principal that was taken away counts no more, whatever tokens are still about.
//! A token can only narrow what its holder may do.

use std::{fmt, sync::Arc};

use lockyard_access::{
    Directory, Snapshot,
    decision::{Action, known},
    registry_token::{Access, Holder, Verb, Verbs},
};
use lockyard_base::Timestamp;
use lockyard_oci::RepositoryName;
use thiserror::Error;

use crate::{RegistryEntry, RegistryError};

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody that we know.
    Anonymous,
    /// A process on this machine, over the loopback listener that needs no login.
    Loopback,
    /// Somebody in the directory.
    Known(Known),
}

/// Somebody who proved who they are.
#[derive(Clone)]
pub struct Known {
    /// The directory that knows them.
    pub directory: Arc<Directory>,
    /// Who they are, and what they proved it with.
    pub holder: Holder,
    /// When they proved it, or when the token was issued that says so.
    pub proven: Timestamp,
    /// What they limited themselves to when they asked for their token.
    pub limit: Option<Arc<Access>>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// Why somebody must log in, or log in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LoginNeeded {
    /// Nobody said who they are.
    #[error("a login is needed")]
    Absent,
    /// Who they are, or what they proved it with, was taken away since.
    #[error("this login has ended: its account or its secret was disabled, replaced or removed")]
    Ended,
    /// They may, but their token is not for this.
    #[error("the token is not for this, ask for one with this scope")]
    Limited,
}

/// Decides whether `caller` may do `verb` with a repository, or with the registry as a whole;
/// denies by default.
///
/// The loopback listener serves the default registry only, which its face takes care of; here a
/// loopback caller may do all that its owner may.
pub fn decide(
    caller: &Caller,
    verb: Verb,
    repository: Option<&RepositoryName>,
    registry: &RegistryEntry,
) -> Result<(), RegistryError> {
    let known = match caller {
        Caller::Loopback => return Ok(()),
        Caller::Anonymous if is_public(registry, verb) => return Ok(()),
        Caller::Anonymous => return Err(RegistryError::Unauthorized(LoginNeeded::Absent)),
        Caller::Known(known) => known,
    };
    let snapshot = known.directory.snapshot();
    stands(&snapshot, known)?;
    if !is_public(registry, verb) && !grants(&snapshot, known.holder, verb, registry) {
        return Err(RegistryError::Denied(verb));
    }
    match &known.limit {
        Some(limit) if !limit.permits(repository.map(RepositoryName::as_str), verb) => {
            Err(RegistryError::Unauthorized(LoginNeeded::Limited))
        }
        _ => Ok(()),
    }
}

/// Whether who proved themselves then are still here now, with what they proved it with.
pub fn check_standing(caller: &Caller) -> Result<(), LoginNeeded> {
    match caller {
        Caller::Loopback => Ok(()),
        Caller::Anonymous => Err(LoginNeeded::Absent),
        Caller::Known(known) => stands(&known.directory.snapshot(), known),
    }
}

/// All that `caller` may do with the repositories of a registry now, whatever its token says.
pub fn verbs_of(caller: &Caller, registry: &RegistryEntry) -> Verbs {
    let all = Verb::OF_REPOSITORY.into_iter().chain([Verb::Catalog]);
    match caller {
        Caller::Loopback => all.collect(),
        Caller::Anonymous => all.filter(|verb| is_public(registry, *verb)).collect(),
        Caller::Known(known) => {
            let snapshot = known.directory.snapshot();
            let may = |verb: &Verb| {
                is_public(registry, *verb) || grants(&snapshot, known.holder, *verb, registry)
            };
            if stands(&snapshot, known).is_ok() {
                all.filter(may).collect()
            } else {
                Verbs::default()
            }
        }
    }
}

fn stands(snapshot: &Snapshot, known: &Known) -> Result<(), LoginNeeded> {
    let Holder { principal, credential } = known.holder;
    let stands = snapshot.principal(principal).is_some_and(|one| {
        one.enabled
            && one.sessions_valid_from <= known.proven
            && snapshot.has_credential(principal, credential)
    });
    if stands { Ok(()) } else { Err(LoginNeeded::Ended) }
}

fn grants(snapshot: &Snapshot, holder: Holder, verb: Verb, registry: &RegistryEntry) -> bool {
    let scope = registry.scope(snapshot.subscription().id.guid());
    snapshot.decide(holder.principal, &action(verb), &scope).allows()
}

/// What everybody may do with a registry whose pulls are anonymous.
fn is_public(registry: &RegistryEntry, verb: Verb) -> bool {
    registry.anonymous_pull() && action(verb) == known::REGISTRY_PULL
}

/// The action that a verb is, in Azure's words.
///
/// Roles hold for a whole registry, so whoever may pull everything may see the names of it too.
/// Nothing that was deleted can be seen or come back yet; what the words are granted by is what
/// takes things away.
fn action(verb: Verb) -> Action {
    match verb {
        Verb::Pull | Verb::MetadataRead | Verb::Catalog => known::REGISTRY_PULL,
        Verb::Push | Verb::MetadataWrite => known::REGISTRY_PUSH,
        Verb::Delete | Verb::DeletedRead | Verb::DeletedRestore => known::REGISTRY_ARTIFACT_DELETE,
    }
}

/// What a verb is called in the refusal that a person reads, and the role that brings it.
pub(crate) fn in_words(verb: Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Pull | Verb::MetadataRead => ("pull from this registry", "AcrPull"),
        Verb::Push | Verb::MetadataWrite => ("push to this registry", "AcrPush"),
        Verb::Delete | Verb::DeletedRead | Verb::DeletedRestore => {
            ("delete from this registry", "AcrDelete")
        }
        Verb::Catalog => ("list the repositories of this registry", "AcrPull"),
    }
}

/// Stands before the verbs of one open registry.
#[derive(Clone, Debug)]
pub(crate) enum Gate {
    /// The house itself and its operator: nothing is denied.
    Inside,
    /// A caller from outside.
    Guarded { caller: Caller, registry: Arc<RegistryEntry> },
}

impl Gate {
    /// Decides whether `verb` may be done now.
    pub(crate) fn check(
        &self,
        verb: Verb,
        repository: Option<&RepositoryName>,
    ) -> Result<(), RegistryError> {
        match self {
            Self::Inside => Ok(()),
            Self::Guarded { caller, registry } => decide(caller, verb, repository, registry),
        }
    }

    /// Whether what comes through was limited to some repositories.
    pub(crate) fn is_limited(&self) -> bool {
        match self {
            Self::Inside => false,
            Self::Guarded { caller, .. } => {
                matches!(caller, Caller::Known(Known { limit: Some(_), .. }))
            }
        }
    }
}

impl From<LoginNeeded> for RegistryError {
    fn from(needed: LoginNeeded) -> Self {
        Self::Unauthorized(needed)
    }
}
