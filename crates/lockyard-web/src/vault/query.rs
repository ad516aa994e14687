//! What the query of a call to a key vault says.

use lockyard_vault::{PAGE_MAX, PageRequest};

use super::failure::VaultFailure;

/// The longest api-version in bytes.
const VERSION_BYTES_MAX: usize = 64;

/// What a query says.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// The version of the interface that the client knows; any is served.
    pub(super) version: String,
    /// Which part of a listing is asked for.
    pub(super) page: PageRequest,
}

impl Query {
    pub(super) fn read(query: Option<&str>) -> Result<Self, VaultFailure> {
        let (mut version, mut page) = (None, PageRequest::default());
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if name.eq_ignore_ascii_case("api-version") {
                version = Some(value.into_owned());
            } else if name.eq_ignore_ascii_case("maxresults") {
                let limit = value.parse();
                page.limit = Some(limit.map_err(|_| {
                    VaultFailure::bad(format!("maxresults is a number from 1 to {PAGE_MAX}"))
                })?);
            } else if name.eq_ignore_ascii_case("$skiptoken") {
                page.after = Some(value.parse()?);
            }
        }
        let version = version.ok_or_else(|| {
            VaultFailure::bad("every call needs an `api-version` in its query, for instance `7.4`")
        })?;
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if version.is_empty() || version.len() > VERSION_BYTES_MAX || !version.bytes().all(known) {
            return Err(VaultFailure::bad("an api-version looks like `7.4` or `2025-07-01`"));
        }
        Ok(Self { version, page })
    }
}
