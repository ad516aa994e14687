//! Vaults: what one is, how it is made, changed, deleted, recovered and purged.
//!
//! A deleted vault keeps its name, its keys and its policies until it is purged; what it loses are
//! grants (BEHAVIOUR rule 47). These verbs answer the control plane, which has authorized its
//! caller by then; nothing here looks at keys' contents.

mod lifecycle;
mod list;
mod properties;
mod put;
mod record;
mod tags;

pub use lifecycle::Purged;
pub(crate) use lifecycle::deletion;
pub use list::NameAvailability;
pub use properties::{
    DecidedBy, Decision, DeletedAt, Enablements, PermissionModel, Placement, RecoveryLevel, Sku,
    VaultProperties,
};
pub use put::{CreateMode, ModelChoice, PutVault, VaultChange, VaultRequest};
pub(crate) use record::{FoundVault, OpenedVaults, name_place, with_record_place};
pub use tags::Tags;
