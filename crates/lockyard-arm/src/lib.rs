//! The words of Azure Resource Manager as parsed values: scopes, resource ids, versions, errors.
//!
//! Pure: no I/O, no clock, no decisions. Whatever comes from outside as a path or an id is parsed
//! here once, so that nothing further in compares texts that two people may write differently.

mod api_version;
mod az_command;
mod body;
mod error;
mod filter;
pub mod moment;
mod resource;
mod scope;
mod spelling;

pub use api_version::{ApiVersion, ApiVersionError};
pub use az_command::{AzCommand, OPTIONS_MAX};
pub use body::{Body, BodyError};
pub use error::{ArmError, GraphError};
pub use filter::{Condition, FILTER_BYTES_MAX, FILTER_TERMS_MAX, FilterError, parse_filter};
pub use resource::{ResourceId, ResourceType, ResourceTypeError};
pub use scope::{
    NAME_BYTES_MAX, RESOURCE_GROUP_BYTES_MAX, ResourceGroupName, SCOPE_BYTES_MAX, STEPS_MAX, Scope,
    ScopeError, ScopeLevel,
};
