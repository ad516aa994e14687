//! Hashing content as it streams by, with a state that can be put away and taken up again.
//!
//! An upload arrives in requests that may be minutes and restarts apart; its hash must not be
//! begun anew each time. This is why the `sha2` crate is used here rather than a faster one: its
//! states can be saved. A saved state holds up to 127 bytes of the content itself, so whoever keeps
//! it must seal it.
//!
//! Saved form: one format byte (1), the algorithm's byte as in [`Digest::to_bytes`], then sha2's
//! serialized state. A test pins the bytes, because sha2 may change them between versions.

use sha2::{
    Digest as _, Sha256, Sha512,
    digest::common::hazmat::{SerializableState, SerializedState},
};
use thiserror::Error;

use crate::{Algorithm, Digest};

/// The most bytes a restored hash may have behind it: 1 EiB, well before SHA-256's own counter of
/// bits overflows.
pub const HASHED_BYTES_MAX: u64 = 1 << 60;

const FORMAT: u8 = 1;

/// A digest being computed.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    bytes: u64,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Bytes that are no saved hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the bytes are not a saved hash")]
pub struct RestoreError;

impl Hasher {
    /// Begins the digest of nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        };
        Self { state, bytes: 0 }
    }

    /// The algorithm being computed.
    pub const fn algorithm(&self) -> Algorithm {
        match self.state {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// How many bytes have been hashed, those before a restore included.
    pub const fn hashed_bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends `content` to what is hashed.
    pub fn update(&mut self, content: &[u8]) {
        match &mut self.state {
            State::Sha256(hash) => hash.update(content),
            State::Sha512(hash) => hash.update(content),
        }
        self.bytes += content.len() as u64;
    }

    /// The digest of all that was appended.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(hash) => Digest::sha256(hash.finalize().into()),
            State::Sha512(hash) => Digest::sha512(hash.finalize().into()),
        }
    }

    /// The state as bytes that [`Hasher::restore`] takes; content is in them, so seal them.
    pub fn save(&self) -> Vec<u8> {
        let mut saved = vec![FORMAT, self.algorithm().code()];
        match &self.state {
            State::Sha256(hash) => saved.extend_from_slice(&hash.serialize()),
            State::Sha512(hash) => saved.extend_from_slice(&hash.serialize()),
        }
        saved
    }

    /// Takes up a saved state; refuses every byte string that [`Hasher::save`] cannot have made.
    ///
    /// That holds for what can be seen: a hash value cannot be told from another one, so saved
    /// states must lie where nobody can alter them.
    pub fn restore(saved: &[u8]) -> Result<Self, RestoreError> {
        let [FORMAT, code, state @ ..] = saved else { return Err(RestoreError) };
        match Algorithm::from_code(*code).ok_or(RestoreError)? {
            Algorithm::Sha256 => {
                let bytes = hashed_bytes(state, 32, 8, 64)?;
                Ok(Self { state: State::Sha256(deserialize(state)?), bytes })
            }
            Algorithm::Sha512 => {
                let bytes = hashed_bytes(state, 64, 16, 128)?;
                Ok(Self { state: State::Sha512(deserialize(state)?), bytes })
            }
        }
    }
}

fn deserialize<H: SerializableState>(state: &[u8]) -> Result<H, RestoreError> {
    let state: &SerializedState<H> = state.try_into().map_err(|_| RestoreError)?;
    H::deserialize(state).map_err(|_| RestoreError)
}

/// Reads from sha2's serialized state how many bytes it has behind it.
///
/// The state is the hash value, the little-endian count of blocks, one byte that tells how many
/// bytes of the current block are there, and those bytes. sha2 itself takes any count, and then
/// overflows on finishing; this is where it is bounded.
fn hashed_bytes(
    state: &[u8],
    value_bytes: usize,
    count_bytes: usize,
    block_bytes: u64,
) -> Result<u64, RestoreError> {
    let count = state.get(value_bytes..value_bytes + count_bytes).ok_or(RestoreError)?;
    let tail = *state.get(value_bytes + count_bytes).ok_or(RestoreError)?;
    let mut wide = [0; 16];
    wide[..count_bytes].copy_from_slice(count);
    u64::try_from(u128::from_le_bytes(wide))
        .ok()
        .and_then(|blocks| blocks.checked_mul(block_bytes))
        .and_then(|bytes| bytes.checked_add(u64::from(tail)))
        .filter(|&bytes| bytes <= HASHED_BYTES_MAX)
        .ok_or(RestoreError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_saved_form_never_changes() {
        // Zeros fill up the block.
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&[7; 67]);
        let saved = "0101\
            5fd7d9828641af4607ed7103a54f0c549b37e116abfe30e55fa25d6fb3140218\
            010000000000000003070707";
        assert_eq!(hex::encode(hasher.save()), format!("{saved:0<212}"));
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(&[7; 131]);
        let saved = "0102\
            8fa996e22393f5fc50153bd12ade358b43d1c070ecaa4f726815bec27ff505fb\
            321adfb8d847e7ca052bf3959c305d6692635828cad1c704395cda2279463859\
            0100000000000000000000000000000003070707";
        assert_eq!(hex::encode(hasher.save()), format!("{saved:0<420}"));
    }

    #[test]
    fn a_state_of_wrong_length_is_refused() {
        for algorithm in Algorithm::ALL {
            let saved = Hasher::new(algorithm).save();
            for end in 0..saved.len() {
                assert!(Hasher::restore(&saved[..end]).is_err(), "{algorithm} {end}");
            }
            let longer = [&saved[..], &[0]].concat();
            assert!(Hasher::restore(&longer).is_err());
        }
    }

    #[test]
    fn a_state_of_another_format_or_algorithm_is_refused() {
        let saved = Hasher::new(Algorithm::Sha256).save();
        for (at, byte) in [(0, 0), (0, 2), (1, 0), (1, 2), (1, 3)] {
            let mut saved = saved.clone();
            saved[at] = byte;
            assert_eq!(Hasher::restore(&saved).unwrap_err(), RestoreError);
        }
    }

    #[test]
    fn junk_after_the_tail_of_a_block_is_refused() {
        let mut saved = Hasher::new(Algorithm::Sha512).save();
        *saved.last_mut().unwrap() = 1;
        assert_eq!(Hasher::restore(&saved).unwrap_err(), RestoreError);
    }

    #[test]
    fn a_state_may_have_an_exbibyte_behind_it_and_no_more() {
        for (algorithm, count_at, block) in
            [(Algorithm::Sha256, 34, 64), (Algorithm::Sha512, 66, 128)]
        {
            let at_limit = HASHED_BYTES_MAX / block;
            for (blocks, accepted) in
                [(at_limit - 1, true), (at_limit, true), (at_limit + 1, false), (u64::MAX, false)]
            {
                let mut saved = Hasher::new(algorithm).save();
                saved[count_at..count_at + 8].copy_from_slice(&blocks.to_le_bytes());
                let restored = Hasher::restore(&saved);
                assert_eq!(restored.is_ok(), accepted, "{algorithm} {blocks}");
                if let Ok(mut hasher) = restored {
                    assert_eq!(hasher.hashed_bytes(), blocks * block);
                    hasher.update(&[0; 1000]);
                    let _ = hasher.finish();
                }
            }
        }
    }

    proptest! {
        #[test]
        fn saving_anywhere_changes_nothing(
            content in prop::collection::vec(any::<u8>(), 0..600),
            cut in any::<prop::sample::Index>(),
            long: bool,
        ) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let (before, after) = content.split_at(cut.index(content.len() + 1));
            let mut hasher = Hasher::new(algorithm);
            hasher.update(before);
            let saved = hasher.save();
            let mut restored = Hasher::restore(&saved).unwrap();
            prop_assert_eq!(restored.hashed_bytes(), before.len() as u64);
            prop_assert_eq!(restored.save(), saved);
            restored.update(after);
            prop_assert_eq!(restored.hashed_bytes(), content.len() as u64);
            prop_assert_eq!(restored.finish(), Digest::of(algorithm, &content));
        }

        #[test]
        fn no_bytes_make_restore_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..220)) {
            drop(Hasher::restore(&bytes));
            for (code, length) in [(1, 106), (2, 210)] {
                bytes.resize(length, 0);
                bytes[0] = FORMAT;
                bytes[1] = code;
                if let Ok(hasher) = Hasher::restore(&bytes) {
                    prop_assert_eq!(hasher.save(), bytes.clone());
                    let _ = hasher.finish();
                }
            }
        }
    }
}
