//! Why a registry's verb did not do what it was asked.
//!
//! One type for all verbs, because every face turns it into its protocol's envelope in one
//! exhaustive match. Variants that clients see carry what was wrong; the others carry their cause
//! for the log. No text holds a name, a digest or a key of a customer.

use lockyard_access::{RecordError, registry_token::Verb};
use lockyard_keyring::{Locked, LockedRegistry, OpenError, ProviderError};
use lockyard_oci::{Digest, ManifestError, Unsatisfiable};
use lockyard_store::StoreError;
use thiserror::Error;

use crate::{LoginNeeded, UploadTicket, access::in_words};

/// Why a verb failed.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The caller must say who it is.
    #[error(transparent)]
    Unauthorized(LoginNeeded),
    /// The caller is known and may not.
    #[error(
        "this login may not {}; the role {} on the registry, or a greater one, would let it",
        in_words(*.0).0, in_words(*.0).1
    )]
    Denied(Verb),
    /// The registry is locked; the reason says why and how to mend it.
    #[error(transparent)]
    Locked(LockedRegistry),
    /// The registry was locked while this was running; asking again tells why.
    #[error("the registry was locked meanwhile")]
    LockedMeanwhile,
    /// A registry of this name exists already.
    #[error("a registry of this name exists already")]
    RegistryExists,
    /// No repository of this name.
    #[error("no such repository")]
    NameUnknown,
    /// No such blob in this repository.
    #[error("no such blob in this repository")]
    BlobUnknown,
    /// No such manifest or tag in this repository.
    #[error("no such manifest in this repository")]
    ManifestUnknown,
    /// No such upload session: finished, cancelled, expired or never begun.
    #[error("no such upload session")]
    UploadUnknown,
    /// The content has another digest than the client said.
    #[error("the content's digest differs from the one given")]
    DigestMismatch {
        /// What the client said.
        claimed: Box<Digest>,
        /// What the content has.
        actual: Box<Digest>,
    },
    /// The manifest cannot be taken.
    #[error(transparent)]
    ManifestInvalid(ManifestError),
    /// The manifest names blobs that the repository does not have.
    #[error("the manifest names blobs that are not in this repository")]
    ManifestBlobUnknown(Vec<Digest>),
    /// The manifest still has what is being deleted.
    #[error("a manifest still names this blob")]
    BlobInUse,
    /// The range asked for lies outside the blob.
    #[error(transparent)]
    RangeUnsatisfiable(Unsatisfiable),
    /// The chunk does not continue the session; here is where it stands.
    #[error("the chunk does not continue the upload")]
    UploadRange {
        /// The session's present ticket.
        ticket: UploadTicket,
        /// How many bytes it has.
        offset: u64,
    },
    /// The body's length is not the length that its Content-Range announces.
    #[error("the body's length differs from its Content-Range")]
    LengthMismatch,
    /// Larger than a blob may be.
    #[error("a blob has at most {limit} bytes")]
    BlobTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// More chunks than a session may have.
    #[error("an upload has at most {limit} chunks")]
    TooManyParts {
        /// The limit.
        limit: usize,
    },
    /// More open upload sessions than a registry may have.
    #[error("at most {limit} uploads may be open at once")]
    TooManyUploads {
        /// The limit.
        limit: u64,
    },
    /// More tags than one request may set.
    #[error("a request sets at most {limit} tags")]
    TooManyTags {
        /// The limit.
        limit: usize,
    },
    /// The client went away before its body ended; what arrived is kept where a session keeps it.
    #[error("the request's body was cut off")]
    BodyCut,
    /// A page was asked for from a place that no page began.
    #[error("the page marker is not one that was given out")]
    PageMarker,
    /// The disk or the database is full: nothing was changed.
    #[error("the storage is full")]
    Full,
    /// Something that this needs does not answer now.
    #[error("the storage does not answer now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Stored data is not what was stored.
    #[error("stored data is damaged: {0}")]
    Damaged(&'static str),
    /// The registry has no customer key, and so no identity that uses one.
    #[error("the registry has no customer key")]
    ServiceManaged,
    /// The vault did not wrap or unwrap when a registry was made or got another identity.
    #[error("the customer key cannot be used")]
    CustomerKey(#[source] ProviderError),
    /// Another write came first: the verb reads again and seals again. Clients never see it.
    #[error("another write came first")]
    Overtaken,
    /// A bug of ours; the text is for the log.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused => Self::LockedMeanwhile,
            StoreError::EpochNotActive | StoreError::Conflict(_) | StoreError::Dangling(_) => {
                Self::Overtaken
            }
            StoreError::Full(_) => Self::Full,
            StoreError::Damaged { .. } => Self::Damaged("the database"),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}

impl From<RecordError> for RegistryError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Damaged => Self::Damaged("a record of the instance"),
            RecordError::Overtaken => Self::Overtaken,
            RecordError::Store(error) => error.into(),
        }
    }
}

impl From<Locked> for RegistryError {
    fn from(Locked: Locked) -> Self {
        Self::LockedMeanwhile
    }
}

impl From<OpenError> for RegistryError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked => Self::LockedMeanwhile,
            OpenError::Damaged => Self::Damaged("a sealed row"),
        }
    }
}

impl From<LockedRegistry> for RegistryError {
    fn from(locked: LockedRegistry) -> Self {
        Self::Locked(locked)
    }
}
