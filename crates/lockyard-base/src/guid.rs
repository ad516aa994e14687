//! UUIDs, as the imitated services show them: tenants, subscriptions, clients, identities.

use std::{fmt, str::FromStr};

use crate::{Entropy, ParseIdError};

/// A UUID (RFC 9562), shown in lower case with hyphens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid([u8; 16]);

impl Guid {
    /// Draws a new version 4 UUID.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes: [u8; 16] = entropy.bytes();
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The UUID that has these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guid({self})")
    }
}

impl FromStr for Guid {
    type Err = ParseIdError;

    /// Reads the hyphenated form, in either case.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let hyphens = [8, 13, 18, 23];
        if text.len() != 36 || hyphens.iter().any(|at| text.as_bytes()[*at] != b'-') {
            return Err(ParseIdError);
        }
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let mut bytes = [0; 16];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| ParseIdError)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_reads_back_from_its_text() {
        let text = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
        assert_eq!(text.parse::<Guid>().map(|guid| guid.to_string()), Ok(text.to_owned()));
        assert!(text.to_uppercase().parse::<Guid>().is_ok());
        for wrong in ["", "7f951dda4ed34680a7ca43fe172d538d", "é"] {
            assert_eq!(wrong.parse::<Guid>(), Err(ParseIdError), "{wrong}");
        }
    }
}
