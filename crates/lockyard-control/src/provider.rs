//! Resource providers: who keeps resources of which type.
//!
//! One table leads from a resource's type to its provider, for Resource Manager's face and for
//! templates alike. A new type is a new line of the table.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_arm::{ResourceId, ResourceType, Scope};
use serde_json::Value;

use crate::{Call, ControlError};

/// What became of a resource that was put.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// It was not there before.
    Created(Value),
    /// It was there, and is as it was asked for now.
    Replaced(Value),
}

/// Keeps the resources of one type.
///
/// Each verb decides for itself whether the caller may, before it says whether something is there.
#[async_trait]
pub(crate) trait Provider: fmt::Debug + Send + Sync {
    /// The resource with this id.
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError>;

    /// The resources at or below `under`; which, the call's filter may say too.
    async fn list(&self, call: &Call, under: &Scope) -> Result<Vec<Value>, ControlError>;

    /// Makes the resource or puts it in the place of the one that is there.
    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError>;

    /// Deletes the resource and tells what it was; `None` if it was not there.
    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError>;
}

/// The types that there are, with their providers.
#[derive(Debug)]
pub(crate) struct Providers(Vec<(&'static str, Arc<dyn Provider>)>);

impl Providers {
    pub(crate) fn new(table: Vec<(&'static str, Arc<dyn Provider>)>) -> Self {
        Self(table)
    }

    /// The provider of a type.
    pub(crate) fn of(&self, kind: &ResourceType) -> Result<&dyn Provider, ControlError> {
        if let Some((_, provider)) = self.0.iter().find(|(name, _)| kind.is(name)) {
            return Ok(provider.as_ref());
        }
        let namespace = kind.namespace();
        let known = self.0.iter().any(|(name, _)| {
            name.split('/').next().is_some_and(|known| known.eq_ignore_ascii_case(namespace))
        });
        Err(if known {
            let message = format!("there are no resources of type `{kind}` here");
            ControlError::missing("InvalidResourceType", message)
        } else {
            let message = format!("there is no resource provider `{namespace}` here");
            ControlError::missing("InvalidResourceNamespace", message)
        })
    }

    /// The names of all types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}
