//! What an upload's step has written and no row names yet.
//!
//! A part's file is there, synced, with a `writing` row, before the transaction that names it. A
//! short part is nowhere before that transaction: it brings the bytes along, so that one commit
//! makes them durable and names them.

use std::sync::Arc;

use lockyard_base::PartId;
use lockyard_blobs::{PartList, PartStore, SHORT_BYTES_MAX, with_row_part};
use lockyard_store::{Txn, part};

use crate::{Registry, RegistryError, rows::Rows};

/// What was written.
#[derive(Debug)]
pub(crate) enum Written {
    /// Nothing.
    Nothing,
    /// A file.
    File(PartId),
    /// A part for a row.
    Row(PartId, Vec<u8>),
}

impl Written {
    /// Makes it live, in the transaction that names it.
    pub(crate) fn keep(&self, txn: &mut Txn<'_>, rows: &Rows) -> Result<(), RegistryError> {
        match self {
            Self::Nothing => Ok(()),
            Self::File(part) => Ok(part::make_live(txn, &[*part])?),
            Self::Row(part, bytes) => Ok(part::insert_in_row(txn, rows.registry(), *part, bytes)?),
        }
    }

    /// The part whose file has to go if nothing comes of this.
    pub(crate) fn file(&self) -> Option<PartId> {
        match self {
            Self::File(part) => Some(*part),
            Self::Nothing | Self::Row(..) => None,
        }
    }
}

impl Registry {
    /// Where these parts are read: the store, and what a row holds of them.
    ///
    /// Only a blob's first part may lie in its row; so no reader holds more than one in memory.
    pub(crate) async fn part_store(
        &self,
        parts: &PartList,
    ) -> Result<Arc<dyn PartStore>, RegistryError> {
        let store = &self.house.ground().parts;
        let first = parts.first().filter(|first| first.len() <= SHORT_BYTES_MAX as u64);
        let Some(id) = first.map(lockyard_blobs::SealedPart::id) else {
            return Ok(Arc::clone(store));
        };
        let content = match self.read(move |txn, _| Ok(part::content(txn, id)?)).await {
            // As good as gone: whoever reads the part finds it missing.
            Err(RegistryError::Damaged(_)) => None,
            content => content?,
        };
        Ok(content.map_or_else(|| Arc::clone(store), |bytes| with_row_part(store, id, bytes)))
    }
}
