//! A part that its row holds, in front of the store that holds all others.
//!
//! For a short part, a file with its syncs costs more than sealing it, sending it and committing the
//! row that names it. What lies in the row is the same sealed stream, so that whoever reads parts
//! need not know.

use std::sync::Arc;

use lockyard_base::PartId;

use crate::{Listed, PartError, PartSink, PartSource, PartStore};

/// `store` with one more part in it: `part`, whose bytes a row holds.
pub fn with_row_part(
    store: &Arc<dyn PartStore>,
    part: PartId,
    bytes: Vec<u8>,
) -> Arc<dyn PartStore> {
    Arc::new(WithRowPart { part, bytes: bytes.into(), store: Arc::clone(store) })
}

#[derive(Debug)]
struct WithRowPart {
    part: PartId,
    bytes: Arc<[u8]>,
    store: Arc<dyn PartStore>,
}

impl PartStore for WithRowPart {
    fn begin(&self, part: PartId) -> Result<Box<dyn PartSink>, PartError> {
        self.store.begin(part)
    }

    fn open(&self, part: PartId) -> Result<Option<Box<dyn PartSource>>, PartError> {
        if part == self.part {
            return Ok(Some(Box::new(RowSource(Arc::clone(&self.bytes)))));
        }
        self.store.open(part)
    }

    fn delete(&self, part: PartId) -> Result<(), PartError> {
        self.store.delete(part)
    }

    fn list(&self, shard: u8) -> Result<Vec<Listed>, PartError> {
        self.store.list(shard)
    }
}

/// Ciphertext in memory.
#[derive(Debug)]
struct RowSource(Arc<[u8]>);

impl RowSource {
    fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.0.get(start..start.checked_add(len)?)
    }
}

impl PartSource for RowSource {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), PartError> {
        if self.read_cached(buffer, offset) { Ok(()) } else { Err(PartError::Short) }
    }

    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> bool {
        match self.get(offset, buffer.len()) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::LocalParts;

    const IN_ROW: PartId = PartId::from_bytes([1; 16]);
    const IN_FILE: PartId = PartId::from_bytes([2; 16]);

    #[test]
    fn one_part_is_read_from_memory_and_all_others_from_the_store() {
        let directory = TempDir::new().expect("a directory");
        let parts = LocalParts::open(&directory.path().join("parts")).expect("opened");
        let mut sink = parts.begin(IN_FILE).expect("begun");
        sink.append(b"file").and_then(|()| sink.commit()).expect("written");
        let store: Arc<dyn PartStore> = Arc::new(parts);
        let store = with_row_part(&store, IN_ROW, b"rows".to_vec());
        for (part, content) in [(IN_ROW, b"rows"), (IN_FILE, b"file")] {
            let source = store.open(part).expect("looked").expect("there");
            assert_eq!(source.len(), 4);
            let mut read = [0; 4];
            source.read_at(&mut read, 0).expect("read");
            assert_eq!(read, *content);
            let past = source.read_at(&mut read, 1);
            assert!(matches!(past, Err(PartError::Short)), "{past:?}");
            assert!(!source.read_cached(&mut read, 1000));
            source.read_at(&mut [], 4).expect("nothing, at the end");
        }
        assert!(store.open(PartId::from_bytes([3; 16])).expect("looked").is_none());
    }
}
