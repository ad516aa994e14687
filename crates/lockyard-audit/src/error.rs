//! Why something could not be recorded, or a log not be opened.

use std::{io, sync::Arc};

use thiserror::Error;

use crate::KeysError;

/// An operation was not recorded, so its result must not be given to anybody.
///
/// To whoever asked for a key this means *unreachable*, never *denied*: nothing was said about the
/// right to use it.
#[derive(Clone, Debug, Error)]
pub enum AuditError {
    /// There is no room left.
    #[error("the audit trail's disk is full; free some space on it, nothing else is needed")]
    Full,
    /// The disk refuses for another reason.
    #[error("the audit trail cannot be written")]
    Unwritable(#[source] Arc<io::Error>),
    /// The log was closed.
    #[error("the audit trail is closed")]
    Closed,
}

impl AuditError {
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unwritable(Arc::new(error)),
        }
    }

    /// Whether room is all that is missing.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }
}

/// A log could not be opened.
#[derive(Debug, Error)]
pub enum OpenAuditError {
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The file system refuses.
    #[error("cannot use the audit trail's directory")]
    Io(#[source] io::Error),
    /// The log's thread could not be started.
    #[error("cannot start the audit trail's thread")]
    Thread(#[source] io::Error),
}
