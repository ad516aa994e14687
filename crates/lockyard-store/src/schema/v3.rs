//! Version 3 of the tables: a short part may lie in its row.
//!
//! A file with its sync and that of its directory costs more than the commit that names it. The
//! column holds what the file would: a sealed stream, bound to the part's id. Parts without it, as
//! versions 1 and 2 wrote them all, are files.

pub(super) const ROW_PARTS: &str = "
ALTER TABLE part ADD COLUMN content {blob};
";
