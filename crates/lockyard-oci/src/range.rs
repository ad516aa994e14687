//! Ranges of bytes: what a download asks for, and what an upload says it sends.
//!
//! The two have little in common but digits and a dash. A download's `Range` follows RFC 9110,
//! section 14, where whatever cannot be understood is ignored and the whole is served. An upload's
//! `Content-Range` follows OCI Distribution 1.1, where it must be understood, and tolerates the
//! spellings that clients use.

use std::{fmt, ops::Range, str::FromStr};

use thiserror::Error;

/// One range of bytes that a download asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange(Spec);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    Between { first: u64, last: u64 },
    From { first: u64 },
    Suffix { bytes: u64 },
}

/// A range that begins after the end of the content; answered with 416.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range begins after the content's end at {total} bytes")]
pub struct Unsatisfiable {
    total: u64,
}

impl ByteRange {
    /// Reads a `Range` header; `None` means to ignore it and serve the whole.
    ///
    /// Several ranges are ignored too, which RFC 9110 allows, so that no answer needs parts.
    pub fn parse(header: &str) -> Option<Self> {
        let (unit, set) = header.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        // A list may have empty elements (RFC 9110, section 5.6.1.2).
        let mut specs = set.split(',').map(str::trim).filter(|spec| !spec.is_empty());
        let (Some(spec), None) = (specs.next(), specs.next()) else { return None };
        let spec = match spec.split_once('-')? {
            ("", suffix) => Spec::Suffix { bytes: number(suffix)? },
            (first, "") => Spec::From { first: number(first)? },
            (first, last) => Spec::Between { first: number(first)?, last: number(last)? },
        };
        match spec {
            Spec::Between { first, last } if first > last => None,
            spec => Some(Self(spec)),
        }
    }

    /// The bytes of content with `total` bytes that are asked for; never empty, with one exception.
    ///
    /// Of empty content every range is the empty one: it is to be served whole, with 200, because
    /// clients send `bytes=0-` without knowing that there is nothing, and 416 would fail them.
    pub fn resolve(self, total: u64) -> Result<Range<u64>, Unsatisfiable> {
        if total == 0 {
            return Ok(0..0);
        }
        let range = match self.0 {
            Spec::Between { first, last } => first..last.saturating_add(1).min(total),
            Spec::From { first } => first..total,
            Spec::Suffix { bytes } => total.saturating_sub(bytes)..total,
        };
        if range.is_empty() { Err(Unsatisfiable { total }) } else { Ok(range) }
    }
}

impl Unsatisfiable {
    /// The value of the `Content-Range` header that belongs to a 416, such as `bytes */1024`.
    pub fn content_range(self) -> String {
        format!("bytes */{}", self.total)
    }
}

/// The value of the `Content-Range` header that belongs to a 206, such as `bytes 0-499/1024`.
///
/// `None` for an empty range, which cannot be written down and is answered with 200.
pub fn content_range(range: &Range<u64>, total: u64) -> Option<String> {
    let last = range.end.checked_sub(1).filter(|last| range.start <= *last)?;
    Some(format!("bytes {}-{last}/{total}", range.start))
}

/// The place of a chunk in an upload: its first and its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    first: u64,
    last: u64,
}

/// A text that is not the range of a chunk; answered with `BLOB_UPLOAD_INVALID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContentRangeError {
    /// The text is not two numbers around a dash.
    #[error("a chunk's `Content-Range` is its first and its last byte, such as `0-1023`")]
    Malformed,
    /// The last byte is before the first, or the total is not beyond the last.
    #[error("the first byte of a chunk is at most its last, and both are before the end")]
    Disorder,
}

impl ContentRange {
    /// The offset of the first byte.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The offset of the last byte.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many bytes the chunk has; at least one.
    pub const fn length(self) -> u64 {
        // The parser keeps `last` below `u64::MAX`.
        self.last - self.first + 1
    }
}

impl FromStr for ContentRange {
    type Err = ContentRangeError;

    /// Reads `0-1023`, and `bytes 0-1023/*`, `bytes=0-1023`, `0-1023/2048`, which clients send too.
    fn from_str(text: &str) -> Result<Self, ContentRangeError> {
        let malformed = ContentRangeError::Malformed;
        let text = text.trim();
        let text = text
            .strip_prefix("bytes")
            .map_or(text, |rest| rest.strip_prefix('=').unwrap_or(rest).trim_start());
        let (range, total) = match text.split_once('/') {
            None => (text, None),
            Some((range, "*")) => (range, None),
            Some((range, total)) => (range, Some(exact(total).ok_or(malformed)?)),
        };
        let (first, last) = range.split_once('-').ok_or(malformed)?;
        let (first, last) = (exact(first).ok_or(malformed)?, exact(last).ok_or(malformed)?);
        if first > last || last == u64::MAX || total.is_some_and(|total| total <= last) {
            return Err(ContentRangeError::Disorder);
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Reads digits; a number too large counts as the largest, which is beyond every content.
fn number(digits: &str) -> Option<u64> {
    is_number(digits).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Reads digits whose number fits.
fn exact(digits: &str) -> Option<u64> {
    is_number(digits).then(|| digits.parse().ok()).flatten()
}

/// Whether there are digits and nothing else; the library's parser takes a plus sign as well.
fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Resolves `header` against 1000 bytes; `None` if it is to be ignored.
    fn resolve(header: &str) -> Option<Result<Range<u64>, Unsatisfiable>> {
        ByteRange::parse(header).map(|range| range.resolve(1000))
    }

    #[test]
    fn a_range_is_cut_to_the_content() {
        for (header, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-499", 0..500),
            ("bytes=500-998", 500..999),
            ("bytes=500-999", 500..1000),
            ("bytes=500-1000", 500..1000),
            ("bytes=500-99999999999999999999999", 500..1000),
            ("bytes=999-", 999..1000),
            ("bytes=100-", 100..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-999", 1..1000),
            ("bytes=-1000", 0..1000),
            ("bytes=-1001", 0..1000),
            ("bytes=-99999999999999999999999", 0..1000),
            ("Bytes=0-1", 0..2),
            ("bytes= 0-1 ", 0..2),
            ("bytes=,0-1,", 0..2),
        ] {
            assert_eq!(resolve(header), Some(Ok(range)), "{header}");
        }
    }

    #[test]
    fn a_range_behind_the_content_is_unsatisfiable() {
        for header in [
            "bytes=1000-",
            "bytes=1000-1000",
            "bytes=2000-5000",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            let unsatisfiable = resolve(header).unwrap().unwrap_err();
            assert_eq!(unsatisfiable.content_range(), "bytes */1000", "{header}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=1",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=--1",
            "items=0-1",
            "0-1",
            "bytes 0-1",
            "bytes=1 -2",
            "bytes=0-1,3-4",
            "bytes=0-1,junk",
            "bytes=1.5-2",
            "bytes=١-٢",
        ] {
            assert_eq!(ByteRange::parse(header), None, "{header:?}");
        }
    }

    #[test]
    fn of_empty_content_every_range_is_the_whole() {
        for header in ["bytes=0-", "bytes=0-10", "bytes=-5", "bytes=7-"] {
            let range = ByteRange::parse(header).unwrap().resolve(0);
            assert_eq!(range, Ok(0..0), "{header}");
            assert_eq!(content_range(&(0..0), 0), None);
        }
    }

    #[test]
    fn a_served_range_is_written_with_its_last_byte() {
        assert_eq!(content_range(&(0..500), 1000).unwrap(), "bytes 0-499/1000");
        assert_eq!(content_range(&(999..1000), 1000).unwrap(), "bytes 999-999/1000");
    }

    #[test]
    fn every_spelling_of_a_chunks_range_is_understood() {
        for text in [
            "0-1023",
            "bytes 0-1023/*",
            "bytes=0-1023",
            "bytes 0-1023",
            "0-1023/*",
            "0-1023/1024",
            "bytes 0-1023/2048",
            " 0-1023 ",
            "bytes=0-1023/*",
        ] {
            let range: ContentRange = text.parse().unwrap();
            assert_eq!((range.first(), range.last(), range.length()), (0, 1023, 1024), "{text:?}");
        }
    }

    #[test]
    fn a_chunk_that_is_no_range_is_malformed() {
        for text in [
            "",
            "-",
            "0-",
            "-5",
            "a-b",
            "0",
            "bytes",
            "bytes */100",
            "0-1/",
            "0-1/x",
            "0-1/*/*",
            "0-1-2",
            "+0-1",
            "0--1",
            "0-1,2-3",
            "items 0-1",
            "0 - 1",
            "0-18446744073709551616",
        ] {
            assert_eq!(text.parse::<ContentRange>(), Err(ContentRangeError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_chunk_that_ends_before_it_begins_or_after_its_total_is_in_disorder() {
        for text in ["1-0", "5-4", "0-1023/1023", "0-0/0", "0-18446744073709551615"] {
            assert_eq!(text.parse::<ContentRange>(), Err(ContentRangeError::Disorder), "{text:?}");
        }
        assert_eq!("5-5".parse::<ContentRange>().unwrap().length(), 1);
        assert_eq!("0-18446744073709551614".parse::<ContentRange>().unwrap().length(), u64::MAX);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>(), near in "[bytes= 0-9*/,-]{0,24}", total: u64) {
            for text in [&text, &near, &format!("bytes={near}")] {
                if let Some(range) = ByteRange::parse(text) {
                    drop(range.resolve(total));
                }
                if let Ok(range) = text.parse::<ContentRange>() {
                    prop_assert!(range.length() > 0);
                    prop_assert_eq!(range.to_string().parse(), Ok(range));
                }
            }
        }

        #[test]
        fn a_resolved_range_lies_within_the_content(first: u64, last: u64, total in 1..u64::MAX) {
            for header in
                [format!("bytes={first}-{last}"), format!("bytes={first}-"), format!("bytes=-{last}")]
            {
                if let Some(Ok(range)) = ByteRange::parse(&header).map(|r| r.resolve(total)) {
                    prop_assert!(range.start < range.end && range.end <= total);
                }
            }
        }

        #[test]
        fn a_chunks_range_comes_back_as_it_was(first in 0..u64::MAX, more: u64) {
            let last = first.saturating_add(more).min(u64::MAX - 1);
            let text = format!("{first}-{last}");
            let range: ContentRange = text.parse().unwrap();
            prop_assert_eq!(range.length(), last - first + 1);
            prop_assert_eq!(range.to_string(), text);
        }
    }
}
