//! Resource providers: who keeps resources of which type.
//!
//! One table leads from a resource's type to its provider, for Resource Manager's face and for
//! templates alike. A new type is a new line of the table.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_arm::{ResourceId, ResourceType, Scope};
use serde_json::Value;

use crate::{Call, ControlError, Page};

/// What became of a resource that was put.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// It was not there before.
    Created(Value),
    /// It was there, and is as it was asked for now.
    Replaced(Value),
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Acted {
    /// It is done, and this is what it tells.
    Told(Value),
    /// It is done, and there is nothing to tell.
    Done,
}

/// A resource in a list of resources of every type.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Its id.
    pub(crate) id: ResourceId,
    /// The name of its location.
    pub(crate) location: String,
    /// Its tags.
    pub(crate) tags: Value,
}

/// Keeps the resources of one type.
///
/// Each verb decides for itself whether the caller may, before it says whether something is there.
/// A type that lacks a verb leaves it out.
#[async_trait]
pub(crate) trait Provider: fmt::Debug + Send + Sync {
    /// The resource with this id.
    async fn get(&self, _call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        Err(lacks(&id.resource_type(), "be shown"))
    }

    /// The resources at or below `under`; which, the call's filter may say too, and which part of
    /// them, its page.
    async fn list(&self, _call: &Call, _under: &Scope) -> Result<Page, ControlError> {
        Err(ControlError::unsupported("resources of this type cannot be listed"))
    }

    /// Makes the resource or puts it in the place of the one that is there.
    async fn put(&self, _call: &Call, id: &ResourceId, _body: &Value) -> Result<Put, ControlError> {
        Err(lacks(&id.resource_type(), "be made or replaced"))
    }

    /// Changes what the body names of a resource, and tells what it is now.
    async fn patch(
        &self,
        _call: &Call,
        id: &ResourceId,
        _body: &Value,
    ) -> Result<Value, ControlError> {
        Err(lacks(&id.resource_type(), "be changed in part"))
    }

    /// Deletes the resource and tells what it was; `None` if it was not there.
    async fn delete(&self, _call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        Err(lacks(&id.resource_type(), "be deleted"))
    }

    /// Does something else with a resource (`POST {id}/{action}`).
    async fn act(
        &self,
        _call: &Call,
        id: &ResourceId,
        action: &str,
        _body: &Value,
    ) -> Result<Acted, ControlError> {
        let kind = id.resource_type();
        let message = format!("there is no action `{action}` for resources of type `{kind}`");
        Err(ControlError::unsupported(message))
    }

    /// Answers a question that is about no resource (`POST {scope}/providers/{type}`); the type is
    /// the question's name.
    async fn ask(&self, _call: &Call, _at: &Scope, _body: &Value) -> Result<Acted, ControlError> {
        Err(ControlError::unsupported("resources are made with PUT, each at its own address"))
    }

    /// The resources at or below `under` that stand in lists of resources of every type. Whether
    /// the caller may see each is not decided here.
    async fn listed(&self, _under: &Scope) -> Result<Vec<Listed>, ControlError> {
        Ok(Vec::new())
    }

    /// What of this type lies in a resource group; blocks. It is asked while the directory lets
    /// nothing change, too.
    fn inside(&self, _group: &Scope) -> Result<Vec<ResourceId>, ControlError> {
        Ok(Vec::new())
    }

    /// Deletes a resource and records it, because its resource group is about to be deleted and the
    /// caller may do that; blocks. One that is gone already is no error.
    fn clear(&self, _call: &Call, _group: &Scope, id: &ResourceId) -> Result<(), ControlError> {
        Err(lacks(&id.resource_type(), "be deleted"))
    }
}

/// A resource of this type cannot have that done to it.
fn lacks(kind: &ResourceType, what: &str) -> ControlError {
    ControlError::unsupported(format!("a resource of type `{kind}` cannot {what}"))
}

/// The types that there are, with their providers.
#[derive(Clone, Debug)]
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

    /// All providers; one of several types comes several times.
    pub(crate) fn all(&self) -> impl Iterator<Item = &dyn Provider> {
        self.0.iter().map(|(_, provider)| provider.as_ref())
    }

    /// The names of all types.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}
