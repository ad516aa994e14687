//! What the tests share: a key, a plaintext of any length, a sealed stream and its segments.

use std::ops::Range;

use lockyard_base::SeededEntropy;
use lockyard_seal::{Layout, MainKey, SegmentSize};

/// 4 KiB segments: the smallest, so that a few make a short stream.
pub(crate) const SMALL: SegmentSize = SegmentSize::MIN;
/// Plaintext bytes in the first and in every other full segment of a `SMALL` stream.
pub(crate) const FIRST: usize = 4096 - 40 - 16;
pub(crate) const OTHER: usize = 4096 - 16;
pub(crate) const AAD: &[u8] = b"what the stream is bound to";

pub(crate) fn key() -> MainKey {
    MainKey::generate(&SeededEntropy::new(1))
}

/// A plaintext whose segments all differ.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256).to_le_bytes()[0]).collect()
}

/// A `SMALL` stream under [`key`] and [`AAD`]; each `seed` has another header.
pub(crate) fn sealed(seed: u64, len: usize) -> Vec<u8> {
    key().seal(&SeededEntropy::new(seed), SMALL, AAD, &plaintext(len))
}

pub(crate) fn opens(stream: &[u8]) -> bool {
    key().open(SMALL, AAD, stream).is_ok()
}

/// The header and the sealed segments of a `SMALL` stream.
pub(crate) fn apart(stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let layout = Layout::of_ciphertext(SMALL, stream.len() as u64).expect("a whole stream");
    let segments = (0..layout.segments())
        .map(|index| stream[in_memory(layout.segment(index).ciphertext)].to_vec())
        .collect();
    (stream[..40].to_vec(), segments)
}

/// A range of a short stream as a range of a buffer.
pub(crate) fn in_memory(range: Range<u64>) -> Range<usize> {
    let number = |at| usize::try_from(at).expect("the streams of tests are short");
    number(range.start)..number(range.end)
}

/// A stream of this header and these segments, in this order.
pub(crate) fn together(header: &[u8], segments: &[Vec<u8>]) -> Vec<u8> {
    [header.to_vec(), segments.concat()].concat()
}
