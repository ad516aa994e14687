//! What every one-word newtype over a string has in common, written once.
//!
//! The macro gives only ways out of a word and conversions that go through its `FromStr`; the one
//! fallible constructor stays visible in the word's own file.

/// Gives `as_str`, `Display`, `AsRef<str>` and `TryFrom` to a newtype over `String` or `Cow`.
macro_rules! word {
    ($name:ident, $error:ty) => {
        impl $name {
            /// The word as text, exactly as it goes over the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, $error> {
                text.parse()
            }
        }
    };
}

pub(crate) use word;
