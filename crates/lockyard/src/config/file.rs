//! The configuration file: the same words as the flags, in TOML.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use lockyard_access::ClientId;
use lockyard_egress::Allowance;
use serde::{Deserialize, Deserializer, de};

use super::{AuditUnwritable, ConfigError, Domain, LogFormat, LogLevel, LoopbackAddr, OtlpUrl};

/// What a configuration file may say; every word is optional, and no other is accepted.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) vault_dir: Option<PathBuf>,
    pub(super) vault_key: Option<PathBuf>,
    pub(super) audit_dir: Option<PathBuf>,
    pub(super) audit_unwritable: Option<AuditUnwritable>,
    pub(super) audit_json: Option<PathBuf>,
    pub(super) service_key: Option<PathBuf>,
    pub(super) passphrase_file: Option<PathBuf>,
    pub(super) domain: Option<Domain>,
    pub(super) https: Option<SocketAddr>,
    pub(super) http: Option<LoopbackAddr>,
    pub(super) connect_proxy: Option<LoopbackAddr>,
    pub(super) identity_endpoint: Option<LoopbackAddr>,
    #[serde(default, deserialize_with = "parsed")]
    pub(super) machine_identity: Option<ClientId>,
    #[serde(default, deserialize_with = "all_parsed")]
    pub(super) egress_allow: Vec<Allowance>,
    pub(super) egress_roots: Option<PathBuf>,
    pub(super) audit_otlp: Option<OtlpUrl>,
    pub(super) audit_otlp_headers: Option<PathBuf>,
    pub(super) ops: Option<SocketAddr>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) public_port: Option<u16>,
    pub(super) http_login: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log_level: Option<LogLevel>,
}

/// Reads a text of another room's, which says itself what is wrong with it.
fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}

fn all_parsed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

impl Settings {
    /// Reads the file, or nothing if none is named.
    pub(super) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            ConfigError::Parse {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                reason: error.message().replace('\n', " "),
            }
        })
    }
}
