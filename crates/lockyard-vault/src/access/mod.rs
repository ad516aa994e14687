//! Who may do what with the keys of a vault: the decision, and nothing else.
//!
//! [`authorize`] is a plain function over values. It asks in the order of the service that it
//! imitates: firewall, tenant, permission. Whether the key exists and what its attributes allow is
//! asked afterwards, by whoever acts, so that a caller without rights learns nothing about keys.
//! Being a trusted service comes from what a caller is, never from where it calls from.

mod decide;
mod network;
mod operation;
mod policy;

pub use decide::{NoRoles, Refusal, Roles, RolesUnavailable, authorize};
pub use network::{IpRange, NetworkRules, PublicAccess};
pub use operation::{KeyOperation, KeyOperations, Operation};
pub use policy::{AccessPolicy, Permissions, PolicyEdit};
pub(crate) use policy::{edited, merged};

use std::net::IpAddr;

use lockyard_base::Guid;

/// Who asks, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant that issued the token.
    pub tenant: Guid,
    /// The user or service principal (`oid`).
    pub object: Guid,
    /// The application that the token was issued to (`appid`).
    pub application: Option<Guid>,
    /// The groups that the caller belongs to.
    pub groups: Vec<Guid>,
    /// The resource whose managed identity calls (`xms_mirid`).
    pub resource: Option<String>,
    /// Where the request comes from.
    pub source: Source,
}

/// Where a request comes from, for the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A connection from this address.
    Address(IpAddr),
    /// One of our own services, acting as a managed identity of either kind; it has no address.
    TrustedService,
}
