//! Keyed hashes that stand for names and digests in the database (`docs/spec/keys.md`, "Blind
//! index").
//!
//! The same value in the same scope always gives the same index, so that a database can look it up
//! and keep it unique; without the key it says nothing but *equal*. Whoever holds the key can test
//! guesses, which is why it is kept as close as the keys to content.

use std::fmt;

use aws_lc_rs::hmac;
use lockyard_base::{BlindIndex, Entropy, RepositoryId};

use crate::{
    pae,
    secret::{KEY_LEN, Secret},
};

/// The key of all blind indexes of one registry, or of the instance's own rows.
pub struct IndexKey(Secret);

/// What a blind index stands for; values of different kinds never share an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// A repository's name.
    Repository,
    /// A tag's name; scoped to its repository.
    Tag,
    /// A digest; scoped to a repository for manifests, registry-wide for blobs and edges.
    Digest,
    /// A registry's name, under the instance's own index key.
    Registry,
    /// Any other record of the instance, under the instance's own index key.
    Record,
}

impl IndexKind {
    /// The fixed bytes that go into the hash.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Repository => b"repository",
            Self::Tag => b"tag",
            Self::Digest => b"digest",
            Self::Registry => b"registry",
            Self::Record => b"record",
        }
    }
}

impl IndexKey {
    /// Draws a fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::generate(entropy))
    }

    /// Makes the key that has these bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The secret bytes, for whoever seals this key under another one.
    pub fn dangerous_expose(&self) -> &[u8; KEY_LEN] {
        self.0.dangerous_expose()
    }

    /// The index that stands for `value` of this `kind`, within `scope` or registry-wide.
    pub fn blind(&self, kind: IndexKind, scope: Option<RepositoryId>, value: &[u8]) -> BlindIndex {
        let scope = scope.map(|repository| repository.hex());
        let scope: &[u8] = scope.as_ref().map_or(b"", |hex| hex.as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.dangerous_expose());
        let hash = hmac::sign(&key, &pae(&[kind.as_bytes(), scope, value]));
        BlindIndex::from_bytes(hash.as_ref().try_into().expect("SHA-256 yields 32 bytes"))
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    const ONE: Option<RepositoryId> = Some(RepositoryId::from_bytes([1; 16]));
    const OTHER: Option<RepositoryId> = Some(RepositoryId::from_bytes([2; 16]));

    #[test]
    fn the_same_value_has_the_same_index_and_any_difference_another() {
        let entropy = SeededEntropy::new(5);
        let (key, foreign) = (IndexKey::generate(&entropy), IndexKey::generate(&entropy));
        let index = |kind, scope, value: &[u8]| key.blind(kind, scope, value);

        let home = index(IndexKind::Tag, ONE, b"v1");
        assert_eq!(home, index(IndexKind::Tag, ONE, b"v1"));
        for other in [
            index(IndexKind::Tag, OTHER, b"v1"),
            index(IndexKind::Tag, None, b"v1"),
            index(IndexKind::Tag, ONE, b"v2"),
            index(IndexKind::Tag, ONE, b""),
            index(IndexKind::Digest, ONE, b"v1"),
            index(IndexKind::Repository, ONE, b"v1"),
            index(IndexKind::Registry, ONE, b"v1"),
            index(IndexKind::Record, ONE, b"v1"),
            foreign.blind(IndexKind::Tag, ONE, b"v1"),
        ] {
            assert_ne!(home, other);
        }
    }

    #[test]
    fn a_scope_cannot_be_spelled_out_in_the_value() {
        let key = IndexKey::from_bytes(&[9; 32]);
        let scoped = key.blind(IndexKind::Tag, ONE, b"v1");
        let spelled = key.blind(IndexKind::Tag, None, b"01010101010101010101010101010101v1");
        assert_ne!(scoped, spelled);
    }

    #[test]
    fn a_key_does_not_print_its_bytes() {
        assert_eq!(format!("{:?}", IndexKey::from_bytes(&[0xa5; 32])), "IndexKey(…)");
    }
}
