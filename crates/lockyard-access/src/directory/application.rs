//! Applications: client ids with the credentials that prove them.
//!
//! An application is not yet a principal: it becomes one by its service principal, which is what
//! gets roles. Credentials belong to the application.

use std::fmt;

use lockyard_base::Timestamp;

use super::{
    ApplicationId, ChangeError, ClientId, CredentialId,
    certificate::ClientCertificate,
    limit::{AUDIENCES_MAX, URI_BYTES_MAX},
    secret::ClientSecret,
};

/// A registered program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The object id.
    pub id: ApplicationId,
    /// The client id that it shows.
    pub client: ClientId,
    /// The name that people see.
    pub display_name: String,
    /// Where a person's sign-in may lead back to.
    pub redirect_uris: Vec<String>,
    /// The names of the application as a resource.
    pub identifier_uris: Vec<String>,
    /// Whether it can keep no secret: a program on somebody's machine.
    pub public: bool,
    /// Its secrets, without the secrets.
    pub secrets: Vec<ClientSecret>,
    /// Its certificates.
    pub certificates: Vec<ClientCertificate>,
    /// Whose tokens stand for it.
    pub federated: Vec<FederatedCredential>,
    /// When it was made.
    pub created: Timestamp,
}

impl Application {
    pub(super) fn has_credential(&self, id: CredentialId) -> bool {
        self.secrets.iter().any(|secret| secret.id == id)
            || self.certificates.iter().any(|certificate| certificate.id == id)
            || self.federated.iter().any(|federated| federated.id == id)
    }
}

/// Says which tokens of a foreign issuer stand for an application.
#[derive(Clone, PartialEq, Eq)]
pub struct FederatedCredential {
    /// The credential.
    pub id: CredentialId,
    /// Its name, unique in the application.
    pub name: String,
    /// The foreign issuer, exactly as in its tokens.
    pub issuer: String,
    /// The subject, exactly as in its tokens.
    pub subject: String,
    /// The audiences of which a token must have one.
    pub audiences: Vec<String>,
    /// What people said about it.
    pub description: String,
}

impl fmt::Debug for FederatedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FederatedCredential({})", self.id)
    }
}

impl FederatedCredential {
    pub(super) fn check(&self) -> Result<(), ChangeError> {
        let line = |text: &str| {
            !text.is_empty() && text.len() <= URI_BYTES_MAX && !text.chars().any(char::is_control)
        };
        let https = self.issuer.strip_prefix("https://").is_some_and(|rest| !rest.is_empty());
        let audiences = (1..=AUDIENCES_MAX).contains(&self.audiences.len())
            && self.audiences.iter().all(|audience| line(audience));
        let description = self.description.is_empty() || line(&self.description);
        let named = line(&self.name) && line(&self.subject);
        if https && line(&self.issuer) && named && audiences && description {
            Ok(())
        } else {
            Err(ChangeError::Federated)
        }
    }
}

/// Holds a redirect URI against what one may look like: over TLS, or back to the same machine, or
/// the special one of programs without a browser; never with a fragment.
pub(super) fn check_redirect(uri: &str) -> Result<(), ChangeError> {
    const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";
    let plain = uri.len() <= URI_BYTES_MAX
        && uri.bytes().all(|b| b.is_ascii_graphic())
        && !uri.contains(['#', '\\', '*', '@']);
    let host = |rest: &str| -> String {
        rest.split(['/', '?']).next().unwrap_or_default().to_ascii_lowercase()
    };
    let local = |host: &str| {
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if port.bytes().all(|b| b.is_ascii_digit()) => bare,
            _ => host,
        };
        ["localhost", "127.0.0.1", "[::1]"].contains(&bare)
    };
    let sound = match uri.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => !host(rest).is_empty(),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => local(&host(rest)),
        _ => uri == OUT_OF_BAND,
    };
    if plain && sound { Ok(()) } else { Err(ChangeError::Uri) }
}

/// Holds an identifier URI against what one may look like.
pub(super) fn check_identifier(uri: &str) -> Result<(), ChangeError> {
    let sound = ["api://", "https://", "urn:"]
        .iter()
        .any(|scheme| uri.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    let plain = uri.len() <= URI_BYTES_MAX && uri.bytes().all(|b| b.is_ascii_graphic());
    if plain && sound && !uri.contains('#') { Ok(()) } else { Err(ChangeError::Uri) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_over_tls_or_stays_on_the_machine() {
        for uri in [
            "https://portal.example/back?x=1",
            "http://localhost",
            "http://LOCALHOST:8400/back",
            "http://127.0.0.1:1/",
            "http://[::1]:8400",
            "urn:ietf:wg:oauth:2.0:oob",
        ] {
            assert!(check_redirect(uri).is_ok(), "{uri}");
        }
        for uri in [
            "",
            "/back",
            "//portal.example",
            "https://",
            "http://portal.example/",
            "http://localhost.evil.example/",
            "http://localhost@evil.example/",
            "https://portal.example/#fragment",
            "https://portal.example\\@evil.example",
            "https://*.example/",
            "javascript:alert(1)",
            "https://portal.example/a b",
            &format!("https://{}", "a".repeat(URI_BYTES_MAX)),
        ] {
            assert!(check_redirect(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn an_identifier_has_a_scheme_that_identifies() {
        assert!(check_identifier("api://8d7d6a5e").is_ok());
        assert!(check_identifier("https://app.example").is_ok());
        assert!(check_identifier("api://").is_err());
        assert!(check_identifier("app").is_err());
    }
}
