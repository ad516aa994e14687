//! The firewall: from which addresses a vault's keys can be used.
//!
//! It guards the data plane only. `virtualNetworkRules` have no meaning without virtual networks
//! and are refused rather than ignored.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::Source;
use crate::{VaultError, words::words};

/// The most address ranges of one vault.
const RANGES_MAX: usize = 1000;

words! {
    /// Whether a vault can be reached from outside at all (`publicNetworkAccess`).
    PublicAccess {
        /// As the rules say.
        Enabled = "Enabled",
        /// By trusted services alone, whatever the address rules say.
        Disabled = "Disabled",
        /// By nobody, trusted services included.
        SecuredByPerimeter = "SecuredByPerimeter",
    }
}

/// An address or a range of addresses, IPv4 or IPv6; keeps its author's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpRange {
    text: String,
    range: IpNet,
}

impl IpRange {
    /// Whether the range holds this address; an IPv4 address that is mapped into IPv6 counts as
    /// itself.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.range.contains(&address.to_canonical())
    }
}

impl FromStr for IpRange {
    type Err = VaultError;

    /// Reads `203.0.113.7`, `203.0.113.0/24`, `2001:db8::1` or `2001:db8::/32`.
    fn from_str(text: &str) -> Result<Self, VaultError> {
        let range = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| VaultError::BadRequest(format!("`{text}` is no address or range")))?;
        // A mapped range would never match, since addresses are compared in their own family.
        if let IpNet::V6(mapped) = range
            && mapped.addr().to_ipv4_mapped().is_some()
        {
            return Err(VaultError::BadRequest(format!("write `{text}` as an IPv4 range")));
        }
        Ok(Self { text: text.to_owned(), range })
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The address rules of a vault (`networkAcls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRules {
    /// Whether trusted services pass (`bypass: AzureServices`).
    pub bypass_trusted_services: bool,
    /// Whether addresses outside all ranges pass (`defaultAction: Allow`).
    pub allow_by_default: bool,
    /// The addresses that pass in any case.
    pub ranges: Vec<IpRange>,
}

impl Default for NetworkRules {
    fn default() -> Self {
        Self { bypass_trusted_services: true, allow_by_default: true, ranges: Vec::new() }
    }
}

impl NetworkRules {
    /// Whether a request from there passes.
    pub fn pass(&self, public: PublicAccess, source: Source) -> bool {
        let open = public == PublicAccess::Enabled;
        match source {
            Source::TrustedService => match public {
                PublicAccess::SecuredByPerimeter => false,
                PublicAccess::Enabled | PublicAccess::Disabled => {
                    self.bypass_trusted_services || (open && self.allow_by_default)
                }
            },
            Source::Address(address) => {
                open && (self.allow_by_default
                    || self.ranges.iter().any(|range| range.holds(address)))
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), VaultError> {
        if self.ranges.len() > RANGES_MAX {
            return Err(VaultError::BadRequest(format!(
                "a vault has at most {RANGES_MAX} address rules"
            )));
        }
        Ok(())
    }
}
