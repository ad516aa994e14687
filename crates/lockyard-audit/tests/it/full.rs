//! A disk without room, and one that fails: a use that can't be recorded is refused, and the log
//! says so as long as it can, and afterwards.

use std::{
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lockyard_audit::{Audit as _, AuditError, Recorded, Unwritable};
use lockyard_blobs::{Disk, DiskEntry, DiskFile, SystemDisk};

use crate::support::{World, append, event, told};

/// A disk on which files do not grow while it is full; what they have they keep.
#[derive(Clone, Debug, Default)]
struct SmallDisk {
    full: Arc<AtomicBool>,
    /// The n-th sync from now fails; 0 is none.
    failing: Arc<AtomicU64>,
}

#[derive(Debug)]
struct SmallFile {
    file: Box<dyn DiskFile>,
    disk: SmallDisk,
    length: AtomicU64,
}

impl SmallDisk {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }
}

impl Disk for SmallDisk {
    fn make_directory(&self, path: &Path) -> io::Result<bool> {
        SystemDisk.make_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.room()?;
        let file = SystemDisk.create(path)?;
        Ok(Box::new(SmallFile { file, disk: self.clone(), length: AtomicU64::new(0) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        SystemDisk.open(path)
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        SystemDisk.reopen(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_directory(path)
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        SystemDisk.entries(path)
    }
}

impl DiskFile for SmallFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.length.load(Ordering::SeqCst) {
            self.disk.room()?;
            self.length.store(end, Ordering::SeqCst);
        }
        self.file.write(bytes, offset)
    }

    fn start_write_back(&self, _: Range<u64>) {}

    fn sync_data(&self) -> io::Result<()> {
        let failing = self.disk.failing.load(Ordering::SeqCst);
        self.disk.failing.store(failing.saturating_sub(1), Ordering::SeqCst);
        if failing == 1 {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read(buffer, offset)
    }
}

fn on(disk: &SmallDisk) -> World {
    World { disk: Arc::new(disk.clone()), ..World::new() }
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_refusal_itself_is_recorded() {
    let disk = SmallDisk::default();
    let world = on(&disk);
    let log = world.open();
    append(&log, "before").await;
    disk.full.store(true, Ordering::SeqCst);
    let mut refused = 0;
    let error = loop {
        match log.append(event("during")).await {
            Ok(_) => refused += 1,
            Err(error) => break error,
        }
        assert!(refused < 1000, "room was made out of nothing");
    };
    assert!(error.is_full(), "{error}");
    assert!(log.append(event("refused-again")).await.is_err());
    world.clock.advance(Duration::from_secs(60));
    assert!(log.append(event("refused-later")).await.is_err());
    disk.full.store(false, Ordering::SeqCst);
    append(&log, "after").await;
    log.close().await;

    assert_eq!(world.findings(), []);
    let reading = world.reader().tail(5).unwrap();
    let lines: Vec<serde_json::Value> =
        reading.entries.iter().map(|entry| serde_json::from_str(&entry.json).unwrap()).collect();
    let last: Vec<String> = reading.entries.iter().map(|entry| told(&entry.json)).collect();
    let expected = [
        "KeyUnwrap during",
        "KeyUnwrap during",
        "KeyUnwrap refused-later",
        "AuditResumed",
        "KeyUnwrap after",
    ];
    assert_eq!(last, expected);
    let counts: Vec<&serde_json::Value> =
        lines.iter().map(|line| &line["properties"]["count"]).collect();
    assert_eq!(
        (counts[1].as_u64(), counts[2].as_u64(), counts[3].as_u64()),
        (Some(1), Some(2), Some(0))
    );
    assert_eq!(lines[1]["properties"]["httpStatusCode"], 503);
    assert_eq!(lines[0]["resultType"], "Success");
    assert_eq!(lines[2]["resultType"], "Failed");
}

#[tokio::test]
async fn a_reserve_that_is_spent_still_refuses_and_the_count_is_told_later() {
    let disk = SmallDisk::default();
    let world = on(&disk);
    let log = world.open();
    disk.full.store(true, Ordering::SeqCst);
    while log.append(event("filling")).await.is_ok() {}
    for _ in 0..200 {
        world.clock.advance(Duration::from_secs(60));
        assert!(log.append(event("refused")).await.is_err());
    }
    disk.full.store(false, Ordering::SeqCst);
    append(&log, "after").await;
    log.close().await;
    assert_eq!(world.findings(), []);
    let reading = world.reader().tail(usize::MAX).unwrap();
    let count: u64 = reading
        .entries
        .iter()
        .map(|entry| serde_json::from_str::<serde_json::Value>(&entry.json).unwrap())
        .filter_map(|line| line["properties"]["count"].as_u64())
        .sum();
    assert_eq!(count, 201, "every refusal is told of");
}

#[tokio::test]
async fn a_log_that_may_miss_events_says_how_many() {
    let disk = SmallDisk::default();
    let mut world = on(&disk);
    world.settings.unwritable = Unwritable::Allow;
    let log = world.open();
    disk.full.store(true, Ordering::SeqCst);
    while log.append(event("x")).await.unwrap() != Recorded::Lost {}
    assert_eq!(log.append(event("x")).await.unwrap(), Recorded::Lost);
    disk.full.store(false, Ordering::SeqCst);
    append(&log, "after").await;
    log.close().await;
    assert_eq!(world.findings(), []);
    let told = world.told();
    assert_eq!(told[told.len() - 2..], ["AuditResumed", "KeyUnwrap after"]);
}

#[tokio::test]
async fn after_a_sync_that_failed_the_log_goes_on_in_another_segment() {
    let disk = SmallDisk::default();
    let world = on(&disk);
    let log = world.open();
    append(&log, "before").await;
    disk.failing.store(1, Ordering::SeqCst);
    let error = log.append(event("lost")).await.unwrap_err();
    assert!(matches!(error, AuditError::Unwritable(_)), "{error}");
    append(&log, "after").await;
    log.close().await;
    assert_eq!(world.segments().len(), 2);
    let report = world.verify(&[]);
    assert_eq!(report.findings, []);
    assert_eq!(report.notices.len(), 1);
    let expected = ["AuditOpened", "KeyUnwrap before", "AuditResumed", "KeyUnwrap after"];
    assert_eq!(world.told(), expected);
}

#[tokio::test]
async fn a_log_opens_on_a_full_disk_and_refuses_until_there_is_room() {
    let disk = SmallDisk::default();
    let world = on(&disk);
    drop(world.open());
    disk.full.store(true, Ordering::SeqCst);
    let log = world.open();
    assert!(log.append(event("refused")).await.unwrap_err().is_full());
    disk.full.store(false, Ordering::SeqCst);
    append(&log, "after").await;
    log.close().await;
    assert_eq!(world.findings(), []);
    assert_eq!(world.told(), ["AuditOpened", "AuditResumed", "KeyUnwrap after"]);
}
