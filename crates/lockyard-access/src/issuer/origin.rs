//! Where this instance is reached, as its own URLs say it, and the audiences that follow from it.
//!
//! Everything that the issuer writes comes from here and nothing from a request: whoever forges a
//! `Host` finds it nowhere in a token or a document.

use super::{ErrorWord, OAuthError};

/// The longest `scope` or `resource` in bytes.
pub const SCOPE_BYTES_MAX: usize = 2048;
/// The most words of a `scope`.
pub const SCOPE_WORDS_MAX: usize = 32;

/// The published origins of this instance: scheme, host and, unless it is 443, port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    /// The token issuer's.
    pub login: String,
    /// Resource Manager's.
    pub management: String,
    /// The directory's.
    pub graph: String,
    /// What stands after a vault's name: `https://vault.<domain>`.
    pub vault: String,
    /// The domain that all names lie under; people may write it for the tenant.
    pub domain: String,
}

/// A face of this instance that tokens are issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// Resource Manager.
    Management,
    /// The directory.
    Graph,
    /// The vaults' data plane.
    Vault,
    /// The registries' data plane.
    Registry,
}

impl Audience {
    /// Every audience.
    pub const ALL: [Self; 4] = [Self::Management, Self::Graph, Self::Vault, Self::Registry];

    /// The word that records have for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Graph => "graph",
            Self::Vault => "vault",
            Self::Registry => "registry",
        }
    }

    /// Reads what [`Audience::word`] says.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|audience| audience.word() == word)
    }

    /// Names that clients have built in, besides our own.
    const fn known(self) -> &'static [&'static str] {
        match self {
            Self::Management => {
                &["https://management.azure.com", "https://management.core.windows.net"]
            }
            Self::Graph => &["https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"],
            Self::Vault => &["https://vault.azure.net"],
            // Not configurable in `az`: what a registry's token is always asked for.
            Self::Registry => &["https://containerregistry.azure.net"],
        }
    }

    /// What a token for this audience has in `aud`.
    pub fn claim(self, origins: &Origins) -> &str {
        match self {
            Self::Management => &origins.management,
            Self::Graph => &origins.graph,
            Self::Vault => &origins.vault,
            Self::Registry => "https://containerregistry.azure.net",
        }
    }

    /// The audience of a `resource`, with or without a slash at its end.
    pub fn of_resource(resource: &str, origins: &Origins) -> Option<Self> {
        let resource = resource.trim_end_matches('/');
        Self::ALL.into_iter().find(|audience| {
            let own = audience.claim(origins);
            same(resource, own)
                || same(resource, without_port(own))
                || audience.known().iter().any(|known| same(resource, known))
        })
    }
}

/// Hosts are the same in either case.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn without_port(origin: &str) -> &str {
    let (_, host) = origin.split_once("://").unwrap_or(("", origin));
    match host.rfind(':') {
        Some(colon) => origin.get(..origin.len() - host.len() + colon).unwrap_or(origin),
        None => origin,
    }
}

/// What a request for a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// For whom the token is.
    pub audience: Audience,
    /// Whether a token that says who signed in is wanted too.
    pub openid: bool,
    /// Whether a refresh token is wanted.
    pub offline: bool,
}

impl Wanted {
    /// Reads the `scope` of version 2: a resource with `/.default` or a permission after it, and
    /// OpenID's words. A lone permission, as in `User.Read`, is the directory's.
    pub fn of_scope(scope: &str, origins: &Origins) -> Result<Self, OAuthError> {
        check_size(scope)?;
        let mut wanted = Self { audience: Audience::Graph, openid: false, offline: false };
        let mut audience = None;
        for word in scope.split_ascii_whitespace() {
            match word {
                "openid" | "profile" | "email" => wanted.openid = true,
                "offline_access" => wanted.offline = true,
                word => {
                    let found = of_word(word, origins).ok_or_else(|| unknown(word))?;
                    if audience.is_some_and(|other| other != found) {
                        return Err(OAuthError::scope(
                            28000,
                            "the scope names more than one resource; ask for one token each",
                        ));
                    }
                    audience = Some(found);
                }
            }
        }
        if audience.is_none() && !wanted.openid {
            return Err(OAuthError::scope(
                70_011,
                "the scope names no resource; it looks like `https://<resource>/.default`",
            ));
        }
        Ok(Self { audience: audience.unwrap_or(Audience::Graph), ..wanted })
    }

    /// Reads the `resource` of version 1, which always means a refresh token and OpenID too.
    pub fn of_resource(resource: &str, origins: &Origins) -> Result<Self, OAuthError> {
        check_size(resource)?;
        let audience = Audience::of_resource(resource, origins).ok_or_else(|| {
            OAuthError::refused(
                ErrorWord::InvalidRequest,
                500_011,
                "the resource is none that tokens are issued for",
            )
        })?;
        Ok(Self { audience, openid: true, offline: true })
    }
}

fn check_size(scope: &str) -> Result<(), OAuthError> {
    let words = scope.split_ascii_whitespace().count();
    if scope.len() > SCOPE_BYTES_MAX || words > SCOPE_WORDS_MAX {
        let text =
            format!("a scope has at most {SCOPE_BYTES_MAX} bytes and {SCOPE_WORDS_MAX} words");
        return Err(OAuthError::scope(70_011, text));
    }
    Ok(())
}

/// The audience of one word of a scope.
fn of_word(word: &str, origins: &Origins) -> Option<Audience> {
    let is_permission =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_permission(word) && !word.is_empty() {
        return Some(Audience::Graph);
    }
    let (resource, permission) = word.rsplit_once('/')?;
    if permission.is_empty() || !is_permission(permission) {
        return None;
    }
    Audience::of_resource(resource, origins)
}

fn unknown(word: &str) -> OAuthError {
    let known = word.len() < 200 && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    let shown = if known { format!(" `{word}`") } else { String::new() };
    OAuthError::scope(70_011, format!("the scope{shown} is none that tokens are issued for"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn origins() -> Origins {
        Origins {
            login: "https://login.lock.test:8443".to_owned(),
            management: "https://management.lock.test:8443".to_owned(),
            graph: "https://graph.lock.test:8443".to_owned(),
            vault: "https://vault.lock.test:8443".to_owned(),
            domain: "lock.test".to_owned(),
        }
    }

    fn audience(scope: &str) -> Option<Audience> {
        Wanted::of_scope(scope, &origins()).ok().map(|wanted| wanted.audience)
    }

    #[test]
    fn every_spelling_of_a_resource_is_its_audience() {
        for (scope, expected) in [
            ("https://management.lock.test:8443/.default", Audience::Management),
            ("https://management.lock.test:8443//.default", Audience::Management),
            ("https://MANAGEMENT.lock.test/.default", Audience::Management),
            ("https://management.azure.com/.default", Audience::Management),
            ("https://management.core.windows.net//user_impersonation", Audience::Management),
            ("https://graph.lock.test:8443//.default", Audience::Graph),
            ("User.Read", Audience::Graph),
            ("openid profile", Audience::Graph),
            ("https://vault.lock.test:8443/.default openid", Audience::Vault),
            ("https://vault.azure.net/.default", Audience::Vault),
            ("https://containerregistry.azure.net/.default", Audience::Registry),
        ] {
            assert_eq!(audience(scope), Some(expected), "{scope}");
        }
    }

    #[test]
    fn what_is_nobodys_scope_is_refused() {
        for scope in [
            "",
            "offline_access",
            "https://management.lock.test:8443",
            "https://management.lock.test:8444/.default",
            "https://management.lock.test.evil.test/.default",
            "http://management.lock.test:8443/.default",
            "https://evil.test/.default",
            "https://management.lock.test:8443/.default?x",
            "https://management.lock.test:8443/.default https://graph.lock.test:8443/.default",
            "é",
        ] {
            assert_eq!(audience(scope), None, "{scope}");
        }
    }

    #[test]
    fn a_scope_has_an_end() {
        let words = |n: usize| vec!["openid"; n].join(" ");
        assert!(audience(&words(SCOPE_WORDS_MAX)).is_some());
        assert!(audience(&words(SCOPE_WORDS_MAX + 1)).is_none());
        assert!(audience(&"a".repeat(SCOPE_BYTES_MAX)).is_some());
        assert!(audience(&"a".repeat(SCOPE_BYTES_MAX + 1)).is_none());
    }
}
