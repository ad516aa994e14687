//! The simulated disk as parts see it.

use std::{io, ops::Range, path::Path, sync::Arc};

use lockyard_blobs::{Disk, DiskEntry, DiskEntryKind, DiskFile};

use super::{NodeId, SimDisk};

/// Gives `LocalParts` a simulated disk to run on.
#[derive(Clone, Debug)]
pub(crate) struct SimFiles(pub(crate) Arc<SimDisk>);

#[derive(Debug)]
struct SimFile {
    disk: Arc<SimDisk>,
    node: NodeId,
}

impl Disk for SimFiles {
    fn make_directory(&self, path: &Path) -> io::Result<bool> {
        self.0.make_directory(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (node, _) = self.0.create(path, true)?;
        Ok(Box::new(SimFile { disk: Arc::clone(&self.0), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let node = self.0.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: Arc::clone(&self.0), node }))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.sync_directory(path)
    }

    fn entries(&self, path: &Path) -> io::Result<Vec<DiskEntry>> {
        let entry = |(name, directory)| DiskEntry {
            name,
            kind: if directory { DiskEntryKind::Directory } else { DiskEntryKind::File },
        };
        Ok(self.0.entries(path)?.into_iter().map(entry).collect())
    }
}

impl DiskFile for SimFile {
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write(self.node, bytes, place(offset))
    }

    fn start_write_back(&self, _: Range<u64>) {}

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(self.node)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.disk.length(self.node)?).expect("a length fits 64 bits"))
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let there = self.disk.read(self.node, buffer, place(offset))?;
        if there == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a simulated file fits memory")
}
