//! What a registry does: push, pull, tag, list and refer. No HTTP, no SQL, no keys.
//!
//! [`Registries`] is all registries of an instance; [`Registries::open`] gives one [`Registry`] for
//! one request, and holding it proves that the registry was unlocked a moment ago. Each verb asks
//! [`decide`] beside its effect, computes blind indexes, and carries sealed rows between the store
//! and the keyring's cell. One file per verb or small family of verbs.

mod access;
mod ahead;
mod blob;
mod catalog;
mod collect;
mod compact;
mod entry;
mod error;
mod fields;
mod intake;
mod keys;
mod limits;
mod listing;
mod manifest;
mod newborn;
mod opened;
mod referrer;
mod registries;
mod rewrap;
mod rows;
mod scrub;
mod session;
mod sweep;
mod tag;
mod upload;
mod written;

pub mod instance;
pub mod owner;

pub use access::{Caller, Known, LoginNeeded, check_standing, decide, verbs_of};
pub use blob::{BlobContent, BlobStat};
pub use collect::{CollectMode, CollectReport};
pub use compact::CompactReport;
pub use entry::RegistryEntry;
pub use error::RegistryError;
pub use intake::{Body, BodyError};
pub use keys::KeySource;
pub use limits::Limits;
pub use listing::Page;
pub use manifest::{ManifestContent, ManifestStat, PutManifest};
pub use referrer::Referrers;
pub use registries::{CustomerKey, Ground, Registries, RegistrySummary};
pub use scrub::{
    FINDINGS_MAX, Finding, FindingKind, ScrubError, ScrubOptions, ScrubProgress, ScrubReport,
    ScrubTable,
};
pub use session::Registry;
pub use sweep::SweepReport;
pub use upload::{UploadStatus, UploadTicket};
