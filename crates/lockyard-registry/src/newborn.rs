//! Upload sessions that have no byte yet, and therefore no row.
//!
//! Half of the requests of a push begin a session that the next request ends. Where one process owns
//! the database, such a session is a place in this process' memory: what would be lost with it is a
//! right to send, and whoever is told that it is gone begins again. With its first byte it gets a
//! row and is as durable as everything. Where several processes share a database, all sessions are
//! rows from the start.
//!
//! Nothing readable is kept here: a repository stands as its blind index, so that a locked registry
//! leaves no name behind.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lockyard_base::{BlindIndex, RegistryId, Timestamp, UploadId};
use lockyard_oci::Algorithm;
use tokio::sync::Notify;

type ByRegistry = HashMap<RegistryId, HashMap<UploadId, Newborn>>;

/// All sessions without a byte.
#[derive(Debug, Default)]
pub(crate) struct Nursery {
    all: Mutex<ByRegistry>,
    /// Told whenever a first step is over.
    settled: Notify,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newborn {
    /// The index of its repository's name.
    pub(crate) repository: BlindIndex,
    /// What its content is hashed with.
    pub(crate) algorithm: Algorithm,
    /// When it is given up.
    pub(crate) expires_at: Timestamp,
    /// Whether its first step is being committed.
    stepping: bool,
}

impl Newborn {
    pub(crate) fn new(repository: BlindIndex, algorithm: Algorithm, expires_at: Timestamp) -> Self {
        Self { repository, algorithm, expires_at, stepping: false }
    }
}

impl Nursery {
    /// Takes a session in, unless the registry has `most` of them; says whether it did.
    pub(crate) fn add(
        &self,
        registry: RegistryId,
        id: UploadId,
        newborn: Newborn,
        most: u64,
    ) -> bool {
        let mut all = self.all();
        let of_registry = all.entry(registry).or_default();
        if of_registry.len() as u64 >= most {
            return false;
        }
        of_registry.insert(id, newborn);
        true
    }

    /// A session.
    pub(crate) fn get(&self, registry: RegistryId, id: UploadId) -> Option<Newborn> {
        self.all().get(&registry)?.get(&id).copied()
    }

    /// Begins the session's first step, which nobody else can begin meanwhile; `None` if somebody
    /// has, or if it is no session without a byte any more.
    pub(crate) fn step(&self, registry: RegistryId, id: UploadId) -> Option<FirstStep<'_>> {
        let mut all = self.all();
        let newborn = all.get_mut(&registry)?.get_mut(&id)?;
        if newborn.stepping {
            return None;
        }
        newborn.stepping = true;
        Some(FirstStep { nursery: self, registry, id })
    }

    /// Drops the sessions of a registry that nobody touched until now; returns how many.
    pub(crate) fn expire(&self, registry: RegistryId, now: Timestamp) -> u64 {
        let mut all = self.all();
        let Some(of_registry) = all.get_mut(&registry) else { return 0 };
        let before = of_registry.len();
        of_registry.retain(|_, newborn| newborn.stepping || newborn.expires_at >= now);
        (before - of_registry.len()) as u64
    }

    /// Waits for the end of a first step that is being committed, and returns the session if it has
    /// no byte even then.
    pub(crate) async fn settled(&self, registry: RegistryId, id: UploadId) -> Option<Newborn> {
        loop {
            // Before the look, so that no end can fall between the two.
            let settled = self.settled.notified();
            let newborn = self.get(registry, id)?;
            if !newborn.stepping {
                return Some(newborn);
            }
            settled.await;
        }
    }

    fn all(&self) -> MutexGuard<'_, ByRegistry> {
        // Never left half-changed.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's first step; unless it is made, the session is as it was when this is dropped.
#[derive(Debug)]
pub(crate) struct FirstStep<'n> {
    nursery: &'n Nursery,
    registry: RegistryId,
    id: UploadId,
}

impl FirstStep<'_> {
    /// The step is committed, or the session is to end: it is none of these any more.
    pub(crate) fn made(self) {
        if let Some(of_registry) = self.nursery.all().get_mut(&self.registry) {
            let _was = of_registry.remove(&self.id);
        }
    }
}

impl Drop for FirstStep<'_> {
    fn drop(&mut self) {
        let mut all = self.nursery.all();
        let newborn = all.get_mut(&self.registry).and_then(|all| all.get_mut(&self.id));
        if let Some(newborn) = newborn {
            newborn.stepping = false;
        }
        drop(all);
        self.nursery.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: RegistryId = RegistryId::from_bytes([1; 16]);
    const AWAY: RegistryId = RegistryId::from_bytes([2; 16]);

    fn id(n: u8) -> UploadId {
        UploadId::from_bytes([n; 16])
    }

    fn newborn(micros: i64) -> Newborn {
        let expires_at = Timestamp::from_micros(micros);
        Newborn::new(BlindIndex::from_bytes([3; 32]), Algorithm::Sha256, expires_at)
    }

    #[test]
    fn a_registry_has_as_many_as_it_may_and_no_more() {
        let nursery = Nursery::default();
        assert!(nursery.add(HOME, id(1), newborn(7), 2));
        assert!(nursery.add(HOME, id(2), newborn(7), 2));
        assert!(!nursery.add(HOME, id(3), newborn(7), 2));
        assert!(nursery.add(AWAY, id(3), newborn(7), 2), "each registry has its own");
        assert_eq!(nursery.get(HOME, id(1)), Some(newborn(7)));
        assert_eq!(nursery.get(HOME, id(3)), None);
    }

    #[test]
    fn of_two_first_steps_one_is_made_and_a_failed_one_may_be_tried_again() {
        let nursery = Nursery::default();
        assert!(nursery.step(HOME, id(1)).is_none());
        assert!(nursery.add(HOME, id(1), newborn(7), 2));
        let first = nursery.step(HOME, id(1)).expect("nobody else");
        assert!(nursery.step(HOME, id(1)).is_none());
        drop(first);
        let second = nursery.step(HOME, id(1)).expect("the first one failed");
        assert_eq!(nursery.expire(HOME, Timestamp::from_micros(99)), 0, "not in mid-step");
        second.made();
        assert!(nursery.step(HOME, id(1)).is_none());
        assert_eq!(nursery.get(HOME, id(1)), None);
    }

    #[test]
    fn what_nobody_touched_goes_when_its_time_is_over() {
        let nursery = Nursery::default();
        assert!(nursery.add(HOME, id(1), newborn(7), 2));
        assert!(nursery.add(HOME, id(2), newborn(8), 2));
        assert_eq!(nursery.expire(HOME, Timestamp::from_micros(7)), 0);
        assert_eq!(nursery.expire(HOME, Timestamp::from_micros(8)), 1);
        assert_eq!(nursery.get(HOME, id(1)), None);
        assert_eq!(nursery.expire(AWAY, Timestamp::from_micros(99)), 0);
    }
}
