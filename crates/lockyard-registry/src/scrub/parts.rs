//! Parts against the rows that name them: every live part is named by exactly one blob or upload,
//! and every named part is live.
//!
//! The names stand inside sealed rows, so that the comparison is made in memory: for as many
//! shards of part ids at a time as hold about [`PARTS_MAX`] parts, with one walk over all blobs and
//! uploads for each. A part moves from an upload to a blob when the upload is finished, which can
//! hide it from one walk; it moves once, and cannot hide from a second.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::RangeInclusive,
};

use lockyard_base::{BlobId, PartId, RowId, UploadId};
use lockyard_blobs::PartList;
use lockyard_store::{
    Txn, blob,
    part::{self, PartState},
    upload, walk,
};

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

/// About how many parts are compared at a time: some 60 MB of memory.
const PARTS_MAX: u64 = 1 << 20;
/// Rows that one transaction reads.
const PAGE: u32 = 1000;
/// Blobs or uploads that one transaction opens; each may name 10,000 parts.
const NAMERS: u32 = 128;

/// A row that names parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namer {
    Blob(BlobId),
    Upload(UploadId),
}

impl From<Namer> for RowId {
    fn from(namer: Namer) -> Self {
        match namer {
            Namer::Blob(id) => id.into(),
            Namer::Upload(id) => id.into(),
        }
    }
}

/// Lists rows by id, after the one given, each with the parts that it names.
type NamePage =
    fn(&mut Txn<'_>, &Rows, Option<RowId>) -> Result<Vec<(Namer, Vec<PartId>)>, RegistryError>;

/// What one walk found to be looked at again.
#[derive(Default)]
struct Suspects {
    /// Named by two.
    twice: Vec<(PartId, [Namer; 2])>,
    /// Named, and not live when its row was read.
    not_live: Vec<(PartId, Namer)>,
}

impl Scrub<'_> {
    /// Compares the parts of a registry with the rows that name them.
    pub(super) async fn parts(&mut self, registry: &Registry) -> Result<(), Stop> {
        let count =
            registry.read_aside(|txn, rows| Ok(walk::count_parts(txn, rows.registry())?)).await?;
        let width = shards_at_a_time(count);
        loop {
            // Shards are done as a whole; the last one that was is the first byte of the place.
            let first = match self.position.after {
                None => 0,
                Some(after) => match after.as_bytes()[0].checked_add(1) {
                    Some(first) => first,
                    None => return Ok(()),
                },
            };
            let shards = first..=first.saturating_add(width - 1);
            let last = last_of(*shards.end());
            self.compare(registry, shards).await?;
            self.passed_shards(last.into()).await?;
        }
    }

    async fn compare(
        &mut self,
        registry: &Registry,
        shards: RangeInclusive<u8>,
    ) -> Result<(), Stop> {
        let Some(mut parts) = self.live_parts(registry, &shards).await? else { return Ok(()) };
        let mut suspects = Suspects::default();
        self.named(registry, |part, namer| {
            if !shards.contains(&part.as_bytes()[0]) {
                return;
            }
            match parts.entry(part) {
                Entry::Vacant(_) => suspects.not_live.push((part, namer)),
                Entry::Occupied(mut entry) => match entry.get_mut() {
                    Some(other) => suspects.twice.push((part, [*other, namer])),
                    free @ None => *free = Some(namer),
                },
            }
        })
        .await?;
        parts.retain(|_, namer| namer.is_none());
        if !parts.is_empty() {
            self.named(registry, |part, _| {
                parts.remove(&part);
            })
            .await?;
        }
        let mut unnamed: Vec<PartId> = parts.into_keys().collect();
        unnamed.sort_unstable();
        self.judge(registry, suspects, unnamed).await
    }

    /// The live parts of these shards, none of them named yet; `None` if they cannot be read.
    async fn live_parts(
        &mut self,
        registry: &Registry,
        shards: &RangeInclusive<u8>,
    ) -> Result<Option<HashMap<PartId, Option<Namer>>>, Stop> {
        let mut parts = HashMap::new();
        let mut after = shards.start().checked_sub(1).map(last_of);
        let last = last_of(*shards.end());
        loop {
            self.go_on()?;
            let page = registry
                .read_aside(move |txn, rows| {
                    Ok(walk::parts(txn, rows.registry(), after, last, PAGE)?)
                })
                .await;
            let Some(page) = self.readable(page)? else { return Ok(None) };
            self.report.rows += page.len() as u64;
            after = page.last().map(|row| row.part_id);
            let full = page.len() == PAGE as usize;
            let live = page.into_iter().filter(|row| row.state == PartState::Live);
            parts.extend(live.map(|row| (row.part_id, None)));
            if !full {
                return Ok(Some(parts));
            }
        }
    }

    /// Tells of every part that a blob or an upload names. Rows that do not open were reported when
    /// their own table was read.
    async fn named(
        &self,
        registry: &Registry,
        mut tell: impl FnMut(PartId, Namer),
    ) -> Result<(), Stop> {
        for read in [named_by_blobs as NamePage, named_by_uploads] {
            let mut after = None;
            loop {
                self.go_on()?;
                let page = registry.read_aside(move |txn, rows| read(txn, rows, after)).await;
                // A table that cannot be read was reported, too.
                let Some(page) = opened(page)? else { break };
                after = page.last().map(|(namer, _)| RowId::from(*namer));
                let full = page.len() == NAMERS as usize;
                for (namer, parts) in page {
                    for part in parts {
                        tell(part, namer);
                    }
                }
                if !full {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Looks at suspects once more, each in one moment of the database, and reports what is left.
    async fn judge(
        &mut self,
        registry: &Registry,
        suspects: Suspects,
        unnamed: Vec<PartId>,
    ) -> Result<(), Stop> {
        for (id, namers) in suspects.twice {
            let both = registry
                .read_aside(move |txn, rows| {
                    let [one, other] = namers;
                    let count = names(txn, rows, one, id)?;
                    if one == other {
                        return Ok(count > 1);
                    }
                    Ok(count > 0 && names(txn, rows, other, id)? > 0)
                })
                .await?;
            if both {
                let sentence = "two rows name this part, or one names it twice";
                let flaw = Flaw::new(FindingKind::PartNamedTwice, sentence);
                self.found(Some(id.into()), flaw, false);
            }
        }
        for (id, namer) in suspects.not_live {
            let wrong = registry
                .read_aside(move |txn, rows| {
                    let live = part::get(txn, id)?.is_some_and(|row| {
                        row.state == PartState::Live && row.registry_id == rows.registry()
                    });
                    Ok(!live && names(txn, rows, namer, id)? > 0)
                })
                .await?;
            if wrong {
                let sentence = "a row names this part, but it is not live: its bytes may go";
                self.found(Some(id.into()), Flaw::new(FindingKind::PartNotLive, sentence), false);
            }
        }
        for batch in unnamed.chunks(PAGE as usize) {
            let batch = batch.to_vec();
            let still =
                registry.read_aside(move |txn, _| Ok(walk::find_parts(txn, &batch)?)).await?;
            for row in still.into_iter().filter(|row| row.state == PartState::Live) {
                let sentence =
                    "no row that opens names this live part; its bytes stay until a person decides";
                let flaw = Flaw::new(FindingKind::PartUnnamed, sentence);
                self.found(Some(row.part_id.into()), flaw, false);
            }
        }
        Ok(())
    }
}

fn named_by_blobs(
    txn: &mut Txn<'_>,
    rows: &Rows,
    after: Option<RowId>,
) -> Result<Vec<(Namer, Vec<PartId>)>, RegistryError> {
    let after = after.map(|id| BlobId::from_bytes(*id.as_bytes()));
    let mut named = Vec::new();
    for row in walk::blobs(txn, rows.registry(), after, NAMERS)? {
        let parts = opened(open(rows, &row))?.map(|record| record.parts);
        named.push((Namer::Blob(row.blob_id), ids(parts.as_ref())));
    }
    Ok(named)
}

fn named_by_uploads(
    txn: &mut Txn<'_>,
    rows: &Rows,
    after: Option<RowId>,
) -> Result<Vec<(Namer, Vec<PartId>)>, RegistryError> {
    let after = after.map(|id| UploadId::from_bytes(*id.as_bytes()));
    let mut named = Vec::new();
    for row in walk::uploads(txn, rows.registry(), after, NAMERS)? {
        let parts = open_upload(rows, &row)?;
        named.push((Namer::Upload(row.upload_id), ids(parts.as_ref())));
    }
    Ok(named)
}

/// How often this row names the part now.
fn names(
    txn: &mut Txn<'_>,
    rows: &Rows,
    namer: Namer,
    part: PartId,
) -> Result<usize, RegistryError> {
    let parts = match namer {
        Namer::Blob(id) => match blob::get(txn, id)? {
            Some(row) => opened(open(rows, &row))?.map(|record| record.parts),
            None => None,
        },
        Namer::Upload(id) => match upload::get(txn, id)? {
            Some(row) => open_upload(rows, &row)?,
            None => None,
        },
    };
    Ok(parts.map_or(0, |parts| parts.ids().filter(|id| *id == part).count()))
}

fn open_upload(rows: &Rows, row: &upload::UploadRow) -> Result<Option<PartList>, RegistryError> {
    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
    let record = rows.open_upload(row.upload_id, row.repository_id, row.generation, sealed);
    Ok(opened(record)?.map(|record| record.parts))
}

fn ids(parts: Option<&PartList>) -> Vec<PartId> {
    parts.map(|parts| parts.ids().collect()).unwrap_or_default()
}

/// The last id of a shard.
pub(super) fn last_of(shard: u8) -> PartId {
    let mut bytes = [0xff; 16];
    bytes[0] = shard;
    PartId::from_bytes(bytes)
}

/// How many of the 256 shards hold about [`PARTS_MAX`] parts; ids are random.
fn shards_at_a_time(parts: u64) -> u8 {
    let passes = parts.div_ceil(PARTS_MAX).clamp(2, 256);
    u8::try_from(256 / passes).expect("at most 128")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_taken_so_that_memory_stays_bounded() {
        assert_eq!(shards_at_a_time(0), 128);
        assert_eq!(shards_at_a_time(2 * PARTS_MAX), 128);
        assert_eq!(shards_at_a_time(2 * PARTS_MAX + 1), 85);
        assert_eq!(shards_at_a_time(256 * PARTS_MAX), 1);
        assert_eq!(shards_at_a_time(u64::MAX), 1);
    }
}
