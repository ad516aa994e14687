//! What a manifest is asked for by: a tag or a digest.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{Digest, DigestError, Tag, TagError};

/// The `<reference>` of a manifest's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

/// A text that is neither a tag nor a digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReferenceError {
    /// The text has no `:`, so it was read as a tag.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The text has a `:`, so it was read as a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // A tag cannot hold a colon and a digest always does.
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Algorithm;

    #[test]
    fn a_colon_makes_it_a_digest() {
        let digest = Digest::of(Algorithm::Sha256, b"");
        assert_eq!(digest.to_string().parse(), Ok(Reference::Digest(digest)));
        assert_eq!(
            "a:b".parse::<Reference>().unwrap_err().to_string(),
            "the digest algorithm `a` is not supported, use sha256 or sha512"
        );
    }

    #[test]
    fn no_colon_makes_it_a_tag() {
        assert_eq!("v1".parse(), Ok(Reference::Tag("v1".parse().unwrap())));
        assert_eq!("".parse::<Reference>(), Err(ReferenceError::Tag(TagError::Malformed)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<Reference>());
        }

        #[test]
        fn what_parses_comes_back_as_it_was(text in "[a-z0-9_:.-]{1,20}|sha256:[0-9a-f]{64}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
