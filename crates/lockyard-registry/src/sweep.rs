//! The sweep: drops abandoned uploads and deletes the bytes of dead parts.
//!
//! A job without input: it reads what is, acts, and reports; a second one at the same time, or a
//! crash in the middle, changes nothing. It works by rows and walks no directory. A locked registry
//! is frozen: nothing of it expires until it is unlocked again.

use lockyard_base::{PartId, RegistryId};
use lockyard_store::{part, registry, upload};

use crate::{Registries, Registry, RegistryError, intake::blocking, rows::Sealed};

/// Rows that one transaction looks at.
const BATCH: u32 = 256;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Upload sessions that expired.
    pub uploads_expired: u64,
    /// Parts whose writer went away.
    pub parts_abandoned: u64,
    /// Dead parts whose bytes were deleted.
    pub parts_deleted: u64,
    /// Registries that were left alone because they are locked.
    pub registries_locked: u64,
}

impl Registries {
    /// Drops what nobody can use any more, in every unlocked registry.
    pub async fn sweep(self: &std::sync::Arc<Self>) -> Result<SweepReport, RegistryError> {
        let mut report = SweepReport::default();
        let rows = self.ground().store.read(registry::list).await?;
        for row in rows {
            match self.open_inside(row.registry_id) {
                Ok(registry) => registry.sweep(row.registry_id, &mut report).await?,
                Err(RegistryError::Locked(_)) => report.registries_locked += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

impl Registry {
    async fn sweep(&self, id: RegistryId, report: &mut SweepReport) -> Result<(), RegistryError> {
        let limits = self.house.ground().limits;
        if !self.house.rests(id, limits.upload_idle_max) {
            let now = self.house.ground().clock.wall();
            report.uploads_expired += self.house.nursery().expire(id, now);
            while self.expire_uploads(id, report).await? == BATCH as usize {}
        }
        if !self.house.rests(id, limits.writing_lease) {
            let abandoned = self
                .write(move |txn, _, _| {
                    let now = txn.now();
                    let parts = part::expired_writing(txn, id, now, BATCH)?;
                    Ok(part::expire(txn, &parts, now)?.len() as u64)
                })
                .await?;
            report.parts_abandoned += abandoned;
        }
        if !self.house.rests(id, limits.read_grace) {
            while self.delete_dead(id, report).await? == BATCH as usize {}
        }
        Ok(())
    }

    async fn expire_uploads(
        &self,
        id: RegistryId,
        report: &mut SweepReport,
    ) -> Result<usize, RegistryError> {
        let (found, dropped) = self
            .write(move |txn, rows, _| {
                let now = txn.now();
                let expired = upload::expired(txn, id, now, BATCH)?;
                let mut dropped = 0;
                for row in &expired {
                    if !upload::delete(txn, row.upload_id, row.generation)? {
                        continue;
                    }
                    dropped += 1;
                    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
                    let (upload, repository) = (row.upload_id, row.repository_id);
                    // Parts that a damaged row no longer names are for the scrub to find.
                    if let Ok(record) = rows.open_upload(upload, repository, row.generation, sealed)
                    {
                        let parts: Vec<PartId> = record.parts.ids().collect();
                        part::make_dead(txn, &parts)?;
                    }
                }
                Ok((expired.len(), dropped))
            })
            .await?;
        report.uploads_expired += dropped;
        Ok(found)
    }

    async fn delete_dead(
        &self,
        id: RegistryId,
        report: &mut SweepReport,
    ) -> Result<usize, RegistryError> {
        let grace = self.house.ground().limits.read_grace;
        let dead = self
            .read(move |txn, _| {
                let cutoff = txn.now().saturating_sub(grace);
                Ok(part::dead_before(txn, id, cutoff, BATCH)?)
            })
            .await?;
        let store = std::sync::Arc::clone(&self.house.ground().parts);
        let parts = dead.clone();
        // Bytes first: a row without bytes can be swept again, bytes without a row cannot be found.
        blocking(move || parts.iter().try_for_each(|part| store.delete(*part))).await??;
        let gone = dead.clone();
        report.parts_deleted += self.write(move |txn, _, _| Ok(part::delete(txn, &gone)?)).await?;
        Ok(dead.len())
    }
}
