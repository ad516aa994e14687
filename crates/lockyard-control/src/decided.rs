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
    directory.blocking(move |directory| change_blocking(directory, decide, work)).await
}

/// Does what [`change`] does and blocks the thread.
pub(crate) fn change_blocking<T, E: Send + 'static>(
    directory: &Directory,
    decide: impl Fn(&Snapshot) -> Result<(), E> + Send + Sync + 'static,
    work: impl FnOnce(&Directory) -> Result<T, ChangeError>,
) -> Result<Result<T, ChangeError>, E> {
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
    let done = work(&guarded);
    let refused = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
    refused.map_or(Ok(done), Err)
}

/// Does something that is kept outside of the directory, if `decide` allows it, and blocks the
/// thread.
pub(crate) fn effect_blocking<T>(
    directory: &Directory,
    decide: impl Fn(&Snapshot) -> Result<(), ControlError> + Send + Sync + 'static,
    work: impl FnOnce() -> Result<T, ControlError>,
) -> Result<T, ControlError> {
    let done = change_blocking(directory, decide, |directory| {
        directory.unchanged(|| Ok::<_, ChangeError>(work()))
    });
    done?.map_err(ControlError::from)?
}
