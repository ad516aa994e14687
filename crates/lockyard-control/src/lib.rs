//! The control plane: subscriptions, resource groups, key vaults, managed identities, roles
//! and who has them, the directory's objects.
//!
//! No HTTP and no SQL. Bodies of resources are JSON here, because two faces bring them: Resource
//! Manager's, and templates. Every verb asks the decision itself, beside its effect, and before it
//! says whether something is there.

mod authorization;
mod call;
mod control;
mod decided;
mod directory;
mod error;
mod group;
mod identity;
mod paging;
mod provider;
mod resources;
mod roles;
mod subscription;
mod trail;
mod vault;

pub use call::{Call, Origin};
pub use control::{Control, Setup};
pub use directory::{Membership, Objects, ObjectsError, Told};
pub use error::ControlError;
pub use group::{
    GROUPS_MAX, LOCATION_BYTES_MAX, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX, TAGS_MAX,
};
pub use identity::IDENTITY_NAME_CHARS_MAX;
pub use paging::{ARM_PAGE_MAX, Page, PageError, PageRequest, SkipToken};
pub use provider::{Acted, Put};
pub use roles::DirectoryRoles;
pub use vault::{read_rotation_policy, shown_rotation_policy};
