//! Listings, page by page: keys by name, versions newest first.

use std::str::FromStr;

use lockyard_keyring::{KeyId, KeyName, VaultAddress};
use rusqlite::Transaction;

use super::{FoundKey, KeyBundle, KeyItem, KeyResource};
use crate::{
    Vault, VaultError,
    vaults::{FoundVault, VaultProperties},
};

/// The most items of one page, and how many there are unless fewer are asked for.
pub const PAGE_MAX: usize = 25;
const TOKEN_LEN_MAX: usize = 256;

/// Where a listing goes on; opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken(String);

impl PageToken {
    /// The token's text, fit for a URL as it is.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PageToken {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        if text.len() > TOKEN_LEN_MAX || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(bad_token());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Which part of a listing is asked for.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// `maxresults`: 1 to [`PAGE_MAX`].
    pub limit: Option<usize>,
    /// The token of the page before.
    pub after: Option<PageToken>,
}

impl PageRequest {
    pub(crate) fn limit(&self) -> Result<usize, VaultError> {
        match self.limit {
            None => Ok(PAGE_MAX),
            Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(VaultError::BadParameter(format!(
                "maxresults is a number from 1 to {PAGE_MAX}"
            ))),
        }
    }
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where it goes on, unless this is the end.
    pub next: Option<PageToken>,
}

impl Vault {
    /// A page of a vault's live or deleted keys.
    pub(crate) fn page_of_keys(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        live: bool,
        page: &PageRequest,
    ) -> Result<Page<KeyItem>, VaultError> {
        let limit = page.limit()?;
        let after = page.after.as_ref().map(decoded_name).transpose()?;
        let position = |found: &FoundKey| found.name.as_str().to_ascii_lowercase();
        let mut keys: Vec<FoundKey> = self
            .keys_in(transaction, vault)?
            .into_iter()
            .filter(|found| found.is_live() == live)
            .filter(|found| after.as_ref().is_none_or(|after| position(found) > *after))
            .take(limit + 1)
            .collect();
        let next = (keys.len() > limit).then(|| {
            keys.truncate(limit);
            keys.last().map(|last| PageToken(hex::encode(position(last))))
        });
        let items = keys
            .into_iter()
            .map(|found| self.item(transaction, &vault.properties, found))
            .collect::<Result<_, _>>()?;
        Ok(Page { items, next: next.flatten() })
    }

    /// The first `limit` of a vault's live keys whose names in small letters come after `after`,
    /// each with its newest version, by name; for the control plane.
    pub fn key_resources(
        &self,
        vault: &VaultAddress,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeyResource>, VaultError> {
        let is_left = |found: &FoundKey| {
            found.is_live()
                && after
                    .is_none_or(|after| found.name.as_str().to_ascii_lowercase().as_str() > after)
        };
        self.database.read(|transaction| {
            let vault = self.live_vault(transaction, vault)?;
            let keys = self.keys_in(transaction, &vault)?.into_iter().filter(is_left).take(limit);
            keys.map(|found| self.resource_in(transaction, &vault.properties, found)).collect()
        })
    }

    /// All versions of a key, newest first; for the control plane.
    pub fn version_bundles(&self, key: &KeyId) -> Result<Vec<KeyBundle>, VaultError> {
        self.database.read(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            let found = self.live_key(transaction, &vault, &key.name)?;
            let versions = self.versions_in(transaction, &found)?;
            Ok(versions.iter().map(|one| one.bundle(&vault.properties, &found)).collect())
        })
    }

    fn item(
        &self,
        transaction: &Transaction<'_>,
        vault: &VaultProperties,
        found: FoundKey,
    ) -> Result<KeyItem, VaultError> {
        let newest = self.version_in(transaction, &vault.name, &found, None)?;
        let attributes = newest.attributes(vault);
        let deleted = found.record.deleted;
        Ok(KeyItem {
            name: found.name,
            version: None,
            attributes,
            tags: newest.record.tags,
            deleted,
        })
    }

    /// A page of a key's versions; a key that is not there has none.
    pub(crate) fn page_of_versions(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
        page: &PageRequest,
    ) -> Result<Page<KeyItem>, VaultError> {
        let limit = page.limit()?;
        let below = match &page.after {
            None => i64::MAX,
            Some(token) => token.0.parse().map_err(|_| bad_token())?,
        };
        let found = self.find_key_in(transaction, vault.row(), name)?.filter(FoundKey::is_live);
        let Some(found) = found else { return Ok(Page { items: Vec::new(), next: None }) };
        let mut versions = self.versions_below(transaction, &found, below, limit + 1)?;
        let next = (versions.len() > limit).then(|| {
            versions.truncate(limit);
            versions.last().map(|last| PageToken(last.row.ordinal.to_string()))
        });
        let items = versions
            .into_iter()
            .map(|version| KeyItem {
                name: found.name.clone(),
                version: Some(version.name()),
                attributes: version.attributes(&vault.properties),
                tags: version.record.tags,
                deleted: None,
            })
            .collect();
        Ok(Page { items, next: next.flatten() })
    }
}

fn decoded_name(token: &PageToken) -> Result<String, VaultError> {
    let bytes = hex::decode(&token.0).map_err(|_| bad_token())?;
    String::from_utf8(bytes).map_err(|_| bad_token())
}

fn bad_token() -> VaultError {
    VaultError::BadParameter("the $skiptoken is none that a listing here returned".to_owned())
}
