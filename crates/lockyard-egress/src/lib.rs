//! The one way out: requests to servers that are not ours.
//!
//! Where a request goes is often said by a stranger: an issuer's key set, a webhook, a template.
//! So whoever asks goes through here (DESIGN 9): a name is resolved once, every address that it
//! has is looked at, and the connection goes to an address that was looked at. Addresses of this
//! machine and of private networks are refused unless the operator allows them, TLS is a must
//! unless the operator says otherwise, redirects are not followed, and size and time are bounded.
//!
//! It never hands a foreign text to an error: what a stranger's server says must not come back to
//! whoever made us ask. It reads no proxy settings: the proxy would resolve in our place.

mod address;
mod client;
mod policy;
mod resolve;
mod roots;

pub use address::is_public;
pub use client::{Answer, Egress, EgressError, Limits, REQUESTS_AT_ONCE_MAX};
pub use policy::{Allowance, ParseAllowanceError, Policy};
pub use resolve::{Resolve, SystemResolver};
pub use roots::{Roots, RootsError};
