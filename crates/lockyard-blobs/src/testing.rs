//! A part store that fails on demand and forgets what was not committed.
//!
//! It stands in front of a real one, records every call, lets the n-th fail, and after
//! [`FaultyParts::cut_power`] has only what was committed: what a caller may rely on, and nothing
//! that the page cache would add.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lockyard_base::PartId;

use crate::{Listed, PartError, PartSink, PartSource, PartStore};

/// A call that [`FaultyParts`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `PartStore::begin`
    Begin(PartId),
    /// `PartStore::open`
    Open(PartId),
    /// `PartStore::delete`
    Delete(PartId),
    /// `PartStore::list`
    List(u8),
    /// `PartSink::append`, with the number of bytes.
    Append(PartId, usize),
    /// `PartSink::commit`
    Commit(PartId),
    /// `PartSink::abort`
    Abort(PartId),
    /// `PartSource::read_at`, with offset and length.
    Read(PartId, u64, usize),
}

/// The layer; clones share their record.
#[derive(Clone, Debug)]
pub struct FaultyParts {
    inner: Arc<dyn PartStore>,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    calls: Vec<Call>,
    failing: Option<(usize, io::ErrorKind)>,
    /// Begun and not committed.
    pending: HashSet<PartId>,
}

impl FaultyParts {
    /// A layer in front of `inner` that lets everything pass.
    pub fn new(inner: Arc<dyn PartStore>) -> Self {
        Self { inner, record: Arc::default() }
    }

    /// Lets the `n`-th call from now fail, counted from 0, with an error of this kind.
    pub fn fail(&self, n: usize, kind: io::ErrorKind) {
        let mut record = self.record();
        let at = record.calls.len() + n;
        record.failing = Some((at, kind));
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.record().calls.clone()
    }

    /// Loses every part that was begun and not committed, as a power cut may.
    pub fn cut_power(&self) {
        let pending = std::mem::take(&mut self.record().pending);
        for part in pending {
            self.inner.delete(part).expect("a test's store deletes");
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call) -> Result<(), PartError> {
        let mut record = self.record();
        let number = record.calls.len();
        record.calls.push(call);
        match record.failing {
            Some((at, kind)) if at == number => {
                Err(PartError::from_io("do what the test forbids", kind.into()))
            }
            _ => Ok(()),
        }
    }
}

impl PartStore for FaultyParts {
    fn begin(&self, part: PartId) -> Result<Box<dyn PartSink>, PartError> {
        self.note(Call::Begin(part))?;
        let inner = self.inner.begin(part)?;
        self.record().pending.insert(part);
        Ok(Box::new(FaultySink { part, inner, layer: self.clone() }))
    }

    fn open(&self, part: PartId) -> Result<Option<Box<dyn PartSource>>, PartError> {
        self.note(Call::Open(part))?;
        let Some(inner) = self.inner.open(part)? else { return Ok(None) };
        Ok(Some(Box::new(FaultySource { part, inner, layer: self.clone() })))
    }

    fn delete(&self, part: PartId) -> Result<(), PartError> {
        self.note(Call::Delete(part))?;
        self.inner.delete(part)
    }

    fn list(&self, shard: u8) -> Result<Vec<Listed>, PartError> {
        self.note(Call::List(shard))?;
        self.inner.list(shard)
    }
}

#[derive(Debug)]
struct FaultySink {
    part: PartId,
    inner: Box<dyn PartSink>,
    layer: FaultyParts,
}

impl PartSink for FaultySink {
    fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.layer.note(Call::Append(self.part, bytes.len()))?;
        self.inner.append(bytes)
    }

    fn commit(self: Box<Self>) -> Result<(), PartError> {
        self.layer.note(Call::Commit(self.part))?;
        self.inner.commit()?;
        self.layer.record().pending.remove(&self.part);
        Ok(())
    }

    fn abort(self: Box<Self>) -> Result<(), PartError> {
        self.layer.note(Call::Abort(self.part))?;
        self.inner.abort()?;
        self.layer.record().pending.remove(&self.part);
        Ok(())
    }
}

#[derive(Debug)]
struct FaultySource {
    part: PartId,
    inner: Box<dyn PartSource>,
    layer: FaultyParts,
}

impl PartSource for FaultySource {
    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        self.layer.note(Call::Read(self.part, offset, buffer.len()))?;
        self.inner.read_at(buffer, offset)
    }
}
