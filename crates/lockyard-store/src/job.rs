//! A write as the engines see it: something to run, perhaps more than once, and to answer at last.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{CommitGuard, Durability, StoreError, Txn};

/// A write whose types are erased, so that one batch can hold many kinds.
pub(crate) trait Job: Send + fmt::Debug {
    /// Whether the guard still permits this write; once refused is refused for good.
    fn permitted(&mut self) -> bool;
    /// What its answer promises.
    fn durability(&self) -> Durability;
    /// Runs the work and returns whether its writes are to be kept.
    fn run(&mut self, txn: &mut Txn<'_>) -> bool;
    /// Puts `error` in the place of whatever the work answered.
    fn fail(&mut self, error: StoreError);
    /// Sends the answer; for a write that was kept, only after its commit.
    fn answer(self: Box<Self>);
}

struct Write<T, E, W> {
    durability: Durability,
    guard: Option<Arc<dyn CommitGuard>>,
    refused: bool,
    work: W,
    outcome: Result<T, E>,
    reply: Box<dyn FnOnce(Result<T, E>) + Send>,
}

/// Makes a job of a closure and of what takes its answer.
pub(crate) fn write<T, E>(
    durability: Durability,
    guard: Option<Arc<dyn CommitGuard>>,
    work: impl FnMut(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    reply: impl FnOnce(Result<T, E>) + Send + 'static,
) -> Box<dyn Job>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let outcome = Err(StoreError::Closed.into());
    Box::new(Write { durability, guard, refused: false, work, outcome, reply: Box::new(reply) })
}

impl<T, E, W> fmt::Debug for Write<T, E, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Write").finish_non_exhaustive()
    }
}

impl<T, E, W> Job for Write<T, E, W>
where
    T: Send,
    E: From<StoreError> + Send,
    W: FnMut(&mut Txn<'_>) -> Result<T, E> + Send,
{
    fn permitted(&mut self) -> bool {
        let permits = |guard: &Arc<dyn CommitGuard>| {
            // A guard that panics permits nothing.
            catch_unwind(AssertUnwindSafe(|| guard.permits())).unwrap_or(false)
        };
        self.refused = self.refused || !self.guard.as_ref().is_none_or(permits);
        !self.refused
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn run(&mut self, txn: &mut Txn<'_>) -> bool {
        self.outcome = settled(txn, &mut self.work);
        self.outcome.is_ok()
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Err(error.into());
    }

    fn answer(self: Box<Self>) {
        (self.reply)(self.outcome);
    }
}

/// Runs a closure; a panic and an `Ok` over a failed statement become errors.
pub(crate) fn settled<T, E: From<StoreError>>(
    txn: &mut Txn<'_>,
    work: impl FnOnce(&mut Txn<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let outcome = catch_unwind(AssertUnwindSafe(|| work(txn)));
    match outcome {
        Err(_) => {
            tracing::error!("a transaction's code panicked; the transaction is rolled back");
            Err(StoreError::Panicked.into())
        }
        Ok(Ok(_)) if txn.trouble().is_some() => Err(StoreError::Spoiled.into()),
        Ok(outcome) => outcome,
    }
}
