//! Scopes: where a role is assigned, where an action happens.
//!
//! A scope is the path of a node in the tree tenant, subscription, resource group, resource, child
//! resource. What is granted at a scope holds for everything that it contains. Two spellings that
//! differ in case are the same scope; a scope whose text merely begins like another's is not
//! inside it.

use std::{
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use lockyard_base::Guid;
use thiserror::Error;

use crate::{
    ResourceId, ResourceType,
    resource::Steps,
    spelling::{is_name, is_namespace, is_type},
};

/// The longest text of a scope in bytes; Azure's longest ids have about a thousand.
pub const SCOPE_BYTES_MAX: usize = 2048;

/// The most resources inside each other in one id.
pub const STEPS_MAX: usize = 12;

/// The longest name of a resource in bytes.
pub const NAME_BYTES_MAX: usize = 260;

/// The longest name of a resource group in bytes.
pub const RESOURCE_GROUP_BYTES_MAX: usize = 90;

/// A text that is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// The text is longer than [`SCOPE_BYTES_MAX`].
    #[error("a scope has at most {SCOPE_BYTES_MAX} bytes")]
    TooLong,
    /// More resources lie inside each other than [`STEPS_MAX`].
    #[error("at most {STEPS_MAX} resources lie inside each other")]
    TooDeep,
    /// A subscription's id is no UUID.
    #[error("a subscription's id is a UUID")]
    Subscription,
    /// The resource group's name cannot be one.
    #[error(
        "a resource group's name has 1 to {RESOURCE_GROUP_BYTES_MAX} letters, digits, `-`, `_`, \
         `.`, `(` and `)`, and does not end with `.`"
    )]
    ResourceGroup,
    /// A resource's or management group's name cannot be one.
    #[error("a name has 1 to {NAME_BYTES_MAX} letters, digits and `-_.()~@+:,`")]
    Name,
    /// A provider's namespace or a type cannot be one.
    #[error("a resource type looks like `Microsoft.Provider/type`")]
    Type,
    /// The path is not built like one.
    #[error(
        "a scope looks like \
         `/subscriptions/<id>[/resourceGroups/<name>[/providers/<namespace>/<type>/<name>]]`"
    )]
    Shape,
}

/// The name of a resource group; compared without regard to case.
#[derive(Clone, Debug)]
pub struct ResourceGroupName(String);

impl ResourceGroupName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is equal for equal names.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for ResourceGroupName {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-_.()".contains(&b);
        let fits = (1..=RESOURCE_GROUP_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(known) && !text.ends_with('.') {
            Ok(Self(text.to_owned()))
        } else {
            Err(ScopeError::ResourceGroup)
        }
    }
}

impl fmt::Display for ResourceGroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for ResourceGroupName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ResourceGroupName {}

impl Hash for ResourceGroupName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().hash(state);
    }
}

/// How far down the tree a scope lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeLevel {
    /// The tenant, `/`.
    Root,
    /// A management group.
    ManagementGroup,
    /// A subscription.
    Subscription,
    /// A resource group.
    ResourceGroup,
    /// A resource, at any depth.
    Resource,
}

/// A node of the tree in which roles are assigned and actions happen.
///
/// Comparison, hashing and containment ignore case. `Display` is the canonical spelling: keywords
/// and known resource types in Azure's spelling, ids of subscriptions in lower case, names as they
/// were written.
#[derive(Clone)]
pub struct Scope {
    base: Base,
    steps: Steps,
    /// The canonical text in lower case, without a trailing slash; empty for the root.
    folded: String,
}

/// The part of a scope above resources.
#[derive(Clone, Debug)]
enum Base {
    Root,
    ManagementGroup(String),
    Subscription(Guid),
    ResourceGroup(Guid, ResourceGroupName),
}

impl Scope {
    /// The whole tenant, `/`.
    pub fn root() -> Self {
        Self::build(Base::Root, Steps::default())
    }

    /// A subscription.
    pub fn of_subscription(id: Guid) -> Self {
        Self::build(Base::Subscription(id), Steps::default())
    }

    /// A resource group of a subscription.
    pub fn of_resource_group(subscription: Guid, name: ResourceGroupName) -> Self {
        Self::build(Base::ResourceGroup(subscription, name), Steps::default())
    }

    fn build(base: Base, steps: Steps) -> Self {
        let mut scope = Self { base, steps, folded: String::new() };
        scope.folded = scope.to_string().to_ascii_lowercase();
        if scope.folded == "/" {
            scope.folded.clear();
        }
        scope
    }

    /// The resource that `provider` (`Microsoft.Name`) keeps under this scope by type and name.
    ///
    /// `provider` may be left out if the scope is a resource: then this is a child of it.
    pub fn child(
        &self,
        provider: Option<&str>,
        kind: &str,
        name: &str,
    ) -> Result<Self, ScopeError> {
        let mut steps = self.steps.clone();
        steps.push(provider, kind, name)?;
        let child = Self::build(self.base.clone(), steps);
        if child.folded.len() > SCOPE_BYTES_MAX { Err(ScopeError::TooLong) } else { Ok(child) }
    }

    /// How far down the tree this is.
    pub fn level(&self) -> ScopeLevel {
        match &self.base {
            _ if !self.steps.is_empty() => ScopeLevel::Resource,
            Base::Root => ScopeLevel::Root,
            Base::ManagementGroup(_) => ScopeLevel::ManagementGroup,
            Base::Subscription(_) => ScopeLevel::Subscription,
            Base::ResourceGroup(..) => ScopeLevel::ResourceGroup,
        }
    }

    /// The subscription that this is or lies in.
    pub fn subscription(&self) -> Option<Guid> {
        match &self.base {
            Base::Subscription(id) | Base::ResourceGroup(id, _) => Some(*id),
            Base::Root | Base::ManagementGroup(_) => None,
        }
    }

    /// The resource group that this is or lies in.
    pub fn resource_group(&self) -> Option<&ResourceGroupName> {
        match &self.base {
            Base::ResourceGroup(_, name) => Some(name),
            Base::Root | Base::ManagementGroup(_) | Base::Subscription(_) => None,
        }
    }

    /// The resource's type, if this is a resource.
    pub fn resource_type(&self) -> Option<ResourceType> {
        self.steps.resource_type()
    }

    /// The last name of the path: a resource's, a resource group's, a management group's.
    pub fn name(&self) -> Option<&str> {
        self.steps.name().or(match &self.base {
            Base::Root | Base::Subscription(_) => None,
            Base::ManagementGroup(name) => Some(name),
            Base::ResourceGroup(_, name) => Some(name.as_str()),
        })
    }

    /// The scope that this one lies in; the root lies in none.
    ///
    /// Which management group a subscription belongs to is not written in its id, so that a
    /// subscription's parent is the root.
    pub fn parent(&self) -> Option<Self> {
        if let Some(steps) = self.steps.parent() {
            return Some(Self::build(self.base.clone(), steps));
        }
        match &self.base {
            Base::Root => None,
            Base::ManagementGroup(_) | Base::Subscription(_) => Some(Self::root()),
            Base::ResourceGroup(subscription, _) => Some(Self::of_subscription(*subscription)),
        }
    }

    /// Whether `other` is this scope or lies in it.
    ///
    /// A management group contains only itself and what is kept directly under it: the ids of
    /// subscriptions do not tell which group they are in.
    pub fn contains(&self, other: &Self) -> bool {
        match other.folded.strip_prefix(self.folded.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// The form that is equal for equal scopes: an index key.
    pub fn folded(&self) -> &str {
        if self.folded.is_empty() { "/" } else { &self.folded }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Root if self.steps.is_empty() => f.write_str("/")?,
            Base::Root => {}
            Base::ManagementGroup(name) => {
                write!(f, "/providers/Microsoft.Management/managementGroups/{name}")?;
            }
            Base::Subscription(id) => write!(f, "/subscriptions/{id}")?,
            Base::ResourceGroup(id, name) => {
                write!(f, "/subscriptions/{id}/resourceGroups/{name}")?;
            }
        }
        write!(f, "{}", self.steps)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({self})")
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Scope {}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded.hash(state);
    }
}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}

impl From<ResourceId> for Scope {
    fn from(id: ResourceId) -> Self {
        id.into_scope()
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// Reads a path that begins with `/`; a slash at its end is ignored. Not percent-decoded.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.len() > SCOPE_BYTES_MAX {
            return Err(ScopeError::TooLong);
        }
        let path = text.strip_prefix('/').ok_or(ScopeError::Shape)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return if text == "/" { Ok(Self::root()) } else { Err(ScopeError::Shape) };
        }
        let words: Vec<&str> = path.split('/').collect();
        let (base, rest) = base(&words)?;
        Ok(Self::build(base, steps(rest)?))
    }
}

/// Reads what comes before the first resource.
fn base<'w>(words: &'w [&'w str]) -> Result<(Base, &'w [&'w str]), ScopeError> {
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    match words {
        [subscriptions, id, rest @ ..] if is(subscriptions, "subscriptions") => {
            let id: Guid = id.parse().map_err(|_| ScopeError::Subscription)?;
            match rest {
                [groups, name, rest @ ..] if is(groups, "resourceGroups") => {
                    Ok((Base::ResourceGroup(id, name.parse()?), rest))
                }
                rest => Ok((Base::Subscription(id), rest)),
            }
        }
        [providers, namespace, kind, name, rest @ ..]
            if is(providers, "providers")
                && is(namespace, "Microsoft.Management")
                && is(kind, "managementGroups") =>
        {
            if name.len() > NAME_BYTES_MAX || !is_name(name) {
                return Err(ScopeError::Name);
            }
            Ok((Base::ManagementGroup((*name).to_owned()), rest))
        }
        rest => Ok((Base::Root, rest)),
    }
}

/// Reads the resources: `providers/<namespace>/<type>/<name>`, then `<type>/<name>` and so on.
fn steps(mut words: &[&str]) -> Result<Steps, ScopeError> {
    let mut steps = Steps::default();
    loop {
        match words {
            [] => return Ok(steps),
            [providers, namespace, kind, name, rest @ ..]
                if providers.eq_ignore_ascii_case("providers") =>
            {
                steps.push(Some(namespace), kind, name)?;
                words = rest;
            }
            [kind, name, rest @ ..]
                if !steps.is_empty() && !kind.eq_ignore_ascii_case("providers") =>
            {
                steps.push(None, kind, name)?;
                words = rest;
            }
            _ => return Err(ScopeError::Shape),
        }
    }
}

impl Steps {
    /// Adds a resource inside the last one.
    fn push(&mut self, provider: Option<&str>, kind: &str, name: &str) -> Result<(), ScopeError> {
        if self.len() >= STEPS_MAX {
            return Err(ScopeError::TooDeep);
        }
        match provider {
            Some(namespace) if !is_namespace(namespace) => return Err(ScopeError::Type),
            None if self.is_empty() => return Err(ScopeError::Shape),
            Some(_) | None => {}
        }
        if !is_type(kind) {
            return Err(ScopeError::Type);
        }
        if name.len() > NAME_BYTES_MAX || !is_name(name) {
            return Err(ScopeError::Name);
        }
        self.add(provider, kind, name);
        Ok(())
    }
}
