//! What the operator allows beyond the public Internet over TLS.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::is_public;

/// One thing that the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// A host by its name may have any address; with a port, on that port only.
    Host {
        /// In lower case, without a trailing dot.
        host: String,
        /// The port, if only one is meant.
        port: Option<u16>,
        /// Whether it may be asked without TLS.
        plain: bool,
    },
    /// Any host may have an address of this range.
    Range(IpNet),
}

/// A text that allows nothing that is understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseAllowanceError {
    /// It is nothing that can be allowed.
    #[error(
        "`{0}` is no host name, `host:port`, `http://host:port`, address or range like 10.0.0.0/8"
    )]
    Form(String),
    /// It is no URL that can be asked. It is not shown: it may hold a secret.
    #[error("this is no URL like https://host/path")]
    Url,
}

impl Allowance {
    /// Allows the host of a URL that the operator names, on its port, and as plain as the URL is.
    pub fn of_url(url: &str) -> Result<Self, ParseAllowanceError> {
        let uri: http::Uri = url.parse().map_err(|_| ParseAllowanceError::Url)?;
        let (plain, usual) = match uri.scheme_str() {
            Some("https") => (false, 443),
            Some("http") => (true, 80),
            _ => return Err(ParseAllowanceError::Url),
        };
        let authority = uri.authority().ok_or(ParseAllowanceError::Url)?;
        let port = authority.port_u16().unwrap_or(usual);
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(ParseAllowanceError::Url);
        }
        Ok(Self::Host { host: normal(authority.host()), port: Some(port), plain })
    }
}

impl FromStr for Allowance {
    type Err = ParseAllowanceError;

    /// Reads `host`, `host:port`, `http://host[:port]`, an address, or a range in CIDR notation.
    fn from_str(text: &str) -> Result<Self, ParseAllowanceError> {
        let wrong = || ParseAllowanceError::Form(text.to_owned());
        if let Ok(range) = text.parse() {
            return Ok(Self::Range(range));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(address.into()));
        }
        let (plain, rest) = match text.strip_prefix("http://") {
            Some(rest) => (true, rest.trim_end_matches('/')),
            None => (false, text),
        };
        let authority: http::uri::Authority = rest.parse().map_err(|_| wrong())?;
        let port = authority.port_u16();
        let has_port = authority.as_str() != authority.host();
        let named = !authority.host().is_empty() && !authority.as_str().contains(['@', '/', '*']);
        if !named || (has_port && port.is_none()) {
            return Err(wrong());
        }
        Ok(Self::Host { host: normal(authority.host()), port, plain })
    }
}

/// All that the operator allows; by itself, the public Internet over TLS and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Policy(Vec<Allowance>);

impl Policy {
    /// The policy with these allowances.
    pub fn new(allowances: Vec<Allowance>) -> Self {
        Self(allowances)
    }

    /// Whether a host may be asked without TLS.
    pub(crate) fn allows_plain(&self, host: &str, port: u16) -> bool {
        self.hosts(host, port).any(|plain| plain)
    }

    /// Whether a host that has this address may be asked there.
    pub(crate) fn allows(&self, host: &str, port: u16, address: IpAddr) -> bool {
        is_public(address)
            || self.hosts(host, port).next().is_some()
            || self.0.iter().any(|allowance| match allowance {
                Allowance::Range(range) => range.contains(&canonical(address)),
                Allowance::Host { .. } => false,
            })
    }

    fn hosts(&self, asked: &str, at: u16) -> impl Iterator<Item = bool> {
        let asked = normal(asked);
        self.0.iter().filter_map(move |allowance| match allowance {
            Allowance::Host { host, port, plain } => {
                (*host == asked && port.is_none_or(|port| port == at)).then_some(*plain)
            }
            Allowance::Range(_) => None,
        })
    }
}

/// A host as it is compared: in lower case, without a trailing dot or an address's brackets.
fn normal(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// An IPv4 address in IPv6's clothes is taken for what it is when ranges are compared.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr { .. }) => address,
        IpAddr::V6(v6) => Ipv6Addr::to_canonical(&v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowances: &[&str]) -> Policy {
        Policy::new(allowances.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn only_what_is_named_is_allowed() {
        let policy = policy(&["keys.corp", "http://dev.corp:8080", "10.1.0.0/16", "fd00::7"]);
        let inside: IpAddr = "192.168.0.1".parse().unwrap();
        assert!(policy.allows("KEYS.corp.", 443, inside));
        assert!(!policy.allows_plain("keys.corp", 443));
        assert!(policy.allows("dev.corp", 8080, inside) && policy.allows_plain("dev.corp", 8080));
        assert!(!policy.allows("dev.corp", 443, inside) && !policy.allows_plain("dev.corp", 80));
        assert!(!policy.allows("other.corp", 443, inside));
        assert!(!policy.allows("a.keys.corp", 443, inside));
        assert!(policy.allows("x", 443, "10.1.255.255".parse().unwrap()));
        assert!(policy.allows("x", 443, "::ffff:10.1.0.1".parse().unwrap()));
        assert!(!policy.allows("x", 443, "10.2.0.0".parse().unwrap()));
        assert!(policy.allows("x", 443, "fd00::7".parse().unwrap()));
        assert!(!policy.allows("x", 443, "fd00::8".parse().unwrap()));
        assert!(policy.allows("x", 443, "1.1.1.1".parse().unwrap()));
    }

    #[test]
    fn a_url_allows_its_host_on_its_port_and_no_more() {
        let policy = |url: &str| Policy::new(vec![Allowance::of_url(url).unwrap()]);
        let inside: IpAddr = "127.0.0.1".parse().unwrap();
        let plain = policy("http://Sink.corp/v1/logs");
        assert!(plain.allows("sink.corp", 80, inside) && plain.allows_plain("sink.corp", 80));
        assert!(!plain.allows("sink.corp", 81, inside) && !plain.allows("x", 80, inside));
        let secure = policy("https://127.0.0.1:4318");
        assert!(secure.allows("127.0.0.1", 4318, inside));
        assert!(!secure.allows_plain("127.0.0.1", 4318));
        assert!(policy("https://[::1]:4318/").allows("::1", 4318, "::1".parse().unwrap()));
        for wrong in
            ["", "sink.corp", "/v1/logs", "ftp://a/", "http://", "http://u:p@a/", "http:// a"]
        {
            assert_eq!(Allowance::of_url(wrong), Err(ParseAllowanceError::Url), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["", "https://a", "a/b", "a:b", "a:", "a:70000", "u@a", "*.corp", "10.0.0.0/33"]
        {
            assert!(text.parse::<Allowance>().is_err(), "{text}");
        }
    }
}
