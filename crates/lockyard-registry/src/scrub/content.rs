//! Blobs and uploads: their rows are opened, all their parts read, and the whole hashed again.
//!
//! One row at a time, each in a read of its own: reading its parts may take hours, and the row may
//! be gone or name other parts by then. What looks wrong counts only if the row still is the one
//! that was read.

use futures_util::StreamExt as _;
use lockyard_base::{BlobId, RowId, UploadId};
use lockyard_blobs::{BlobStream, PartList, ReadError};
use lockyard_oci::{Algorithm, Digest, Hasher};
use lockyard_store::{SealNo, Txn, blob, upload, walk};

use super::{
    Scrub, Stop,
    family::{Flaw, opened},
    report::FindingKind,
};
use crate::{
    Registry, RegistryError,
    blob::open,
    rows::{Rows, Sealed},
};

/// Ids that one read lists.
const PAGE: u32 = 256;
/// How often a row that changes under the scrub is begun again before it is left to the next scrub.
const ATTEMPTS_MAX: usize = 4;

/// A row with parts, as it was read.
struct Whole {
    /// What tells whether the row is still the same.
    seal_no: SealNo,
    /// Whether the blob was found damaged before.
    quarantined: bool,
    content: Result<Content, Flaw>,
}

/// What the row promises.
struct Content {
    parts: PartList,
    digest: Digest,
}

/// Reads one row with parts; `None` if it is gone.
type Read = fn(&mut Txn<'_>, &Rows, RowId) -> Result<Option<Whole>, RegistryError>;

impl Scrub<'_> {
    /// Reads all blobs of a registry.
    pub(super) async fn blobs(&mut self, registry: &Registry) -> Result<(), Stop> {
        loop {
            let after = self.position.after.map(|id| BlobId::from_bytes(*id.as_bytes()));
            let page = registry
                .read_aside(move |txn, rows| {
                    let page = walk::blobs(txn, rows.registry(), after, PAGE)?;
                    Ok(page.into_iter().map(|row| RowId::from(row.blob_id)).collect::<Vec<_>>())
                })
                .await;
            let Some(page) = self.readable(page)? else { return Ok(()) };
            for id in &page {
                self.whole(registry, *id, read_blob).await?;
                self.passed(*id).await?;
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Reads all upload sessions of a registry.
    pub(super) async fn uploads(&mut self, registry: &Registry) -> Result<(), Stop> {
        loop {
            let after = self.position.after.map(|id| UploadId::from_bytes(*id.as_bytes()));
            let page = registry
                .read_aside(move |txn, rows| {
                    let page = walk::uploads(txn, rows.registry(), after, PAGE)?;
                    Ok(page.into_iter().map(|row| RowId::from(row.upload_id)).collect::<Vec<_>>())
                })
                .await;
            let Some(page) = self.readable(page)? else { return Ok(()) };
            for id in &page {
                self.whole(registry, *id, read_upload).await?;
                self.passed(*id).await?;
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Judges one row with parts.
    async fn whole(&mut self, registry: &Registry, id: RowId, read: Read) -> Result<(), Stop> {
        for _ in 0..ATTEMPTS_MAX {
            let outcome = registry.read_aside(move |txn, rows| read(txn, rows, id)).await;
            let Some(Some(whole)) = self.readable(outcome)? else { return Ok(()) };
            if whole.quarantined {
                let sentence = "the blob was found damaged before; pushing it again heals it";
                self.found(Some(id), Flaw::new(FindingKind::Quarantined, sentence), false);
                return Ok(());
            }
            let flaw = match &whole.content {
                Ok(content) => match self.content_flaw(registry, content).await? {
                    Some(flaw) => flaw,
                    None => return Ok(()),
                },
                Err(flaw) => flaw.clone(),
            };
            let outcome = registry.read_aside(move |txn, rows| read(txn, rows, id)).await;
            let Some(Some(again)) = self.readable(outcome)? else { return Ok(()) };
            if again.seal_no != whole.seal_no || again.quarantined {
                // Healed, moved on, or found by a reader meanwhile.
                continue;
            }
            let damaged = matches!(flaw.kind, FindingKind::PartMissing | FindingKind::PartDamaged);
            if damaged && self.in_blobs() {
                let blob = BlobId::from_bytes(*id.as_bytes());
                if registry.quarantine(blob, whole.seal_no).await {
                    self.report.blobs_quarantined += 1;
                }
            }
            self.found(Some(id), flaw, false);
            return Ok(());
        }
        Ok(())
    }

    /// What is wrong with the parts of a row.
    async fn content_flaw(
        &mut self,
        registry: &Registry,
        content: &Content,
    ) -> Result<Option<Flaw>, Stop> {
        let heal = if self.in_blobs() {
            "the blob is not served; pushing it again heals it"
        } else {
            "the upload has to begin again"
        };
        let algorithm = content.digest.algorithm();
        let flaw = match self.rehash(registry, &content.parts, algorithm).await? {
            Ok(digest) if digest == content.digest => return Ok(None),
            Ok(_) => Flaw::new(
                FindingKind::PartDamaged,
                format!("the parts together have another digest than their row says; {heal}"),
            ),
            Err(ReadError::Missing(part)) => {
                Flaw::new(FindingKind::PartMissing, format!("part {part} is missing; {heal}"))
            }
            Err(ReadError::Damaged(part)) => {
                Flaw::new(FindingKind::PartDamaged, format!("part {part} is damaged; {heal}"))
            }
            Err(ReadError::Store { part, source }) => Flaw::new(
                FindingKind::PartUnreadable,
                format!("part {part} cannot be read now: {}", lockyard_base::chain(&source)),
            ),
            Err(ReadError::Locked) => return Err(Stop::Locked),
            Err(error @ (ReadError::Range { .. } | ReadError::Interrupted)) => {
                return Err(RegistryError::Unavailable(Box::new(error)).into());
            }
        };
        Ok(Some(flaw))
    }

    /// Reads all parts at the scrub's pace.
    async fn rehash(
        &mut self,
        registry: &Registry,
        parts: &PartList,
        algorithm: Algorithm,
    ) -> Result<Result<Digest, ReadError>, Stop> {
        let store = registry.part_store(parts).await?;
        let (unlocked, pool) = (registry.rows.unlocked(), self.house.pool());
        let cancel = self.cancel;
        let opening = BlobStream::open(unlocked, &store, pool, parts, 0..parts.len());
        let mut stream = match cancel.run_until_cancelled(opening).await {
            None => return Err(Stop::Cancelled),
            Some(Ok(stream)) => stream,
            Some(Err(error)) => return Ok(Err(error)),
        };
        let mut hasher = Hasher::new(algorithm);
        loop {
            match cancel.run_until_cancelled(stream.next()).await {
                None => return Err(Stop::Cancelled),
                Some(None) => return Ok(Ok(hasher.finish())),
                Some(Some(Ok(piece))) => {
                    hasher.update(&piece);
                    self.opened_bytes(piece.len() as u64).await?;
                }
                Some(Some(Err(error))) => return Ok(Err(error)),
            }
        }
    }
}

fn read_blob(txn: &mut Txn<'_>, rows: &Rows, id: RowId) -> Result<Option<Whole>, RegistryError> {
    let Some(row) = blob::get(txn, BlobId::from_bytes(*id.as_bytes()))? else { return Ok(None) };
    let content = match opened(open(rows, &row))? {
        Some(record) if rows.digest_index(&record.digest)? == row.digest_index => {
            Ok(Content { parts: record.parts, digest: record.digest })
        }
        Some(_) | None => Err(Flaw::row("the blob's row (pushing the blob again heals it)")),
    };
    // A quarantined row that does not open is a finding of its own.
    let quarantined = row.state == blob::BlobState::Quarantined && content.is_ok();
    Ok(Some(Whole { seal_no: row.seal_no, quarantined, content }))
}

fn read_upload(txn: &mut Txn<'_>, rows: &Rows, id: RowId) -> Result<Option<Whole>, RegistryError> {
    let id = UploadId::from_bytes(*id.as_bytes());
    let Some(row) = upload::get(txn, id)? else { return Ok(None) };
    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
    let record = rows.open_upload(id, row.repository_id, row.generation, sealed);
    let content = match opened(record)? {
        Some(record) => Ok(Content { parts: record.parts, digest: record.hasher.finish() }),
        None => Err(Flaw::row("the upload session")),
    };
    Ok(Some(Whole { seal_no: row.seal_no, quarantined: false, content }))
}
