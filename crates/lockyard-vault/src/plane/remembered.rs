//! What uses of keys found, remembered until anything in the vaults changes.
//!
//! A use reads three rows that are nearly always those that the use before has read. What was found
//! is good for as long as no transaction was committed since before it was read: this process alone
//! writes the database, and every commit raises a number before its verb returns. So whoever uses a
//! key after a change was acknowledged never meets what was before it. Only what is there is
//! remembered; nothing here says that something is missing, and nothing here decides.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockyard_keyring::{KeyName, KeyVersionName, VaultAddress, VersionedKeyId};

use crate::{
    keys::{FoundKey, FoundVersion},
    vaults::FoundVault,
};

/// A version of a live key of a live vault.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) vault: Arc<FoundVault>,
    pub(super) id: VersionedKeyId,
    pub(super) key: FoundKey,
    pub(super) version: FoundVersion,
}

/// How a version was asked for: as the client spells it, the newest one without its name.
pub(super) type Wanted = (VaultAddress, KeyName, Option<KeyVersionName>);

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    /// After which commit it was read.
    commit: u64,
    found: HashMap<Wanted, Arc<Found>>,
}

impl Remembered {
    /// The most versions that are remembered; a few KiB each.
    const MAX: usize = 1024;

    /// What was found, if `commit` is still the number of the last commit.
    pub(super) fn find(&self, commit: u64, wanted: &Wanted) -> Option<Arc<Found>> {
        let memory = self.memory();
        if memory.commit == commit { memory.found.get(wanted).map(Arc::clone) } else { None }
    }

    /// Remembers what a transaction found that began when `commit` was the last.
    pub(super) fn keep(&self, commit: u64, wanted: Wanted, found: &Arc<Found>) {
        let mut memory = self.memory();
        if memory.commit > commit {
            return;
        }
        if memory.commit < commit || memory.found.len() >= Self::MAX {
            memory.found.clear();
        }
        memory.commit = commit;
        memory.found.insert(wanted, Arc::clone(found));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
