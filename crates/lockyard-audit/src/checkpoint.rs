//! A signed statement of how far the chain has come.
//!
//! A checkpoint that is kept elsewhere proves later that nothing before it was taken back: sealing
//! and chaining alone can't tell a log that was rolled back from one that never went further.

use lockyard_base::{NodeId, Timestamp};
use lockyard_seal::pae;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    event::rfc3339,
    format::{FORMAT_VERSION, Hash},
    keys::{AuditKeys, LogIdentity, PublicKey},
};

const DOMAIN: &[u8] = b"lockyard/v1/audit/checkpoint";
/// The longest text that is read as a checkpoint, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Anchors in one checkpoint at most.
pub const ANCHORS_MAX: usize = 64;

/// A signed statement: the record with this number has this hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain it is.
    pub node: NodeId,
    /// The last record that it covers.
    pub sequence: u64,
    /// That record's hash.
    pub head: [u8; 32],
    /// The first record that was kept when it was signed.
    pub oldest: u64,
    /// The hash before that record.
    pub before_oldest: [u8; 32],
    /// When it was signed, by the node's clock.
    pub time: Timestamp,
    /// Whether the log was closed with it.
    pub closing: bool,
    /// How far the chains of other nodes have come, as this one knows; none while there is one.
    pub anchors: Vec<Anchor>,
    /// What verifies the signature; to be compared with the one that was written down.
    pub public_key: PublicKey,
    signature: [u8; 64],
}

/// How far another node's chain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Whose chain it is.
    pub node: NodeId,
    /// The record.
    pub sequence: u64,
    /// Its hash.
    pub head: [u8; 32],
}

/// What a checkpoint states, before it is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    pub(crate) sequence: u64,
    pub(crate) head: Hash,
    pub(crate) oldest: u64,
    pub(crate) before_oldest: Hash,
    pub(crate) time: Timestamp,
    pub(crate) closing: bool,
}

/// The text is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// It is not the JSON of one.
    #[error("this is no checkpoint of an audit trail")]
    Form,
    /// It is one, and its signature is not by the key that it names.
    #[error("the checkpoint's signature is wrong: it was changed")]
    Signature,
}

/// As it is exported, and as it lies in the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    format: u8,
    node: String,
    sequence: u64,
    head: String,
    oldest: u64,
    before_oldest: String,
    /// What is signed.
    time_micros: i64,
    /// For people.
    time: String,
    closing: bool,
    anchors: Vec<WireAnchor>,
    public_key: String,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireAnchor {
    node: String,
    sequence: u64,
    head: String,
}

impl Checkpoint {
    pub(crate) fn sign(keys: &AuditKeys, statement: Statement) -> Self {
        let Statement { sequence, head, oldest, before_oldest, time, closing } = statement;
        let LogIdentity { node, public: public_key } = keys.identity;
        let mut checkpoint = Self {
            node,
            sequence,
            head,
            oldest,
            before_oldest,
            time,
            closing,
            anchors: Vec::new(),
            public_key,
            signature: [0; 64],
        };
        checkpoint.signature = keys.sign(&checkpoint.message());
        checkpoint
    }

    /// Reads an exported checkpoint and verifies its signature with the key that it names; whether
    /// that key is the right one is for the caller to say.
    pub fn from_json(text: &[u8]) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(text).ok_or(CheckpointError::Form)?;
        if checkpoint.public_key.verifies(&checkpoint.message(), &checkpoint.signature) {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::Signature)
        }
    }

    /// The checkpoint as JSON, for keeping elsewhere.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            format: FORMAT_VERSION,
            node: self.node.to_string(),
            sequence: self.sequence,
            head: hex::encode(self.head),
            oldest: self.oldest,
            before_oldest: hex::encode(self.before_oldest),
            time_micros: self.time.as_micros(),
            time: rfc3339(self.time),
            closing: self.closing,
            anchors: self.anchors.iter().map(WireAnchor::from).collect(),
            public_key: self.public_key.to_string(),
            signature: hex::encode(self.signature),
        };
        serde_json::to_string(&wire).expect("texts and numbers are always JSON")
    }

    fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let wire: Wire = serde_json::from_slice(text).ok()?;
        if wire.format != FORMAT_VERSION || wire.anchors.len() > ANCHORS_MAX {
            return None;
        }
        let time = Timestamp::from_micros(wire.time_micros);
        let anchors = wire.anchors.iter().map(|anchor| {
            let WireAnchor { node, sequence, head } = anchor;
            Some(Anchor { node: node.parse().ok()?, sequence: *sequence, head: bytes(head)? })
        });
        let checkpoint = Self {
            node: wire.node.parse().ok()?,
            sequence: wire.sequence,
            head: bytes(&wire.head)?,
            oldest: wire.oldest,
            before_oldest: bytes(&wire.before_oldest)?,
            time,
            closing: wire.closing,
            anchors: anchors.collect::<Option<_>>()?,
            public_key: PublicKey(bytes(&wire.public_key)?),
            signature: bytes(&wire.signature)?,
        };
        // The text for people is not signed, so it must say what is.
        (wire.time == rfc3339(time)).then_some(checkpoint)
    }

    fn message(&self) -> Vec<u8> {
        let anchors: Vec<Vec<u8>> = self
            .anchors
            .iter()
            .map(|Anchor { node, sequence, head }| {
                pae(&[node.as_bytes(), &sequence.to_be_bytes(), head])
            })
            .collect();
        let anchors: Vec<&[u8]> = anchors.iter().map(Vec::as_slice).collect();
        pae(&[
            DOMAIN,
            &[FORMAT_VERSION],
            self.node.as_bytes(),
            &self.sequence.to_be_bytes(),
            &self.head,
            &self.oldest.to_be_bytes(),
            &self.before_oldest,
            &self.time.as_micros().to_be_bytes(),
            &[u8::from(self.closing)],
            &pae(&anchors),
        ])
    }
}

impl From<&Anchor> for WireAnchor {
    fn from(anchor: &Anchor) -> Self {
        let Anchor { node, sequence, head } = anchor;
        Self { node: node.to_string(), sequence: *sequence, head: hex::encode(head) }
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_agrees_with_the_vector_of_the_specification() {
        let node = std::array::from_fn(|at| 0xa0 + u8::try_from(at).expect("small"));
        let head = "2b77446825cf518281bacbd4009a8f541b1f7af07bd49e05d1f5a7847a126a8e";
        let checkpoint = Checkpoint {
            node: NodeId::from_bytes(node),
            sequence: 1,
            head: bytes(head).expect("32 bytes"),
            oldest: 1,
            before_oldest: [0; 32],
            time: Timestamp::from_micros(1_700_000_000_000_000),
            closing: true,
            anchors: Vec::new(),
            public_key: PublicKey([0; 32]),
            signature: [0; 64],
        };
        assert_eq!(
            hex::encode(crate::format::sha256(&checkpoint.message())),
            "f729525be257ff966e9961618a965fb12c8a6e46c226dd3b67d82d8b9227cc08"
        );
    }
}
