//! The form of the published vectors, shared by the tests and by `examples/vectors.rs`.
//!
//! All bytes are lower-case hexadecimal. Long plaintexts follow a rule, and a negative stream says
//! how it is put together from a positive one, so that a reader sees the defect.

use serde::{Deserialize, Serialize};

/// Bytes that stand in JSON as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl Hex {
    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().expect("the vector has bytes of the right length")
    }
}

impl<T: AsRef<[u8]>> From<T> for Hex {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().to_vec())
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// `docs/spec/vectors/sealed-stream.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Streams {
    pub(crate) about: String,
    pub(crate) positive: Vec<Positive>,
    pub(crate) negative: Vec<Negative>,
}

/// A stream that opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Positive {
    pub(crate) name: String,
    pub(crate) main_key: Hex,
    pub(crate) aad: Hex,
    pub(crate) log2_segment: u8,
    pub(crate) plaintext_len: usize,
    pub(crate) sealed: Hex,
}

/// A stream that must not open, named by its defect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Negative {
    pub(crate) name: String,
    /// The positive stream whose key, associated data, segment size and bytes are used where
    /// nothing else is said.
    pub(crate) of: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) main_key: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aad: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log2_segment: Option<u8>,
    /// The length of the plaintext that Tink's reader opens it to all the same, where it is less
    /// strict than the specification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tink_reads: Option<usize>,
    /// The pieces whose concatenation is the stream.
    pub(crate) sealed: Vec<Piece>,
}

/// A piece of a negative stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    /// Bytes of the positive stream, from the first offset up to the second.
    Range([usize; 2]),
    /// Other bytes.
    Bytes(Hex),
}

/// `docs/spec/vectors/keys.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) about: String,
    pub(crate) pae: Vec<Pae>,
    pub(crate) bound_row: Vec<BoundRow>,
    pub(crate) bound_part: Vec<BoundPart>,
    pub(crate) blind_index: Vec<Blind>,
    pub(crate) service_purpose: Vec<Purpose>,
    pub(crate) registry_key: Vec<EpochKeys>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pae {
    pub(crate) pieces: Vec<Hex>,
    pub(crate) encoded: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoundRow {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) registry: Hex,
    pub(crate) epoch: u64,
    pub(crate) row: String,
    pub(crate) index: Hex,
    pub(crate) clear: Vec<Hex>,
    pub(crate) aad: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoundPart {
    pub(crate) log2_segment: u8,
    pub(crate) registry: Hex,
    pub(crate) part: String,
    pub(crate) aad: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blind {
    pub(crate) index_key: Hex,
    pub(crate) kind: String,
    pub(crate) scope: Option<String>,
    pub(crate) value: Hex,
    pub(crate) index: Hex,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Purpose {
    pub(crate) service_key: Hex,
    pub(crate) info: String,
    pub(crate) derived: Hex,
}

/// One epoch, from its shares to its row key, with what is stored of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochKeys {
    pub(crate) registry: Hex,
    pub(crate) epoch: u64,
    pub(crate) service_key: Hex,
    pub(crate) service_share: Hex,
    pub(crate) service_share_aad: Hex,
    pub(crate) sealed_service_share: Hex,
    pub(crate) customer_share: Option<Hex>,
    pub(crate) salt: Hex,
    pub(crate) info: String,
    pub(crate) registry_key: Hex,
    pub(crate) check: Hex,
    pub(crate) row_key: Hex,
    pub(crate) index_key: Hex,
    pub(crate) index_key_row: String,
    pub(crate) index_key_aad: Hex,
    pub(crate) sealed_index_key: Hex,
}
