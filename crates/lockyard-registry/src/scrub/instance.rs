//! What belongs to the whole instance: the database's own file, the rows of registries and their
//! wraps, and sealed records. It is small but for the file, and read as one piece.

use lockyard_base::{RegistryId, RowId};
use lockyard_store::{Store, StoreError, instance, registry, walk, wrap};

use super::{
    Scrub, Stop,
    family::{Flaw, opened},
    report::{FindingKind, ScrubTable},
};
use crate::{RegistryError, intake::blocking, keys::open_wrap};

/// Records that one transaction reads.
const PAGE: u32 = 256;

impl Scrub<'_> {
    /// Reads everything that belongs to no registry's content.
    pub(super) async fn instance(&mut self) -> Result<(), Stop> {
        self.enter(None, ScrubTable::Database).await?;
        self.database().await?;
        self.enter(None, ScrubTable::Registry).await?;
        self.registry_rows().await?;
        self.enter(None, ScrubTable::Wrap).await?;
        self.wraps().await?;
        self.enter(None, ScrubTable::Record).await?;
        self.sealed_records().await
    }

    /// The database's own check of its file.
    async fn database(&mut self) -> Result<(), Stop> {
        let store = self.store();
        match blocking(move || store.check()).await? {
            Err(StoreError::Damaged { .. }) => {
                let sentence = "the database's file is damaged; restore it from a backup";
                self.found(None, Flaw::new(FindingKind::DatabaseDamaged, sentence), false);
                Ok(())
            }
            other => Ok(other.map_err(RegistryError::from)?),
        }
    }

    async fn registry_rows(&mut self) -> Result<(), Stop> {
        for id in self.registries().await? {
            self.report.rows += 1;
            // The second look is the one that counts.
            if !self.registry_row_is_sound(id).await? && !self.registry_row_is_sound(id).await? {
                let flaw = Flaw::row("the registry's name");
                self.found(Some(RowId::from_bytes(*id.as_bytes())), flaw, false);
            }
        }
        Ok(())
    }

    async fn registry_row_is_sound(&self, id: RegistryId) -> Result<bool, Stop> {
        let read = self.store().read(move |txn| registry::get(txn, id)).await;
        let Some(row) = read.map_err(RegistryError::from)? else { return Ok(true) };
        let entry = opened(self.house.open_entry(&row))?;
        Ok(entry.is_some_and(|entry| self.house.name_index(entry.name()) == row.name_index))
    }

    async fn wraps(&mut self) -> Result<(), Stop> {
        for registry in self.registries().await? {
            let damaged = self.damaged_wraps(registry).await?;
            let again =
                if damaged.is_empty() { damaged } else { self.damaged_wraps(registry).await? };
            for id in again {
                self.found(Some(id), Flaw::row("the wrapped customer share"), false);
            }
        }
        Ok(())
    }

    async fn damaged_wraps(&mut self, registry: RegistryId) -> Result<Vec<RowId>, Stop> {
        let read = self.store().read(move |txn| wrap::list(txn, registry)).await;
        let wraps = read.map_err(RegistryError::from)?;
        self.report.rows += wraps.len() as u64;
        let keys = &self.house.ground().instance;
        let damaged = wraps.iter().filter(|row| open_wrap(keys, row).is_err());
        Ok(damaged.map(|row| row.wrap_id.into()).collect())
    }

    async fn sealed_records(&mut self) -> Result<(), Stop> {
        let mut after = None;
        loop {
            self.go_on()?;
            let read = self.store().read(move |txn| walk::records(txn, after, PAGE)).await;
            let page = read.map_err(RegistryError::from)?;
            after = page.last().map(|row| row.row_id);
            self.report.rows += page.len() as u64;
            for row in &page {
                if self.records.opens(row) {
                    continue;
                }
                let (kind, index) = (row.kind.clone(), row.name_index);
                let read = self.store().read(move |txn| instance::record(txn, &kind, &index)).await;
                let again = read.map_err(RegistryError::from)?;
                if again.is_some_and(|again| !self.records.opens(&again)) {
                    self.found(Some(row.row_id), Flaw::row("the record"), false);
                }
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    pub(super) fn store(&self) -> Store {
        self.house.ground().store.clone()
    }

    /// All registries, by id.
    pub(super) async fn registries(&self) -> Result<Vec<RegistryId>, Stop> {
        let rows = self.store().read(registry::list).await.map_err(RegistryError::from)?;
        Ok(rows.into_iter().map(|row| row.registry_id).collect())
    }
}
