//! The HTTP faces of the house: the registry's, the operator's, and the CONNECT proxy.
//!
//! This crate knows HTTP and nothing else: it reads requests into parsed words, makes one call into
//! a room, and renders what comes back. It holds no keys, writes no SQL and decides no access; each
//! of those is somewhere that can be tested without a socket.

mod arm;
mod basic;
mod bearer;
mod caller;
mod challenge;
mod connect;
mod connection;
mod faces;
mod failure;
mod graph;
mod host;
mod intake;
pub mod limit;
mod linger;
mod login;
mod metrics;
mod oauth2;
mod oci;
mod ops;
mod serve;
mod trace;
mod vault;
mod witness;

pub use arm::ROUTES as ARM_ROUTES;
pub use connect::{Proxy, serve_proxy};
pub use connection::Connection;
pub use faces::Faces;
pub use graph::ROUTES as GRAPH_ROUTES;
pub use host::{FixedHost, Names};
pub use login::{IdentityEndpoint, MachineIdentity};
pub use metrics::{KeyCalls, Metrics};
pub use oauth2::{FORM_BYTES_MAX, FORM_FIELDS_MAX};
pub use ops::Ops;
pub use serve::{Led, Served, bind_loopback, serve, serve_led};
pub use trace::CORRELATION_HEADER;
#[cfg(any(test, feature = "testing"))]
pub use vault::reads as read_vault_request;
pub use vault::{KeyVaults, ROUTES as VAULT_ROUTES, Workers};
