//! The files of a log: which there are, and reading one of them whole.
//!
//! A segment's name is its number, so that a copy under another name is found out.

use std::{
    io,
    path::{Path, PathBuf},
};

use lockyard_blobs::{Disk, DiskEntryKind};

use crate::{keys, settings::SEGMENT_BYTES_MAX};

/// No segment's file is longer: it may have room allocated that its records never used.
const FILE_BYTES_MAX: u64 = 2 * SEGMENT_BYTES_MAX;

const EXTENSION: &str = "audit";
const DIGITS: usize = 16;

/// What lies in a log's directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The numbers of the segments, ascending.
    pub(crate) segments: Vec<u64>,
    /// Names that are none of ours.
    pub(crate) strangers: Vec<String>,
}

/// The path of a segment.
pub(crate) fn segment_path(directory: &Path, ordinal: u64) -> PathBuf {
    directory.join(format!("{ordinal:0DIGITS$}.{EXTENSION}"))
}

/// Lists a log's directory.
pub(crate) fn list(disk: &dyn Disk, directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in disk.entries(directory)? {
        let name = entry.name.to_string_lossy().into_owned();
        match ordinal(&name) {
            Some(ordinal) if entry.kind == DiskEntryKind::File => listing.segments.push(ordinal),
            _ if name == keys::FILE => {}
            _ => listing.strangers.push(name),
        }
    }
    listing.segments.sort_unstable();
    listing.strangers.sort_unstable();
    Ok(listing)
}

fn ordinal(name: &str) -> Option<u64> {
    let (digits, extension) = name.split_once('.')?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit());
    let ordinal = digits.parse().ok().filter(|ordinal| *ordinal > 0)?;
    (plain && extension == EXTENSION).then_some(ordinal)
}

/// Reads a segment; `None` if it is longer than any segment.
pub(crate) fn read_segment(
    disk: &dyn Disk,
    directory: &Path,
    ordinal: u64,
) -> io::Result<Option<Vec<u8>>> {
    read(disk, &segment_path(directory, ordinal), FILE_BYTES_MAX)
}

/// Reads a file; `None` if it is longer than `most`.
pub(crate) fn read(disk: &dyn Disk, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = disk.open(path)?;
    let length = file.length()?;
    if length > most {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read(&mut bytes, 0)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_the_name_of_its_number_and_no_other() {
        let path = segment_path(Path::new("a"), 42);
        assert_eq!(path, Path::new("a/0000000000000042.audit"));
        assert_eq!(ordinal("0000000000000042.audit"), Some(42));
        for wrong in ["42.audit", "0000000000000000.audit", "+000000000000042.audit", "log.keys"] {
            assert_eq!(ordinal(wrong), None, "{wrong}");
        }
    }
}
