//! The audit trail: every operation as an event that can't be taken back unnoticed.
//!
//! An event is durable before [`Audit::append`] returns, so that whoever waits for it may hand out
//! the result, and whoever gets an error must not. Records are sealed, each bound to all before it,
//! and chained over ciphertext; Ed25519-signed checkpoints, kept elsewhere, prove that nothing was
//! taken back. [`verify`] says what was changed, dropped, moved or cut off, and where.
//!
//! This crate never holds key material of others, never decides who may do what, and never changes
//! a byte that it has written. Normative text: `docs/spec/audit.md`.

mod chain;
mod checkpoint;
mod desk;
mod error;
mod event;
mod files;
mod format;
mod keys;
mod log;
mod operation;
mod reader;
mod refusals;
mod report;
mod seam;
mod segments;
mod settings;
mod sink;
mod tally;
mod verify;
mod walk;

pub use checkpoint::{ANCHORS_MAX, Anchor, Checkpoint, CheckpointError};
pub use error::{AuditError, OpenAuditError};
pub use event::{Asked, Caller, Event, Outcome, TEXT_BYTES_MAX, URI_BYTES_MAX};
pub use keys::{AuditSecret, KeysError, PublicKey};
pub use lockyard_base::NodeId;
pub use log::{AuditLog, Opening};
pub use operation::Operation;
pub use reader::{Entry, Reader, Reading, TAIL_MAX, newest_checkpoint};
pub use refusals::{CALLERS_MAX, REFUSAL_EVERY, REFUSALS_MAX};
pub use report::{Finding, Notice, Report, What};
#[cfg(feature = "testing")]
pub use seam::MemoryAudit;
pub use seam::{Audit, Recorded, Sequence, Then};
pub use settings::{
    BATCH_EVENTS_MAX, QUEUE_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Settings, Unwritable,
};
pub use tally::{ADDRESSES_MAX, KINDS_MAX, REPEATS_MAX};
pub use verify::{VerifyError, verify};

#[cfg(test)]
mod tests;
