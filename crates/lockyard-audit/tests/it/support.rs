//! A log in a directory of its own, and what every story asks of it.

use std::{fs, path::PathBuf, sync::Arc};

use lockyard_audit::{
    Audit as _, AuditLog, AuditSecret, Checkpoint, Event, Finding, Opening, Operation, Outcome,
    Reader, Recorded, Report, Settings, verify,
};
use lockyard_base::{HandClock, SeededEntropy};
use lockyard_blobs::{Disk, SystemDisk};

/// The length of a segment's header, as `docs/spec/audit.md` has it.
pub(crate) const HEADER_LEN: usize = 172;

/// A log, closed or open.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::seeded(7)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(HandClock::default()),
            entropy: Arc::new(SeededEntropy::new(seed)),
            disk: Arc::new(SystemDisk),
            settings: Settings {
                extent_bytes: 4 << 10,
                reserve_bytes: 8 << 10,
                ..Settings::default()
            },
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    pub(crate) fn secret() -> AuditSecret {
        AuditSecret::from_bytes(&[0x51; 32])
    }

    pub(crate) fn open(&self) -> Arc<AuditLog> {
        AuditLog::open(Opening {
            directory: self.directory(),
            secret: Self::secret(),
            disk: Arc::clone(&self.disk),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            settings: self.settings.clone(),
        })
        .unwrap()
    }

    pub(crate) fn verify(&self, trusted: &[Checkpoint]) -> Report {
        verify(&SystemDisk, &self.directory(), Some(&Self::secret()), trusted).unwrap()
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.verify(&[]).findings
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(Arc::new(SystemDisk), self.directory(), &Self::secret()).unwrap()
    }

    /// The operations and ids of all events, from old to new.
    pub(crate) fn told(&self) -> Vec<String> {
        let reading = self.reader().tail(usize::MAX).unwrap();
        assert!(!reading.damaged);
        reading.entries.iter().map(|entry| told(&entry.json)).collect()
    }

    /// The segments' files, from old to new.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.directory())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "audit"))
            .collect();
        paths.sort();
        paths
    }
}

/// An event that its id tells from all others.
pub(crate) fn event(id: &str) -> Event {
    let mut event = Event::new(Operation::KEY_UNWRAP, "/vaults/payments", Outcome::ok());
    id.clone_into(&mut event.request.id);
    event
}

pub(crate) async fn append(log: &AuditLog, id: &str) -> u64 {
    match log.append(event(id)).await.unwrap() {
        Recorded::As(sequence) => sequence.number(),
        Recorded::Counted | Recorded::Lost => unreachable!("the log refuses what it cannot record"),
    }
}

/// The operation and the id of an event, shortly.
pub(crate) fn told(json: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    match word(&json["properties"]["id"]) {
        id if id.is_empty() => word(&json["operationName"]),
        id => format!("{} {id}", word(&json["operationName"])),
    }
}

/// The places of the records in a segment.
pub(crate) fn records(segment: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut records = Vec::new();
    let mut at = HEADER_LEN;
    loop {
        let length = u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
        if length == 0 {
            return records;
        }
        let end = at + 13 + usize::try_from(length).unwrap() + 32;
        records.push(at..end);
        at = end;
    }
}
