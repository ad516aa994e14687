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
