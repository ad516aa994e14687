//! What a row remembers about the parts of a blob: ids, blob keys, lengths.
//!
//! Outer rooms carry a [`PartList`] from row to reader and back without seeing into it. Its encoded
//! form holds blob keys in the clear and therefore exists only inside a sealed row. Layout, all
//! numbers big-endian: version (1 byte, 1) ‖ count (4) ‖ for each part: id (16) ‖ log2 of the
//! segment size (1) ‖ blob key (32) ‖ plaintext length (8).

use std::{fmt, ops::Range};

use lockyard_base::PartId;
use lockyard_seal::{KEY_LEN, Layout, MainKey, SegmentSize};
use thiserror::Error;

/// How many parts a blob may have.
pub const PARTS_PER_BLOB_MAX: usize = 10_000;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 1 + 4;
const ENTRY_LEN: usize = 16 + 1 + KEY_LEN + 8;

/// One sealed part: where it is, how long, and the key that opens it (wiped on drop).
pub struct SealedPart {
    id: PartId,
    key: MainKey,
    layout: Layout,
}

impl SealedPart {
    pub(crate) fn new(id: PartId, key: MainKey, layout: Layout) -> Self {
        Self { id, key, layout }
    }

    /// The part's id.
    pub fn id(&self) -> PartId {
        self.id
    }

    /// The length of its plaintext in bytes.
    pub fn len(&self) -> u64 {
        self.layout.plaintext_len()
    }

    /// Whether its plaintext is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn key(&self) -> &MainKey {
        &self.key
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// A second copy of the key, for a reader that outlives the list.
    pub(crate) fn duplicate(&self) -> Self {
        let key = MainKey::from_bytes(self.key.dangerous_expose());
        Self { id: self.id, key, layout: self.layout }
    }
}

impl fmt::Debug for SealedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedPart({}, {} bytes)", self.id, self.len())
    }
}

/// The parts of one blob or upload, in order; the plaintext is their concatenation.
#[derive(Debug, Default)]
pub struct PartList {
    parts: Vec<SealedPart>,
    len: u64,
}

/// A part list could not be extended or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// One more than [`PARTS_PER_BLOB_MAX`].
    #[error("a blob has at most {PARTS_PER_BLOB_MAX} parts")]
    TooMany,
    /// The total length does not fit 64 bits.
    #[error("the parts together are too long")]
    TooLong,
    /// Written by a later version, or no part list at all.
    #[error("part list version {0} is unknown")]
    Version(u8),
    /// The bytes are no part list of this version: cut, too long, or with impossible numbers.
    #[error("the part list is malformed")]
    Malformed,
}

impl PartList {
    /// A list without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part at the end.
    pub fn push(&mut self, part: SealedPart) -> Result<(), ListError> {
        if self.parts.len() >= PARTS_PER_BLOB_MAX {
            return Err(ListError::TooMany);
        }
        self.len = self.len.checked_add(part.len()).ok_or(ListError::TooLong)?;
        self.parts.push(part);
        Ok(())
    }

    /// The length of the whole plaintext in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the whole plaintext is empty; there may be parts nevertheless.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first part, if there is one.
    pub fn first(&self) -> Option<&SealedPart> {
        self.parts.first()
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.parts.len()
    }

    /// The ids of the parts, in order.
    pub fn ids(&self) -> impl Iterator<Item = PartId> + '_ {
        self.parts.iter().map(SealedPart::id)
    }

    pub(crate) fn parts(&self) -> &[SealedPart] {
        &self.parts
    }

    /// The parts that hold `range`, each with the range of its own plaintext that is asked for.
    pub(crate) fn holding(
        &self,
        range: Range<u64>,
    ) -> impl Iterator<Item = (&SealedPart, Range<u64>)> {
        let mut start = 0;
        self.parts.iter().filter_map(move |part| {
            let end = start + part.len();
            let wanted = range.start.max(start)..range.end.min(end);
            let local = (wanted.start < wanted.end)
                .then(|| (part, wanted.start - start..wanted.end - start));
            start = end;
            local
        })
    }

    /// The length of the encoded form in bytes.
    pub fn encoded_len(&self) -> usize {
        HEAD_LEN + ENTRY_LEN * self.parts.len()
    }

    /// Appends the encoded form, which holds blob keys in the clear: the caller seals and wipes it.
    ///
    /// A vector without room for [`encoded_len`](Self::encoded_len) more bytes is moved, and what
    /// it held before stays behind in freed memory.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve_exact(self.encoded_len());
        let count = u32::try_from(self.parts.len()).expect("a list has at most 10,000 parts");
        out.push(VERSION);
        out.extend_from_slice(&count.to_be_bytes());
        for part in &self.parts {
            out.extend_from_slice(part.id.as_bytes());
            out.push(part.layout.size().log2());
            out.extend_from_slice(part.key.dangerous_expose());
            out.extend_from_slice(&part.len().to_be_bytes());
        }
    }

    /// Reads an encoded list; `bytes` must be exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, ListError> {
        let (&version, rest) = bytes.split_first().ok_or(ListError::Malformed)?;
        if version != VERSION {
            return Err(ListError::Version(version));
        }
        let (count, rest) = rest.split_first_chunk().ok_or(ListError::Malformed)?;
        let count =
            usize::try_from(u32::from_be_bytes(*count)).map_err(|_| ListError::Malformed)?;
        if count > PARTS_PER_BLOB_MAX {
            return Err(ListError::TooMany);
        }
        if rest.len() != count * ENTRY_LEN {
            return Err(ListError::Malformed);
        }
        let mut list = Self { parts: Vec::with_capacity(count), len: 0 };
        for entry in rest.chunks_exact(ENTRY_LEN) {
            list.push(decode_entry(entry).ok_or(ListError::Malformed)?)?;
        }
        Ok(list)
    }
}

fn decode_entry(entry: &[u8]) -> Option<SealedPart> {
    let (id, entry) = entry.split_first_chunk::<16>()?;
    let (&log2, entry) = entry.split_first()?;
    let (key, entry) = entry.split_first_chunk::<KEY_LEN>()?;
    let len = u64::from_be_bytes(entry.try_into().ok()?);
    let layout = Layout::of_plaintext(SegmentSize::from_log2(log2).ok()?, len).ok()?;
    Some(SealedPart::new(PartId::from_bytes(*id), MainKey::from_bytes(key), layout))
}
