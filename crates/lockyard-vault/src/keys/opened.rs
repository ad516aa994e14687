//! Private keys in memory, so that a use costs no parsing.
//!
//! A key that is in memory is used only while its row is, byte for byte, the one that it was opened
//! from; so memory never outvotes the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lockyard_base::RowId;

use super::{FoundKey, FoundVersion};
use crate::{
    Vault, VaultError,
    crypto::{CryptoError, Purpose, ReadyKey},
};

/// A key in memory, and what it was opened from.
#[derive(Debug)]
pub(crate) struct OpenedKey {
    aad: Vec<u8>,
    sealed: Vec<u8>,
    pub(crate) key: ReadyKey,
}

impl Vault {
    /// Returns the key of a version, ready for this purpose.
    pub(crate) fn ready_key(
        &self,
        key: &FoundKey,
        version: &FoundVersion,
        purpose: Purpose,
    ) -> Result<Arc<OpenedKey>, VaultError> {
        let row = &version.row;
        let aad = row.with_place("sealed_key", key.vault, key.key, |place| self.rows.aad(place));
        let place = (key.key, row.id, purpose);
        if let Some(opened) = self.opened.find(place, &aad, &row.sealed_key) {
            return Ok(opened);
        }
        let private = self.open_private(key, row)?;
        let ready = match ReadyKey::from_pkcs8(version.shape, purpose, &private) {
            Ok(ready) => ready,
            Err(CryptoError::WrongAlgorithm) => return Err(CryptoError::WrongAlgorithm.into()),
            Err(_) => return Err(VaultError::DamagedRow { table: "key_version", row: row.id }),
        };
        let opened = Arc::new(OpenedKey { aad, sealed: row.sealed_key.clone(), key: ready });
        self.opened.keep(place, Arc::clone(&opened));
        Ok(opened)
    }
}

/// Key, version and purpose.
type PlaceInMemory = (RowId, RowId, Purpose);

/// The keys that are in memory; wiped when forgotten.
#[derive(Debug, Default)]
pub(crate) struct OpenedKeys(Mutex<HashMap<PlaceInMemory, Arc<OpenedKey>>>);

impl OpenedKeys {
    /// The most keys that stay in memory; about 10 KiB each.
    const MAX: usize = 1024;

    fn find(&self, place: PlaceInMemory, aad: &[u8], sealed: &[u8]) -> Option<Arc<OpenedKey>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&place).filter(|key| key.aad == aad && key.sealed == sealed).map(Arc::clone)
    }

    fn keep(&self, place: PlaceInMemory, key: Arc<OpenedKey>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= Self::MAX {
            kept.clear();
        }
        kept.insert(place, key);
    }

    /// Forgets a version of a key, or all of them.
    pub(crate) fn forget(&self, key: RowId, version: Option<RowId>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(of, its, _), _| *of != key || version.is_some_and(|version| *its != version));
    }
}
