//! The bytes of a segment file: its header, the frames of its records, and the hashes that chain
//! them (`docs/spec/audit.md`).
//!
//! Everything here is arithmetic on bytes in memory. A hash covers ciphertext only, so that whoever
//! holds no key can still check the chain.

use aws_lc_rs::digest::{SHA256, digest};
use lockyard_base::Timestamp;
use lockyard_seal::pae;

use crate::NodeId;

/// The version of the format, in every header and in what is sealed.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// The longest body of a record in bytes: the largest event sealed, with room to spare.
pub(crate) const BODY_BYTES_MAX: usize = 128 << 10;
/// Length, kind and sequence number in front of a body.
pub(crate) const FRAME_HEAD_LEN: usize = 4 + 1 + 8;
/// A hash behind a body.
pub(crate) const HASH_LEN: usize = 32;
/// No log gets so far; a number that claims it was forged, and must not make reckoning overflow.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 62;
/// What a frame costs beside its body.
pub(crate) const FRAME_LEN: usize = FRAME_HEAD_LEN + HASH_LEN;
/// The length of a segment's header.
pub(crate) const HEADER_LEN: usize = 140 + HASH_LEN;

const MAGIC: &[u8; 8] = b"LKYAUDIT";
const SEGMENT_DOMAIN: &[u8] = b"lockyard/v1/audit/segment";
const RECORD_DOMAIN: &[u8] = b"lockyard/v1/audit/record";
const ENTRY_DOMAIN: &[u8] = b"lockyard/v1/audit/entry";
/// Set in the kind of the first record of a batch.
const FIRST_OF_BATCH: u8 = 0x80;

/// A link of the chain.
pub(crate) type Hash = [u8; HASH_LEN];

/// What stands before the first record of the first segment.
pub(crate) const NO_HASH: Hash = [0; HASH_LEN];

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sealed event.
    Entry,
    /// A signed checkpoint, in clear.
    Checkpoint,
}

/// Why a segment was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The log was opened.
    Opened,
    /// The segment before was full.
    Rotated,
    /// A write to the segment before failed; nobody knows what lies behind its end.
    AfterFailure,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Why it was begun.
    pub(crate) begin: Begin,
    /// Whose log it is.
    pub(crate) node: NodeId,
    /// The segment's number, which its file name repeats.
    pub(crate) ordinal: u64,
    /// The number of the segment that it continues; 0 in the first.
    pub(crate) previous: u64,
    /// Where the records of that segment end.
    pub(crate) previous_end: u64,
    /// The sequence number of the first record.
    pub(crate) first: u64,
    /// The hash of the last record before.
    pub(crate) previous_head: Hash,
    /// How many bytes behind `previous_end` belong to no record: a write that was cut off.
    pub(crate) torn: u64,
    /// Their SHA-256, zero if there are none.
    pub(crate) torn_digest: Hash,
    /// When it was begun.
    pub(crate) begun: Timestamp,
}

impl Header {
    /// The header's bytes; they end with the hash that the first record follows.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let begin = match self.begin {
            Begin::Opened => 1,
            Begin::Rotated => 2,
            Begin::AfterFailure => 3,
        };
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[FORMAT_VERSION, begin, 0, 0]);
        out.extend_from_slice(self.node.as_bytes());
        for number in [self.ordinal, self.previous, self.previous_end, self.first] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.previous_head);
        out.extend_from_slice(&self.torn.to_be_bytes());
        out.extend_from_slice(&self.torn_digest);
        out.extend_from_slice(&self.begun.as_micros().to_be_bytes());
        let hash = sha256(&pae(&[SEGMENT_DOMAIN, &out]));
        out.extend_from_slice(&hash);
        out.try_into().expect("the fields are as long as the header")
    }

    /// Reads a header that is whole.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, rest) = bytes.split_at_checked(HEADER_LEN - HASH_LEN)?;
        let hash: &Hash = rest.first_chunk()?;
        if sha256(&pae(&[SEGMENT_DOMAIN, fields])) != *hash {
            return None;
        }
        let mut fields = Fields(fields);
        if fields.take()? != *MAGIC {
            return None;
        }
        let [FORMAT_VERSION, begin, 0, 0] = fields.take()? else { return None };
        let begin = match begin {
            1 => Begin::Opened,
            2 => Begin::Rotated,
            3 => Begin::AfterFailure,
            _ => return None,
        };
        let header = Self {
            begin,
            node: NodeId::from_bytes(fields.take()?),
            ordinal: fields.number()?,
            previous: fields.number()?,
            previous_end: fields.number()?,
            first: fields.number()?,
            previous_head: fields.take()?,
            torn: fields.number()?,
            torn_digest: fields.take()?,
            begun: Timestamp::from_micros(i64::from_be_bytes(fields.take()?)),
        };
        ((1..SEQUENCE_MAX).contains(&header.first) && header.ordinal > 0).then_some(header)
    }

    /// The hash that the first record follows.
    pub(crate) fn hash(&self) -> Hash {
        let encoded = self.encode();
        *encoded.last_chunk().expect("a header ends with its hash")
    }
}

/// Reads fields one after the other.
struct Fields<'b>(&'b [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

/// One record as it lies in a segment; its hash may not be right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'b> {
    pub(crate) kind: Kind,
    /// Whether everything before it was durable before it was written.
    pub(crate) first_of_batch: bool,
    pub(crate) sequence: u64,
    pub(crate) body: &'b [u8],
    pub(crate) hash: Hash,
    /// Where the next record begins.
    pub(crate) next: usize,
    head: &'b [u8],
}

impl<'b> Frame<'b> {
    /// Reads the frame at `offset`, if there can be one.
    pub(crate) fn at(segment: &'b [u8], offset: usize) -> Option<Self> {
        let bytes = segment.get(offset..)?;
        let (head, rest) = bytes.split_at_checked(FRAME_HEAD_LEN)?;
        let mut fields = Fields(head);
        let length = usize::try_from(u32::from_be_bytes(fields.take()?)).ok()?;
        let [kind] = fields.take()?;
        let sequence = fields.number()?;
        if length == 0 || length > BODY_BYTES_MAX || !(1..SEQUENCE_MAX).contains(&sequence) {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        let hash = *rest.first_chunk()?;
        let first_of_batch = kind & FIRST_OF_BATCH != 0;
        let kind = match kind & !FIRST_OF_BATCH {
            1 => Kind::Entry,
            2 => Kind::Checkpoint,
            _ => return None,
        };
        let next = offset + FRAME_LEN + length;
        Some(Self { kind, first_of_batch, sequence, body, hash, next, head })
    }

    /// The hash that this record has if it follows `previous`.
    pub(crate) fn expected_hash(&self, previous: &Hash) -> Hash {
        record_hash(previous, self.head, self.body)
    }

    /// Whether the record is whole and follows `previous`.
    pub(crate) fn follows(&self, previous: &Hash) -> bool {
        self.expected_hash(previous) == self.hash
    }
}

/// Appends a record to `out`; returns its hash.
pub(crate) fn put_frame(
    out: &mut Vec<u8>,
    kind: Kind,
    first_of_batch: bool,
    sequence: u64,
    body: &[u8],
    previous: &Hash,
) -> Hash {
    assert!(!body.is_empty() && body.len() <= BODY_BYTES_MAX, "a body fits a record");
    let length = u32::try_from(body.len()).expect("a body is short");
    let kind = match kind {
        Kind::Entry => 1,
        Kind::Checkpoint => 2,
    };
    let start = out.len();
    out.extend_from_slice(&length.to_be_bytes());
    out.push(if first_of_batch { kind | FIRST_OF_BATCH } else { kind });
    out.extend_from_slice(&sequence.to_be_bytes());
    let hash = record_hash(previous, &out[start..], body);
    out.extend_from_slice(body);
    out.extend_from_slice(&hash);
    hash
}

/// What an entry is bound to: its place in the chain, and with it everything before it.
pub(crate) fn entry_aad(node: NodeId, sequence: u64, previous: &Hash) -> Vec<u8> {
    pae(&[ENTRY_DOMAIN, &[FORMAT_VERSION], node.as_bytes(), &sequence.to_be_bytes(), previous])
}

/// How many of these bytes were written: all up to the last that is not zero.
pub(crate) fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// The digest of what was written behind the last record; zero if nothing was.
pub(crate) fn torn(bytes: &[u8]) -> (u64, Hash) {
    match written(bytes) {
        0 => (0, NO_HASH),
        length => (length as u64, sha256(&bytes[..length])),
    }
}

fn record_hash(previous: &Hash, head: &[u8], body: &[u8]) -> Hash {
    sha256(&pae(&[RECORD_DOMAIN, previous, head, body]))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_every_changed_byte_is_found() {
        let header = Header {
            begin: Begin::AfterFailure,
            node: NodeId::from_bytes([1; 16]),
            ordinal: 2,
            previous: 3,
            previous_end: 4,
            first: 5,
            previous_head: [6; 32],
            torn: 7,
            torn_digest: [8; 32],
            begun: Timestamp::from_micros(-9),
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        assert_eq!(header.hash()[..], bytes[HEADER_LEN - HASH_LEN..]);
        for at in 0..HEADER_LEN {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert_eq!(Header::decode(&changed), None, "{at}");
            assert_eq!(Header::decode(&bytes[..at]), None, "{at}");
        }
    }

    #[test]
    fn hashes_agree_with_the_vectors_of_the_specification() {
        let node = std::array::from_fn(|at| 0xa0 + u8::try_from(at).expect("small"));
        let header = Header {
            begin: Begin::Opened,
            node: NodeId::from_bytes(node),
            ordinal: 1,
            previous: 0,
            previous_end: 0,
            first: 1,
            previous_head: NO_HASH,
            torn: 0,
            torn_digest: NO_HASH,
            begun: Timestamp::from_micros(1_700_000_000_000_000),
        };
        let hash = header.hash();
        assert_eq!(
            hex::encode(hash),
            "5f5a552c9504589c9d46a9d2cabf512300349d8a5a2ce23dc3d9899f3a262017"
        );
        let record = put_frame(&mut Vec::new(), Kind::Entry, true, 1, b"body", &hash);
        assert_eq!(
            hex::encode(record),
            "2b77446825cf518281bacbd4009a8f541b1f7af07bd49e05d1f5a7847a126a8e"
        );
        assert_eq!(
            hex::encode(sha256(&entry_aad(header.node, 1, &hash))),
            "0b1ff77d59e196c9f79be769a025ef22b383b9bb219812fdb1ebcd166140e445"
        );
    }

    #[test]
    fn a_frame_reads_back_and_a_body_past_its_limit_is_none() {
        let mut bytes = vec![0; 3];
        let hash = put_frame(&mut bytes, Kind::Checkpoint, true, 9, b"body", &NO_HASH);
        let frame = Frame::at(&bytes, 3).expect("a frame");
        assert_eq!((frame.kind, frame.first_of_batch, frame.sequence), (Kind::Checkpoint, true, 9));
        assert_eq!((frame.body, frame.hash, frame.next), (&b"body"[..], hash, bytes.len()));
        assert!(frame.follows(&NO_HASH) && !frame.follows(&[1; 32]));

        let mut most = Vec::new();
        put_frame(&mut most, Kind::Entry, false, 1, &vec![1; BODY_BYTES_MAX], &NO_HASH);
        assert!(Frame::at(&most, 0).is_some());
        let length = u32::try_from(BODY_BYTES_MAX + 1).expect("short");
        most[..4].copy_from_slice(&length.to_be_bytes());
        most.push(0);
        assert!(Frame::at(&most, 0).is_none());
    }
}
