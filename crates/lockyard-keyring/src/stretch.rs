//! Stretches what people type with argon2id, in memory that goes back to the system at once.
//!
//! One stretch takes as much memory as a server that idles. From an allocator it would stay with
//! the process until the allocator thinks of giving it back, so it is a mapping of its own, which
//! ends with the stretch and takes the traces of the secret with it.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use memmap2::MmapMut;
use zeroize::Zeroizing;

/// How dear a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StretchCost {
    /// Memory in KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for StretchCost {
    /// What a passphrase and a password cost (DESIGN 3): 64 MiB, three passes, four lanes.
    fn default() -> Self {
        Self { kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl StretchCost {
    /// What a stored cost may be at most: it must not be able to exhaust the machine before the
    /// secret is known to be wrong.
    pub const MAX: Self = Self { kib: 16 * 64 * 1024, passes: 64, lanes: 64 };

    /// Next to nothing; only for tests that are about something else.
    #[cfg(any(test, feature = "testing"))]
    pub const NEGLIGIBLE: Self = Self { kib: 8, passes: 1, lanes: 1 };

    fn is_bearable(self) -> bool {
        self.kib <= Self::MAX.kib
            && self.passes <= Self::MAX.passes
            && self.lanes <= Self::MAX.lanes
    }

    /// Stretches a secret; `None` if the cost is above [`MAX`](Self::MAX) or below what argon2
    /// allows, if the salt is too short, or if the system has no such memory.
    pub fn stretch(self, secret: &[u8], salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        if !self.is_bearable() {
            return None;
        }
        let params = Params::new(self.kib, self.passes, self.lanes, Some(32)).ok()?;
        let mut memory = MmapMut::map_anon(params.block_count() * Block::SIZE).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(secret, salt, key.as_mut_slice(), blocks(&mut memory))
            .ok()?;
        Some(key)
    }
}

/// The mapping as argon2 wants it.
#[expect(unsafe_code, reason = "argon2 offers no safe way to bring memory of one's own")]
fn blocks(memory: &mut [u8]) -> &mut [Block] {
    // SAFETY: a block is an array of 128 `u64` and no more, so that every pattern of bytes is a
    // valid block and every block is initialized bytes; `align_to_mut` sees to alignment and length.
    let (before, blocks, after) = unsafe { memory.align_to_mut::<Block>() };
    assert!(before.is_empty() && after.is_empty(), "a mapping begins and ends with whole blocks");
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_one_that_argon2_finds_in_memory_of_its_own() {
        // A block count that is no multiple of a page's.
        for (kib, passes, lanes) in [(8, 1, 1), (61, 2, 3), (1024, 3, 4)] {
            let key = StretchCost { kib, passes, lanes }.stretch(b"correct horse", &[7; 16]);
            let mut expected = [0; 32];
            let params = Params::new(kib, passes, lanes, Some(32)).expect("valid");
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(b"correct horse", &[7; 16], &mut expected)
                .expect("valid");
            assert_eq!(*key.expect("bearable"), expected);
        }
    }

    #[test]
    fn a_cost_is_borne_up_to_its_limit_and_not_beyond() {
        let StretchCost { kib, passes, lanes } = StretchCost::MAX;
        for (cost, bearable) in [
            (StretchCost::MAX, true),
            (StretchCost { kib: kib - 1, passes: passes - 1, lanes: lanes - 1 }, true),
            (StretchCost { kib: kib + 1, passes, lanes }, false),
            (StretchCost { kib, passes: passes + 1, lanes }, false),
            (StretchCost { kib, passes, lanes: lanes + 1 }, false),
        ] {
            assert_eq!(cost.is_bearable(), bearable, "{cost:?}");
        }
        assert!(StretchCost { kib: kib + 1, passes, lanes }.stretch(b"", &[7; 16]).is_none());
        assert!(StretchCost { kib: 0, passes: 1, lanes: 1 }.stretch(b"", &[7; 16]).is_none());
        assert!(StretchCost { kib: 8, passes: 1, lanes: 1 }.stretch(b"", &[7; 7]).is_none());
    }
}
