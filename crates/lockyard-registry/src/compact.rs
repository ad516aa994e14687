//! Compaction: puts one part in place of many small ones.
//!
//! A client that uploads in small chunks leaves a part for each. Finishing never rewrites them; this
//! job does, later: it reads the blob, seals it anew as one part under a new blob key while it
//! re-hashes it, and swaps the part list in one transaction, by compare-and-set on the row's seal
//! number. Readers that hold the old list go on until the read grace ends; one whose part is gone
//! re-reads the row. Like every job it takes no input, may run twice at once, and may be cut off
//! anywhere: a part that no row names dies with its lease.

use std::sync::Arc;

use futures_util::StreamExt as _;
use lockyard_base::{BlobId, PartId, RegistryId};
use lockyard_blobs::{BlobStream, PartList, ReadError};
use lockyard_oci::Hasher;
use lockyard_store::{SealNo, blob, part, registry, walk};

use crate::{Body, BodyError, Registries, Registry, RegistryError, blob::open, rows::BlobRecord};

/// Rows that one read looks at.
const BATCH: u32 = 256;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Blobs that have one part now.
    pub blobs: u64,
    /// Parts that died for it.
    pub parts: u64,
    /// Registries that were left alone because they are locked.
    pub registries_locked: u64,
}

/// A blob that has too many parts for its size.
struct Candidate {
    id: BlobId,
    seal_no: SealNo,
    record: BlobRecord,
}

impl Registries {
    /// Compacts blobs with many small parts in every unlocked registry.
    pub async fn compact(self: &Arc<Self>) -> Result<CompactReport, RegistryError> {
        let mut report = CompactReport::default();
        let rows = self.ground().store.read(registry::list).await?;
        for row in rows {
            match self.open_inside(row.registry_id) {
                Ok(registry) => registry.compact(row.registry_id, &mut report).await?,
                Err(RegistryError::Locked(_)) => report.registries_locked += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

impl Registry {
    async fn compact(
        &self,
        id: RegistryId,
        report: &mut CompactReport,
    ) -> Result<(), RegistryError> {
        let limits = self.house.ground().limits;
        let mut after: Option<BlobId> = None;
        loop {
            let (last, candidates) = self
                .read(move |txn, rows| {
                    let found = walk::blobs(txn, id, after, BATCH)?;
                    let last = found.last().map(|row| row.blob_id);
                    let candidates: Vec<Candidate> = found
                        .iter()
                        .filter(|row| row.state == blob::BlobState::Present)
                        // A damaged row is for the scrub.
                        .filter_map(|row| {
                            let (id, seal_no) = (row.blob_id, row.seal_no);
                            Some(Candidate { id, seal_no, record: open(rows, row).ok()? })
                        })
                        .filter(|found| is_scattered(&found.record.parts, &limits))
                        .collect();
                    Ok((last, candidates))
                })
                .await?;
            let Some(last) = last else { return Ok(()) };
            after = Some(last);
            for candidate in candidates {
                let parts = candidate.record.parts.count() as u64;
                if self.compact_blob(candidate).await? {
                    report.blobs += 1;
                    report.parts += parts;
                }
            }
        }
    }

    /// Returns whether the blob has one part now; whatever stands in the way is left to the next run.
    async fn compact_blob(&self, candidate: Candidate) -> Result<bool, RegistryError> {
        let Candidate { id, seal_no, record } = candidate;
        let BlobRecord { digest, parts } = record;
        let Some(body) = self.body_of(&parts).await? else { return Ok(false) };
        let written = self.announce().await?;
        let hasher = Hasher::new(digest.algorithm());
        let taken = match self.seal(written, hasher, body, parts.len()).await {
            Ok(taken) => taken,
            Err(error) => {
                self.discard(Some(written)).await;
                return Err(error);
            }
        };
        let whole = taken.part.filter(|part| part.len() == parts.len());
        let (Some(part), true) = (whole, taken.hasher.finish() == digest) else {
            // The sum is the last witness: damage is quarantined by whoever reads, not copied here.
            tracing::error!(blob = %id, "a blob that does not read back whole was not compacted");
            self.discard(Some(written)).await;
            return Ok(false);
        };
        let mut list = PartList::new();
        list.push(part).map_err(|_| RegistryError::Internal("one part is not too many"))?;
        let old: Vec<PartId> = parts.ids().collect();
        let swapped = self
            .write(move |txn, rows, _| {
                let Some(row) = blob::get(txn, id)? else { return Ok(false) };
                if row.seal_no != seal_no || row.state != blob::BlobState::Present {
                    return Ok(false);
                }
                let (index, state) = (row.digest_index, row.state);
                let sealed = rows.seal_blob(id, &index, state.word(), &digest, &list)?;
                if !blob::update(txn, id, seal_no, sealed.epoch, state, &sealed.bytes)? {
                    return Ok(false);
                }
                part::make_live(txn, &[written])?;
                part::make_dead(txn, &old)?;
                Ok(true)
            })
            .await;
        if !matches!(swapped, Ok(true)) {
            self.discard(Some(written)).await;
        }
        swapped
    }

    /// The blob's content as a body; `None` if it cannot be read, which its readers will see to.
    async fn body_of(&self, parts: &PartList) -> Result<Option<Body>, RegistryError> {
        let store = self.part_store(parts).await?;
        let (unlocked, pool) = (self.rows.unlocked(), self.house.pool());
        match BlobStream::open(unlocked, &store, pool, parts, 0..parts.len()).await {
            Ok(stream) => Ok(Some(stream.map(|piece| piece.map_err(|_| BodyError)).boxed())),
            Err(ReadError::Locked) => Err(RegistryError::LockedMeanwhile),
            Err(error) => {
                tracing::warn!(error = %lockyard_base::chain(&error), "a blob was not compacted");
                Ok(None)
            }
        }
    }
}

/// Whether a blob has many parts, and small ones.
fn is_scattered(parts: &PartList, limits: &crate::Limits) -> bool {
    let count = parts.count() as u64;
    count >= limits.compact_parts_min && parts.len() / count.max(1) < limits.compact_part_bytes
}
