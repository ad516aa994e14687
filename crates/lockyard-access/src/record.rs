//! Sealed records of the instance: the owner, the certificate authority's key, and the like.
//!
//! They belong to no registry and open while registries are locked. Calls block: records are for
//! start-up and for operators.

use std::sync::Arc;

use lockyard_base::{BlindIndex, Entropy, RowId};
use lockyard_keyring::{InstanceKeys, Place};
use lockyard_seal::IndexKind;
use lockyard_store::{Store, StoreError, instance};
use thiserror::Error;
use zeroize::Zeroizing;

/// A record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The record is not what was sealed in its place.
    #[error("a record of the instance is damaged")]
    Damaged,
    /// Somebody else wrote the record at the same time; reading it again and repeating helps.
    #[error("a record of the instance was changed by somebody else meanwhile")]
    Overtaken,
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The sealed records of an instance.
#[derive(Clone, Debug)]
pub struct Records {
    store: Store,
    keys: Arc<InstanceKeys>,
    entropy: Arc<dyn Entropy>,
}

impl Records {
    /// The records in `store`, sealed under `keys`.
    pub fn new(store: Store, keys: Arc<InstanceKeys>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, keys, entropy }
    }

    /// The record of this kind and name, opened.
    pub fn get(&self, kind: &str, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, RecordError> {
        let index = self.index(kind, name);
        let row = self.store.read_blocking(|txn| instance::record(txn, kind, &index))?;
        let Some(row) = row else { return Ok(None) };
        let opened = self.keys.open_row(&place(row.row_id, &index), &row.sealed);
        opened.map(Some).map_err(|_| RecordError::Damaged)
    }

    /// Stores a record in place of any other of its kind and name.
    pub fn put(&self, kind: &str, name: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let this = self.clone();
        let (kind, value) = (kind.to_owned(), Zeroizing::new(value.to_vec()));
        let index = self.index(&kind, name);
        self.store.write_blocking(None, move |txn| {
            let old = instance::record(txn, &kind, &index)?;
            let id = old.as_ref().map_or_else(|| RowId::random(&*this.entropy), |row| row.row_id);
            let sealed = this.keys.seal_row(&*this.entropy, &place(id, &index), &value);
            let stored = match old {
                Some(row) => instance::update_record(txn, id, row.seal_no, &sealed)?,
                None => instance::insert_record(txn, id, &kind, &index, &sealed)?,
            };
            if stored { Ok(()) } else { Err(RecordError::Overtaken) }
        })
    }

    /// Forgets a record; one that is not there is no error.
    pub fn remove(&self, kind: &str, name: &[u8]) -> Result<(), RecordError> {
        let kind = kind.to_owned();
        let index = self.index(&kind, name);
        self.store.write_blocking(None, move |txn| {
            if let Some(row) = instance::record(txn, &kind, &index)? {
                instance::delete_record(txn, row.row_id)?;
            }
            Ok(())
        })
    }

    /// Whether a row is what was sealed in its place.
    pub fn opens(&self, row: &instance::RecordRow) -> bool {
        self.keys.open_row(&place(row.row_id, &row.name_index), &row.sealed).is_ok()
    }

    fn index(&self, kind: &str, name: &[u8]) -> BlindIndex {
        self.keys.blind(IndexKind::Record, &lockyard_seal::pae(&[kind.as_bytes(), name]))
    }
}

/// The kind is bound through the index, which is made from it.
fn place(row: RowId, index: &BlindIndex) -> Place<'_> {
    Place { table: "instance_record", column: "sealed", row, index: index.as_bytes(), clear: &[] }
}
