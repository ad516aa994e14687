//! Parts as files of this machine: `<directory>/<first 2 hex digits>/<32 hex digits>`.
//!
//! Directories are 0700, files 0600, and a file is only ever created where there was none. Start-up
//! makes the 256 subdirectories and walks nothing: which parts there are is known by rows alone.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::{PartId, chain};

use crate::{
    Listed, PartError, PartSink, PartSource, PartStore,
    disk::{Disk, DiskEntryKind, DiskFile, SystemDisk},
};

/// How much is written between two nudges to start write-back, so that the sync at the end finds
/// little left to do and the page cache holds little that is dirty.
const WRITE_BACK_BYTES: u64 = 16 << 20;

/// The part store in a local directory.
///
/// One process at a time uses a directory; the data directory's lock sees to that.
#[derive(Debug)]
pub struct LocalParts {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
}

impl LocalParts {
    /// Opens the store in `directory`, which is made if its parent exists.
    pub fn open(directory: &Path) -> Result<Self, PartError> {
        Self::open_on(directory, Arc::new(SystemDisk))
    }

    /// Opens the store in `directory` of `disk`: the way of tests that simulate one.
    pub fn open_on(directory: &Path, disk: Arc<dyn Disk>) -> Result<Self, PartError> {
        let failed = |error| PartError::from_io("make the part directories", error);
        if disk.make_directory(directory).map_err(failed)? {
            let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
            disk.sync_directory(parent.unwrap_or(Path::new("."))).map_err(failed)?;
        }
        for first in 0..=u8::MAX {
            disk.make_directory(&directory.join(format!("{first:02x}"))).map_err(failed)?;
        }
        // Always, and not only when one was new: the process that made them may have died before
        // its sync. From here on a commit needs to sync its own subdirectory only.
        disk.sync_directory(directory).map_err(failed)?;
        Ok(Self { directory: directory.to_owned(), disk })
    }

    /// Where a part lies: its subdirectory and its file.
    fn places(&self, part: PartId) -> (PathBuf, PathBuf) {
        let directory = self.directory.join(format!("{:02x}", part.as_bytes()[0]));
        let file = directory.join(part.to_string());
        (directory, file)
    }
}

impl PartStore for LocalParts {
    fn begin(&self, part: PartId) -> Result<Box<dyn PartSink>, PartError> {
        let (directory, path) = self.places(part);
        let file = self.disk.create(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PartError::Exists(part),
            _ => PartError::from_io("create a part", error),
        })?;
        Ok(Box::new(LocalSink {
            part,
            directory,
            path,
            file,
            disk: Arc::clone(&self.disk),
            written: 0,
            written_back: 0,
            settled: false,
        }))
    }

    fn open(&self, part: PartId) -> Result<Option<Box<dyn PartSource>>, PartError> {
        let (_, path) = self.places(part);
        let failed = |error| PartError::from_io("open a part", error);
        let file = match self.disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let len = file.length().map_err(failed)?;
        Ok(Some(Box::new(LocalSource { file, len })))
    }

    fn delete(&self, part: PartId) -> Result<(), PartError> {
        let (directory, path) = self.places(part);
        remove(&*self.disk, &path)
            // Its row goes next: a file that came back after a power cut would have no row to
            // find it by.
            .and_then(|()| self.disk.sync_directory(&directory))
            .map_err(|error| PartError::from_io("delete a part", error))
    }

    fn list(&self, shard: u8) -> Result<Vec<Listed>, PartError> {
        let mut found = self
            .list_shard(shard)
            .map_err(|error| PartError::from_io("list a part directory", error))?;
        if shard == 0 {
            let strangers = self
                .list_top()
                .map_err(|error| PartError::from_io("list the part directories", error))?;
            found.extend(strangers);
        }
        Ok(found)
    }
}

impl LocalParts {
    fn list_shard(&self, shard: u8) -> io::Result<Vec<Listed>> {
        let name = format!("{shard:02x}");
        let mut found = Vec::new();
        for entry in self.disk.entries(&self.directory.join(&name))? {
            let file = entry.name;
            let part = file.to_str().and_then(|file| file.parse::<PartId>().ok());
            let ours = part.filter(|part| part.as_bytes()[0] == shard);
            found.push(match ours {
                // Not through a link: parts are files of their own.
                Some(part) if entry.kind == DiskEntryKind::File => Listed::Part(part),
                _ => Listed::Stranger(format!("{name}/{}", file.to_string_lossy())),
            });
        }
        Ok(found)
    }

    /// What lies beside the 256 subdirectories.
    fn list_top(&self) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in self.disk.entries(&self.directory)? {
            let shard = entry.name.to_str().is_some_and(is_shard);
            if !(shard && entry.kind == DiskEntryKind::Directory) {
                found.push(Listed::Stranger(entry.name.to_string_lossy().into_owned()));
            }
        }
        Ok(found)
    }
}

/// Whether this is how a subdirectory is named: two lower-case hexadecimal digits.
fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A part's file that is being written.
#[derive(Debug)]
struct LocalSink {
    part: PartId,
    directory: PathBuf,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    disk: Arc<dyn Disk>,
    written: u64,
    written_back: u64,
    settled: bool,
}

impl PartSink for LocalSink {
    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.file
            .write(bytes, self.written)
            .map_err(|error| PartError::from_io("write a part", error))?;
        self.written += bytes.len() as u64;
        if self.written - self.written_back >= WRITE_BACK_BYTES {
            self.file.start_write_back(self.written_back..self.written);
            self.written_back = self.written;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), PartError> {
        // The order is the promise: an entry must never be durable before what it names. A sync
        // that failed is not tried again, since the system may have dropped the pages it concerned.
        self.file.sync_data().map_err(|error| PartError::from_io("sync a part", error))?;
        self.disk
            .sync_directory(&self.directory)
            .map_err(|error| PartError::from_io("sync a part's directory", error))?;
        self.settled = true;
        Ok(())
    }

    fn abort(mut self: Box<Self>) -> Result<(), PartError> {
        self.settled = true;
        remove(&*self.disk, &self.path).map_err(|error| PartError::from_io("abort a part", error))
    }
}

impl Drop for LocalSink {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Err(error) = remove(&*self.disk, &self.path) {
            tracing::warn!(part = %self.part, error = %chain(&error), "could not remove a part that was given up");
        }
    }
}

/// A part's file that is open for reading.
#[derive(Debug)]
struct LocalSource {
    file: Box<dyn DiskFile>,
    len: u64,
}

impl PartSource for LocalSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        self.file.read(buffer, offset).map_err(|error| PartError::from_io("read a part", error))
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        self.file.read_cached(buffer, offset)
    }
}

fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ops::Range,
        os::unix::fs::PermissionsExt as _,
        sync::{Mutex, PoisonError},
    };

    use tempfile::TempDir;

    use super::*;
    use crate::disk::DiskEntry;

    const PART: PartId = PartId::from_bytes([0xab; 16]);

    /// A disk that records what matters, and can fail at one of its calls.
    #[derive(Clone, Debug, Default)]
    struct Recorder(Arc<Mutex<Record>>);

    #[derive(Debug, Default)]
    struct Record {
        calls: Vec<&'static str>,
        failing: Option<(&'static str, i32)>,
    }

    impl Recorder {
        fn note(&self, call: &'static str) -> io::Result<()> {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.calls.push(call);
            match state.failing {
                Some((failing, errno)) if failing == call => {
                    Err(io::Error::from_raw_os_error(errno))
                }
                _ => Ok(()),
            }
        }

        fn fail(&self, call: &'static str, errno: i32) {
            self.0.lock().expect("unpoisoned").failing = Some((call, errno));
        }

        fn take(&self) -> Vec<&'static str> {
            std::mem::take(&mut self.0.lock().expect("unpoisoned").calls)
        }
    }

    impl Disk for Recorder {
        fn make_directory(&self, path: &Path) -> io::Result<bool> {
            SystemDisk.make_directory(path)
        }

        fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let file = SystemDisk.create(path)?;
            Ok(Box::new(RecordedFile { file, recorder: self.clone() }))
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
            self.note("sync directory")?;
            SystemDisk.sync_directory(path)
        }

        fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
            SystemDisk.entries(path)
        }
    }

    #[derive(Debug)]
    struct RecordedFile {
        file: Box<dyn DiskFile>,
        recorder: Recorder,
    }

    impl DiskFile for RecordedFile {
        fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.recorder.note("write")?;
            self.file.write(bytes, offset)
        }

        fn start_write_back(&self, range: Range<u64>) {
            assert!(range.end - range.start >= WRITE_BACK_BYTES);
            self.recorder.note("write back").expect("a hint never fails");
            self.file.start_write_back(range);
        }

        fn sync_data(&self) -> io::Result<()> {
            self.recorder.note("sync data")?;
            self.file.sync_data()
        }

        fn length(&self) -> io::Result<u64> {
            self.file.length()
        }

        fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.file.read(buffer, offset)
        }
    }

    fn recorded() -> (TempDir, Recorder, LocalParts) {
        let directory = TempDir::new().expect("a directory");
        let recorder = Recorder::default();
        let disk = Arc::new(recorder.clone());
        let parts = LocalParts::open_on(&directory.path().join("parts"), disk).expect("opened");
        (directory, recorder, parts)
    }

    fn write(parts: &LocalParts, id: PartId, bytes: &[u8]) -> Result<(), PartError> {
        let mut sink = parts.begin(id)?;
        sink.append(bytes)?;
        sink.commit()
    }

    #[test]
    fn data_is_synced_before_its_directory_and_both_before_commit_returns() {
        let (_directory, recorder, parts) = recorded();
        // The new directory in its parent, then its 256 subdirectories.
        assert_eq!(recorder.take(), ["sync directory", "sync directory"]);
        let mut sink = parts.begin(PART).expect("begun");
        sink.append(b"one").expect("written");
        sink.append(b"two").expect("written");
        sink.commit().expect("committed");
        assert_eq!(recorder.take(), ["write", "write", "sync data", "sync directory"]);
        parts.delete(PART).expect("deleted");
        assert_eq!(recorder.take(), ["sync directory"]);
    }

    #[test]
    fn write_back_starts_each_sixteen_mebibytes() {
        let (_directory, recorder, parts) = recorded();
        recorder.take();
        let mut sink = parts.begin(PART).expect("begun");
        let batch = vec![1; 1 << 20];
        for _ in 0..33 {
            sink.append(&batch).expect("written");
        }
        let calls = recorder.take();
        let nudges: Vec<usize> = calls
            .iter()
            .enumerate()
            .filter_map(|(at, call)| (*call == "write back").then_some(at))
            .collect();
        assert_eq!(nudges, [16, 33]);
        sink.abort().expect("aborted");
    }

    #[test]
    fn a_failure_at_any_step_is_sorted_and_leaves_no_file() {
        for call in ["write", "sync data", "sync directory"] {
            for (errno, full) in [
                (libc::ENOSPC, true),
                (libc::EDQUOT, true),
                (libc::EFBIG, true),
                (libc::EIO, false),
            ] {
                let (_directory, recorder, parts) = recorded();
                recorder.fail(call, errno);
                let error = write(&parts, PART, b"content").expect_err("a call failed");
                assert_eq!(matches!(error, PartError::Full { .. }), full, "{call}: {error}");
                assert_eq!(matches!(error, PartError::Io { .. }), !full, "{call}: {error}");
                let text = chain(&error).to_string();
                assert!(!text.contains("/ab") && !text.contains("abab"), "{text}");
                assert!(parts.open(PART).expect("looked").is_none(), "{call}");
            }
        }
    }

    #[test]
    fn a_part_lies_where_documented_and_nobody_else_may_look() {
        let (directory, _recorder, parts) = recorded();
        write(&parts, PART, b"content").expect("written");
        let root = directory.path().join("parts");
        let file = root.join("ab").join("ab".repeat(16));
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&root) & 0o7777, 0o700);
        assert_eq!(mode(&root.join("ab")) & 0o7777, 0o700);
        assert_eq!(mode(&file) & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(&root).expect("there").count(), 256);
        assert_eq!(std::fs::read(file).expect("there"), b"content");
    }

    #[test]
    fn an_existing_part_is_never_begun_again() {
        let (_directory, _recorder, parts) = recorded();
        write(&parts, PART, b"first").expect("written");
        assert!(matches!(parts.begin(PART), Err(PartError::Exists(PART))));
        let source = parts.open(PART).expect("opened").expect("there");
        let mut bytes = [0; 5];
        source.read_at(&mut bytes, 0).expect("read");
        assert_eq!(&bytes, b"first");
    }

    #[test]
    fn reads_are_positional_and_a_short_part_is_told() {
        let (_directory, _recorder, parts) = recorded();
        write(&parts, PART, b"0123456789").expect("written");
        let source = parts.open(PART).expect("opened").expect("there");
        assert_eq!(source.len(), 10);
        let mut bytes = [0; 4];
        source.read_at(&mut bytes, 6).expect("read");
        assert_eq!(&bytes, b"6789");
        assert!(matches!(source.read_at(&mut bytes, 7), Err(PartError::Short)));
        assert!(matches!(source.read_at(&mut bytes, 70), Err(PartError::Short)));
    }

    #[test]
    fn a_part_given_up_or_deleted_is_gone_and_may_be_deleted_again() {
        let (_directory, _recorder, parts) = recorded();
        let mut sink = parts.begin(PART).expect("begun");
        sink.append(b"content").expect("written");
        drop(sink);
        assert!(parts.open(PART).expect("looked").is_none());
        parts.begin(PART).expect("begun").abort().expect("aborted");
        assert!(parts.open(PART).expect("looked").is_none());
        write(&parts, PART, b"content").expect("written");
        let reader = parts.open(PART).expect("opened").expect("there");
        parts.delete(PART).expect("deleted");
        parts.delete(PART).expect("deleted again");
        assert!(parts.open(PART).expect("looked").is_none());
        let mut bytes = [0; 7];
        reader.read_at(&mut bytes, 0).expect("an open part stays readable");
    }

    #[test]
    fn a_store_opens_again_and_finds_its_parts() {
        let (directory, _recorder, parts) = recorded();
        write(&parts, PART, b"content").expect("written");
        let again = LocalParts::open(&directory.path().join("parts")).expect("opened");
        assert!(again.open(PART).expect("looked").is_some());
    }

    #[test]
    fn a_shard_lists_its_parts_and_every_stranger_once() {
        let (directory, _recorder, parts) = recorded();
        write(&parts, PART, b"content").expect("written");
        let begun = PartId::from_bytes([0xac; 16]);
        let mut other = *begun.as_bytes();
        other[0] = 0xab;
        let begun = PartId::from_bytes(other);
        let _sink = parts.begin(begun).expect("begun");
        let root = directory.path().join("parts");
        std::fs::write(root.join("notes.txt"), b"").expect("written");
        std::fs::create_dir(root.join("AB")).expect("made");
        // A part's name in another part's shard, a directory and a link of a part's name.
        std::fs::write(root.join("ac").join("ab".repeat(16)), b"").expect("written");
        std::fs::create_dir(root.join("ac").join("ac".repeat(16))).expect("made");
        let link = root.join("ac").join(format!("ac{}", "00".repeat(15)));
        std::os::unix::fs::symlink(root.join("notes.txt"), link).expect("made");

        let listed = |shard| {
            let mut found = parts.list(shard).expect("listed");
            found.sort();
            found
        };
        let stranger = |name: String| Listed::Stranger(name);
        assert_eq!(listed(0xab), [Listed::Part(PART), Listed::Part(begun)]);
        assert_eq!(listed(0), [stranger("AB".to_owned()), stranger("notes.txt".to_owned())]);
        assert_eq!(
            listed(0xac),
            [
                stranger(format!("ac/{}", "ab".repeat(16))),
                stranger(format!("ac/ac{}", "00".repeat(15))),
                stranger(format!("ac/{}", "ac".repeat(16))),
            ]
        );
        let elsewhere = (0..=u8::MAX).filter(|shard| ![0, 0xab, 0xac].contains(shard));
        assert!(elsewhere.map(listed).all(|found| found.is_empty()));
    }

    #[test]
    fn a_directory_that_cannot_be_listed_is_told_without_its_path() {
        let (directory, _recorder, parts) = recorded();
        std::fs::remove_dir(directory.path().join("parts").join("07")).expect("removed");
        let error = parts.list(7).expect_err("gone");
        assert!(chain(&error).to_string().starts_with("could not list a part directory"));
    }

    #[test]
    fn a_file_in_the_directory_s_place_is_refused() {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("parts");
        std::fs::write(&path, b"").expect("written");
        assert!(matches!(LocalParts::open(&path), Err(PartError::Io { .. })));
    }
}
