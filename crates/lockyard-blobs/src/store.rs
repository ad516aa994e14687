//! The seam between sealed bytes and wherever they are kept.
//!
//! A store sees ciphertext and ids, nothing else: it never learns of keys, digests or names, and
//! it decides nothing. All its methods but one block; callers are on blocking threads. Ids are drawn at
//! random by the caller, whose row for the part commits before the first byte, and are never
//! reused.

use std::{fmt, io};

use lockyard_base::PartId;
use thiserror::Error;

/// Keeps sealed parts.
pub trait PartStore: Send + Sync + fmt::Debug {
    /// Begins a new part; an id that exists already is [`PartError::Exists`].
    fn begin(&self, part: PartId) -> Result<Box<dyn PartSink>, PartError>;

    /// Opens a committed part for reading; `None` if there is no such part.
    fn open(&self, part: PartId) -> Result<Option<Box<dyn PartSource>>, PartError>;

    /// Deletes a part, durably; a part that is gone already is no error.
    fn delete(&self, part: PartId) -> Result<(), PartError>;

    /// Lists what lies in one shard, in no order: the parts whose ids begin with this byte, begun
    /// ones included, and whatever else is there.
    ///
    /// For the scrub, which compares it with the rows; nothing that serves a request lists.
    /// Strangers that belong to no shard are told with shard 0.
    fn list(&self, shard: u8) -> Result<Vec<Listed>, PartError>;
}

/// Something that lies in a part store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listed {
    /// A part, committed or not.
    Part(PartId),
    /// Something that this store did not put there, by the name under which it lies.
    Stranger(String),
}

/// A part that is being written. Dropping it without [`commit`](PartSink::commit) removes it.
pub trait PartSink: Send + fmt::Debug {
    /// Adds bytes at the end. After an error the part can only be aborted.
    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError>;

    /// Makes the part durable: when this returns `Ok`, a power cut can't take it.
    fn commit(self: Box<Self>) -> Result<(), PartError>;

    /// Removes what was written.
    fn abort(self: Box<Self>) -> Result<(), PartError>;
}

/// A committed part that is open for reading; it stays readable when the part is deleted meanwhile.
#[expect(clippy::len_without_is_empty, reason = "a sealed part has a header and is never empty")]
pub trait PartSource: Send + Sync + fmt::Debug {
    /// The part's length in bytes when it was opened.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset`; [`PartError::Short`] if the part ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError>;

    /// Fills `buffer` from `offset` if that needs no waiting for a device: the one method that may
    /// be called on a thread that must not block.
    ///
    /// `false` promises nothing of the buffer and says nothing of the reason; [`read_at`] is the
    /// way then. A store that always waits need not implement it.
    ///
    /// [`read_at`]: Self::read_at
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> bool {
        false
    }
}

/// A part store could not do what it was asked.
///
/// The text names the operation and never a path, so that it may stand in any log.
#[derive(Debug, Error)]
pub enum PartError {
    /// The store has no room left: disk, quota or file size.
    #[error("no room left to {operation}")]
    Full {
        /// What was being done.
        operation: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The part exists already; ids are never reused, so this is never overwritten.
    #[error("part `{0}` exists already")]
    Exists(PartId),
    /// The part ends before the bytes that were asked for.
    #[error("the part is shorter than it was")]
    Short,
    /// Anything else.
    #[error("could not {operation}")]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl PartError {
    /// Sorts a system's error into the kinds that callers tell apart.
    pub fn from_io(operation: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, UnexpectedEof};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { operation, source },
            UnexpectedEof => Self::Short,
            _ => Self::Io { operation, source },
        }
    }
}
