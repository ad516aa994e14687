//! Principals: whoever can be given a role.

use std::collections::BTreeSet;

use lockyard_arm::ResourceId;
use lockyard_base::Timestamp;

use super::{
    ChangeError, ClientId, CredentialId,
    limit::{NAME_CHARS_MAX, UPN_BYTES_MAX, UPN_NAME_BYTES_MAX},
    password::PasswordHash,
};
use crate::PrincipalId;

/// What a principal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// An application that acts for itself.
    ServicePrincipal,
    /// A resource that acts for itself, or an identity that resources may take.
    ManagedIdentity(ResourceId),
    /// Principals that get roles together.
    Group,
}

/// Somebody, or a group of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The object id.
    pub id: PrincipalId,
    /// What it is.
    pub kind: PrincipalKind,
    /// The name that people see.
    pub display_name: String,
    /// The client id of a service principal or managed identity.
    pub client: Option<ClientId>,
    /// The name that a user signs in with.
    pub upn: Option<String>,
    /// Whether it may do anything at all.
    pub enabled: bool,
    /// Tokens and sessions from before are void.
    pub sessions_valid_from: Timestamp,
    /// When it was made.
    pub created: Timestamp,
}

impl Principal {
    /// Whether this is a group.
    pub fn is_group(&self) -> bool {
        self.kind == PrincipalKind::Group
    }
}

/// A principal with what only the directory sees of it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) principal: Principal,
    pub(super) means: Means,
}

/// How a principal proves who it is, or whom it stands for.
#[derive(Clone)]
pub(super) enum Means {
    /// A password, unless nobody has given one yet.
    Password { credential: CredentialId, hash: Option<PasswordHash> },
    /// What its application has.
    Application,
    /// Being the resource.
    Resource { credential: CredentialId },
    /// Nothing: its members are these.
    Members(BTreeSet<PrincipalId>),
}

impl Entry {
    /// The members of a group; `None` for anybody else.
    pub(super) fn members(&self) -> Option<&BTreeSet<PrincipalId>> {
        match &self.means {
            Means::Members(members) => Some(members),
            Means::Password { .. } | Means::Application | Means::Resource { .. } => None,
        }
    }
}

/// Holds a display name against what one may look like.
pub(super) fn checked_name(name: &str) -> Result<String, ChangeError> {
    let length = name.chars().count();
    let fits = (1..=NAME_CHARS_MAX).contains(&length) && name.trim() == name;
    if fits && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(ChangeError::Name)
    }
}

/// Holds the name that a user signs in with against what one may look like.
pub(super) fn checked_upn(upn: &str) -> Result<String, ChangeError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'.-_!#^~+".contains(&b);
    let sound = |part: &str| {
        !part.is_empty()
            && part.bytes().all(allowed)
            && !part.starts_with('.')
            && !part.ends_with('.')
    };
    match upn.split_once('@') {
        Some((name, domain)) if sound(name) && sound(domain) => {
            let fits = name.len() <= UPN_NAME_BYTES_MAX && upn.len() <= UPN_BYTES_MAX;
            if fits { Ok(upn.to_owned()) } else { Err(ChangeError::Upn) }
        }
        _ => Err(ChangeError::Upn),
    }
}

/// The form of a sign-in name that is equal for equal names.
pub(super) fn folded(upn: &str) -> String {
    upn.to_lowercase()
}
