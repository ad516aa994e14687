//! Deciding and doing as one step.
//!
//! Whoever decides by a snapshot and changes something afterwards may do what was forbidden in
//! between. Here the question is asked while nobody else can change the directory, of the very state
//! that is changed.

use std::sync::Arc;

use super::{ChangeError, Directory, Snapshot};

/// What must hold of the directory for something to be done.
pub(super) type Guard = Arc<dyn Fn(&Snapshot) -> bool + Send + Sync>;

impl Directory {
    /// The same directory, through which something is changed only if `may` holds of the state that
    /// is changed; else the change fails with [`ChangeError::Denied`].
    #[must_use]
    pub fn only_if(&self, may: impl Fn(&Snapshot) -> bool + Send + Sync + 'static) -> Self {
        Self {
            records: self.records.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            cost: self.cost,
            present: Arc::clone(&self.present),
            writer: Arc::clone(&self.writer),
            changes: self.changes.clone(),
            turns: Arc::clone(&self.turns),
            remembered: Arc::clone(&self.remembered),
            guard: Some(Arc::new(may)),
        }
    }

    /// Does something that is kept elsewhere, while nobody can change the directory. `work` must not
    /// change it either, and should be short. Blocks.
    pub fn unchanged<T, E: From<ChangeError>>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let writer = self.certain()?;
        self.check_guard(&self.snapshot())?;
        let done = work();
        drop(writer);
        done
    }

    /// Asks the guard, if there is one; whoever calls this holds the right to write.
    pub(super) fn check_guard(&self, snapshot: &Snapshot) -> Result<(), ChangeError> {
        match &self.guard {
            Some(may) if !may(snapshot) => Err(ChangeError::Denied),
            Some(_) | None => Ok(()),
        }
    }
}
