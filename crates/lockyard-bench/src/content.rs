//! Bytes to push: incompressible, different each time, and cheap to make and to hash.
//!
//! A blob is one block over and over with a short tail of its own. The hash of everything before
//! the tail is computed once, so that a fresh gigabyte costs no second of hashing before each push.
//! The block stays in the cache, so that making bytes costs the client nothing.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::clock;

/// How many bytes are written at once.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// How many bytes at the end make a blob different from others.
pub(crate) const TAIL_BYTES: usize = 32;

/// What all blobs of one length have in common.
#[derive(Clone, Debug)]
pub(crate) struct Mould {
    block: Arc<[u8]>,
    body_len: u64,
    state: Sha256,
}

/// One blob.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    block: Arc<[u8]>,
    body_len: u64,
    tail: [u8; TAIL_BYTES],
    digest: String,
}

impl Mould {
    /// Prepares blobs of a length, at least [`TAIL_BYTES`].
    pub(crate) fn new(len: u64) -> Self {
        let body_len = len.saturating_sub(TAIL_BYTES as u64);
        let block = Arc::<[u8]>::from(noise(BLOCK_BYTES));
        let mut state = Sha256::new();
        for piece in pieces(&block, body_len) {
            state.update(piece);
        }
        Self { block, body_len, state }
    }

    /// Returns a blob like no other.
    pub(crate) fn cast(&self) -> Content {
        let mut tail = [0; TAIL_BYTES];
        tail.copy_from_slice(&Sha256::digest(clock::nanoseconds().to_le_bytes()));
        let mut state = self.state.clone();
        state.update(tail);
        let digest = format!("sha256:{}", hex::encode(state.finalize()));
        Content { block: Arc::clone(&self.block), body_len: self.body_len, tail, digest }
    }
}

impl Content {
    /// Its digest.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.body_len + TAIL_BYTES as u64
    }

    /// Its bytes, piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        pieces(&self.block, self.body_len).chain([&self.tail[..]])
    }
}

fn pieces(block: &[u8], len: u64) -> impl Iterator<Item = &[u8]> {
    let whole = len / block.len() as u64;
    let rest = usize::try_from(len % block.len() as u64).unwrap_or_default();
    (0..whole).map(move |_| block).chain((rest > 0).then(|| &block[..rest]))
}

/// Bytes that do not compress: splitmix64, which is no secret and need not be.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    let mut bytes: Vec<u8> = words.take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_pieces() {
        for len in [32, 4096, BLOCK_BYTES as u64 + 32, 3 * BLOCK_BYTES as u64 + 7] {
            let mould = Mould::new(len);
            let content = mould.cast();
            let bytes: Vec<u8> = content.pieces().flatten().copied().collect();
            assert_eq!(bytes.len() as u64, len);
            assert_eq!(content.len(), len);
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
            assert_eq!(content.digest(), digest);
            assert_ne!(mould.cast().digest(), digest);
        }
    }
}
