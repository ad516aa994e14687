//! The flags that several commands share. Their first lines are what `--help` shows.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use lockyard_access::ClientId;
use lockyard_egress::Allowance;

use super::{AuditUnwritable, Domain, LogFormat, LogLevel, LoopbackAddr, OtlpUrl};

/// Where the data lies and what opens it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DataFlags {
    /// A TOML file with the same words as the flags; flags win
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./lockyard-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The embedded vault's own directory [default: vault in the data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) vault_dir: Option<PathBuf>,
    /// The embedded vault's root key; keep it elsewhere [default: vault.key in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) vault_key: Option<PathBuf>,
    /// The audit trail's directory, best on a disk of its own [default: audit in the vault's]
    #[arg(long, value_name = "DIR")]
    pub(crate) audit_dir: Option<PathBuf>,
    /// What becomes of a use of a key that can't be recorded [default: refuse]
    #[arg(long, value_name = "WHAT")]
    pub(crate) audit_unwritable: Option<AuditUnwritable>,
    /// A file to which every audit event is written as a line of JSON, in clear [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_json: Option<PathBuf>,
    /// A key file or recovery code that opens the service key; keep it elsewhere
    /// [default: the systemd credential lockyard-service-key, or service.key in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) service_key: Option<PathBuf>,
    /// A file with the passphrase that opens the service key, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "service_key")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// What a server is told.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeFlags {
    #[command(flatten)]
    pub(crate) data: DataFlags,
    /// The domain that all host names lie under [default: localhost]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<Domain>,
    /// Where HTTPS is served [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,
    /// Where the default registry is served without TLS; loopback only [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<LoopbackAddr>,
    /// Where clients with HTTPS_PROXY find our host names without DNS; loopback only [default: off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) connect_proxy: Option<LoopbackAddr>,
    /// Where programs of this machine get tokens of managed identities; loopback only [default: off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) identity_endpoint: Option<LoopbackAddr>,
    /// The client id of the managed identity that every program of this machine may be, as on a
    /// cloud's machine; needs --identity-endpoint [default: none]
    #[arg(long, value_name = "CLIENT_ID")]
    pub(crate) machine_identity: Option<ClientId>,
    /// A host, host:port, http://host:port, address or range that requests to other servers may go
    /// to although it is not public; may be repeated [default: none]
    #[arg(long, value_name = "WHERE")]
    pub(crate) egress_allow: Vec<Allowance>,
    /// Certificates to believe in requests to other servers, besides the machine's own store, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) egress_roots: Option<PathBuf>,
    /// A collector of OpenTelemetry logs, http(s)://host:4318/v1/logs, to which every audit event is
    /// sent (OTLP over HTTP); it learns who does what with which key [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) audit_otlp: Option<OtlpUrl>,
    /// A private file with headers for the collector, one `name: value` a line [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_otlp_headers: Option<PathBuf>,
    /// Where health and metrics are served [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR")]
    pub(crate) ops: Option<SocketAddr>,
    /// Your certificate and its intermediates, PEM [default: one from a local CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Your certificate's private key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The port that published URLs carry [default: the HTTPS port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) public_port: Option<u16>,
    /// Ask for the owner's credentials on the plain listener too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) http_login: Option<bool>,
    /// How log lines look [default: human]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// How much is logged [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<LogLevel>,
}
