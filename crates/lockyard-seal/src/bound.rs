//! What sealed bytes are bound to: the AAD of rows and of parts (`docs/spec/keys.md`, "Bound data").
//!
//! A sealed value opens only where it was sealed: in its table, column, row, registry and epoch,
//! beside the same clear columns. Moving it elsewhere, or changing what stands beside it, makes it
//! damaged.

use lockyard_base::{Epoch, PartId, RegistryId, RowId};

use crate::{SegmentSize, pae};

/// The version of everything this crate writes; the first piece of all bound data.
pub const FORMAT_VERSION: u8 = 1;

/// The place of a sealed value in the database.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The sealed column's name.
    pub column: &'a str,
    /// The registry that the row belongs to.
    pub registry: RegistryId,
    /// The epoch whose row key seals the value.
    pub epoch: Epoch,
    /// The row's id.
    pub row: RowId,
    /// The row's blind index, or empty if it has none.
    pub index: &'a [u8],
    /// Every clear column that drives behaviour, in the order that the table's specification gives.
    pub clear: &'a [&'a [u8]],
}

impl Bound<'_> {
    /// The associated data that the value is sealed with.
    pub fn aad(&self) -> Vec<u8> {
        let epoch = self.epoch.to_be_bytes();
        let row = self.row.to_string();
        let mut pieces: Vec<&[u8]> = vec![
            &[FORMAT_VERSION],
            self.table.as_bytes(),
            self.column.as_bytes(),
            self.registry.as_bytes(),
            &epoch,
            row.as_bytes(),
            self.index,
        ];
        pieces.extend_from_slice(self.clear);
        pae(&pieces)
    }
}

/// The associated data that a part is sealed with.
pub fn part_aad(size: SegmentSize, registry: RegistryId, part: PartId) -> Vec<u8> {
    pae(&[&[FORMAT_VERSION], &[size.log2()], registry.as_bytes(), part.to_string().as_bytes()])
}
