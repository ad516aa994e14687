//! Seals and opens bytes: parts, rows, and the keyed hashes that stand for names.
//!
//! One format for all of it: Google Tink's `AES256_GCM_HKDF` streaming AEAD, specified in
//! `docs/spec/sealed-stream.md`; derivations and bound data are in `docs/spec/keys.md`. The
//! primitives come from aws-lc-rs.
//!
//! This crate never does I/O, never reads a clock, and never decides who may open what: it works
//! on bytes in memory under a key that the caller holds. It never tells apart why something did not
//! open; there is one answer, [`Damaged`].

mod blind;
mod bound;
mod cipher;
mod header;
mod layout;
mod pae;
mod secret;
mod stream;

pub use blind::{IndexKey, IndexKind};
pub use bound::{Bound, FORMAT_VERSION, part_aad};
pub use cipher::{Position, SegmentCipher, TAG_LEN};
pub use header::{HEADER_LEN, Header};
pub use layout::{Layout, SegmentPlace, SegmentSize, TooLong, UnknownSegmentSize};
pub use pae::pae;
pub use secret::{KEY_LEN, MainKey, hkdf, hkdf_expand};

/// Sealed bytes did not open: they were changed, cut, reordered, moved here from elsewhere, or
/// sealed under another key.
///
/// It carries no detail, because none can be told: authentication says yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes are damaged or belong elsewhere")]
pub struct Damaged;
