//! The rooms: one file per kind of row, each with its row structs and the functions on them.

pub mod blob;
pub mod collection;
pub mod edge;
pub mod epoch;
pub mod index_key;
pub mod instance;
pub mod link;
pub mod manifest;
pub mod part;
pub mod registry;
pub mod repository;
pub mod tag;
pub mod upload;
pub mod walk;
pub mod wrap;

/// How often a row was sealed; whoever seals it anew must name the number that it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealNo(pub(crate) u64);

impl SealNo {
    /// The number of a row that was just inserted.
    pub const FIRST: Self = Self(1);

    /// The bare number, for bound data and logs.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The number that the row has after the next seal.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
