//! Reads events out of a log, while a server may be writing it.
//!
//! Only what the chain vouches for is read; where it breaks, the reader says so and leaves the
//! judging to a verification.

use std::{io, path::PathBuf, sync::Arc};

use lockyard_base::NodeId;
use lockyard_blobs::Disk;

use crate::{
    AuditSecret, Checkpoint, KeysError, Sequence, VerifyError,
    chain::{self, Chain},
    files,
    format::Kind,
    keys::AuditKeys,
    walk::{Place, walk},
};

/// Entries that are read from the end at most.
pub const TAIL_MAX: usize = 100_000;

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's number.
    pub sequence: Sequence,
    /// The event as one line of JSON.
    pub json: String,
}

/// What a reading came by.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The events, from old to new.
    pub entries: Vec<Entry>,
    /// Whether something on the way is not as it was written.
    pub damaged: bool,
}

/// Reads a log with its secret.
#[derive(Debug)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    keys: AuditKeys,
    /// Where the last reading ended: the segment, and the place in it.
    position: Option<(u64, Place)>,
    /// The last record that whoever reads has already.
    known: u64,
}

/// The log's own line for an event: who wrote it and as which record, in front of the event.
pub(crate) fn export(node: NodeId, sequence: u64, line: &[u8]) -> String {
    let event = String::from_utf8_lossy(line);
    let event = event.strip_prefix('{').unwrap_or(&event);
    format!("{{\"node\":\"{node}\",\"sequence\":{sequence},{event}")
}

impl Reader {
    /// Opens the log in `directory`; nothing is read yet.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        secret: &AuditSecret,
    ) -> Result<Self, VerifyError> {
        let keys = AuditKeys::open(&*disk, &directory, secret)?.ok_or(KeysError::Missing)?;
        Ok(Self { disk, directory, keys, position: None, known: 0 })
    }

    /// Reads the newest events, `count` of them or [`TAIL_MAX`]; [`Reader::more`] goes on from here.
    pub fn tail(&mut self, count: usize) -> Result<Reading, VerifyError> {
        let count = count.min(TAIL_MAX);
        let chain = self.chain()?;
        let mut reading = Reading::default();
        (self.position, self.known) = (None, 0);
        for index in (0..chain.headers.len()).rev() {
            let header = &chain.headers[index];
            let (mut older, end) = self.segment(&chain, index, chain::start(header))?;
            self.position.get_or_insert((header.ordinal, end));
            older.entries.append(&mut reading.entries);
            older.damaged |= reading.damaged;
            reading = older;
            if reading.entries.len() >= count {
                break;
            }
        }
        let surplus = reading.entries.len().saturating_sub(count);
        reading.entries.drain(..surplus);
        Ok(reading)
    }

    /// Lets [`Reader::step`] go on behind this record; what was let go of since is passed over.
    pub fn seek(&mut self, known: Sequence) -> Result<(), VerifyError> {
        let chain = self.chain()?;
        let holds = chain.headers.iter().rev().find(|header| header.first <= known.number());
        self.position = holds.map(|header| (header.ordinal, chain::start(header)));
        self.known = known.number();
        Ok(())
    }

    /// Reads what was recorded since the last reading.
    pub fn more(&mut self) -> Result<Reading, VerifyError> {
        let mut reading = Reading::default();
        loop {
            let mut newer = self.step()?;
            if newer.entries.is_empty() {
                reading.damaged |= newer.damaged;
                return Ok(reading);
            }
            reading.entries.append(&mut newer.entries);
            reading.damaged |= newer.damaged;
        }
    }

    /// Reads what was recorded since the last reading, no more than what one segment holds; without
    /// entries, there is nothing more now.
    pub fn step(&mut self) -> Result<Reading, VerifyError> {
        let chain = self.chain()?;
        let mut reading = Reading::default();
        for (index, header) in chain.headers.iter().enumerate() {
            let start = match self.position {
                Some((ordinal, _)) if header.ordinal < ordinal => continue,
                Some((ordinal, place)) if header.ordinal == ordinal => place,
                _ => chain::start(header),
            };
            let (newer, end) = self.segment(&chain, index, start)?;
            self.position = Some((header.ordinal, end));
            reading.damaged |= newer.damaged;
            let unknown = |entry: &Entry| entry.sequence.number() > self.known;
            reading.entries = newer.entries.into_iter().filter(unknown).collect();
            if let Some(last) = reading.entries.last() {
                self.known = last.sequence.number();
                break;
            }
        }
        Ok(reading)
    }

    fn chain(&self) -> Result<Chain, VerifyError> {
        let read = || {
            let listing = files::list(&*self.disk, &self.directory)?;
            Chain::read(&*self.disk, &self.directory, self.keys.identity.node, &listing.segments)
        };
        // Retention may take a segment away between the listing and its header.
        match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => read(),
            read => read,
        }
        .map_err(VerifyError::Io)
    }

    fn segment(
        &self,
        chain: &Chain,
        index: usize,
        start: Place,
    ) -> Result<(Reading, Place), VerifyError> {
        let ordinal = chain.headers[index].ordinal;
        let bytes = files::read_segment(&*self.disk, &self.directory, ordinal)
            .map_err(VerifyError::Io)?
            .unwrap_or_default();
        let walk = walk(chain.extent(index, &bytes), start);
        let mut reading = Reading { damaged: !walk.findings.is_empty(), ..Reading::default() };
        for step in walk.steps.iter().filter(|step| step.kind == Kind::Entry) {
            let opened = step
                .previous
                .and_then(|previous| self.keys.open_entry(step.sequence, &previous, step.body));
            match opened {
                Some(line) => reading.entries.push(Entry {
                    sequence: Sequence::new(step.sequence),
                    json: export(self.keys.identity.node, step.sequence, &line),
                }),
                None => reading.damaged = true,
            }
        }
        Ok((reading, walk.end))
    }
}

/// Finds the newest signed checkpoint in the log, for keeping it elsewhere; needs no secret, and
/// believes no checkpoint whose signature is wrong.
pub fn newest_checkpoint(
    disk: &dyn Disk,
    directory: &std::path::Path,
) -> Result<Option<Checkpoint>, VerifyError> {
    let identity = crate::keys::identity(disk, directory)?;
    let listing = files::list(disk, directory).map_err(VerifyError::Io)?;
    let chain =
        Chain::read(disk, directory, identity.node, &listing.segments).map_err(VerifyError::Io)?;
    for (index, header) in chain.headers.iter().enumerate().rev() {
        let bytes = files::read_segment(disk, directory, header.ordinal)
            .map_err(VerifyError::Io)?
            .unwrap_or_default();
        let walk = walk(chain.extent(index, &bytes), chain::start(header));
        let newest = walk.steps.iter().rev().filter(|step| step.kind == Kind::Checkpoint);
        let newest = newest.filter_map(|step| Checkpoint::from_json(step.body).ok());
        let mut newest = newest.filter(|checkpoint| checkpoint.public_key == identity.public);
        if let Some(newest) = newest.next() {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}
