//! The tenant in a path: there is one, and people write it in several ways.

use lockyard_base::Guid;

use super::{ErrorWord, OAuthError, Origins};
use crate::directory::TenantId;

/// A first path segment that stands for the tenant, as it was written.
///
/// It goes back into the endpoints of the discovery document, since clients take the tenant from
/// there; it is one of a closed set of words, so nothing that a stranger wrote comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPath(String);

impl TenantPath {
    /// Reads a path segment: the tenant's id, the instance's domain, `common` or `organizations`.
    pub fn parse(segment: &str, tenant: TenantId, origins: &Origins) -> Result<Self, OAuthError> {
        let segment = segment.to_ascii_lowercase();
        let is_ours = segment.parse::<Guid>().is_ok_and(|id| id == tenant.guid());
        let is_word = segment == "common" || segment == "organizations";
        if is_ours || is_word || segment == origins.domain.to_ascii_lowercase() {
            return Ok(Self(segment));
        }
        Err(OAuthError::refused(
            ErrorWord::InvalidRequest,
            90_002,
            "there is no such tenant here; `common` always works",
        ))
    }

    /// The path segment.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every segment that stands for a tenant.
    pub(crate) fn spellings(tenant: TenantId, origins: &Origins) -> [String; 4] {
        let domain = origins.domain.to_ascii_lowercase();
        [tenant.to_string(), domain, "common".to_owned(), "organizations".to_owned()]
    }
}

/// Which form of tokens and documents an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Version 1: `resource`, `appid`.
    V1,
    /// Version 2: `scope`, `azp`.
    V2,
}

impl Version {
    /// What tokens have in `ver`.
    pub const fn claim(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }

    /// What tokens have in `iss`.
    pub fn issuer(self, tenant: TenantId, origins: &Origins) -> String {
        let login = &origins.login;
        match self {
            Self::V1 => format!("{login}/{tenant}/"),
            Self::V2 => format!("{login}/{tenant}/v2.0"),
        }
    }

    /// The path of an endpoint after the tenant.
    pub const fn path(self) -> &'static str {
        match self {
            Self::V1 => "oauth2",
            Self::V2 => "oauth2/v2.0",
        }
    }
}
