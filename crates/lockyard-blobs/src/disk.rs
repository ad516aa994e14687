//! The system calls on which durability hangs, as a seam: a test can record them, fail them, and cut
//! the power between any two.
//!
//! [`LocalParts`](crate::LocalParts) calls it a few times for each part, the audit trail for each
//! batch of events; nothing is decided here.

use std::{
    ffi::OsString,
    fmt,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, IoSliceMut},
    ops::Range,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::ReadWriteFlags,
};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// To what a direct write is aligned in memory, in the file and in length: a page, which is what
/// devices ask for at most.
pub(crate) const DIRECT_ALIGN: usize = 4096;

/// Shorter writes go through the page cache, where a reader will soon look for them. Longer ones
/// bypass it: filling fresh pages costs more than sealing what fills them, and a large push would
/// drive out what others read.
pub(crate) const DIRECT_BYTES_MIN: usize = 1 << 20;

/// A file system, as far as parts and the audit trail need one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory that only its owner may enter; tells whether it was new.
    fn make_directory(&self, path: &Path) -> io::Result<bool>;
    /// Creates a file, that only its owner may read, where there was none.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing.
    fn reopen(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file's name; whoever has the file open keeps it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Waits until the directory's entries are on stable storage.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Lists what a directory holds, in no order.
    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Starts write-back of a range without waiting for it; a hint that may do nothing.
    fn start_write_back(&self, range: Range<u64>);
    /// Waits until the file's content, and its length, are on stable storage.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file ends before.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Fills `buffer` from `offset` if all of it lies in memory; `false` for every other reason.
    fn read_cached(&self, _buffer: &mut [u8], _offset: u64) -> bool {
        false
    }
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// The name.
    pub name: OsString,
    /// What it names.
    pub kind: DiskEntryKind,
}

/// What a name in a directory stands for; links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskEntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn make_directory(&self, path: &Path) -> io::Result<bool> {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        Ok(Box::new(SystemFile::new(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile::new(File::open(path)?)))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(SystemFile::new(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let listed = std::fs::read_dir(path)?.map(|entry| {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = if kind.is_file() {
                DiskEntryKind::File
            } else if kind.is_dir() {
                DiskEntryKind::Directory
            } else {
                DiskEntryKind::Other
            };
            Ok(DiskEntry { name: entry.file_name(), kind })
        });
        listed.collect()
    }
}

#[derive(Debug)]
struct SystemFile {
    file: File,
    way: Mutex<Way>,
}

/// How writes go to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Through the page cache.
    Cached,
    /// Straight from the caller's buffer.
    Direct,
    /// Through the page cache, because the file system wants it so.
    AlwaysCached,
}

impl SystemFile {
    fn new(file: File) -> Self {
        Self { file, way: Mutex::new(Way::Cached) }
    }

    /// Chooses the way for a write.
    fn choose(&self, way: &mut Way, direct: bool) -> io::Result<()> {
        let wanted = if direct { Way::Direct } else { Way::Cached };
        if *way == Way::AlwaysCached || *way == wanted {
            return Ok(());
        }
        match self.set_direct(direct) {
            Ok(()) => *way = wanted,
            Err(_) if direct => *way = Way::AlwaysCached,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn set_direct(&self, direct: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, direct);
        Ok(fcntl_setfl(&self.file, flags)?)
    }
}

/// Whether every device takes these bytes from where they lie to where they go, and they are so
/// many that this is faster than a copy.
fn suits_direct(bytes: &[u8], offset: u64) -> bool {
    let align = DIRECT_ALIGN as u64;
    bytes.len() >= DIRECT_BYTES_MIN
        && bytes.len().is_multiple_of(DIRECT_ALIGN)
        && bytes.as_ptr().addr().is_multiple_of(DIRECT_ALIGN)
        && offset.is_multiple_of(align)
}

impl DiskFile for SystemFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut way = self.way.lock().unwrap_or_else(PoisonError::into_inner);
        self.choose(&mut way, suits_direct(bytes, offset))?;
        match self.file.write_all_at(bytes, offset) {
            // It may say so now only, or its blocks are larger than any we know of.
            Err(error) if *way == Way::Direct && error.kind() == io::ErrorKind::InvalidInput => {
                self.set_direct(false)?;
                *way = Way::AlwaysCached;
                self.file.write_all_at(bytes, offset)
            }
            written => written,
        }
    }

    #[expect(unsafe_code, reason = "no safe crate of ours offers sync_file_range")]
    fn start_write_back(&self, range: Range<u64>) {
        let (Ok(offset), Ok(length)) =
            (i64::try_from(range.start), i64::try_from(range.end - range.start))
        else {
            return;
        };
        // SAFETY: the descriptor is open for as long as `self` is borrowed, and the call takes and
        // returns numbers only: no memory of this process is read or written.
        let answer = unsafe {
            libc::sync_file_range(
                self.file.as_raw_fd(),
                offset,
                length,
                libc::SYNC_FILE_RANGE_WRITE,
            )
        };
        if answer != 0 {
            // Only speed is lost: the commit syncs everything and reports what fails.
            tracing::debug!(error = %io::Error::last_os_error(), "early write-back refused");
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let wanted = buffer.len();
        let into = &mut [IoSliceMut::new(buffer)];
        // What keeps it from succeeding, an unwilling file system included, comes up again in a read
        // that waits.
        rustix::io::preadv2(&self.file, into, offset, ReadWriteFlags::NOWAIT)
            .is_ok_and(|read| read == wanted)
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// `len` bytes that begin `off` an aligned address, and what holds them.
    fn bytes(len: usize, off: usize) -> (Vec<u8>, Range<usize>) {
        let mut held: Vec<u8> = (0..=250).cycle().take(len + 2 * DIRECT_ALIGN).collect();
        let start = held.as_ptr().align_offset(DIRECT_ALIGN) + off;
        held[start] = 0xff;
        (held, start..start + len)
    }

    #[test]
    fn only_long_writes_from_and_to_aligned_places_are_direct() {
        let cases = [
            (DIRECT_BYTES_MIN, 0, 0, true),
            (DIRECT_BYTES_MIN + DIRECT_ALIGN, 0, 7 << 20, true),
            (DIRECT_BYTES_MIN - DIRECT_ALIGN, 0, 0, false),
            (DIRECT_BYTES_MIN + 1, 0, 0, false),
            (DIRECT_BYTES_MIN + 512, 0, 0, false),
            (DIRECT_BYTES_MIN, 16, 0, false),
            (DIRECT_BYTES_MIN, 0, 512, false),
        ];
        for (len, off, offset, direct) in cases {
            let (held, range) = bytes(len, off);
            assert_eq!(suits_direct(&held[range], offset), direct, "{len} {off} {offset}");
        }
    }

    #[test]
    fn direct_and_cached_writes_make_one_file() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("part");
        let file = SystemDisk.create(&path).unwrap();
        let mut whole = Vec::new();
        for (len, off) in
            [(1 << 20, 0), (3 << 20, 0), (4096, 0), (1 << 20, 0), (2 << 20, 5), (77, 3)]
        {
            let (held, range) = bytes(len, off);
            file.write(&held[range.clone()], whole.len() as u64).unwrap();
            whole.extend_from_slice(&held[range]);
        }
        file.sync_data().unwrap();
        assert_eq!(file.length().unwrap(), whole.len() as u64);
        assert!(std::fs::read(&path).unwrap() == whole);
        let read = SystemDisk.open(&path).unwrap();
        let mut some = vec![0; 100_000];
        read.read(&mut some, (1 << 20) - 50_000).unwrap();
        assert!(some == whole[(1 << 20) - 50_000..][..100_000]);
        // It was just read, but no file system has to say so.
        if read.read_cached(&mut some, 5) {
            assert!(some == whole[5..100_005]);
        }
        assert!(!read.read_cached(&mut some, whole.len() as u64 - 99_999), "past the end");
    }

    #[test]
    fn a_file_system_that_wants_its_cache_gets_it() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("part");
        let file = File::options().write(true).create_new(true).open(&path).unwrap();
        let file = SystemFile { file, way: Mutex::new(Way::AlwaysCached) };
        let (held, range) = bytes(1 << 20, 0);
        file.write(&held[range.clone()], 0).unwrap();
        assert!(!fcntl_getfl(&file.file).unwrap().contains(OFlags::DIRECT));
        assert!(std::fs::read(&path).unwrap() == held[range]);
    }
}
