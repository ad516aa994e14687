//! The directory: who there is, how they prove it, which groups they are in, which roles they have.
//!
//! All of it is in memory as one immutable [`Snapshot`] and at rest as sealed records. Every change
//! goes through one function: it edits a draft, holds the draft against every limit, commits what
//! differs in one transaction, and only then puts the new snapshot in the old one's place. So the
//! snapshot is never ahead of what is durable, and, since one process owns a data directory, never
//! behind it.
//!
//! Verbs that change something block: call them through [`Directory::blocking`].
//!
//! Invariant: no secret and no password is kept, only what proves it; a [`Proof`] is made in this
//! crate alone.

mod application;
mod applications;
mod certificate;
mod check;
mod error;
mod found;
mod grants;
mod groups;
mod guard;
mod id;
pub mod limit;
mod lockout;
mod password;
mod people;
mod principal;
mod prove;
mod remembered;
mod row;
mod secret;
mod snapshot;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use lockyard_base::{Clock, Entropy, Timestamp};
use tokio::sync::watch;

pub use application::{Application, FederatedCredential};
pub use applications::{NewApplication, NewFederated};
pub use certificate::{CertificateError, ClientCertificate};
pub use error::{ChangeError, DirectoryError, ProveError, Thing};
pub use found::{Founding, OwnerReset};
pub use grants::NewAssignment;
pub use id::{ApplicationId, ClientId, CredentialId, SubscriptionId, TenantId};
pub use password::Cost;
pub use people::NewUser;
pub use principal::{Principal, PrincipalKind};
pub use prove::{Method, Proof};
pub use secret::{ClientSecret, NewSecret, Presented};
pub use snapshot::{Snapshot, Subscription};

use self::{guard::Guard, prove::Turns, remembered::Remembered, snapshot::State};
use crate::{RecordError, Records};

/// Everybody, and what they may do.
pub struct Directory {
    records: Records,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cost: Cost,
    present: Arc<RwLock<Arc<Snapshot>>>,
    writer: Arc<Mutex<Writer>>,
    changes: watch::Sender<u64>,
    turns: Arc<Turns>,
    remembered: Arc<Remembered>,
    /// What must hold for a change to be made through this one.
    guard: Option<Guard>,
}

/// What only whoever writes may touch.
#[derive(Debug, Default)]
struct Writer {
    /// The last write failed in a way that leaves open whether it was kept, and reading it again
    /// failed too.
    uncertain: bool,
}

impl Directory {
    /// Reads the directory; blocks.
    pub fn open(
        records: Records,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Arc<Self>, DirectoryError> {
        Self::open_at_cost(records, clock, entropy, Cost::default())
    }

    /// Does what [`Directory::open`] does, with another cost of passwords that are given from now
    /// on.
    pub fn open_at_cost(
        records: Records,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        cost: Cost,
    ) -> Result<Arc<Self>, DirectoryError> {
        let (state, seal) = records.read_blocking(row::load)?.ok_or(DirectoryError::Unfounded)?;
        check::state(&state).map_err(|_| DirectoryError::Damaged)?;
        let version = state.house.version;
        let present = Arc::new(RwLock::new(Arc::new(Snapshot::new(state, seal))));
        let turns = Arc::new(Turns::new(cost, &*entropy));
        let remembered = Arc::new(Remembered::new(&*entropy));
        let (changes, _) = watch::channel(version);
        let writer = Arc::default();
        Ok(Arc::new(Self {
            records,
            clock,
            entropy,
            cost,
            present,
            writer,
            changes,
            turns,
            remembered,
            guard: None,
        }))
    }

    /// The directory as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of each change, after its snapshot can be had; the value is its version.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs a verb where blocking is allowed.
    ///
    /// It runs to its end even if the returned future is dropped. A panic in it goes on here.
    pub async fn blocking<T, E>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let this = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The one way in which anything changes.
    ///
    /// A guard is asked of the state that the draft is made from. `edit` runs once, on the draft; if
    /// it fails or the draft breaks a limit, nothing happened. If
    /// the commit fails, the rows are read again, because whether it was kept may be open.
    fn change<T>(
        &self,
        edit: impl FnOnce(&mut State) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let mut writer = self.certain()?;
        let before = self.snapshot();
        self.check_guard(&before)?;
        let mut draft = before.state.clone();
        let answer = edit(&mut draft)?;
        let edits = row::difference(Some(&before.state), &draft);
        if edits.is_empty() {
            return Ok(answer);
        }
        check::state(&draft)?;
        draft.house.version += 1;
        let (house, seen) = (row::house(&draft.house), before.seal);
        let committed = self.records.write_blocking(move |txn| {
            if !txn.replace_if(row::HOUSE, b"", seen, &house)? {
                return Err(RecordError::Overtaken);
            }
            edits.iter().try_for_each(|edit| edit.apply(txn))?;
            let house = txn.get(row::HOUSE, b"")?.ok_or(RecordError::Overtaken)?;
            Ok(house.seal)
        });
        match committed {
            Ok(seal) => {
                self.put(Snapshot::new(draft, seal));
                Ok(answer)
            }
            Err(error) => {
                writer.uncertain = self.reload().is_err();
                Err(error.into())
            }
        }
    }

    /// Takes over what the rows say.
    fn reload(&self) -> Result<(), DirectoryError> {
        let loaded = self.records.read_blocking(row::load)?;
        let (state, seal) = loaded.ok_or(DirectoryError::Unfounded)?;
        check::state(&state).map_err(|_| DirectoryError::Damaged)?;
        if state.house.version != self.snapshot().version() {
            self.put(Snapshot::new(state, seal));
        }
        Ok(())
    }

    fn put(&self, snapshot: Snapshot) {
        let version = snapshot.version();
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        *present = Arc::new(snapshot);
        drop(present);
        self.changes.send_replace(version);
    }

    /// The right to write, once the snapshot is certainly what is at rest.
    fn certain(&self) -> Result<MutexGuard<'_, Writer>, ChangeError> {
        // A change that panicked had not put its snapshot yet.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.uncertain {
            self.reload().map_err(|error| ChangeError::Reload(Box::new(error)))?;
            writer.uncertain = false;
        }
        Ok(writer)
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("present", &self.snapshot()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
