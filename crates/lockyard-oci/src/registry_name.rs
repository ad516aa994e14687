//! Names of registries, which are the first label of their host names.
//!
//! The rule is Azure Container Registry's: 5 to 50 letters and digits. Such a name is always a DNS
//! label, is unique without regard to case, and is kept in lower case.

use std::str::FromStr;

use thiserror::Error;

use crate::word::word;

/// A registry's name in lower case, such as `contoso`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryName(String);

word!(RegistryName, RegistryNameError);

impl RegistryName {
    /// The shortest name in characters.
    pub const CHARS_MIN: usize = 5;
    /// The longest name in characters.
    pub const CHARS_MAX: usize = 50;
}

impl Default for RegistryName {
    /// The name of the registry that a new instance begins with.
    fn default() -> Self {
        Self("lockyard".to_owned())
    }
}

/// A text that is not a registry name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a registry name is made of {} to {} letters and digits",
    RegistryName::CHARS_MIN,
    RegistryName::CHARS_MAX
)]
pub struct RegistryNameError;

impl FromStr for RegistryName {
    type Err = RegistryNameError;

    fn from_str(text: &str) -> Result<Self, RegistryNameError> {
        let fits = (Self::CHARS_MIN..=Self::CHARS_MAX).contains(&text.len());
        if !fits || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(RegistryNameError);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_kept_in_lower_case() {
        assert_eq!("ConToso1".parse::<RegistryName>().unwrap().as_str(), "contoso1");
    }

    #[test]
    fn a_name_has_5_to_50_characters() {
        for (length, accepted) in [(4, false), (5, true), (6, true), (49, true), (50, true)] {
            assert_eq!("a".repeat(length).parse::<RegistryName>().is_ok(), accepted, "{length}");
        }
        assert_eq!("a".repeat(51).parse::<RegistryName>(), Err(RegistryNameError));
    }

    #[test]
    fn anything_but_letters_and_digits_is_refused() {
        for text in ["con-toso", "con.toso", "con_toso", "contösö", "contoso ", "conto/so"] {
            assert_eq!(text.parse::<RegistryName>(), Err(RegistryNameError), "{text:?}");
        }
    }

    #[test]
    fn the_default_follows_the_rule() {
        let name = RegistryName::default();
        assert_eq!(name.as_str().parse(), Ok(name));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<RegistryName>());
        }

        #[test]
        fn a_parsed_name_parses_to_itself(text in "[a-zA-Z0-9]{5,50}") {
            let name: RegistryName = text.parse().unwrap();
            prop_assert_eq!(name.as_str().parse(), Ok(name.clone()));
        }
    }
}
