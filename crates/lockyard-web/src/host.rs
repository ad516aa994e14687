//! Hosts: what a client calls us, and which names are ours.
//!
//! Names are compared, never resolved. Anything that is not exactly one of our own names is
//! somebody else's, whatever it may resolve to.

use std::{fmt, net::Ipv6Addr};

use lockyard_oci::RegistryName;
use thiserror::Error;

/// A host with or without a port, as `Host`, `:authority` and CONNECT have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    host: String,
    port: Option<u16>,
}

/// A text that is not a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a host is a name or an address, with or without a port")]
pub(crate) struct AuthorityError;

/// The longest host name in characters (RFC 1035, section 2.3.4).
const HOST_CHARS_MAX: usize = 253;

impl Authority {
    /// Reads `host`, `host:port` or `[address]:port`; the host is kept in lower case.
    pub(crate) fn parse(text: &str) -> Result<Self, AuthorityError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or(AuthorityError)?;
                let address: Ipv6Addr = address.parse().map_err(|_| AuthorityError)?;
                (format!("[{address}]"), port(after)?)
            }
            None => match text.split_once(':') {
                None => (name(text)?, None),
                Some((host, _)) => (name(host)?, port(text.strip_prefix(host).unwrap_or(""))?),
            },
        };
        Ok(Self { host, port })
    }

    /// The host in lower case; an IPv6 address is in brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is given.
    pub(crate) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this is one of the names of the machine itself, for itself.
    pub(crate) fn is_loopback(&self) -> bool {
        ["localhost", "127.0.0.1", "[::1]"].contains(&self.host.as_str())
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn name(text: &str) -> Result<String, AuthorityError> {
    // A trailing dot says that the name is complete, which ours always are.
    let text = text.strip_suffix('.').unwrap_or(text);
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_';
    let gap = text.split('.').any(str::is_empty);
    if gap || text.len() > HOST_CHARS_MAX || !text.bytes().all(known) {
        return Err(AuthorityError);
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads nothing, `:` or `:port`.
fn port(text: &str) -> Result<Option<u16>, AuthorityError> {
    let Some(digits) = text.strip_prefix(':') else {
        return if text.is_empty() { Ok(None) } else { Err(AuthorityError) };
    };
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError);
    }
    digits.parse().map(Some).map_err(|_| AuthorityError)
}

/// The host names of this instance and the port that its published URLs carry.
#[derive(Clone, Debug)]
pub struct Names {
    domain: String,
    public_port: u16,
}

/// One of our own host names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnHost {
    /// `<registry>.cr.<domain>`; the label is not yet known to be a registry's name.
    Registry(String),
    /// `<vault>.vault.<domain>`.
    Vault(String),
    /// One of the fixed names.
    Fixed(FixedHost),
}

/// The names before the domain that are not wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FixedHost {
    /// Resource Manager.
    Management,
    /// The token issuer.
    Login,
    /// The directory.
    Graph,
    /// The web portal.
    Portal,
    /// What import and logs are kept in.
    Blob,
}

impl FixedHost {
    const ALL: [Self; 5] = [Self::Management, Self::Login, Self::Graph, Self::Portal, Self::Blob];

    /// The label before the domain.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Management => "management",
            Self::Login => "login",
            Self::Graph => "graph",
            Self::Portal => "portal",
            Self::Blob => "blob",
        }
    }
}

impl fmt::Display for FixedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Names {
    /// The names under `domain`, published with `public_port`.
    pub fn new(domain: &str, public_port: u16) -> Self {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        Self { domain, public_port }
    }

    /// The domain that all names lie under.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The port that published URLs carry.
    pub const fn public_port(&self) -> u16 {
        self.public_port
    }

    /// Where clients reach a registry, as they write it before a repository's name.
    pub fn registry_host(&self, registry: &RegistryName) -> String {
        let Self { domain, public_port } = self;
        match public_port {
            443 => format!("{registry}.cr.{domain}"),
            port => format!("{registry}.cr.{domain}:{port}"),
        }
    }

    /// The origin of one of the fixed names, say `https://login.example:8443`; no slash at its end.
    pub fn origin(&self, name: FixedHost) -> String {
        let Self { domain, public_port } = self;
        match public_port {
            443 => format!("https://{name}.{domain}"),
            port => format!("https://{name}.{domain}:{port}"),
        }
    }

    /// What follows a registry's or vault's name in its host, with the port: `cr.example:8443`.
    pub fn suffix(&self, kind: &str) -> String {
        let Self { domain, public_port } = self;
        match public_port {
            443 => format!("{kind}.{domain}"),
            port => format!("{kind}.{domain}:{port}"),
        }
    }

    /// Which of our own names `host` is, if it is one.
    pub(crate) fn own(&self, host: &str) -> Option<OwnHost> {
        let under = host.strip_suffix(self.domain.as_str())?.strip_suffix('.')?;
        if let Some(fixed) = FixedHost::ALL.into_iter().find(|fixed| fixed.label() == under) {
            return Some(OwnHost::Fixed(fixed));
        }
        let (label, kind) = under.split_once('.')?;
        if label.is_empty() {
            return None;
        }
        match kind {
            "cr" => Some(OwnHost::Registry(label.to_owned())),
            "vault" => Some(OwnHost::Vault(label.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, host: &str, port: Option<u16>) {
        assert_eq!(Authority::parse(text), Ok(Authority { host: host.to_owned(), port }), "{text}");
    }

    #[test]
    fn hosts_are_read_with_and_without_a_port() {
        check("localhost", "localhost", None);
        check("LocalHost:5000", "localhost", Some(5000));
        check("a.cr.localhost.:8443", "a.cr.localhost", Some(8443));
        check("a:", "a", None);
        check("[::1]:5000", "[::1]", Some(5000));
        check("[0:0:0:0:0:0:0:1]", "[::1]", None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", ".", "..", "a..b", ".a", ":", ":80", "a:b", "a:65536", "a:1:2", "::1", "[::1",
            "[::1]x", "[a]", "a b", "user@a", "a/b", "a:+1", "ä",
        ] {
            assert_eq!(Authority::parse(text), Err(AuthorityError), "{text}");
        }
        assert!(Authority::parse(&"a".repeat(253)).is_ok());
        assert!(Authority::parse(&"a".repeat(254)).is_err());
    }

    #[test]
    fn only_the_three_names_of_the_machine_itself_are_loopback() {
        for (text, loopback) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("[::1]:5000", true),
            ("127.0.0.2", false),
            ("localhost.example", false),
            ("a.localhost", false),
            ("[::2]", false),
        ] {
            assert_eq!(Authority::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }

    #[test]
    fn our_own_names_are_exactly_these() {
        let names = Names::new("Yard.example", 8443);
        let registry = |label: &str| Some(OwnHost::Registry(label.to_owned()));
        for (host, expected) in [
            ("contoso.cr.yard.example", registry("contoso")),
            ("keys.vault.yard.example", Some(OwnHost::Vault("keys".to_owned()))),
            ("management.yard.example", Some(OwnHost::Fixed(FixedHost::Management))),
            ("blob.yard.example", Some(OwnHost::Fixed(FixedHost::Blob))),
            ("yard.example", None),
            ("cr.yard.example", None),
            (".cr.yard.example", None),
            ("a.b.cr.yard.example", None),
            ("contoso.cr.yard.example.org", None),
            ("contoso.cr.xyard.example", None),
            ("contoso.crxyard.example", None),
            ("example", None),
        ] {
            assert_eq!(names.own(host), expected, "{host}");
        }
    }

    #[test]
    fn a_registrys_host_carries_the_public_port_unless_it_is_the_usual_one() {
        let registry = RegistryName::default();
        assert_eq!(
            Names::new("localhost", 8443).registry_host(&registry),
            "lockyard.cr.localhost:8443"
        );
        assert_eq!(Names::new("localhost", 443).registry_host(&registry), "lockyard.cr.localhost");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _parsed = Authority::parse(&text);
        }

        #[test]
        fn what_parses_is_written_so_that_it_parses_to_itself(
            text in "[a-zA-Z0-9.-]{1,20}(:[0-9]{0,5})?|\\[[0-9a-f:]{2,20}\\](:[0-9]{1,5})?"
        ) {
            if let Ok(authority) = Authority::parse(&text) {
                prop_assert_eq!(Authority::parse(&authority.to_string()), Ok(authority));
            }
        }
    }
}
