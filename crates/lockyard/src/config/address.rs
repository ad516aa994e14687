//! Addresses that must not be reachable from other machines.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// A socket address of this machine's loopback interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoopbackAddr(SocketAddr);

/// A text that is no loopback address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum LoopbackAddrError {
    /// Not an address at all.
    #[error("`{0}` is not an address and port such as 127.0.0.1:5000")]
    Form(String),
    /// An address that other machines may reach.
    #[error(
        "{0} is not a loopback address: this listener has no TLS, so it serves this machine only; \
         use 127.0.0.1 or [::1], and the HTTPS listener for everybody else"
    )]
    Reachable(SocketAddr),
}

impl LoopbackAddr {
    /// The IPv4 loopback address with this port.
    pub(crate) fn local(port: u16) -> Self {
        Self(super::local(port))
    }

    /// The address.
    pub(crate) const fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for LoopbackAddr {
    type Err = LoopbackAddrError;

    fn from_str(text: &str) -> Result<Self, LoopbackAddrError> {
        let address: SocketAddr =
            text.parse().map_err(|_| LoopbackAddrError::Form(text.to_owned()))?;
        if address.ip().to_canonical().is_loopback() {
            Ok(Self(address))
        } else {
            Err(LoopbackAddrError::Reachable(address))
        }
    }
}

impl fmt::Display for LoopbackAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for LoopbackAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_taken() {
        for text in ["127.0.0.1:0", "127.9.9.9:5000", "[::1]:5000", "[::ffff:127.0.0.1]:1"] {
            assert!(text.parse::<LoopbackAddr>().is_ok(), "{text}");
        }
        for text in ["0.0.0.0:5000", "[::]:5000", "10.0.0.1:5000", "[2001:db8::1]:5000"] {
            let refused = text.parse::<LoopbackAddr>();
            assert!(matches!(refused, Err(LoopbackAddrError::Reachable(_))), "{text}");
        }
        for text in ["", "localhost:5000", "127.0.0.1", ":5000", "127.0.0.1:70000"] {
            let refused = text.parse::<LoopbackAddr>();
            assert!(matches!(refused, Err(LoopbackAddrError::Form(_))), "{text}");
        }
    }
}
