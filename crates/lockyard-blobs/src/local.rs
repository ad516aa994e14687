//! Parts as files of this machine: `<directory>/<first 2 hex digits>/<32 hex digits>`.
//!
//! Directories are 0700, files 0600, and a file is only ever created where there was none. Start-up
//! makes the 256 subdirectories and walks nothing: which parts there are is known by rows alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::{PartId, chain};

use crate::{
    PartError, PartSink, PartSource, PartStore,
    disk::{Disk, SystemDisk},
};

/// How much is written between two nudges to start write-back, so that the sync at the end finds
/// little left to do and the page cache holds little that is dirty.
const WRITE_BACK_BYTES: u64 = 16 << 20;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

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

    fn open_on(directory: &Path, disk: Arc<dyn Disk>) -> Result<Self, PartError> {
        let failed = |error| PartError::from_io("make the part directories", error);
        if make_directory(directory).map_err(failed)? {
            let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(&*disk, parent.unwrap_or(Path::new("."))).map_err(failed)?;
        }
        for first in 0..=u8::MAX {
            make_directory(&directory.join(format!("{first:02x}"))).map_err(failed)?;
        }
        // Always, and not only when one was new: the process that made them may have died before
        // its sync. From here on a commit needs to sync its own subdirectory only.
        sync_directory(&*disk, directory).map_err(failed)?;
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
        let file =
            OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path).map_err(
                |error| match error.kind() {
                    io::ErrorKind::AlreadyExists => PartError::Exists(part),
                    _ => PartError::from_io("create a part", error),
                },
            )?;
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
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let len = file.metadata().map_err(failed)?.len();
        Ok(Some(Box::new(LocalSource { file, len })))
    }

    fn delete(&self, part: PartId) -> Result<(), PartError> {
        let (directory, path) = self.places(part);
        remove(&path)
            // Its row goes next: a file that came back after a power cut would have no row to
            // find it by.
            .and_then(|()| sync_directory(&*self.disk, &directory))
            .map_err(|error| PartError::from_io("delete a part", error))
    }
}

/// A part's file that is being written.
#[derive(Debug)]
struct LocalSink {
    part: PartId,
    directory: PathBuf,
    path: PathBuf,
    file: File,
    disk: Arc<dyn Disk>,
    written: u64,
    written_back: u64,
    settled: bool,
}

impl PartSink for LocalSink {
    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.disk
            .write(&self.file, bytes, self.written)
            .map_err(|error| PartError::from_io("write a part", error))?;
        self.written += bytes.len() as u64;
        if self.written - self.written_back >= WRITE_BACK_BYTES {
            self.disk.start_write_back(&self.file, self.written_back..self.written);
            self.written_back = self.written;
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), PartError> {
        // The order is the promise: an entry must never be durable before what it names. A sync
        // that failed is not tried again, since the system may have dropped the pages it concerned.
        self.disk
            .sync_data(&self.file)
            .map_err(|error| PartError::from_io("sync a part", error))?;
        sync_directory(&*self.disk, &self.directory)
            .map_err(|error| PartError::from_io("sync a part's directory", error))?;
        self.settled = true;
        Ok(())
    }

    fn abort(mut self: Box<Self>) -> Result<(), PartError> {
        self.settled = true;
        remove(&self.path).map_err(|error| PartError::from_io("abort a part", error))
    }
}

impl Drop for LocalSink {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if let Err(error) = remove(&self.path) {
            tracing::warn!(part = %self.part, error = %chain(&error), "could not remove a part that was given up");
        }
    }
}

/// A part's file that is open for reading.
#[derive(Debug)]
struct LocalSource {
    file: File,
    len: u64,
}

impl PartSource for LocalSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|error| PartError::from_io("read a part", error))
    }
}

/// Makes a directory and tells whether it was new.
fn make_directory(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_directory(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.sync_directory(&File::open(path)?)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
