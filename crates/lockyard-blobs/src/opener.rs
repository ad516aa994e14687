//! Opens parts segment by segment, in order: the blocking half of a read.
//!
//! It reads a segment into a buffer, opens it where it lies and passes on the bytes that were asked
//! for. A part is checked for its exact length before its first byte counts, so that a truncated
//! or lengthened part is never served in part. Keys of parts that are still to come rest in the
//! registry's cell and not here.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use lockyard_base::PartId;
use lockyard_keyring::{CipherSlot, Locked, OpenError, UnlockedRegistry};
use lockyard_seal::{Damaged, HEADER_LEN, Header, Layout, part_aad};
use thiserror::Error;

use crate::{PartError, PartSource, PartStore, SealedPart, pool::Buffer};

/// Content could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The registry was locked.
    #[error("the registry is locked")]
    Locked,
    /// The part is gone: re-read the row once, it may name other parts by now.
    #[error("part `{0}` is missing")]
    Missing(PartId),
    /// The part is not what was sealed; nothing of its damaged segment was handed out.
    #[error("part `{0}` is damaged")]
    Damaged(PartId),
    /// The range does not lie within the blob.
    #[error("bytes {}..{} do not lie within a blob of {len} bytes", .range.start, .range.end)]
    Range {
        /// What was asked for.
        range: Range<u64>,
        /// The blob's length.
        len: u64,
    },
    /// The part store failed.
    #[error("part `{part}` could not be read")]
    Store {
        /// The part.
        part: PartId,
        /// What the store says.
        #[source]
        source: PartError,
    },
    /// The reading task ended without an answer: the process is shutting down.
    #[error("reading was interrupted")]
    Interrupted,
}

impl From<Locked> for ReadError {
    fn from(Locked: Locked) -> Self {
        Self::Locked
    }
}

/// A part that is still to be read, and which bytes of its plaintext.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) part: SealedPart,
    /// Never empty.
    pub(crate) range: Range<u64>,
}

/// Whether reading may wait for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It may: on a thread that may block.
    Wait,
    /// It must not.
    Now,
}

/// What opens the parts of one read.
pub(crate) struct Opener {
    unlocked: UnlockedRegistry,
    store: Arc<dyn PartStore>,
    current: Option<OpenPart>,
}

impl Opener {
    pub(crate) fn new(unlocked: UnlockedRegistry, store: Arc<dyn PartStore>) -> Self {
        Self { unlocked, store, current: None }
    }

    pub(crate) fn unlocked(&self) -> &UnlockedRegistry {
        &self.unlocked
    }

    /// Whether the part in hand is read to its end, so that the next segment needs another one.
    pub(crate) fn needs_part(&self) -> bool {
        self.current.is_none()
    }

    /// Takes up a part; its length and header are checked here.
    pub(crate) fn take_up(&mut self, wanted: &Wanted) -> Result<(), ReadError> {
        self.current = Some(OpenPart::open(&self.unlocked, &*self.store, wanted)?);
        Ok(())
    }

    /// Opens the next segment of the part in hand; panics if there is none.
    ///
    /// Gives the buffer back if that would have to wait, and [`Patience`] forbids it.
    pub(crate) fn next_segment(
        &mut self,
        buffer: Buffer,
        patience: Patience,
    ) -> Result<Result<Bytes, Buffer>, ReadError> {
        let part = self.current.as_mut().expect("a part is in hand");
        let opened = part.next_segment(buffer, patience)?;
        if part.segments_left() == 0 {
            self.current = None;
        }
        Ok(opened)
    }
}

/// One part that is open, and how far it is read.
struct OpenPart {
    id: PartId,
    source: Box<dyn PartSource>,
    slot: CipherSlot,
    layout: Layout,
    /// What is still wanted of the plaintext; starts within segment `index`.
    range: Range<u64>,
    index: u32,
    last_index: u32,
}

impl OpenPart {
    fn open(
        unlocked: &UnlockedRegistry,
        store: &dyn PartStore,
        wanted: &Wanted,
    ) -> Result<Self, ReadError> {
        let Wanted { part, range } = wanted;
        let (id, layout) = (part.id(), part.layout());
        let source = store
            .open(id)
            .map_err(|source| ReadError::Store { part: id, source })?
            .ok_or(ReadError::Missing(id))?;
        if source.len() != layout.ciphertext_len() {
            return Err(ReadError::Damaged(id));
        }
        let mut header = [0; HEADER_LEN];
        read(id, &*source, &mut header, 0)?;
        let header = Header::parse(&header).map_err(|Damaged| ReadError::Damaged(id))?;
        let aad = part_aad(layout.size(), unlocked.id(), id);
        let slot = unlocked.register(part.key().cipher(&header, &aad))?;
        assert!(range.start < range.end && range.end <= part.len(), "a range lies in its part");
        Ok(Self {
            id,
            source,
            slot,
            layout,
            range: range.clone(),
            index: layout.holding(range.start),
            last_index: layout.holding(range.end - 1),
        })
    }

    fn segments_left(&self) -> usize {
        (self.last_index + 1 - self.index) as usize
    }

    fn next_segment(
        &mut self,
        mut buffer: Buffer,
        patience: Patience,
    ) -> Result<Result<Bytes, Buffer>, ReadError> {
        let place = self.layout.segment(self.index);
        let sealed = buffer.head(in_memory(place.ciphertext.end - place.ciphertext.start));
        match patience {
            Patience::Wait => read(self.id, &*self.source, sealed, place.ciphertext.start)?,
            Patience::Now if self.source.read_cached(sealed, place.ciphertext.start) => {}
            Patience::Now => return Ok(Err(buffer)),
        }
        let opened = self
            .slot
            .open_in_place(self.layout.position(self.index), sealed)
            .map_err(|error| match error {
                OpenError::Locked => ReadError::Locked,
                OpenError::Damaged => ReadError::Damaged(self.id),
            })?
            .len();
        assert_eq!(
            opened as u64,
            place.plaintext.end - place.plaintext.start,
            "a segment opens to what the layout says"
        );
        let end = self.range.end.min(place.plaintext.end);
        let wanted = in_memory(self.range.start - place.plaintext.start)
            ..in_memory(end - place.plaintext.start);
        self.range.start = end;
        self.index += 1;
        Ok(Ok(Bytes::from_owner(buffer.slice(wanted))))
    }
}

fn read(
    part: PartId,
    source: &dyn PartSource,
    buffer: &mut [u8],
    offset: u64,
) -> Result<(), ReadError> {
    source.read_at(buffer, offset).map_err(|source| match source {
        // It had its full length when it was opened: somebody cut it since.
        PartError::Short => ReadError::Damaged(part),
        other => ReadError::Store { part, source: other },
    })
}

fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("a length within a segment fits usize")
}
