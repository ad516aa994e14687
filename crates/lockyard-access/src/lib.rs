//! Who somebody is and what they may do: directory, tokens and decisions. No HTTP, no SQL.
//!
//! Everything that it keeps is a sealed record of the instance, readable while registries are
//! locked.

pub mod decision;
pub mod directory;
pub mod issuer;
mod record;
pub mod registry_token;

pub use decision::{PrincipalId, RoleAssignment, RoleDefinition, RoleDefinitionId};
pub use directory::{ClientId, CredentialId, Directory, Proof, Snapshot, SubscriptionId, TenantId};
pub use issuer::{Audience, Caller, Issuer, Origins, TokenError};
pub use record::{Record, RecordError, RecordTxn, Records, SWEPT_AT_ONCE, Seal};
