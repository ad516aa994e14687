//! The fault kit: makes everything under a registry fail, and knows what must be there afterwards.
//!
//! [`SimDisk`] is a disk in memory that forgets what was not synced when its power is cut, and whose
//! n-th call can fail; the parts lie on it through `LocalParts` itself and SQLite's files through a
//! file system that is registered with SQLite. Both count on one clock of calls, so that the power
//! can be cut between any two of them. [`World`] is an instance on such a disk, [`Content`] what
//! a client can find in it, byte for byte, and [`Ledger`] what it was promised.
//!
//! Only tests use this. Everything is replayed from one seed.
#![expect(clippy::unwrap_in_result, reason = "a test that is told nonsense may end")]

mod content;
mod disk;
mod ledger;
mod vault;
mod vfs;
mod words;
mod world;

pub use content::{Content, Universe};
pub use disk::{Call, Dice, Loss, SimDisk};
pub use ledger::{Fact, Flight, Key, Ledger};
pub use vault::FaultyVault;
pub use words::{artifact, body, image, noise, sha256};
pub use world::{Settings, World};
