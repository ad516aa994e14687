//! Seals a plaintext into a part as it arrives.
//!
//! Plaintext exists in one buffer only, where it turns into ciphertext in place; the store is given
//! ciphertext in batches. The cipher sits in the registry's cell, so that a lock ends the writer in
//! mid-part. Blocking: it runs on the thread that hashes or on one behind it.

use std::{fmt, sync::Arc};

use lockyard_base::{Entropy, PartId};
use lockyard_keyring::{CipherSlot, Locked, UnlockedRegistry};
use lockyard_seal::{
    HEADER_LEN, Header, Layout, MainKey, Position, SegmentSize, TAG_LEN, part_aad,
};
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::{
    PartError, PartSink, PartStore, SealedPart,
    disk::{DIRECT_ALIGN, DIRECT_BYTES_MIN},
};

/// How many bytes of ciphertext go to the store at once: whole segments, from a place in memory and
/// to a place in the part from where the disk can fetch them itself.
const BATCH_BYTES: usize = DIRECT_BYTES_MIN;
const _: () = assert!(BATCH_BYTES.is_multiple_of(SIZE.bytes()));

/// What new parts are sealed with.
const SIZE: SegmentSize = SegmentSize::CURRENT;

/// A part could not be written. What there is of it is removed when the writer is dropped.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The registry was locked.
    #[error("the registry is locked")]
    Locked,
    /// The part would need more segments than can be numbered.
    #[error("the part is too long")]
    TooLong,
    /// An earlier write failed: nothing more can be added, only abort is left.
    #[error("an earlier write to this part failed")]
    Failed,
    /// The store failed.
    #[error("the part store failed")]
    Store(#[source] PartError),
}

impl From<Locked> for WriteError {
    fn from(Locked: Locked) -> Self {
        Self::Locked
    }
}

/// One part that is being sealed. Dropping it without [`finish`](Self::finish) removes the part.
pub struct PartWriter {
    id: PartId,
    key: MainKey,
    slot: CipherSlot,
    sink: Box<dyn PartSink>,
    batch: Batch,
    /// The number of the segment in hand.
    index: u32,
    /// How many bytes of plaintext the segment in hand still takes.
    room: usize,
    len: u64,
    failed: bool,
}

impl PartWriter {
    /// Begins a part under a fresh blob key; `part` must be new and its row committed.
    pub fn begin(
        unlocked: &UnlockedRegistry,
        store: &Arc<dyn PartStore>,
        part: PartId,
        entropy: &dyn Entropy,
    ) -> Result<Self, WriteError> {
        let key = MainKey::generate(entropy);
        let header = Header::generate(entropy);
        let slot = unlocked.register(key.cipher(&header, &part_aad(SIZE, unlocked.id(), part)))?;
        let sink = store.begin(part).map_err(WriteError::Store)?;
        Ok(Self {
            id: part,
            key,
            slot,
            sink,
            batch: Batch::starting_with(&header, BATCH_BYTES + SIZE.bytes()),
            index: 0,
            room: SIZE.bytes() - HEADER_LEN - TAG_LEN,
            len: 0,
            failed: false,
        })
    }

    /// The part's id.
    pub fn id(&self) -> PartId {
        self.id
    }

    /// How many bytes of plaintext the part has so far.
    pub fn plaintext_len(&self) -> u64 {
        self.len
    }

    /// Adds plaintext at the end. After an error the part can only be aborted.
    pub fn write(&mut self, plaintext: &[u8]) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        // Unset only at the end: an error or a panic in between must not leave a writer that
        // could seal the segment in hand once more.
        self.failed = true;
        let mut rest = plaintext;
        while !rest.is_empty() {
            // A full segment is sealed only when more comes, since the last one is marked.
            if self.room == 0 {
                self.seal_segment(false)?;
                if self.batch.ciphertext().len() >= BATCH_BYTES {
                    self.hand_over()?;
                }
            }
            let (now, later) = rest.split_at(rest.len().min(self.room));
            self.batch.bytes.extend_from_slice(now);
            self.room -= now.len();
            self.len += now.len() as u64;
            rest = later;
        }
        self.failed = false;
        Ok(())
    }

    /// Seals what is left and commits the part: when this returns `Ok`, it is durable.
    pub fn finish(mut self) -> Result<SealedPart, WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        let layout = Layout::of_plaintext(SIZE, self.len).map_err(|_| WriteError::TooLong)?;
        assert_eq!(layout.segments(), self.index + 1, "the layout is what was sealed");
        self.failed = true;
        self.seal_segment(true)?;
        self.hand_over()?;
        self.sink.commit().map_err(WriteError::Store)?;
        Ok(SealedPart::new(self.id, self.key, layout))
    }

    /// Removes what was written.
    pub fn abort(self) -> Result<(), WriteError> {
        self.sink.abort().map_err(WriteError::Store)
    }

    /// Seals the segment in hand and takes up the next.
    fn seal_segment(&mut self, last: bool) -> Result<(), WriteError> {
        if self.index > Position::MAX_INDEX {
            return Err(WriteError::TooLong);
        }
        let position = Position { index: self.index, last };
        self.batch.seal(&self.slot, position)?;
        self.index += 1;
        self.room = SIZE.bytes() - TAG_LEN;
        Ok(())
    }

    /// Gives the store what is sealed.
    fn hand_over(&mut self) -> Result<(), WriteError> {
        self.sink.append(self.batch.ciphertext()).map_err(WriteError::Store)?;
        self.batch.clear();
        Ok(())
    }
}

impl fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartWriter({}, {} bytes)", self.id, self.len)
    }
}

/// How long a plaintext is at most that [`seal_short`] takes.
pub const SHORT_BYTES_MAX: usize = 32 << 10;
const _: () = assert!(SHORT_BYTES_MAX <= SIZE.bytes() - HEADER_LEN - TAG_LEN);

/// Seals a short plaintext, given in pieces, into a part that no store holds: its bytes are for its
/// row. A matter of microseconds, so that it may run on any thread.
///
/// Panics if the plaintext is longer than [`SHORT_BYTES_MAX`].
pub fn seal_short<'p>(
    unlocked: &UnlockedRegistry,
    part: PartId,
    plaintext: impl Iterator<Item = &'p [u8]> + Clone,
    entropy: &dyn Entropy,
) -> Result<(SealedPart, Vec<u8>), WriteError> {
    let len: usize = plaintext.clone().map(<[u8]>::len).sum();
    assert!(len <= SHORT_BYTES_MAX, "a part in a row is short");
    let key = MainKey::generate(entropy);
    let header = Header::generate(entropy);
    let slot = unlocked.register(key.cipher(&header, &part_aad(SIZE, unlocked.id(), part)))?;
    let layout = Layout::of_plaintext(SIZE, len as u64).map_err(|_| WriteError::TooLong)?;
    let mut batch = Batch::starting_with(&header, HEADER_LEN + len + TAG_LEN);
    plaintext.for_each(|piece| batch.bytes.extend_from_slice(piece));
    batch.seal(&slot, Position { index: 0, last: true })?;
    let sealed = batch.ciphertext().to_vec();
    assert_eq!(sealed.len() as u64, layout.ciphertext_len(), "the layout is what was sealed");
    Ok((SealedPart::new(part, key, layout), sealed))
}

/// What has not gone to the store: ciphertext, and behind it the plaintext of the segment in hand.
struct Batch {
    /// Never moved, since that would leave plaintext behind in freed memory.
    bytes: Vec<u8>,
    /// Where the batch begins: at the first aligned address.
    start: usize,
    /// Where the ciphertext ends.
    sealed: usize,
}

impl Batch {
    fn starting_with(header: &Header, room: usize) -> Self {
        // The system maps pages as they are touched: a small part does not pay for the capacity.
        let mut bytes: Vec<u8> = Vec::with_capacity(DIRECT_ALIGN + room);
        let start = bytes.as_ptr().align_offset(DIRECT_ALIGN);
        bytes.resize(start, 0);
        bytes.extend_from_slice(header.as_bytes());
        Self { bytes, start, sealed: start + HEADER_LEN }
    }

    fn seal(&mut self, slot: &CipherSlot, position: Position) -> Result<(), Locked> {
        let tag = slot.seal_in_place(position, &mut self.bytes[self.sealed..])?;
        self.bytes.extend_from_slice(&tag);
        self.sealed = self.bytes.len();
        Ok(())
    }

    fn ciphertext(&self) -> &[u8] {
        assert_eq!(self.sealed, self.bytes.len(), "plaintext never goes to the store");
        &self.bytes[self.start..]
    }

    fn clear(&mut self) {
        self.bytes.truncate(self.start);
        self.sealed = self.start;
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // The rest has become ciphertext where it stood.
        self.bytes[self.sealed..].zeroize();
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn a_batch_lies_where_the_disk_can_fetch_it() {
        for seed in 0..20 {
            let header = Header::generate(&SeededEntropy::new(seed));
            let batch = Batch::starting_with(&header, BATCH_BYTES);
            assert!(batch.ciphertext().as_ptr().addr().is_multiple_of(DIRECT_ALIGN));
            assert!(batch.bytes.capacity() - batch.start >= BATCH_BYTES);
        }
    }
}
