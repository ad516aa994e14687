//! Stories of somebody who can write to the disk and the database but holds no key.
//!
//! A small registry is built once. Then every sealed byte, every clear column and every file is
//! changed, one after the other, and after each change everything known is read as after a restart:
//! each read answers an error, or exactly what was stored, or (where an index was moved, which is
//! how a deletion looks) nothing. Never anything else.

mod files;
mod known;
mod rows;

use crate::Alone;

pub(crate) const STORIES: &[Alone] = &[
    ("tampering::every_flipped_byte_of_a_sealed_row_is_found", nothing, rows::flips_of_rows),
    ("tampering::every_flipped_byte_of_a_stored_key_is_found", nothing, rows::flips_of_keys),
    ("tampering::no_swap_between_rows_serves_other_content", nothing, rows::swaps),
    ("tampering::no_changed_column_serves_other_content", nothing, rows::changes),
    ("tampering::every_flipped_byte_of_a_part_is_found", nothing, files::flips),
    ("tampering::every_cut_or_grown_part_is_found", nothing, files::lengths),
    ("tampering::no_two_parts_can_trade_places", nothing, files::swaps),
    ("tampering::segments_of_a_part_cannot_be_reordered", nothing, files::segments),
];

/// These stories need nothing.
fn nothing() -> Option<String> {
    None
}
