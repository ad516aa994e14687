//! Where audit events are sent.

use std::str::FromStr;

use lockyard_egress::{Allowance, ParseAllowanceError};
use serde::{Deserialize, Deserializer, de};

/// The URL of a collector that takes OpenTelemetry logs over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtlpUrl {
    url: String,
    allowance: Allowance,
}

impl OtlpUrl {
    /// The URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// That its host may be asked, whatever address it has.
    pub(crate) fn allowance(&self) -> &Allowance {
        &self.allowance
    }
}

impl FromStr for OtlpUrl {
    type Err = ParseAllowanceError;

    fn from_str(text: &str) -> Result<Self, ParseAllowanceError> {
        Ok(Self { url: text.to_owned(), allowance: Allowance::of_url(text)? })
    }
}

impl<'de> Deserialize<'de> for OtlpUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
