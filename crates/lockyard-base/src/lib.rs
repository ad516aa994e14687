//! Words that every room shares: time, randomness, ids, and how an error is told.
//!
//! This crate is the leaf of the house. It holds no keys, does no I/O beyond reading the clock and
//! the system's entropy, and stays small (`xtask tidy` counts its lines): whatever belongs to one
//! room belongs in that room.

mod chain;
mod clock;
mod entropy;
mod guid;
mod id;

pub use chain::{Chain, chain};
#[cfg(feature = "testing")]
pub use clock::HandClock;
pub use clock::{BootInstant, Clock, SystemClock, Timestamp};
#[cfg(feature = "testing")]
pub use entropy::SeededEntropy;
pub use entropy::{Entropy, OsEntropy};
pub use guid::Guid;
pub use id::{
    BlindIndex, BlobId, Epoch, IdHex, LinkId, ManifestId, NodeId, ParseIdError, PartId, RegistryId,
    RepositoryId, RowId, TagId, UploadId, WrapId,
};
