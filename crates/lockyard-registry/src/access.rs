//! The one place that decides what a caller may do with a registry. Pure.
//!
//! Every verb asks here, beside its effect. Principals, roles and scopes replace [`Caller`] when
//! the directory arrives; the question stays.

use crate::RegistryError;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Nobody that we know.
    Anonymous,
    /// A process on this machine, over the loopback listener that needs no login.
    Loopback,
    /// The owner of this instance, who proved it with the owner's credentials.
    Owner,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read blobs, manifests, tags and referrers.
    Pull,
    /// Add blobs, manifests and tags.
    Push,
    /// Take manifests, tags and blobs away.
    Delete,
    /// See the names of all repositories.
    Catalog,
}

/// Decides whether `caller` may do `action`; denies by default.
///
/// The loopback listener serves the default registry only, which its face takes care of; here a
/// loopback caller may do all that its owner may.
pub fn decide(caller: Caller, action: Action) -> Result<(), RegistryError> {
    match (caller, action) {
        (
            Caller::Owner | Caller::Loopback,
            Action::Pull | Action::Push | Action::Delete | Action::Catalog,
        ) => Ok(()),
        (Caller::Anonymous, _) => Err(RegistryError::Unauthorized),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_without_a_name_may_do_nothing() {
        for action in [Action::Pull, Action::Push, Action::Delete, Action::Catalog] {
            assert!(matches!(decide(Caller::Anonymous, action), Err(RegistryError::Unauthorized)));
            assert!(decide(Caller::Owner, action).is_ok());
            assert!(decide(Caller::Loopback, action).is_ok());
        }
    }
}
