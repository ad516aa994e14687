//! The few system calls on which durability hangs, so that a test can record and fail them.

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
};

/// What [`LocalParts`](crate::LocalParts) asks of the system once a file is open.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Starts write-back of a range without waiting for it; a hint that may do nothing.
    fn start_write_back(&self, file: &File, range: Range<u64>);
    /// Waits until the file's content, and its length, are on stable storage.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Waits until the directory's entries are on stable storage.
    fn sync_directory(&self, directory: &File) -> io::Result<()>;
}

/// The machine's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    #[expect(unsafe_code, reason = "no safe crate of ours offers sync_file_range")]
    fn start_write_back(&self, file: &File, range: Range<u64>) {
        let (Ok(offset), Ok(length)) =
            (i64::try_from(range.start), i64::try_from(range.end - range.start))
        else {
            return;
        };
        // SAFETY: the descriptor is open for as long as `file` is borrowed, and the call takes and
        // returns numbers only: no memory of this process is read or written.
        let answer = unsafe {
            libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE)
        };
        if answer != 0 {
            // Only speed is lost: the commit syncs everything and reports what fails.
            tracing::debug!(error = %io::Error::last_os_error(), "early write-back refused");
        }
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        directory.sync_all()
    }
}
