//! The scrub: reads everything that is stored, while everything goes on, and says what is wrong.
//!
//! Every sealed row is opened and held against its clear columns, every part is opened and every
//! blob hashed again, the graph between rows is rebuilt from the manifests and compared, and the
//! part store is compared with the rows. What looks wrong is looked at a second time before it is
//! reported, since pushes and collections go on meanwhile. It changes three things only: missing
//! edges are inserted, damaged blobs are marked so that the next push heals them, and it keeps its
//! own progress. It deletes nothing.
//!
//! An operator starts it; it is read at a pace that leaves room for clients, may be cut off at any
//! time, and another one goes on where it stopped. A locked registry is left out and counted.

mod content;
mod family;
mod files;
mod instance;
mod manifests;
mod names;
mod pace;
mod parts;
mod position;
mod report;

use std::{fmt, sync::Arc};

use lockyard_access::Records;
use lockyard_base::{RegistryId, RowId};
use tokio_util::sync::CancellationToken;

pub use report::{
    FINDINGS_MAX, Finding, FindingKind, ScrubError, ScrubOptions, ScrubProgress, ScrubReport,
    ScrubTable,
};

use self::{
    family::Flaw,
    manifests::Manifests,
    names::{Links, Repositories, Tags},
    pace::Pace,
    position::{KIND, NAME, Position},
};
use crate::{Registries, RegistryError, intake::blocking};

/// Progress is saved after so many rows,
const SAVE_ROWS: u64 = 2048;
/// or so many bytes, whichever comes first.
const SAVE_BYTES: u64 = 256 << 20;
/// Progress is told after so many rows,
const TELL_ROWS: u64 = 64;
/// or so many bytes.
const TELL_BYTES: u64 = 1 << 20;

impl Registries {
    /// Scrubs every unlocked registry until the end or until `cancel`; `progress` is called often
    /// and must return at once.
    pub async fn scrub(
        self: &Arc<Self>,
        options: ScrubOptions,
        progress: &(dyn Fn(&ScrubProgress) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<ScrubReport, ScrubError> {
        let _one_at_a_time = self.scrubbing().try_lock().map_err(|_| ScrubError::Running)?;
        let ground = self.ground();
        let records = Records::new(
            ground.store.clone(),
            Arc::clone(&ground.instance),
            Arc::clone(&ground.entropy),
        );
        let mut scrub = Scrub {
            house: self,
            records,
            pace: Pace::new(options.rate),
            progress,
            cancel,
            position: Position::START,
            report: ScrubReport::default(),
            saved: Mark::default(),
            told: Mark::default(),
        };
        if options.resume {
            scrub.load().await?;
        } else {
            scrub.forget().await?;
        }
        match scrub.run().await {
            Ok(()) => {
                scrub.report.complete = true;
                scrub.forget().await?;
            }
            Err(Stop::Cancelled) => scrub.save().await?,
            Err(Stop::Locked) => {
                scrub.save().await?;
                return Err(RegistryError::LockedMeanwhile.into());
            }
            Err(Stop::Failed(error)) => {
                if let Err(error) = scrub.save().await {
                    let error = lockyard_base::chain(&error);
                    tracing::warn!(%error, "the scrub's progress was not saved");
                }
                return Err(error.into());
            }
        }
        Ok(scrub.report)
    }
}

/// Why a scrub does not go on.
#[derive(Debug)]
enum Stop {
    /// Somebody asked for it.
    Cancelled,
    /// The registry is locked, or was locked meanwhile.
    Locked,
    /// Something that it needs failed.
    Failed(RegistryError),
}

impl From<RegistryError> for Stop {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Locked(_) | RegistryError::LockedMeanwhile => Self::Locked,
            other => Self::Failed(other),
        }
    }
}

/// How far the counts were at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    rows: u64,
    bytes: u64,
}

impl Mark {
    fn lies_behind(self, report: &ScrubReport, rows: u64, bytes: u64) -> bool {
        report.rows - self.rows >= rows || report.bytes - self.bytes >= bytes
    }

    fn of(report: &ScrubReport) -> Self {
        Self { rows: report.rows, bytes: report.bytes }
    }
}

/// A scrub that runs.
struct Scrub<'s> {
    house: &'s Arc<Registries>,
    records: Records,
    pace: Pace,
    progress: &'s (dyn Fn(&ScrubProgress) + Send + Sync),
    cancel: &'s CancellationToken,
    position: Position,
    report: ScrubReport,
    saved: Mark,
    told: Mark,
}

impl Scrub<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        if self.position.table < ScrubTable::Repository {
            // Read as one piece, which begins again with what it counted and found.
            let resumed = self.report.resumed;
            self.report = ScrubReport { resumed, ..ScrubReport::default() };
            (self.saved, self.told) = (Mark::default(), Mark::default());
            self.instance().await?;
            self.enter(None, ScrubTable::Repository).await?;
        }
        if self.position.table < ScrubTable::File {
            for id in self.registries().await? {
                match self.position.registry {
                    Some(begun) if id < begun => continue,
                    Some(begun) if id == begun => {}
                    Some(_) | None => self.enter(Some(id), ScrubTable::Repository).await?,
                }
                match self.registry(id).await {
                    Ok(()) => self.report.registries += 1,
                    Err(Stop::Locked) => self.report.registries_locked += 1,
                    Err(stop) => return Err(stop),
                }
            }
            self.enter(None, ScrubTable::File).await?;
        }
        self.files().await
    }

    /// Reads one registry, from where the scrub stands in it.
    async fn registry(&mut self, id: RegistryId) -> Result<(), Stop> {
        use ScrubTable::{
            Blob, Database, File, Link, Manifest, Part, Record, Repository, Tag, Upload, Wrap,
        };
        let registry = self.house.open_inside(id)?;
        for table in [Repository, Manifest, Tag, Blob, Link, Upload, Part] {
            if table < self.position.table {
                continue;
            }
            if table > self.position.table {
                self.enter(Some(id), table).await?;
            }
            self.go_on()?;
            match table {
                Repository => self.family::<Repositories>(&registry).await?,
                Manifest => self.family::<Manifests>(&registry).await?,
                Tag => self.family::<Tags>(&registry).await?,
                Blob => self.blobs(&registry).await?,
                Link => self.family::<Links>(&registry).await?,
                Upload => self.uploads(&registry).await?,
                Part => self.parts(&registry).await?,
                Database | ScrubTable::Registry | Wrap | Record | File => {}
            }
        }
        Ok(())
    }

    /// Turns to another table.
    async fn enter(&mut self, registry: Option<RegistryId>, table: ScrubTable) -> Result<(), Stop> {
        self.position = Position { registry, table, after: None };
        self.tell();
        self.save().await?;
        self.go_on()
    }

    /// Notes that everything up to this row was read.
    async fn passed(&mut self, id: RowId) -> Result<(), Stop> {
        self.report.rows += 1;
        self.passed_shards(id).await
    }

    /// Notes that everything up to this id was read, and counted elsewhere.
    async fn passed_shards(&mut self, last: RowId) -> Result<(), Stop> {
        self.position.after = Some(last);
        if self.told.lies_behind(&self.report, TELL_ROWS, TELL_BYTES) {
            self.tell();
        }
        if self.saved.lies_behind(&self.report, SAVE_ROWS, SAVE_BYTES) {
            self.save().await?;
        }
        self.go_on()
    }

    /// Counts bytes and waits as long as the pace asks.
    async fn opened_bytes(&mut self, bytes: u64) -> Result<(), Stop> {
        self.report.bytes += bytes;
        if self.told.lies_behind(&self.report, TELL_ROWS, TELL_BYTES) {
            self.tell();
        }
        if let Some(debt) = self.pace.take(bytes) {
            let waiting = self.cancel.run_until_cancelled(tokio::time::sleep(debt));
            waiting.await.ok_or(Stop::Cancelled)?;
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() { Err(Stop::Cancelled) } else { Ok(()) }
    }

    /// Whether the table at hand is that of blobs.
    fn in_blobs(&self) -> bool {
        self.position.table == ScrubTable::Blob
    }

    /// Reports what was looked at twice.
    fn found(&mut self, row: Option<RowId>, flaw: Flaw, repaired: bool) {
        let Position { registry, table, .. } = self.position;
        let Flaw { kind, sentence } = flaw;
        let (what, id) = (kind.word(), row.map(tracing::field::display));
        tracing::warn!(table = table.word(), row = id, what, repaired, "the scrub found something");
        self.report.add(Finding { kind, table, registry, row, sentence, repaired });
        self.tell();
    }

    fn tell(&mut self) {
        self.told = Mark::of(&self.report);
        let Position { registry, table, .. } = self.position;
        let ScrubReport { rows, bytes, findings_total: findings, .. } = self.report;
        (self.progress)(&ScrubProgress { registry, table, rows, bytes, findings });
    }

    /// Keeps the progress for another scrub.
    async fn save(&mut self) -> Result<(), RegistryError> {
        self.saved = Mark::of(&self.report);
        let value = position::encode(&self.position, &self.report);
        let records = self.records.clone();
        Ok(blocking(move || records.put(KIND, NAME, value.as_slice())).await??)
    }

    /// Takes up the progress of another scrub, if one was kept.
    async fn load(&mut self) -> Result<(), RegistryError> {
        let records = self.records.clone();
        let kept = match blocking(move || records.get(KIND, NAME)).await? {
            Ok(Some(value)) => position::decode(&value),
            Ok(None) => return Ok(()),
            Err(error) => Err(error.into()),
        };
        match kept {
            Ok((position, report)) => {
                self.position = position;
                self.report = ScrubReport { resumed: true, ..report };
                (self.saved, self.told) = (Mark::of(&self.report), Mark::of(&self.report));
                Ok(())
            }
            Err(RegistryError::Damaged(what)) => {
                tracing::warn!(what, "the scrub begins again");
                self.forget().await
            }
            Err(error) => Err(error),
        }
    }

    async fn forget(&self) -> Result<(), RegistryError> {
        let records = self.records.clone();
        Ok(blocking(move || records.remove(KIND, NAME)).await??)
    }
}

impl fmt::Debug for Scrub<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrub({:?})", self.position)
    }
}
