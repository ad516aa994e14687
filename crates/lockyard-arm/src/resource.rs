//! Resources: ids, and the types that say which room keeps them.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use lockyard_base::Guid;
use thiserror::Error;

use crate::{
    ResourceGroupName, Scope, ScopeError, ScopeLevel,
    spelling::{canonical, is_namespace, is_type},
};

/// The id of a resource: a [`Scope`] that is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Scope);

impl ResourceId {
    /// The id as a scope.
    pub const fn scope(&self) -> &Scope {
        &self.0
    }

    /// The id as a scope.
    pub fn into_scope(self) -> Scope {
        self.0
    }

    /// The subscription that the resource lies in.
    pub fn subscription(&self) -> Option<Guid> {
        self.0.subscription()
    }

    /// The resource group that the resource lies in.
    pub fn resource_group(&self) -> Option<&ResourceGroupName> {
        self.0.resource_group()
    }

    /// The resource's own name, the last of the path.
    pub fn name(&self) -> &str {
        self.0.name().unwrap_or_default()
    }

    /// The resource's type.
    pub fn resource_type(&self) -> ResourceType {
        self.0
            .resource_type()
            .unwrap_or_else(|| ResourceType { namespace: String::new(), kinds: Vec::new() })
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<Scope> for ResourceId {
    type Error = ScopeError;

    fn try_from(scope: Scope) -> Result<Self, ScopeError> {
        if scope.level() == ScopeLevel::Resource { Ok(Self(scope)) } else { Err(ScopeError::Shape) }
    }
}

impl FromStr for ResourceId {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.parse::<Scope>()?.try_into()
    }
}

/// A text that is no resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a resource type looks like `Microsoft.Provider/type` or `Microsoft.Provider/type/child`")]
pub struct ResourceTypeError;

/// A resource's type, `Microsoft.ContainerRegistry/registries`; compared without regard to case.
#[derive(Clone, Debug)]
pub struct ResourceType {
    namespace: String,
    kinds: Vec<String>,
}

impl ResourceType {
    /// The provider's namespace, `Microsoft.ContainerRegistry`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pieces after the namespace, outermost first.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(String::as_str)
    }

    /// Whether this is `Namespace/kind[/kind…]`, in any case.
    pub fn is(&self, text: &str) -> bool {
        self.to_string().eq_ignore_ascii_case(text)
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.namespace)?;
        self.kinds.iter().try_for_each(|kind| write!(f, "/{kind}"))
    }
}

impl FromStr for ResourceType {
    type Err = ResourceTypeError;

    fn from_str(text: &str) -> Result<Self, ResourceTypeError> {
        let mut words = text.split('/');
        let namespace = words.next().filter(|word| is_namespace(word)).ok_or(ResourceTypeError)?;
        let kinds: Vec<&str> = words.collect();
        if kinds.is_empty() || kinds.len() > crate::STEPS_MAX || !kinds.iter().all(|k| is_type(k)) {
            return Err(ResourceTypeError);
        }
        let kinds = kinds.into_iter().map(|kind| canonical(kind).to_owned()).collect();
        Ok(Self { namespace: canonical(namespace).to_owned(), kinds })
    }
}

impl PartialEq for ResourceType {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.to_string())
    }
}

impl Eq for ResourceType {}

impl Hash for ResourceType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().to_ascii_lowercase().hash(state);
    }
}

/// The resources of a path, outermost first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(Vec<Step>);

/// One resource of a path.
#[derive(Clone, Debug)]
struct Step {
    /// Given where a provider begins; otherwise the resource is a child of the one before.
    namespace: Option<String>,
    kind: String,
    name: String,
}

impl Steps {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a resource whose words were checked.
    pub(crate) fn add(&mut self, namespace: Option<&str>, kind: &str, name: &str) {
        let namespace = namespace.map(|namespace| canonical(namespace).to_owned());
        let kind = canonical(kind).to_owned();
        self.0.push(Step { namespace, kind, name: name.to_owned() });
    }

    /// All but the last resource; `None` if there is none.
    pub(crate) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, rest)| Self(rest.to_vec()))
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.0.last().map(|step| step.name.as_str())
    }

    /// The type of the last resource: the namespace that began last, and all kinds since.
    pub(crate) fn resource_type(&self) -> Option<ResourceType> {
        let from = self.0.iter().rposition(|step| step.namespace.is_some())?;
        let steps = self.0.get(from..)?;
        let namespace = steps.first()?.namespace.clone()?;
        let kinds = steps.iter().map(|step| step.kind.clone()).collect();
        Some(ResourceType { namespace, kinds })
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|Step { namespace, kind, name }| match namespace {
            Some(namespace) => write!(f, "/providers/{namespace}/{kind}/{name}"),
            None => write!(f, "/{kind}/{name}"),
        })
    }
}
