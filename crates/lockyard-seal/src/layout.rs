//! Which bytes of a stream are which segment: pure arithmetic, in both directions.
//!
//! Lengths decide the layout completely, so that a reader finds any segment without an index, and
//! each plaintext length has exactly one ciphertext length. It never looks at a byte of content.

use std::ops::Range;

use crate::{Damaged, HEADER_LEN, Position, TAG_LEN};

/// The size of a ciphertext segment: a power of two, tag included; in a stream's first segment the
/// header is included too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSize(u8);

impl SegmentSize {
    /// What new parts are sealed with: 64 KiB (`docs/decisions/0001-segment-size.md`).
    pub const CURRENT: Self = Self(16);
    /// What rows of format version 1 are sealed with, whatever parts use: a row does not name its
    /// size.
    pub const ROW: Self = Self(16);
    /// The smallest size that is understood: 4 KiB.
    pub const MIN: Self = Self(12);
    /// The largest size that is understood: 16 MiB.
    pub const MAX: Self = Self(24);

    /// The size of 2^`log2` bytes.
    pub const fn from_log2(log2: u8) -> Result<Self, UnknownSegmentSize> {
        if Self::MIN.0 <= log2 && log2 <= Self::MAX.0 {
            Ok(Self(log2))
        } else {
            Err(UnknownSegmentSize(log2))
        }
    }

    /// The binary logarithm, as rows store it and bound data name it.
    pub const fn log2(self) -> u8 {
        self.0
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.0
    }

    /// The size in bytes, for sums with lengths of streams.
    const fn wide(self) -> u64 {
        1 << self.0
    }

    /// Plaintext bytes that fit into the first segment.
    const fn first_capacity(self) -> u64 {
        self.wide() - HEADER_LEN as u64 - TAG_LEN as u64
    }

    /// Plaintext bytes that fit into any other segment.
    const fn capacity(self) -> u64 {
        self.wide() - TAG_LEN as u64
    }
}

/// A stored segment size that this version does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment size 2^{0} is not between 2^12 and 2^24")]
pub struct UnknownSegmentSize(u8);

/// A plaintext needs more segments than the counter has numbers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream of {0} bytes has more segments than can be numbered")]
pub struct TooLong(u64);

/// The segments of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: SegmentSize,
    plaintext_len: u64,
    segments: u32,
}

/// Where one segment lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlace {
    /// Its bytes in the sealed stream, tag included. The header belongs to no segment's range: the
    /// first starts at [`HEADER_LEN`].
    pub ciphertext: Range<u64>,
    /// Its bytes in the plaintext.
    pub plaintext: Range<u64>,
    /// True for the last segment and no other.
    pub last: bool,
}

impl Layout {
    /// The layout of a plaintext of `len` bytes.
    ///
    /// An empty plaintext has one empty segment; a plaintext that fills its last segment is not
    /// followed by an empty one.
    pub fn of_plaintext(size: SegmentSize, len: u64) -> Result<Self, TooLong> {
        let beyond_first = len.saturating_sub(size.first_capacity());
        let segments = 1 + beyond_first.div_ceil(size.capacity());
        match u32::try_from(segments) {
            Ok(segments) => Ok(Self { size, plaintext_len: len, segments }),
            Err(_) => Err(TooLong(len)),
        }
    }

    /// The layout of a sealed stream of `len` bytes; [`Damaged`] if no plaintext has that length.
    pub fn of_ciphertext(size: SegmentSize, len: u64) -> Result<Self, Damaged> {
        let tags = len.div_ceil(size.wide()) * TAG_LEN as u64;
        let plaintext_len = len.checked_sub(tags + HEADER_LEN as u64).ok_or(Damaged)?;
        let layout = Self::of_plaintext(size, plaintext_len).map_err(|_| Damaged)?;
        // A last segment that holds a tag alone, or less, is not canonical and never written.
        if layout.ciphertext_len() == len { Ok(layout) } else { Err(Damaged) }
    }

    /// The segment size.
    pub fn size(&self) -> SegmentSize {
        self.size
    }

    /// The length of the plaintext in bytes.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The length of the sealed stream in bytes, header and tags included.
    pub fn ciphertext_len(&self) -> u64 {
        HEADER_LEN as u64 + self.plaintext_len + u64::from(self.segments) * TAG_LEN as u64
    }

    /// How many segments there are; at least one.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// Where segment `index` lies; panics if there is no such segment.
    pub fn segment(&self, index: u32) -> SegmentPlace {
        assert!(index < self.segments, "the stream has a segment of this number");
        let start = u64::from(index) * self.size.wide();
        let end = (start + self.size.wide()).min(self.ciphertext_len());
        let ciphertext = start.max(HEADER_LEN as u64)..end;

        let overhead = HEADER_LEN as u64 + u64::from(index) * TAG_LEN as u64;
        let plaintext = ciphertext.start - overhead..end - overhead - TAG_LEN as u64;
        assert!(plaintext.end <= self.plaintext_len, "a segment ends within the plaintext");
        SegmentPlace { ciphertext, plaintext, last: index + 1 == self.segments }
    }

    /// The position of segment `index`; panics if there is no such segment.
    pub fn position(&self, index: u32) -> Position {
        assert!(index < self.segments, "the stream has a segment of this number");
        Position { index, last: index + 1 == self.segments }
    }

    /// The number of the segment that holds the plaintext byte at `offset`; the last segment's for
    /// an offset at or behind the end.
    pub fn holding(&self, offset: u64) -> u32 {
        let beyond_first = offset.saturating_add(1).saturating_sub(self.size.first_capacity());
        let index = beyond_first.div_ceil(self.size.capacity());
        u32::try_from(index).unwrap_or(u32::MAX).min(self.segments - 1)
    }
}
