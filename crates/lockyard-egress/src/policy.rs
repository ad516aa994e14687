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
#[error("`{0}` is no host name, `host:port`, `http://host:port`, address or range like 10.0.0.0/8")]
pub struct ParseAllowanceError(String);

impl FromStr for Allowance {
    type Err = ParseAllowanceError;

    /// Reads `host`, `host:port`, `http://host[:port]`, an address, or a range in CIDR notation.
    fn from_str(text: &str) -> Result<Self, ParseAllowanceError> {
        let wrong = || ParseAllowanceError(text.to_owned());
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

fn normal(host: &str) -> String {
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
    fn what_is_not_understood_is_refused() {
        for text in ["", "https://a", "a/b", "a:b", "a:", "a:70000", "u@a", "*.corp", "10.0.0.0/33"]
        {
            assert!(text.parse::<Allowance>().is_err(), "{text}");
        }
    }
}
