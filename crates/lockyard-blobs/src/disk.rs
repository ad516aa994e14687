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
};

use rustix::io::ReadWriteFlags;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A file system, as far as parts and the audit trail need one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a directory that only its owner may enter; tells whether it was new.
    fn make_directory(&self, path: &Path) -> io::Result<bool>;
    /// Creates a file, that only its owner may read, where there was none.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
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
        Ok(Box::new(SystemFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile(File::open(path)?)))
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
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
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
            libc::sync_file_range(self.0.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE)
        };
        if answer != 0 {
            // Only speed is lost: the commit syncs everything and reports what fails.
            tracing::debug!(error = %io::Error::last_os_error(), "early write-back refused");
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let wanted = buffer.len();
        let into = &mut [IoSliceMut::new(buffer)];
        // What keeps it from succeeding, an unwilling file system included, comes up again in a read
        // that waits.
        rustix::io::preadv2(&self.0, into, offset, ReadWriteFlags::NOWAIT)
            .is_ok_and(|read| read == wanted)
    }
}
