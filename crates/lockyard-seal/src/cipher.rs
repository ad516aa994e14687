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
