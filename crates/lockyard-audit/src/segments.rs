//! Writing segments: beginning them, giving them room ahead of need, and letting old ones go.
//!
//! A segment grows by writing zeros and syncing them; records then overwrite bytes that the file
//! system has allocated already. That makes the sync of a batch cheap, and it is what the reserve
//! is: a disk that fills up can still take the records that say so. (A file system that copies on
//! write needs new room for every write; there the reserve is no promise.)

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::{NodeId, Timestamp};
use lockyard_blobs::{Disk, DiskFile};

use crate::{
    Settings, files,
    format::{Begin, HEADER_LEN, Hash, Header},
    walk::Place,
};

/// Where the chain goes on, and what lies behind that place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resume {
    /// The segment that is continued; 0 if there is none.
    pub(crate) previous: u64,
    /// Where its records end.
    pub(crate) end: u64,
    /// How many bytes behind that belong to no record.
    pub(crate) torn: u64,
    /// Their digest.
    pub(crate) torn_digest: Hash,
}

/// A segment that is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) ordinal: u64,
    /// Its first record, and the hash before that.
    pub(crate) first: u64,
    pub(crate) before: Hash,
    begun: Timestamp,
}

impl Kept {
    pub(crate) fn of(header: &Header) -> Self {
        let Header { ordinal, first, previous_head, begun, .. } = *header;
        Self { ordinal, first, before: previous_head, begun }
    }
}

/// The segment that is being written.
#[derive(Debug)]
struct Open {
    file: Box<dyn DiskFile>,
    ordinal: u64,
    /// How far the file has room that is allocated and durable.
    allocated: u64,
}

/// The segments of a log that this process writes.
#[derive(Debug)]
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    node: NodeId,
    kept: VecDeque<Kept>,
    highest: u64,
    open: Option<Open>,
    /// Where the chain goes on if no segment is open, and why it does so in another segment.
    resume: Resume,
    begin: Begin,
    segment_bytes: u64,
    extent_bytes: u64,
    reserve_bytes: u64,
}

impl Segments {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        (node, kept): (NodeId, VecDeque<Kept>),
        highest: u64,
        resume: Resume,
        settings: &Settings,
    ) -> Self {
        let Settings { segment_bytes, extent_bytes, reserve_bytes, .. } = *settings;
        let open = None;
        Self {
            disk,
            directory,
            node,
            kept,
            highest,
            open,
            resume,
            begin: Begin::Opened,
            segment_bytes,
            extent_bytes,
            reserve_bytes,
        }
    }

    /// Begins a segment that continues the chain at `place`; durable when this returns, together
    /// with room for the first records and the reserve.
    pub(crate) fn begin(&mut self, place: &mut Place, now: Timestamp) -> io::Result<()> {
        let (begin, resume) = match &self.open {
            Some(open) => {
                let end = place.offset as u64;
                (Begin::Rotated, Resume { previous: open.ordinal, end, ..Resume::default() })
            }
            None => (self.begin, self.resume),
        };
        // A number is used once, whatever becomes of the file.
        self.highest += 1;
        let header = Header {
            begin,
            node: self.node,
            ordinal: self.highest,
            previous: resume.previous,
            previous_end: resume.end,
            first: place.sequence + 1,
            previous_head: place.head,
            torn: resume.torn,
            torn_digest: resume.torn_digest,
            begun: now,
        };
        let path = files::segment_path(&self.directory, header.ordinal);
        let allocated = HEADER_LEN as u64 + self.extent_bytes + self.reserve_bytes;
        let create = || -> io::Result<Box<dyn DiskFile>> {
            let file = self.disk.create(&path)?;
            let mut bytes = vec![0; usize::try_from(allocated).map_err(io::Error::other)?];
            bytes[..HEADER_LEN].copy_from_slice(&header.encode());
            file.write(&bytes, 0)?;
            file.sync_data()?;
            self.disk.sync_directory(&self.directory)?;
            Ok(file)
        };
        let created = create();
        if created.is_err() && !self.is_gone(&path) {
            // It may come back with a header that says where the open segment ends, so nothing may
            // be written there any more.
            self.give_up(place);
        }
        let file = created?;
        self.open = Some(Open { file, ordinal: header.ordinal, allocated });
        self.kept.push_back(Kept::of(&header));
        *place = Place { offset: HEADER_LEN, head: header.hash(), sequence: place.sequence };
        Ok(())
    }

    /// Whether what is left of a segment that could not be begun is gone for good.
    fn is_gone(&self, path: &Path) -> bool {
        let removed = match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        removed.and_then(|()| self.disk.sync_directory(&self.directory)).is_ok()
    }

    /// Writes no more to the open segment: the chain goes on from `place` in another one.
    fn give_up(&mut self, place: &Place) {
        if let Some(Open { ordinal: previous, .. }) = self.open.take() {
            self.begin = Begin::AfterFailure;
            let end = place.offset as u64;
            self.resume = Resume { previous, end, ..Resume::default() };
        }
    }

    /// Whether a segment is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether the open segment has no room for so many bytes, ever: it is time for another one.
    pub(crate) fn is_full_for(&self, offset: usize, bytes: usize) -> bool {
        offset > HEADER_LEN && (offset + bytes) as u64 + self.reserve_bytes > self.segment_bytes
    }

    /// Makes room for so many bytes at `offset`, beside the reserve.
    pub(crate) fn make_room(&mut self, offset: usize, bytes: usize) -> io::Result<()> {
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let needed = (offset + bytes) as u64 + self.reserve_bytes;
        if needed <= open.allocated {
            return Ok(());
        }
        let more = (needed - open.allocated).max(self.extent_bytes);
        let zeros = vec![0; usize::try_from(more).map_err(io::Error::other)?];
        open.file.write(&zeros, open.allocated)?;
        open.file.sync_data()?;
        open.allocated += more;
        Ok(())
    }

    /// Whether so many bytes at `offset` fit what is allocated, the reserve included.
    pub(crate) fn fits_reserve(&self, offset: usize, bytes: usize) -> bool {
        self.open.as_ref().is_some_and(|open| (offset + bytes) as u64 <= open.allocated)
    }

    /// Writes records at `place` and makes them durable. If that fails nobody knows what the disk
    /// holds there: the segment is given up, and the chain goes on from `place` in another one.
    pub(crate) fn write(&mut self, place: &Place, records: &[u8]) -> io::Result<()> {
        let open = self.open.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let written =
            open.file.write(records, place.offset as u64).and_then(|()| open.file.sync_data());
        written.inspect_err(|_| self.give_up(place))
    }

    /// The oldest record that is kept, and the hash before it.
    pub(crate) fn oldest(&self) -> (u64, Hash) {
        self.kept.front().map_or((1, [0; 32]), |kept| (kept.first, kept.before))
    }

    /// Lets go of segments whose successor was begun before `cutoff`; their files go with
    /// [`Segments::remove`], after that was signed.
    pub(crate) fn let_go(&mut self, cutoff: Timestamp) -> Vec<Kept> {
        let mut gone = Vec::new();
        while self.kept.get(1).is_some_and(|next| next.begun < cutoff) {
            gone.extend(self.kept.pop_front());
        }
        gone
    }

    /// Takes back what was let go and could not be signed.
    pub(crate) fn keep_again(&mut self, gone: Vec<Kept>) {
        for kept in gone.into_iter().rev() {
            self.kept.push_front(kept);
        }
    }

    /// Removes the files of segments that were let go.
    pub(crate) fn remove(&self, gone: &[Kept]) -> io::Result<()> {
        for kept in gone {
            self.disk.remove(&files::segment_path(&self.directory, kept.ordinal))?;
        }
        self.disk.sync_directory(&self.directory)
    }
}
