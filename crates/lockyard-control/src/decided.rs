//! Deciding and doing as one step, for every verb that changes something.
//!
//! The decision is asked first, so that whoever may not costs nothing and hears nothing; and once
//! more while the directory cannot change, of the state in which the effect takes place.

use std::sync::{Arc, Mutex, PoisonError};

use lockyard_access::{Directory, Snapshot, directory::ChangeError};

use crate::ControlError;

/// Changes the directory if `decide` allows it. The outer error is the decision's, the inner one the
/// change's.
pub(crate) async fn change<T, E>(
    directory: &Arc<Directory>,
    decide: impl Fn(&Snapshot) -> Result<(), E> + Send + Sync + 'static,
    work: impl FnOnce(&Directory) -> Result<T, ChangeError> + Send + 'static,
) -> Result<Result<T, ChangeError>, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    decide(&directory.snapshot())?;
    let refusal = Arc::new(Mutex::new(None));
    let told = Arc::clone(&refusal);
    let guarded = directory.only_if(move |snapshot| match decide(snapshot) {
        Ok(()) => true,
        Err(error) => {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            false
        }
    });
    let done = Arc::new(guarded).blocking(work).await;
    let refused = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    refused.map_or(Ok(done), Err)
}

/// Does something that is kept outside of the directory, if `decide` allows it.
pub(crate) async fn effect<T: Send + 'static>(
    directory: &Arc<Directory>,
    decide: impl Fn(&Snapshot) -> Result<(), ControlError> + Send + Sync + 'static,
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let done =
        change(directory, decide, |directory| directory.unchanged(|| Ok::<_, ChangeError>(work())));
    done.await?.map_err(|error| crate::error::of_change("Conflict", error))?
}
