//! A world per test: an unlocked registry, a store in memory behind a layer of faults, a pool.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use lockyard_base::{Entropy, PartId, RegistryId, SeededEntropy};
use lockyard_blobs::{
    BUFFER_BYTES_MIN, BlobStream, BufferPool, FaultyParts, Listed, PartError, PartList, PartSink,
    PartSource, PartStore, PartWriter, ReadError, SealedPart, WriteError,
};
use lockyard_keyring::testing::TestCell;
use lockyard_seal::{MainKey, SegmentSize, part_aad};

pub(crate) const SEGMENT: usize = SegmentSize::CURRENT.bytes();
/// Plaintext bytes in a part's first segment.
pub(crate) const FIRST: usize = SEGMENT - 40 - 16;
/// Plaintext bytes in any other.
pub(crate) const NEXT: usize = SEGMENT - 16;

pub(crate) struct World {
    pub(crate) cell: TestCell,
    pub(crate) memory: MemoryParts,
    pub(crate) faults: FaultyParts,
    pub(crate) store: Arc<dyn PartStore>,
    pub(crate) pool: BufferPool,
    pub(crate) entropy: SeededEntropy,
}

impl World {
    pub(crate) fn new() -> Self {
        let memory = MemoryParts::default();
        let faults = FaultyParts::new(Arc::new(memory.clone()));
        Self {
            cell: TestCell::filled(RegistryId::from_bytes([7; 16]), 7),
            memory,
            faults: faults.clone(),
            store: Arc::new(faults),
            pool: BufferPool::new(BUFFER_BYTES_MIN),
            entropy: SeededEntropy::new(11),
        }
    }

    /// A world whose store has all segments in memory but each `nth`, and no faults.
    pub(crate) fn cached_but(nth: u64) -> Self {
        let mut world = Self::new();
        world.memory.uncached_nth = Some(nth);
        world.store = Arc::new(world.memory.clone());
        world
    }

    pub(crate) fn writer(&self) -> Result<PartWriter, WriteError> {
        let id = PartId::random(&self.entropy);
        PartWriter::begin(&self.cell.handle(), &self.store, id, &self.entropy)
    }

    /// Seals a part; the writes are of uneven sizes.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<SealedPart, WriteError> {
        let mut writer = self.writer()?;
        let mut rest = plaintext;
        let mut size = 1;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(size));
            writer.write(now)?;
            rest = later;
            size = size * 7 % 300_007;
        }
        assert_eq!(writer.plaintext_len(), plaintext.len() as u64);
        writer.finish()
    }

    pub(crate) fn blob(&self, parts: &[&[u8]]) -> PartList {
        let mut list = PartList::new();
        for part in parts {
            list.push(self.seal(part).expect("sealed")).expect("few parts");
        }
        list
    }

    /// A blob of one part with segments of 4 KiB, so that small parts have several.
    pub(crate) fn small_segments(&self, plaintext: &[u8]) -> PartList {
        let size = SegmentSize::from_log2(12).expect("known");
        let id = PartId::random(&self.entropy);
        let key: [u8; 32] = (&self.entropy as &dyn Entropy).bytes();
        let aad = part_aad(size, self.cell.handle().id(), id);
        let sealed = MainKey::from_bytes(&key).seal(&self.entropy, size, &aad, plaintext);
        self.memory.put(id, sealed);
        PartList::decode(&encoded(&[(id, 12, key, plaintext.len() as u64)])).expect("valid")
    }

    pub(crate) async fn open(
        &self,
        parts: &PartList,
        range: Range<u64>,
    ) -> Result<BlobStream, ReadError> {
        BlobStream::open(&self.cell.handle(), &self.store, &self.pool, parts, range).await
    }

    /// Reads a range; on failure also returns what came before it.
    pub(crate) async fn read(
        &self,
        parts: &PartList,
        range: Range<u64>,
    ) -> Result<Vec<u8>, (Vec<u8>, ReadError)> {
        let mut out = Vec::new();
        let stream = self.open(parts, range).await.map_err(|error| (Vec::new(), error))?;
        match drain(stream, &mut out).await {
            Ok(()) => Ok(out),
            Err(error) => Err((out, error)),
        }
    }

    pub(crate) async fn read_all(&self, parts: &PartList) -> Result<Vec<u8>, (Vec<u8>, ReadError)> {
        self.read(parts, 0..parts.len()).await
    }

    /// Waits, without a clock, until every buffer is back.
    pub(crate) async fn all_buffers_are_back(&self) {
        until(|| self.pool.available() == BUFFER_BYTES_MIN).await;
    }
}

pub(crate) async fn drain(mut stream: BlobStream, out: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut promised = stream.remaining();
    while let Some(piece) = stream.next().await {
        let piece: Bytes = piece?;
        assert!(!piece.is_empty(), "no empty pieces");
        promised -= piece.len() as u64;
        assert_eq!(stream.remaining(), promised);
        out.extend_from_slice(&piece);
    }
    assert_eq!(promised, 0, "a stream without error is complete");
    Ok(())
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    for _ in 0..5_000_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    assert!(condition(), "what should have happened did not");
}

/// Content that differs at every place.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    SeededEntropy::new(seed).fill(&mut out);
    out
}

/// A part list as the specification lays it out, written by other code than the room's own.
pub(crate) fn encoded(parts: &[(PartId, u8, [u8; 32], u64)]) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&u32::try_from(parts.len()).expect("few").to_be_bytes());
    for (id, log2, key, len) in parts {
        out.extend_from_slice(id.as_bytes());
        out.push(*log2);
        out.extend_from_slice(key);
        out.extend_from_slice(&len.to_be_bytes());
    }
    out
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Parts in memory, which a test can change behind the room's back.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryParts {
    parts: Arc<Mutex<HashMap<PartId, Vec<u8>>>>,
    /// Reads that waited.
    waits: Arc<AtomicUsize>,
    /// Reads succeed without waiting unless they begin in a segment of such a number.
    uncached_nth: Option<u64>,
}

impl MemoryParts {
    pub(crate) fn get(&self, id: PartId) -> Option<Vec<u8>> {
        self.parts().get(&id).cloned()
    }

    pub(crate) fn put(&self, id: PartId, bytes: Vec<u8>) {
        self.parts().insert(id, bytes);
    }

    pub(crate) fn count(&self) -> usize {
        self.parts().len()
    }

    fn parts(&self) -> MutexGuard<'_, HashMap<PartId, Vec<u8>>> {
        self.parts.lock().expect("no test panics in here")
    }

    /// How many reads have waited so far.
    pub(crate) fn waits(&self) -> usize {
        self.waits.load(Ordering::Relaxed)
    }
}

impl PartStore for MemoryParts {
    fn begin(&self, part: PartId) -> Result<Box<dyn PartSink>, PartError> {
        if self.get(part).is_some() {
            return Err(PartError::Exists(part));
        }
        self.put(part, Vec::new());
        Ok(Box::new(MemorySink { part, parts: self.clone(), committed: false }))
    }

    fn open(&self, part: PartId) -> Result<Option<Box<dyn PartSource>>, PartError> {
        Ok(self.get(part).map(|bytes| {
            Box::new(MemorySource { bytes, parts: self.clone() }) as Box<dyn PartSource>
        }))
    }

    fn delete(&self, part: PartId) -> Result<(), PartError> {
        self.parts().remove(&part);
        Ok(())
    }

    fn list(&self, shard: u8) -> Result<Vec<Listed>, PartError> {
        let parts = self.parts();
        let ours = parts.keys().filter(|part| part.as_bytes()[0] == shard);
        Ok(ours.copied().map(Listed::Part).collect())
    }
}

#[derive(Debug)]
struct MemorySink {
    part: PartId,
    parts: MemoryParts,
    committed: bool,
}

impl PartSink for MemorySink {
    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.parts.parts().entry(self.part).or_default().extend_from_slice(bytes);
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), PartError> {
        self.committed = true;
        Ok(())
    }

    fn abort(self: Box<Self>) -> Result<(), PartError> {
        Ok(())
    }
}

impl Drop for MemorySink {
    fn drop(&mut self) {
        if !self.committed {
            self.parts.delete(self.part).expect("memory deletes");
        }
    }
}

#[derive(Debug)]
struct MemorySource {
    bytes: Vec<u8>,
    parts: MemoryParts,
}

impl PartSource for MemorySource {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        self.parts.waits.fetch_add(1, Ordering::Relaxed);
        self.fill(buffer, offset)
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        let uncached = |nth: u64| (offset / SEGMENT as u64).is_multiple_of(nth);
        if self.parts.uncached_nth.is_none_or(uncached) {
            // As a system may leave it.
            buffer.fill(0xee);
            return false;
        }
        self.fill(buffer, offset).is_ok()
    }
}

impl MemorySource {
    fn fill(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        let start = usize::try_from(offset).map_err(|_| PartError::Short)?;
        let bytes = self.bytes.get(start..start + buffer.len()).ok_or(PartError::Short)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}
