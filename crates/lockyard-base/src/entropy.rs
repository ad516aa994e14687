//! Randomness as a parameter.

use std::fmt;

/// Where random bytes come from. Keys, nonces and ids are all drawn here.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `out` with unpredictable bytes.
    ///
    /// A system without entropy is not one to keep keys on: implementations end the process rather
    /// than return something guessable.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// Returns `N` fresh bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system always has entropy");
    }
}

/// A reproducible generator for tests (`splitmix64`); never unpredictable.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct SeededEntropy(std::sync::Mutex<u64>);

#[cfg(feature = "testing")]
impl SeededEntropy {
    /// A generator that always yields the same bytes for the same `seed`.
    pub fn new(seed: u64) -> Self {
        Self(std::sync::Mutex::new(seed))
    }
}

#[cfg(feature = "testing")]
impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut state = self.0.lock().expect("no test panics while drawing");
        for chunk in out.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}
