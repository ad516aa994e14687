//! Tags: the movable names of manifests within a repository.
//!
//! Fallback tags of referrers (`sha256-<hex>`, `.sig`, `.att`, `.sbom`) are ordinary tags here.

use std::str::FromStr;

use thiserror::Error;

use crate::word::word;

/// A tag, such as `latest`; at most 128 characters, ordered as its bytes are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

word!(Tag, TagError);

impl Tag {
    /// The longest tag in characters (OCI Distribution 1.1, "Pulling manifests").
    pub const CHARS_MAX: usize = 128;
}

/// A text that is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TagError {
    /// The text has more than [`Tag::CHARS_MAX`] characters.
    #[error("a tag has at most {} characters", Tag::CHARS_MAX)]
    TooLong,
    /// The text does not follow the grammar.
    #[error(
        "a tag is made of letters, digits, `_`, `.` and `-`, and begins with none of the last two"
    )]
    Malformed,
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        if text.len() > Self::CHARS_MAX {
            return Err(TagError::TooLong);
        }
        let (Some(first), true) = (text.bytes().next(), text.bytes().all(is_tag_byte)) else {
            return Err(TagError::Malformed);
        };
        if first == b'.' || first == b'-' {
            return Err(TagError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<(), TagError>) {
        assert_eq!(text.parse::<Tag>().map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn tags_of_the_grammar_are_accepted() {
        for text in ["latest", "V1", "_", "1.2.3_build.4", "a..b", "sha256-abc.sig", "0-"] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn tags_outside_the_grammar_are_malformed() {
        for text in ["", ".", ".a", "-a", "a b", "a+b", "a/b", "a:b", "é", "a\n"] {
            check(text, Err(TagError::Malformed));
        }
    }

    #[test]
    fn a_tag_may_be_128_characters_long_and_not_129() {
        check(&"t".repeat(127), Ok(()));
        check(&"t".repeat(128), Ok(()));
        check(&"t".repeat(129), Err(TagError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<Tag>());
        }

        #[test]
        fn a_generated_tag_comes_back_as_it_was(text in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
            prop_assert_eq!(text.parse::<Tag>().unwrap().to_string(), text);
        }
    }
}
