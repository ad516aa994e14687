//! Names of repositories: slash-separated components of lower-case letters and digits.
//!
//! The grammar is that of OCI Distribution 1.1, "Pulling manifests". A name is never normalised:
//! two spellings are two repositories.

use std::str::FromStr;

use thiserror::Error;

use crate::word::word;

/// A repository's name, such as `library/alpine`; at most 255 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

word!(RepositoryName, RepositoryNameError);

impl RepositoryName {
    /// The longest name in characters, which is what clients keep to for host and name together.
    pub const CHARS_MAX: usize = 255;
}

/// A text that is not a repository name; answered with `NAME_INVALID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RepositoryNameError {
    /// The text has more than [`RepositoryName::CHARS_MAX`] characters.
    #[error("a repository name has at most {} characters", RepositoryName::CHARS_MAX)]
    TooLong,
    /// The text does not follow the grammar.
    #[error(
        "a repository name is made of lower-case letters and digits, \
         joined by `/`, `.`, `_`, `__` or dashes"
    )]
    Malformed,
}

impl FromStr for RepositoryName {
    type Err = RepositoryNameError;

    fn from_str(text: &str) -> Result<Self, RepositoryNameError> {
        if text.len() > Self::CHARS_MAX {
            return Err(RepositoryNameError::TooLong);
        }
        if !text.as_bytes().split(|&b| b == b'/').all(is_component) {
            return Err(RepositoryNameError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether `part` is `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(part: &[u8]) -> bool {
    let (Some(&first), Some(&last)) = (part.first(), part.last()) else { return false };
    // Splitting at every letter and digit leaves the separators, empty between two neighbours.
    is_alphanumeric(first)
        && is_alphanumeric(last)
        && part.split(|&b| is_alphanumeric(b)).all(|separator| match separator {
            b"" | b"." | b"_" | b"__" => true,
            dashes => dashes.iter().all(|&b| b == b'-'),
        })
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<(), RepositoryNameError>) {
        assert_eq!(text.parse::<RepositoryName>().map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn names_of_the_grammar_are_accepted() {
        for text in
            ["a", "0", "library/alpine", "a.b", "a_b", "a__b", "a-b", "a----b", "a/b/c/d", "1.2/3"]
        {
            check(text, Ok(()));
        }
    }

    #[test]
    fn names_outside_the_grammar_are_malformed() {
        for text in [
            "", "/", "a/", "/a", "a//b", "A", "aB", "a..b", "a___b", "a._b", "a-_b", "-a", "a-",
            ".a", "a.", "_a", "a_", "a b", "a:b", "a@b", "ä", "a\n", "a%2fb", "../a", "a/../b",
            "a.-b", "a\0",
        ] {
            check(text, Err(RepositoryNameError::Malformed));
        }
    }

    #[test]
    fn a_name_may_be_255_characters_long_and_not_256() {
        check(&"a".repeat(254), Ok(()));
        check(&"a".repeat(255), Ok(()));
        check(&"a".repeat(256), Err(RepositoryNameError::TooLong));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<RepositoryName>());
        }

        #[test]
        fn a_generated_name_comes_back_as_it_was(
            text in "[a-z0-9]{1,6}((\\.|_|__|-{1,4})[a-z0-9]{1,6}){0,3}(/[a-z0-9]{1,6}((\\.|_|__|-{1,4})[a-z0-9]{1,6}){0,2}){0,4}"
        ) {
            let name: RepositoryName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text);
        }

        #[test]
        fn an_accepted_name_is_safe_in_a_path(text in "[a-zA-Z0-9/._%~:@-]{0,24}") {
            if let Ok(name) = text.parse::<RepositoryName>() {
                let name = name.as_str();
                prop_assert!(!name.contains("..") && !name.contains("//"));
                prop_assert!(!name.starts_with('/') && !name.ends_with('/'));
            }
        }
    }
}
