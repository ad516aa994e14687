//! Tags: names and values that customers hang on vaults and keys.

use std::collections::BTreeMap;

/// Checked tags, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// The most tags that a key has (BEHAVIOUR 2.4).
    pub const KEY_MAX: usize = 15;
    /// The most tags that a vault has, as every resource.
    pub const VAULT_MAX: usize = 50;
    /// The most characters of a tag's name.
    pub const NAME_MAX: usize = 256;
    /// The most characters of a tag's value.
    pub const VALUE_MAX: usize = 256;

    /// Tags for a key; the sentence of a failure says which limit is broken.
    pub fn for_key(tags: BTreeMap<String, String>) -> Result<Self, String> {
        Self::checked(tags, Self::KEY_MAX, 1)
    }

    /// Tags for a vault; the sentence of a failure says which limit is broken.
    pub fn for_vault(tags: BTreeMap<String, String>) -> Result<Self, String> {
        // Resources may have longer names than keys.
        Self::checked(tags, Self::VAULT_MAX, 2)
    }

    /// The tags.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn stored(tags: BTreeMap<String, String>) -> Self {
        Self(tags)
    }

    pub(crate) fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    fn checked(tags: BTreeMap<String, String>, max: usize, names: usize) -> Result<Self, String> {
        if tags.len() > max {
            return Err(format!("there are more than {max} tags"));
        }
        let name_max = Self::NAME_MAX * names;
        for (name, value) in &tags {
            if name.is_empty() || name.chars().count() > name_max {
                return Err(format!("a tag's name has 1 to {name_max} characters"));
            }
            if value.chars().count() > Self::VALUE_MAX {
                return Err(format!("a tag's value has at most {} characters", Self::VALUE_MAX));
            }
        }
        Ok(Self(tags))
    }
}
