//! Ids as types, so that swapped arguments do not compile.
//!
//! Every id is 128 random bits, printed as 32 lower-case hexadecimal digits. Ids say nothing about
//! content and may stand in logs and in the clear columns of the database.

use std::{fmt, str::FromStr};

use crate::Entropy;

/// The text is not an id: 32 lower-case hexadecimal digits, or a UUID where one is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no id")
    }
}

impl std::error::Error for ParseIdError {}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Draws a new id; 128 random bits never repeat.
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(entropy.bytes())
            }

            /// Makes the id that has these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id as it is printed, without memory of its own.
            pub fn hex(&self) -> IdHex {
                IdHex::new(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.hex().as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                decoded(text).map(Self).ok_or(ParseIdError)
            }
        }

        impl From<$name> for RowId {
            fn from(id: $name) -> RowId {
                RowId(id.0)
            }
        }
    )*};
}

/// An id's 32 lower-case hexadecimal digits: what is bound to sealed rows and what the database has.
///
/// Every row that is opened or looked up needs some, so they are made without a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdHex([u8; 32]);

impl IdHex {
    fn new(bytes: &[u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// The digits as ASCII bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

/// Reads 32 lower-case hexadecimal digits.
fn decoded(text: &str) -> Option<[u8; 16]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let digits: &[u8; 32] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Any row's id, where its kind does not matter (the bound data of a sealed row).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId([u8; 16]);

impl RowId {
    /// Draws a new id; 128 random bits never repeat.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(entropy.bytes())
    }

    /// Makes the id that has these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id as it is printed, without memory of its own.
    pub fn hex(&self) -> IdHex {
        IdHex::new(&self.0)
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowId({self})")
    }
}

ids! {
    /// A registry: the unit that has keys of its own.
    RegistryId;
    /// A repository row.
    RepositoryId;
    /// A blob row; registry-wide.
    BlobId;
    /// A link between a repository and a blob.
    LinkId;
    /// A manifest row; scoped to its repository.
    ManifestId;
    /// A tag row; scoped to its repository.
    TagId;
    /// An upload session.
    UploadId;
    /// A sealed part in the part store; never reused.
    PartId;
    /// A customer share wrapped under one key version.
    WrapId;
    /// A node: one running instance, with an audit chain of its own.
    NodeId;
}

/// A keyed hash that stands for a name or a digest in the database; made by the seal room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlindIndex([u8; 32]);

impl BlindIndex {
    /// The index that has these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for BlindIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlindIndex({})", hex::encode(self.0))
    }
}

/// The number of a registry key; rises by one whenever a new registry key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch that a new registry starts in.
    pub const FIRST: Self = Self(1);

    /// The epoch with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The epoch's number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The epoch that follows this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The eight big-endian bytes that keys and bound data use.
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_and_from_nothing_else() {
        let id = BlobId::from_bytes([0xab; 16]);
        assert_eq!(id.to_string(), "ab".repeat(16));
        assert_eq!(id.to_string().parse(), Ok(id));
        let each = std::array::from_fn(|n| u8::try_from(n * 17).expect("at most 255"));
        let id = BlobId::from_bytes(each);
        assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(id.hex().as_bytes(), id.to_string().as_bytes());
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "AB", &"AB".repeat(16), &"zz".repeat(16), &"ab".repeat(17), &"ä".repeat(16)]
        {
            assert_eq!(wrong.parse::<BlobId>(), Err(ParseIdError), "{wrong}");
        }
    }
}
