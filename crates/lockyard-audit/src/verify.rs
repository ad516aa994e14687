//! Verifies a log from end to end, while a server may be writing it.
//!
//! Without the secret the chain, the headers and the signatures are checked; with it every event is
//! opened too, which nobody without the key can make succeed after changing anything before it.
//! What remains is whoever holds the key, and whoever cuts the end off: against both only
//! checkpoints help that were kept elsewhere.

use std::{collections::BTreeMap, io, path::Path};

use lockyard_blobs::Disk;
use thiserror::Error;

use crate::{
    AuditSecret, Checkpoint, KeysError,
    chain::{self, Chain},
    files,
    format::{Begin, HEADER_LEN, Hash, Header, Kind, NO_HASH, torn, written},
    keys::{self, AuditKeys, LogIdentity},
    report::{Finding, Notice, Report, What},
    settings::TORN_BYTES_MAX,
    walk::{Step, Walk, walk},
};

/// How often a listing is taken anew when a segment goes away meanwhile.
const TRIES: u32 = 5;

/// A log could not be verified; this says nothing about whether it is in order.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no log.
    #[error("there is no audit trail in this directory")]
    NoLog,
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The files cannot be read.
    #[error("the audit trail cannot be read")]
    Io(#[source] io::Error),
}

/// Verifies the log in `directory`, with its secret or without, against checkpoints that were kept
/// elsewhere.
pub fn verify(
    disk: &dyn Disk,
    directory: &Path,
    secret: Option<&AuditSecret>,
    trusted: &[Checkpoint],
) -> Result<Report, VerifyError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Verification::run(disk, directory, secret, trusted) {
            // Retention takes old segments away while we read.
            Err(VerifyError::Io(error))
                if error.kind() == io::ErrorKind::NotFound && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

struct Verification<'a> {
    identity: LogIdentity,
    keys: Option<AuditKeys>,
    trusted: &'a [Checkpoint],
    /// The hashes of the records that trusted checkpoints name.
    seen: BTreeMap<u64, Hash>,
    /// The newest good checkpoint of the log.
    newest: Option<Checkpoint>,
    report: Report,
}

impl Verification<'_> {
    fn run(
        disk: &dyn Disk,
        directory: &Path,
        secret: Option<&AuditSecret>,
        trusted: &[Checkpoint],
    ) -> Result<Report, VerifyError> {
        let listing = match files::list(disk, directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(VerifyError::NoLog);
            }
            Err(error) => return Err(VerifyError::Io(error)),
        };
        let identity = keys::identity(disk, directory)?;
        let keys = match secret {
            Some(secret) => {
                Some(AuditKeys::open(disk, directory, secret)?.ok_or(KeysError::Missing)?)
            }
            None => None,
        };
        let chain = Chain::read(disk, directory, identity.node, &listing.segments)
            .map_err(VerifyError::Io)?;
        let report = Report {
            node: identity.node,
            public_key: identity.public,
            first: 1,
            last: 0,
            events: 0,
            checkpoints: 0,
            segments: listing.segments.len() as u64,
            opened: keys.is_some(),
            findings: Vec::new(),
            notices: Vec::new(),
        };
        let seen = BTreeMap::new();
        let mut this = Verification { identity, keys, trusted, seen, newest: None, report };
        for _ in listing.strangers {
            this.find(What::Stranger, 0, 0, 0, 0);
        }
        this.aside(disk, directory, &chain).map_err(VerifyError::Io)?;
        this.segments(disk, directory, &chain).map_err(VerifyError::Io)?;
        this.beginning(&chain);
        this.trusted();
        Ok(this.report)
    }

    fn find(&mut self, what: What, segment: u64, offset: u64, first: u64, last: u64) {
        self.report.findings.push(Finding { what, segment, offset, first, last });
    }

    /// Looks at the segments that are not on the chain: they must hold no records.
    fn aside(&mut self, disk: &dyn Disk, directory: &Path, chain: &Chain) -> io::Result<()> {
        for header in &chain.passed {
            if holds_records(disk, directory, header.ordinal)? {
                self.find(What::SetAside, header.ordinal, 0, header.first, header.first);
            } else {
                self.report.notices.push(Notice::NeverBegun { segment: header.ordinal });
            }
        }
        for ordinal in &chain.headless {
            if holds_records(disk, directory, *ordinal)? {
                let after = chain.headers.iter().find(|header| header.ordinal > *ordinal);
                let first = after.map_or(0, |header| header.first);
                self.find(What::Header, *ordinal, 0, first, first);
            } else {
                self.report.notices.push(Notice::NeverBegun { segment: *ordinal });
            }
        }
        Ok(())
    }

    /// Walks over all segments of the chain.
    fn segments(&mut self, disk: &dyn Disk, directory: &Path, chain: &Chain) -> io::Result<()> {
        if let Some(oldest) = chain.headers.first() {
            self.report.first = oldest.first;
            self.report.last = oldest.first - 1;
            self.remember(oldest.first - 1, oldest.previous_head);
        }
        for (index, header) in chain.headers.iter().enumerate() {
            let ordinal = header.ordinal;
            let Some(bytes) = files::read_segment(disk, directory, ordinal)? else {
                self.find(What::Header, ordinal, 0, header.first, header.first);
                continue;
            };
            let extent = chain.extent(index, &bytes);
            let walk = walk(extent, chain::start(header));
            let closed = self.records(&walk, ordinal);
            self.report.last = self.report.last.max(walk.end.sequence);
            match chain.headers.get(index + 1) {
                Some(next) => self.seam(header, next, &bytes, walk, extent.settled),
                None => self.end(header, &bytes, walk, closed),
            }
        }
        Ok(())
    }

    /// Checks what the records of a segment hold; answers whether the last one closes the log.
    fn records(&mut self, walk: &Walk<'_>, segment: u64) -> bool {
        let mut closed = false;
        for step in &walk.steps {
            closed = false;
            self.remember(step.sequence, step.hash);
            match step.kind {
                Kind::Entry => {
                    self.report.events += 1;
                    let opens = match (&self.keys, step.previous) {
                        (Some(keys), Some(previous)) => {
                            keys.open_entry(step.sequence, &previous, step.body).is_some()
                        }
                        // Without its predecessor's hash nobody can open it; that one is told.
                        _ => true,
                    };
                    if !opens {
                        let (offset, number) = (step.offset as u64, step.sequence);
                        self.find(What::Forged, segment, offset, number, number);
                    }
                }
                Kind::Checkpoint => {
                    self.report.checkpoints += 1;
                    closed = self.checkpoint(step, segment);
                }
            }
        }
        closed
    }

    /// Checks a checkpoint of the log against the log; answers whether it closes it.
    fn checkpoint(&mut self, step: &Step<'_>, segment: u64) -> bool {
        let Some(previous) = step.previous else { return false };
        let good = Checkpoint::from_json(step.body).ok().filter(|checkpoint| {
            checkpoint.node == self.identity.node
                && checkpoint.public_key == self.identity.public
                && checkpoint.sequence == step.sequence - 1
                && checkpoint.head == previous
        });
        let Some(good) = good else {
            self.find(What::Checkpoint, segment, step.offset as u64, step.sequence, step.sequence);
            return false;
        };
        let closing = good.closing;
        self.newest = Some(good);
        closing
    }

    /// Checks that one segment ends where the next says that it ended.
    fn seam(&mut self, here: &Header, next: &Header, bytes: &[u8], walk: Walk<'_>, linked: bool) {
        let Walk { mut findings, mut doubtful, end, .. } = walk;
        findings.append(&mut doubtful);
        findings.retain(|finding| finding.what != What::Tail);
        self.report.findings.append(&mut findings);
        let (ordinal, offset) = (here.ordinal, end.offset as u64);
        let gone = end.sequence + 1..next.first;
        if !gone.is_empty() {
            // Something lies there and is no record any more, or nothing does.
            let rest = bytes.get(end.offset..).unwrap_or_default();
            let what = if linked && written(rest) > 0 { What::Changed } else { What::Missing };
            self.find(what, ordinal, offset, gone.start, gone.end - 1);
            return;
        }
        if gone.start != next.first || !linked || end.head != next.previous_head {
            self.find(What::Header, next.ordinal, 0, next.first, next.first);
            return;
        }
        if offset != next.previous_end {
            self.find(What::Tail, ordinal, offset, next.first, next.first);
            return;
        }
        let after = end.sequence;
        if next.begin == Begin::AfterFailure {
            self.report.notices.push(Notice::AfterFailure { segment: ordinal, after });
            return;
        }
        let rest = bytes.get(end.offset..).unwrap_or_default();
        if torn(rest) != (next.torn, next.torn_digest) || next.torn > TORN_BYTES_MAX as u64 {
            self.find(What::Tail, ordinal, offset, next.first, next.first);
        } else if next.torn > 0 {
            self.report.notices.push(Notice::Torn { segment: ordinal, after, bytes: next.torn });
        }
    }

    /// Judges the end of the log: what is in doubt there may be a write under way.
    fn end(&mut self, here: &Header, bytes: &[u8], walk: Walk<'_>, closed: bool) {
        let Walk { mut findings, mut doubtful, end, .. } = walk;
        self.report.findings.append(&mut findings);
        let rest = written(bytes.get(end.offset..).unwrap_or_default());
        if rest == 0 {
            return;
        }
        if closed || rest > TORN_BYTES_MAX {
            self.report.findings.append(&mut doubtful);
            return;
        }
        self.report.notices.push(Notice::Unfinished {
            segment: here.ordinal,
            after: end.sequence,
            bytes: rest as u64,
        });
    }

    /// Checks that nothing is missing before the oldest segment but what was let go.
    fn beginning(&mut self, chain: &Chain) {
        let (oldest, before) = match &self.newest {
            Some(newest) => (newest.oldest, newest.before_oldest),
            None => (1, NO_HASH),
        };
        let Some(first) = chain.headers.first() else {
            // Nothing was ever recorded, or all of it was taken: a kept checkpoint tells.
            return;
        };
        if first.first > oldest {
            self.find(What::Missing, 0, 0, oldest, first.first - 1);
        } else if first.first == oldest && first.previous_head != before {
            self.find(What::Header, first.ordinal, 0, first.first, first.first);
        }
    }

    /// Compares the log with what was seen of it before.
    fn trusted(&mut self) {
        for checkpoint in self.trusted {
            let Checkpoint { sequence, head, .. } = *checkpoint;
            let own = checkpoint.node == self.identity.node
                && checkpoint.public_key == self.identity.public;
            if !own {
                self.find(What::AnotherLog, 0, 0, 0, 0);
            } else if sequence > self.report.last {
                let first = self.report.last + 1;
                self.find(What::RolledBack, 0, 0, first, sequence);
            } else if sequence + 1 < self.report.first {
                self.report.notices.push(Notice::BeforeOldest { sequence });
            } else if self.seen.get(&sequence).is_some_and(|seen| *seen != head) {
                self.find(What::Rewritten, 0, 0, sequence, sequence);
            }
        }
    }

    fn remember(&mut self, sequence: u64, hash: Hash) {
        if self.trusted.iter().any(|checkpoint| checkpoint.sequence == sequence) {
            self.seen.insert(sequence, hash);
        }
    }
}

/// Whether anything was written behind the header.
fn holds_records(disk: &dyn Disk, directory: &Path, ordinal: u64) -> io::Result<bool> {
    let bytes = files::read_segment(disk, directory, ordinal)?;
    Ok(bytes
        .is_none_or(|bytes| bytes.get(HEADER_LEN..).is_some_and(|records| written(records) > 0)))
}
