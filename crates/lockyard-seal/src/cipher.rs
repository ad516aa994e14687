//! Seals and opens one segment at a time, in place.
//!
//! The cipher knows its derived key and nonce prefix, and nothing of lengths, files or order:
//! [`crate::Layout`] says which bytes make which segment, and the [`Position`] that goes into the
//! nonce makes a segment open only where it was sealed.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::{Damaged, SegmentSize, header::PREFIX_LEN, secret::KEY_LEN};

/// The length in bytes of the tag that ends each sealed segment.
pub const TAG_LEN: usize = 16;

/// Where in its stream a segment stands; part of its nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The segment's number, from 0; at most `u32::MAX - 1`.
    pub index: u32,
    /// True for the stream's last segment and no other.
    pub last: bool,
}

impl Position {
    /// The highest index that is ever sealed; a count of segments thereby fits a `u32`.
    pub const MAX_INDEX: u32 = u32::MAX - 1;
}

/// The cipher of one stream: AES-256-GCM under the stream's derived key.
///
/// Dropping it wipes the key (aws-lc cleanses what it frees).
pub struct SegmentCipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
}

impl SegmentCipher {
    pub(crate) fn new(derived: &[u8; KEY_LEN], prefix: [u8; PREFIX_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, derived).expect("an AES-256 key has 32 bytes");
        Self { key: LessSafeKey::new(key), prefix }
    }

    /// Turns `plaintext` into ciphertext and returns the tag that must follow it.
    ///
    /// The caller seals each position at most once: a second plaintext under one nonce would give
    /// both away. Panics beyond [`Position::MAX_INDEX`] or the largest segment, which no layout
    /// contains.
    #[must_use = "a segment without its tag never opens again"]
    pub fn seal_in_place(&self, position: Position, plaintext: &mut [u8]) -> [u8; TAG_LEN] {
        assert!(position.index <= Position::MAX_INDEX, "the segment counter is exhausted");
        assert!(
            plaintext.len() <= SegmentSize::MAX.bytes() - TAG_LEN,
            "a segment fits the largest segment size"
        );
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(position), Aad::empty(), plaintext)
            .expect("AES-256-GCM seals every segment of bounded length");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Opens a segment that ends with its tag and returns the plaintext, which lies in the same
    /// buffer.
    ///
    /// On [`Damaged`] the buffer holds nothing of use, and must not be handed on.
    pub fn open_in_place<'b>(
        &self,
        position: Position,
        ciphertext_and_tag: &'b mut [u8],
    ) -> Result<&'b mut [u8], Damaged> {
        if position.index > Position::MAX_INDEX
            || ciphertext_and_tag.len() > SegmentSize::MAX.bytes()
        {
            return Err(Damaged);
        }
        let (ciphertext, tag) =
            ciphertext_and_tag.split_last_chunk_mut::<TAG_LEN>().ok_or(Damaged)?;
        self.key
            .open_in_place_separate_tag(self.nonce(position), Aad::empty(), tag, ciphertext)
            .map_err(|_| Damaged)
    }

    /// Prefix ‖ big-endian counter ‖ last flag.
    fn nonce(&self, position: Position) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..NONCE_LEN - 1].copy_from_slice(&position.index.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(position.last);
        Nonce::assume_unique_for_key(nonce)
    }
}

impl fmt::Debug for SegmentCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentCipher(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use lockyard_base::SeededEntropy;
    use proptest::prelude::*;

    use super::*;
    use crate::{Header, MainKey};

    fn cipher() -> SegmentCipher {
        let entropy = SeededEntropy::new(11);
        MainKey::generate(&entropy).cipher(&Header::generate(&entropy), b"bound")
    }

    fn sealed(cipher: &SegmentCipher, position: Position, plaintext: &[u8]) -> Vec<u8> {
        let mut out = plaintext.to_vec();
        let tag = cipher.seal_in_place(position, &mut out);
        out.extend_from_slice(&tag);
        out
    }

    #[test]
    fn the_nonce_is_prefix_counter_and_flag() {
        let cipher = SegmentCipher::new(&[0; 32], [1, 2, 3, 4, 5, 6, 7]);
        let nonce = |index, last| *cipher.nonce(Position { index, last }).as_ref();
        assert_eq!(nonce(0x0a0b_0c0d, false), [1, 2, 3, 4, 5, 6, 7, 0x0a, 0x0b, 0x0c, 0x0d, 0]);
        assert_eq!(nonce(1, true), [1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn the_highest_index_is_sealed_and_opened_and_the_next_is_refused() {
        let cipher = cipher();
        let highest = Position { index: Position::MAX_INDEX, last: true };
        let mut buffer = sealed(&cipher, highest, b"end");
        assert_eq!(cipher.open_in_place(highest, &mut buffer), Ok(&mut [b'e', b'n', b'd'][..]));

        let beyond = Position { index: u32::MAX, last: true };
        let seal = || cipher.seal_in_place(beyond, &mut []);
        assert!(catch_unwind(AssertUnwindSafe(seal)).is_err(), "the counter never wraps");
        assert_eq!(cipher.open_in_place(beyond, &mut [0; 16]), Err(Damaged));
    }

    #[test]
    fn the_largest_segment_is_sealed_and_one_byte_more_is_refused() {
        let cipher = cipher();
        let position = Position { index: 1, last: false };
        let most = SegmentSize::MAX.bytes() - TAG_LEN;
        let mut buffer = sealed(&cipher, position, &vec![7; most]);
        assert!(cipher.open_in_place(position, &mut buffer).is_ok());

        let seal = || cipher.seal_in_place(position, &mut vec![7; most + 1]);
        assert!(catch_unwind(AssertUnwindSafe(seal)).is_err());
        assert_eq!(cipher.open_in_place(position, &mut vec![7; most + 17]), Err(Damaged));
    }

    #[test]
    fn a_segment_opens_nowhere_but_in_its_position() {
        let cipher = cipher();
        let home = Position { index: 5, last: false };
        let original = sealed(&cipher, home, b"segment");
        for index in [0, 1, 4, 5, 6, 0x0500_0000, Position::MAX_INDEX, u32::MAX] {
            for last in [false, true] {
                let position = Position { index, last };
                let opened = cipher.open_in_place(position, &mut original.clone()).is_ok();
                assert_eq!(opened, position == home, "{position:?}");
            }
        }
    }

    #[test]
    fn what_is_shorter_than_a_tag_is_damaged() {
        for len in 0..TAG_LEN {
            let position = Position { index: 0, last: true };
            assert_eq!(cipher().open_in_place(position, &mut vec![0; len]), Err(Damaged), "{len}");
        }
    }

    #[test]
    fn a_segment_that_fails_to_open_leaves_no_plaintext_in_the_buffer() {
        let cipher = cipher();
        let position = Position { index: 0, last: true };
        let plaintext = [0x5a; 100];
        let mut buffer = sealed(&cipher, position, &plaintext);
        buffer[115] ^= 1;
        assert_eq!(cipher.open_in_place(position, &mut buffer), Err(Damaged));
        assert!(!buffer.windows(8).any(|window| window == [0x5a; 8]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_open_and_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            index in any::<u32>(), last in any::<bool>()
        ) {
            let position = Position { index, last };
            prop_assert_eq!(cipher().open_in_place(position, &mut bytes), Err(Damaged));
        }
    }
}
