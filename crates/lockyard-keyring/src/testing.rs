//! Cells that a test fills and empties by hand, for rooms that need a capability and no vault.

use std::{collections::BTreeMap, sync::Arc};

use lockyard_base::{Entropy, Epoch, RegistryId, SeededEntropy};
use lockyard_seal::{IndexKey, MainKey};

use crate::{
    UnlockedRegistry,
    cell::{Cell, CellKeys},
};

/// A registry's cell without a vault behind it.
#[derive(Clone)]
pub struct TestCell {
    cell: Arc<Cell>,
    seed: u64,
}

impl TestCell {
    /// A filled cell; the same seed gives the same keys.
    pub fn filled(registry: RegistryId, seed: u64) -> Self {
        let this = Self { cell: Arc::new(Cell::new(registry)), seed };
        this.unlock();
        this
    }

    /// The capability.
    ///
    /// # Panics
    /// If the cell was locked.
    pub fn handle(&self) -> UnlockedRegistry {
        self.cell.handle().expect("the test has not locked the cell")
    }

    /// Empties the cell, as a revocation would.
    pub fn lock(&self) {
        self.cell.empty();
    }

    /// Fills the cell again with the same keys.
    pub fn unlock(&self) {
        let entropy: &dyn Entropy = &SeededEntropy::new(self.seed);
        self.cell.fill(CellKeys {
            rows: BTreeMap::from([(Epoch::FIRST, MainKey::generate(entropy))]),
            active: Epoch::FIRST,
            index: IndexKey::generate(entropy),
            permanent: true,
        });
    }

    /// How many part ciphers are live.
    pub fn live_ciphers(&self) -> usize {
        self.cell.live_ciphers()
    }
}

impl std::fmt::Debug for TestCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCell")
    }
}

/// An unlocked registry with arbitrary keys.
pub fn unlocked() -> UnlockedRegistry {
    TestCell::filled(RegistryId::from_bytes([7; 16]), 7).handle()
}
