//! What the machine lends to the rooms: its clocks and its entropy.

use std::sync::Arc;

use lockyard_base::{Clock, Entropy, OsEntropy, SystemClock};

/// The machine's clocks and entropy, as every room takes them.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Randomness.
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Machine {
    /// The real ones.
    pub(crate) fn real() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) }
    }
}
