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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: SegmentSize = SegmentSize::MIN;
    const FIRST: u64 = 4096 - 40 - 16;
    const OTHER: u64 = 4096 - 16;

    fn of_plaintext(len: u64) -> Layout {
        Layout::of_plaintext(SMALL, len).unwrap()
    }

    #[test]
    fn sizes_below_4_kib_and_above_16_mib_are_unknown() {
        for log2 in 0..=u8::MAX {
            let size = SegmentSize::from_log2(log2);
            assert_eq!(size.is_ok(), (12..=24).contains(&log2), "{log2}");
            if let Ok(size) = size {
                assert_eq!((size.log2(), size.bytes()), (log2, 1 << log2));
            }
        }
    }

    #[test]
    fn an_empty_plaintext_is_a_header_and_one_empty_last_segment() {
        let layout = of_plaintext(0);
        assert_eq!((layout.segments(), layout.ciphertext_len()), (1, 56));
        let place = SegmentPlace { ciphertext: 40..56, plaintext: 0..0, last: true };
        assert_eq!(layout.segment(0), place);
        assert_eq!(layout.holding(0), 0);
        assert_eq!(Layout::of_ciphertext(SMALL, 56), Ok(layout));
    }

    #[test]
    fn a_segment_more_begins_only_with_the_byte_that_does_not_fit() {
        for (len, segments) in [
            (1, 1),
            (FIRST - 1, 1),
            (FIRST, 1),
            (FIRST + 1, 2),
            (FIRST + OTHER, 2),
            (FIRST + OTHER + 1, 3),
            (FIRST + 9 * OTHER, 10),
        ] {
            assert_eq!(of_plaintext(len).segments(), segments, "{len}");
        }
    }

    #[test]
    fn no_plaintext_has_a_length_between_a_full_segment_and_one_more_byte() {
        for border in [4096, 2 * 4096, 7 * 4096] {
            assert!(Layout::of_ciphertext(SMALL, border).is_ok());
            for extra in 1..=16 {
                assert_eq!(Layout::of_ciphertext(SMALL, border + extra), Err(Damaged), "{extra}");
            }
            assert!(Layout::of_ciphertext(SMALL, border + 17).is_ok());
        }
        for len in 0..56 {
            assert_eq!(Layout::of_ciphertext(SMALL, len), Err(Damaged), "{len}");
        }
    }

    #[test]
    fn a_plaintext_may_use_every_number_of_the_counter_and_not_one_byte_more() {
        for log2 in 12..=24 {
            let size = SegmentSize::from_log2(log2).unwrap();
            let most = size.first_capacity() + u64::from(Position::MAX_INDEX) * size.capacity();
            let layout = Layout::of_plaintext(size, most).unwrap();
            assert_eq!(layout.segments(), u32::MAX);
            assert_eq!(layout.segment(Position::MAX_INDEX).plaintext.end, most);
            assert!(layout.position(Position::MAX_INDEX).last);
            assert!(Layout::of_plaintext(size, most - 1).is_ok());
            assert_eq!(Layout::of_plaintext(size, most + 1), Err(TooLong(most + 1)));

            let sealed = layout.ciphertext_len();
            assert_eq!(Layout::of_ciphertext(size, sealed), Ok(layout));
            assert_eq!(Layout::of_ciphertext(size, sealed + 1), Err(Damaged));
            assert_eq!(Layout::of_ciphertext(size, sealed + 17), Err(Damaged));
            assert_eq!(Layout::of_ciphertext(size, u64::MAX), Err(Damaged));
        }
    }

    fn sizes() -> impl Strategy<Value = SegmentSize> {
        (12u8..=24).prop_map(|log2| SegmentSize::from_log2(log2).unwrap())
    }

    proptest! {
        #[test]
        fn segments_tile_both_streams_without_gap_or_overlap(
            size in sizes(), len in 0u64..300_000_000
        ) {
            let layout = Layout::of_plaintext(size, len).unwrap();
            let (mut sealed, mut plain) = (HEADER_LEN as u64, 0);
            for index in 0..layout.segments() {
                let place = layout.segment(index);
                prop_assert_eq!(place.ciphertext.start, sealed);
                prop_assert_eq!(place.plaintext.start, plain);
                let tagged = place.plaintext.end - place.plaintext.start + TAG_LEN as u64;
                prop_assert_eq!(place.ciphertext.end - place.ciphertext.start, tagged);
                prop_assert_eq!(place.last, index + 1 == layout.segments());
                prop_assert!(place.last || place.ciphertext.end.is_multiple_of(size.wide()));
                (sealed, plain) = (place.ciphertext.end, place.plaintext.end);
            }
            prop_assert_eq!((sealed, plain), (layout.ciphertext_len(), len));
        }

        #[test]
        fn a_layout_is_the_same_from_either_length(size in sizes(), len in 0u64..1 << 43) {
            let layout = Layout::of_plaintext(size, len).unwrap();
            prop_assert_eq!(layout.plaintext_len(), len);
            prop_assert_eq!(Layout::of_ciphertext(size, layout.ciphertext_len()), Ok(layout));
        }

        #[test]
        fn a_ciphertext_length_is_accepted_only_if_a_plaintext_has_it(
            size in sizes(), len in prop_oneof![0u64..100_000, any::<u64>()]
        ) {
            if let Ok(layout) = Layout::of_ciphertext(size, len) {
                prop_assert_eq!(layout.ciphertext_len(), len);
            }
        }

        #[test]
        fn the_segment_that_holds_an_offset_contains_it(
            size in sizes(), len in 1u64..1 << 43, at in any::<u64>()
        ) {
            let layout = Layout::of_plaintext(size, len).unwrap();
            let place = layout.segment(layout.holding(at % len));
            prop_assert!(place.plaintext.contains(&(at % len)));
            prop_assert_eq!(layout.holding(len.saturating_add(at)), layout.segments() - 1);
        }
    }
}
