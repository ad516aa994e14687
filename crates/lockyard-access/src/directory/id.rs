//! Ids of the directory: each its own type, so that swapped arguments do not compile.

use std::{fmt, str::FromStr};

use lockyard_base::{Entropy, Guid, ParseIdError};

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Guid);

        impl $name {
            /// The id with these bits.
            pub const fn new(id: Guid) -> Self {
                Self(id)
            }

            /// Draws a new id.
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(Guid::random(entropy))
            }

            /// The bare id.
            pub const fn guid(self) -> Guid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// The tenant: everybody and everything of one instance.
    TenantId
    /// A subscription: what resources lie in.
    SubscriptionId
    /// The public name of an application or a managed identity (`client_id`, `appId`).
    ClientId
    /// The object id of an application, which is not the id of its service principal.
    ApplicationId
    /// A secret, certificate, federated credential or password: what a proof was made with.
    CredentialId
}
