//! Configuration: flags, a TOML file and the environment, read once and turned into values that
//! make sense.
//!
//! Flags win over the file, the file over defaults. Nothing else in the program reads the
//! environment or the command line, and nothing past this room meets a setting that contradicts
//! another.

mod address;
mod domain;
mod environment;
mod file;
mod flags;
mod otlp;

use std::{net::SocketAddr, path::PathBuf};

use lockyard_access::ClientId;
use lockyard_egress::Allowance;
use serde::Deserialize;
use thiserror::Error;

pub(crate) use address::LoopbackAddr;
pub(crate) use domain::Domain;
pub(crate) use environment::Environment;
pub(crate) use flags::{DataFlags, ServeFlags};
pub(crate) use otlp::OtlpUrl;

use file::Settings;

const DATA_DIR: &str = "./lockyard-data";
const SERVICE_KEY: &str = "service.key";
const VAULT_DIR: &str = "vault";
const AUDIT_DIR: &str = "audit";
const VAULT_KEY: &str = "vault.key";
const CREDENTIAL: &str = "lockyard-service-key";

/// Where everything lies that outlives the process.
#[derive(Clone, Debug)]
pub(crate) struct DataConfig {
    /// The data directory, absolute.
    pub(crate) data_dir: PathBuf,
    /// The embedded vault's directory.
    pub(crate) vault_dir: PathBuf,
    /// The file that holds the embedded vault's root key.
    pub(crate) vault_key: PathBuf,
    /// Whether the root key lies in the data directory because nothing else was said.
    pub(crate) vault_key_beside: bool,
    /// The audit trail's directory.
    pub(crate) audit_dir: PathBuf,
    /// What becomes of a use of a key that can't be recorded.
    pub(crate) audit_unwritable: AuditUnwritable,
    /// A file that gets every audit event in clear, if wanted.
    pub(crate) audit_json: Option<PathBuf>,
    /// What opens the service key.
    pub(crate) service: ServiceSource,
}

/// What becomes of a use of a key that can't be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditUnwritable {
    /// It is refused.
    #[default]
    Refuse,
    /// It is done all the same, and the trail says later how many it missed.
    Allow,
}

/// What opens the service key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceSource {
    /// A file that systemd passes to the unit.
    Credential(PathBuf),
    /// A key file that the operator keeps.
    File(PathBuf),
    /// The key file inside the data directory, because nothing else was said.
    Beside(PathBuf),
    /// A file with a passphrase, or `-` for standard input.
    Passphrase(PathBuf),
}

/// Everything that a server needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ServeConfig {
    /// Where its data lies.
    pub(crate) data: DataConfig,
    /// The domain of all host names.
    pub(crate) domain: Domain,
    /// The HTTPS listener.
    pub(crate) https: SocketAddr,
    /// The plain listener of the default registry.
    pub(crate) http: LoopbackAddr,
    /// The CONNECT listener, if wanted.
    pub(crate) connect_proxy: Option<LoopbackAddr>,
    /// The managed identities' listener, if wanted.
    pub(crate) identity_endpoint: Option<LoopbackAddr>,
    /// Which managed identity every program of this machine may be, if any.
    pub(crate) machine_identity: Option<ClientId>,
    /// What requests to other servers may reach beyond the public Internet.
    pub(crate) egress_allow: Vec<Allowance>,
    /// Whose certificates they believe besides the machine's own store.
    pub(crate) egress_roots: Option<PathBuf>,
    /// The collector that gets every audit event, if one is wanted.
    pub(crate) audit_otlp: Option<OtlpUrl>,
    /// A file with headers that it wants.
    pub(crate) audit_otlp_headers: Option<PathBuf>,
    /// Health and metrics.
    pub(crate) ops: SocketAddr,
    /// Whose certificate is shown.
    pub(crate) certificate: CertificateSource,
    /// The port in published URLs; `None` is the HTTPS listener's.
    pub(crate) public_port: Option<u16>,
    /// Whether the plain listener asks for a login.
    pub(crate) http_login: bool,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// How much is logged.
    pub(crate) log_level: LogLevel,
}

/// Whose certificate the HTTPS listener shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertificateSource {
    /// One from the instance's own authority.
    LocalAuthority,
    /// The operator's, in PEM files.
    Files {
        /// The certificate and its intermediates.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For reading.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Failures only.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

/// The configuration makes no sense.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file `{}` is not understood, line {line}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// One of two settings that need each other.
    #[error("`tls-cert` and `tls-key` go together: give both or neither")]
    HalfCertificate,
    /// Two settings that exclude each other.
    #[error("`service-key` and `passphrase-file` exclude each other: give the one that opens")]
    TwoSecrets,
    /// An identity without a listener.
    #[error("`machine-identity` needs `identity-endpoint`: say where programs ask")]
    NowhereToAsk,
    /// Headers without a collector.
    #[error("`audit-otlp-headers` needs `audit-otlp`: say where audit events are sent")]
    NoCollector,
    /// A relative path without a working directory.
    #[error("the working directory cannot be found; give absolute paths")]
    WorkingDirectory(#[source] std::io::Error),
}

impl DataConfig {
    /// Resolves the settings of commands that work on data and do not serve.
    pub(crate) fn resolve(flags: DataFlags, env: &Environment) -> Result<Self, ConfigError> {
        let file = Settings::load(flags.config.as_deref())?;
        Self::from_parts(flags, &file, env)
    }

    fn from_parts(
        flags: DataFlags,
        file: &Settings,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        let absolute =
            |path: PathBuf| std::path::absolute(path).map_err(ConfigError::WorkingDirectory);
        let chosen = |flag: Option<PathBuf>, file: &Option<PathBuf>| {
            flag.or_else(|| file.clone()).map(absolute).transpose()
        };
        let data_dir = match chosen(flags.data_dir, &file.data_dir)? {
            Some(dir) => dir,
            None => absolute(DATA_DIR.into())?,
        };
        let vault_dir = chosen(flags.vault_dir, &file.vault_dir)?;
        let vault_dir = vault_dir.unwrap_or_else(|| data_dir.join(VAULT_DIR));
        let audit_dir = chosen(flags.audit_dir, &file.audit_dir)?;
        let vault_key = chosen(flags.vault_key, &file.vault_key)?;
        // A flag for one of the two overrules the file's word on the other.
        let flagged = flags.service_key.is_some() || flags.passphrase_file.is_some();
        let none = None;
        let from_file = |setting| if flagged { &none } else { setting };
        let key_file = chosen(flags.service_key, from_file(&file.service_key))?;
        let passphrase = flags.passphrase_file.or_else(|| from_file(&file.passphrase_file).clone());
        let service = match (key_file, passphrase) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoSecrets),
            (Some(path), None) => ServiceSource::File(path),
            (None, Some(path)) => ServiceSource::Passphrase(path),
            (None, None) => match env.credential(CREDENTIAL) {
                Some(path) => ServiceSource::Credential(path),
                None => ServiceSource::Beside(data_dir.join(SERVICE_KEY)),
            },
        };
        Ok(Self {
            vault_key_beside: vault_key.is_none(),
            audit_dir: audit_dir.unwrap_or_else(|| vault_dir.join(AUDIT_DIR)),
            audit_unwritable: flags.audit_unwritable.or(file.audit_unwritable).unwrap_or_default(),
            audit_json: chosen(flags.audit_json, &file.audit_json)?,
            vault_dir,
            vault_key: vault_key.unwrap_or_else(|| data_dir.join(VAULT_KEY)),
            service,
            data_dir,
        })
    }
}

impl ServeConfig {
    /// Resolves a server's settings.
    pub(crate) fn resolve(flags: ServeFlags, env: &Environment) -> Result<Self, ConfigError> {
        let file = Settings::load(flags.data.config.as_deref())?;
        Self::from_parts(flags, file, env)
    }

    fn from_parts(
        flags: ServeFlags,
        file: Settings,
        env: &Environment,
    ) -> Result<Self, ConfigError> {
        let data = DataConfig::from_parts(flags.data, &file, env)?;
        let certificate = match (flags.tls_cert.or(file.tls_cert), flags.tls_key.or(file.tls_key)) {
            (None, None) => CertificateSource::LocalAuthority,
            (Some(certificate), Some(key)) => CertificateSource::Files { certificate, key },
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfCertificate),
        };
        let identity_endpoint = flags.identity_endpoint.or(file.identity_endpoint);
        let machine_identity = flags.machine_identity.or(file.machine_identity);
        if machine_identity.is_some() && identity_endpoint.is_none() {
            return Err(ConfigError::NowhereToAsk);
        }
        let audit_otlp = flags.audit_otlp.or(file.audit_otlp);
        let audit_otlp_headers = flags.audit_otlp_headers.or(file.audit_otlp_headers);
        if audit_otlp_headers.is_some() && audit_otlp.is_none() {
            return Err(ConfigError::NoCollector);
        }
        let mut egress_allow = flags.egress_allow;
        if egress_allow.is_empty() {
            egress_allow = file.egress_allow;
        }
        Ok(Self {
            data,
            identity_endpoint,
            machine_identity,
            egress_allow,
            egress_roots: flags.egress_roots.or(file.egress_roots),
            audit_otlp,
            audit_otlp_headers,
            domain: flags.domain.or(file.domain).unwrap_or_default(),
            https: flags.https.or(file.https).unwrap_or_else(|| local(8443)),
            http: flags.http.or(file.http).unwrap_or_else(|| LoopbackAddr::local(5000)),
            connect_proxy: flags.connect_proxy.or(file.connect_proxy),
            ops: flags.ops.or(file.ops).unwrap_or_else(|| local(9464)),
            certificate,
            public_port: flags.public_port.or(file.public_port),
            http_login: flags.http_login.or(file.http_login).unwrap_or(false),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            log_level: flags.log_level.or(file.log_level).unwrap_or_default(),
        })
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests;
