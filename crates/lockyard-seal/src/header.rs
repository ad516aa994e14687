//! The 40 bytes that open every sealed stream (`docs/spec/sealed-stream.md`, "Header").
//!
//! The header is public and not authenticated by itself: a changed salt gives another key, a
//! changed prefix another nonce, so that the first segment does not open.

use lockyard_base::Entropy;

use crate::Damaged;

/// The header's length in bytes, which is also the value of its first byte.
pub const HEADER_LEN: usize = 40;

const SALT_LEN: usize = 32;
const PREFIX_AT: usize = 1 + SALT_LEN;
pub(crate) const PREFIX_LEN: usize = HEADER_LEN - PREFIX_AT;

/// Length byte ‖ 32-byte salt ‖ 7-byte nonce prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header([u8; HEADER_LEN]);

impl Header {
    /// Draws the header of a new stream; a header is never used twice.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = entropy.bytes::<HEADER_LEN>();
        bytes[0] = LENGTH_BYTE;
        Self(bytes)
    }

    /// Reads the header from the start of a stream; what follows its 40 bytes is not looked at.
    pub fn parse(stream: &[u8]) -> Result<Self, Damaged> {
        let bytes: &[u8; HEADER_LEN] = stream.first_chunk().ok_or(Damaged)?;
        if bytes[0] == LENGTH_BYTE { Ok(Self(*bytes)) } else { Err(Damaged) }
    }

    /// The bytes as they stand at the start of the stream.
    pub fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    pub(crate) fn salt(&self) -> &[u8] {
        &self.0[1..PREFIX_AT]
    }

    pub(crate) fn nonce_prefix(&self) -> &[u8; PREFIX_LEN] {
        self.0.last_chunk().expect("the prefix is the header's tail")
    }
}

#[expect(clippy::cast_possible_truncation, reason = "40 fits a byte")]
const LENGTH_BYTE: u8 = HEADER_LEN as u8;

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_header_reads_back_and_names_its_length() {
        let header = Header::generate(&SeededEntropy::new(7));
        assert_eq!(header.as_bytes()[0], 40);
        assert_eq!(header.salt().len(), 32);
        assert_eq!(header.nonce_prefix().len(), 7);
        assert_eq!(Header::parse(header.as_bytes()), Ok(header));
    }

    #[test]
    fn a_short_header_is_damaged_at_every_length() {
        let header = Header::generate(&SeededEntropy::new(7));
        for len in 0..HEADER_LEN {
            assert_eq!(Header::parse(&header.as_bytes()[..len]), Err(Damaged), "{len}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_header_only_if_the_first_is_40(
            bytes in prop::collection::vec(any::<u8>(), 0..80)
        ) {
            let expected = bytes.len() >= HEADER_LEN && bytes[0] == 40;
            prop_assert_eq!(Header::parse(&bytes).is_ok(), expected);
        }
    }
}
