//! Why the directory cannot be opened, why a change is refused, why a proof is none.

use lockyard_base::Timestamp;
use thiserror::Error;

use super::{
    certificate::CertificateError,
    limit::{
        AUDIENCES_MAX, FEDERATED_MAX, GROUP_DEPTH_MAX, NAME_CHARS_MAX, PASSWORD_BYTES_MAX,
        PASSWORD_CHARS_MIN, UPN_BYTES_MAX, UPN_NAME_BYTES_MAX, URI_BYTES_MAX,
    },
};
use crate::{RecordError, decision::RoleDefinitionError};

/// The directory cannot be opened or founded.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// There is none in this database.
    #[error("this instance has no directory yet")]
    Unfounded,
    /// There is one already.
    #[error("this instance has a directory already")]
    Founded,
    /// A row says what this program never wrote.
    #[error("a row of the directory is damaged")]
    Damaged,
    /// A password or name of the first accounts is not acceptable.
    #[error("the first accounts cannot be made")]
    First(#[source] Box<ChangeError>),
    /// A record could not be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// What a change is about, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Anybody.
    Principal,
    /// A user.
    User,
    /// A group.
    Group,
    /// A service principal.
    ServicePrincipal,
    /// A managed identity.
    ManagedIdentity,
    /// An application.
    Application,
    /// A client secret.
    Secret,
    /// A certificate.
    Certificate,
    /// A federated credential.
    Federated,
    /// A role assignment.
    Assignment,
    /// A role.
    Role,
    /// A member of a group.
    Member,
    /// A URI of an application.
    Uri,
}

impl std::fmt::Display for Thing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Principal => "principal",
            Self::User => "user",
            Self::Group => "group",
            Self::ServicePrincipal => "service principal",
            Self::ManagedIdentity => "managed identity",
            Self::Application => "application",
            Self::Secret => "secret",
            Self::Certificate => "certificate",
            Self::Federated => "federated credential",
            Self::Assignment => "role assignment",
            Self::Role => "role",
            Self::Member => "member",
            Self::Uri => "URI",
        })
    }
}

/// The directory was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// There is no such thing.
    #[error("there is no such {0}")]
    Missing(Thing),
    /// There is one already with this id or name.
    #[error("there is such a {0} already")]
    Exists(Thing),
    /// There are as many as there can be.
    #[error("there are at most {max} of this kind: {thing}")]
    TooMany {
        /// Of what.
        thing: Thing,
        /// How many at most.
        max: usize,
    },
    /// It is still in use.
    #[error("the {0} is still in use")]
    InUse(Thing),
    /// A display name.
    #[error(
        "a display name has 1 to {NAME_CHARS_MAX} characters, no control characters and no blanks \
         around it"
    )]
    Name,
    /// A sign-in name.
    #[error(
        "a user principal name looks like `name@domain`, with at most {UPN_NAME_BYTES_MAX} bytes \
         before the `@` and at most {UPN_BYTES_MAX} altogether"
    )]
    Upn,
    /// A password.
    #[error(
        "a password has at least {PASSWORD_CHARS_MIN} characters and at most \
         {PASSWORD_BYTES_MAX} bytes, and no control characters"
    )]
    Password,
    /// A redirect or identifier URI.
    #[error(
        "a redirect URI begins with `https://` or leads to this machine, an identifier URI begins \
         with `api://`, `https://` or `urn:`; both have at most {URI_BYTES_MAX} bytes"
    )]
    Uri,
    /// A secret's times.
    #[error("a secret expires after it starts, and not later than in a hundred years")]
    Expiry,
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A federated credential.
    #[error(
        "a federated credential has a name, an issuer that begins with `https://`, a subject and 1 \
         to {AUDIENCES_MAX} audiences; an application has at most {FEDERATED_MAX} of them"
    )]
    Federated,
    /// A group would be in itself.
    #[error("a group cannot be a member of itself, directly or through other groups")]
    Cycle,
    /// Groups would lie too deep inside each other.
    #[error("at most {GROUP_DEPTH_MAX} groups lie inside each other")]
    TooDeep,
    /// A role.
    #[error(transparent)]
    Role(#[from] RoleDefinitionError),
    /// A role cannot be assigned there.
    #[error("the role cannot be assigned at this scope")]
    NotAssignable,
    /// What had to hold for the change did not.
    #[error("the right to change this was taken away")]
    Denied,
    /// The rows could not be written; if it is not certain whether they were, they were read again.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The rows could not be read again after a failure.
    #[error("the directory could not be read again")]
    Reload(#[source] Box<DirectoryError>),
}

/// Somebody did not prove who they are.
#[derive(Debug, Error)]
pub enum ProveError {
    /// The name or the secret is wrong; which of them, nobody is told.
    #[error("the credentials are wrong")]
    Wrong,
    /// The secret is right and not valid any more, or not yet.
    #[error("the secret is not valid now")]
    Expired,
    /// The credentials are right and the account is disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Too many wrong passwords; said of accounts that do not exist just the same.
    #[error("the account is locked after too many wrong passwords")]
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// Too many proofs by password wait already.
    #[error("too many sign-ins at once, try again")]
    Busy,
    /// The failures could not be counted, so that nobody is let in.
    #[error(transparent)]
    Record(#[from] RecordError),
}
