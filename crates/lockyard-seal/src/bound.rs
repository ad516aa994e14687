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
        let row = self.row.hex();
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
    pae(&[&[FORMAT_VERSION], &[size.log2()], registry.as_bytes(), part.hex().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Bound<'static> = Bound {
        table: "tag",
        column: "sealed",
        registry: RegistryId::from_bytes([1; 16]),
        epoch: Epoch::new(2),
        row: RowId::from_bytes([0xab; 16]),
        index: b"index",
        clear: &[b"one", b"two"],
    };

    #[test]
    fn every_part_of_the_place_changes_the_associated_data() {
        let elsewhere = [
            Bound { table: "tags", ..HOME },
            Bound { table: "ta", column: "gsealed", ..HOME },
            Bound { column: "sealed2", ..HOME },
            Bound { registry: RegistryId::from_bytes([2; 16]), ..HOME },
            Bound { epoch: Epoch::new(3), ..HOME },
            Bound { row: RowId::from_bytes([0xac; 16]), ..HOME },
            Bound { index: b"", ..HOME },
            Bound { index: b"", clear: &[b"index", b"one", b"two"], ..HOME },
            Bound { clear: &[], ..HOME },
            Bound { clear: &[b"two", b"one"], ..HOME },
            Bound { clear: &[b"onetwo"], ..HOME },
            Bound { clear: &[b"one", b"two", b""], ..HOME },
        ];
        for (number, place) in elsewhere.iter().enumerate() {
            assert_ne!(place.aad(), HOME.aad(), "{number}");
            for other in elsewhere.iter().skip(number + 1) {
                assert_ne!(place.aad(), other.aad(), "{place:?}");
            }
        }
    }

    #[test]
    fn the_pieces_stand_in_the_order_and_form_of_the_specification() {
        let expected = pae(&[
            &[1],
            b"tag",
            b"sealed",
            &[1; 16],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            b"abababababababababababababababab",
            b"index",
            b"one",
            b"two",
        ]);
        assert_eq!(HOME.aad(), expected);
    }

    #[test]
    fn a_part_is_bound_to_its_segment_size_registry_and_id() {
        let (registry, part) = (RegistryId::from_bytes([1; 16]), PartId::from_bytes([2; 16]));
        let home = part_aad(SegmentSize::CURRENT, registry, part);
        let hex = b"02020202020202020202020202020202";
        assert_eq!(home, pae(&[&[1], &[SegmentSize::CURRENT.log2()], &[1; 16], hex]));
        assert_ne!(home, part_aad(SegmentSize::MIN, registry, part));
        assert_ne!(home, part_aad(SegmentSize::CURRENT, RegistryId::from_bytes([3; 16]), part));
        assert_ne!(home, part_aad(SegmentSize::CURRENT, registry, PartId::from_bytes([3; 16])));
    }
}
