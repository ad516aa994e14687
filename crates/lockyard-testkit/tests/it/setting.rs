//! What the environment says, and the runtime that a story runs on.

use lockyard_base::{Entropy, OsEntropy};

/// The seed that the environment names, or a fresh one; printed either way.
pub(crate) fn seed(story: &str) -> u64 {
    let entropy: &dyn Entropy = &OsEntropy;
    let seed = number("LOCKYARD_SEED").unwrap_or_else(|| u64::from_le_bytes(entropy.bytes()));
    println!("{story}: LOCKYARD_SEED={seed}");
    seed
}

#[expect(clippy::disallowed_methods, reason = "the harness reads its settings here")]
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs a story on one thread, so that the same seed makes the same calls.
pub(crate) fn alone(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(story);
}
