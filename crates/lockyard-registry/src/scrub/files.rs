//! What lies in the part store against the rows of all registries, locked ones too: part rows are
//! in the clear.
//!
//! Files are listed first. A part's row is committed before its file is begun, and its file deleted
//! before its row, so that a listed file has a row unless it is being deleted; a row without a file
//! may be newer than the list. Both are looked at again. Nothing is deleted here.

use std::{collections::BTreeSet, sync::Arc};

use lockyard_base::PartId;
use lockyard_blobs::{Listed, PartError};
use lockyard_store::{
    part::{self, PartRow, PartState},
    walk,
};

use super::{Scrub, Stop, family::Flaw, parts::last_of, report::FindingKind};
use crate::{RegistryError, intake::blocking};

/// Rows that one transaction reads.
const PAGE: u32 = 1000;

impl Scrub<'_> {
    /// Compares the part store with the rows.
    pub(super) async fn files(&mut self) -> Result<(), Stop> {
        let first = match self.position.after {
            None => Some(0),
            Some(after) => after.as_bytes()[0].checked_add(1),
        };
        for shard in first.into_iter().flat_map(|first| first..=u8::MAX) {
            self.go_on()?;
            self.shard(shard).await?;
            self.passed_shards(last_of(shard).into()).await?;
        }
        Ok(())
    }

    async fn shard(&mut self, shard: u8) -> Result<(), Stop> {
        let store = Arc::clone(&self.house.ground().parts);
        let listed = match blocking(move || store.list(shard)).await? {
            Ok(listed) => listed,
            Err(error) => {
                let sentence =
                    format!("shard {shard:02x} cannot be listed: {}", lockyard_base::chain(&error));
                self.found(None, Flaw::new(FindingKind::FilesUnreadable, sentence), false);
                return Ok(());
            }
        };
        self.report.rows += listed.len() as u64;
        let mut files = BTreeSet::new();
        for entry in listed {
            match entry {
                Listed::Part(part) => drop(files.insert(part)),
                Listed::Stranger(name) => {
                    let name = name.escape_debug();
                    let sentence = format!("`{name}` in the part store is no part of Lockyard's");
                    self.found(None, Flaw::new(FindingKind::Stranger, sentence), false);
                }
            }
        }
        let mut after = shard.checked_sub(1).map(last_of);
        let last = last_of(shard);
        loop {
            let read =
                self.house.ground().store.read(move |txn| walk::all_parts(txn, after, last, PAGE));
            let page = read.await.map_err(RegistryError::from);
            let Some(page) = self.readable(page)? else { return Ok(()) };
            after = page.last().map(|row| row.part_id);
            for row in &page {
                let has_file = files.remove(&row.part_id);
                if row.in_row {
                    if has_file {
                        self.beside_row(row.part_id);
                    }
                } else if !has_file && row.state == PartState::Live {
                    self.without_file(row).await?;
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        for part in files {
            self.without_row(part).await?;
        }
        Ok(())
    }

    /// A live part whose file was not in the list, and which does not lie in its row.
    async fn without_file(&mut self, row: &PartRow) -> Result<(), Stop> {
        let part = row.part_id;
        if self.has_file(part).await? {
            return Ok(());
        }
        let live = self.row(part).await?.is_some_and(|row| row.state == PartState::Live);
        if live {
            let sentence = "this live part has no file; its blob is damaged";
            self.found(Some(part.into()), Flaw::new(FindingKind::FileMissing, sentence), false);
        }
        Ok(())
    }

    /// A file of a part that lies in its row.
    fn beside_row(&mut self, part: PartId) {
        let sentence = "this part lies in its row, and yet it has a file; nobody reads that";
        self.found(Some(part.into()), Flaw::new(FindingKind::FileUnknown, sentence), false);
    }

    /// A file whose part has no row.
    async fn without_row(&mut self, part: PartId) -> Result<(), Stop> {
        if self.has_file(part).await? && self.row(part).await?.is_none() {
            let sentence = "no row knows this part's file; it stays until a person decides";
            self.found(Some(part.into()), Flaw::new(FindingKind::FileUnknown, sentence), false);
        }
        Ok(())
    }

    /// Whether the part's file is there; one that cannot be opened is there.
    async fn has_file(&self, part: PartId) -> Result<bool, Stop> {
        let store = Arc::clone(&self.house.ground().parts);
        let opened: Result<_, PartError> = blocking(move || store.open(part)).await?;
        Ok(!matches!(opened, Ok(None)))
    }

    async fn row(&self, id: PartId) -> Result<Option<PartRow>, Stop> {
        let read = self.house.ground().store.read(move |txn| part::get(txn, id));
        Ok(read.await.map_err(RegistryError::from)?)
    }
}
