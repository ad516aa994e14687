//! Managed identities: programs on this machine that get tokens without a secret of their own.
//!
//! Two forms, both off unless the operator turns them on: the one with a secret header, which
//! stands for one identity, and the one of a cloud's machines, which has none and so lets every
//! program of the machine be the one identity that the operator named.

use lockyard_base::{Entropy, Guid};
use zeroize::Zeroizing;

use super::{
    Audience, Issuer, OAuthError, TokenReply, Version,
    session::{Standing, sha256},
};
use crate::{
    PrincipalId, RecordError, Records,
    directory::{ClientId, Method, NewSecret, PrincipalKind},
};

/// The kind of the records of secret headers; the name is a hash of the secret.
const KIND: &str = "issuer-identity-secret";
/// The kind of the record that says which secret an identity has now.
const PRESENT: &str = "issuer-identity";

/// A secret header, to be shown once.
pub type IdentitySecret = NewSecret;

/// Who asks a managed identity's endpoint.
#[derive(Debug)]
pub enum IdentityAsk<'a> {
    /// Somebody with a secret header.
    Header(&'a str),
    /// Somebody on this machine; the operator says which identity that is.
    Machine(ClientId),
}

/// Makes the secret header of a managed identity; the one before is worth nothing then. Blocks.
pub fn make_identity_secret(
    records: &Records,
    entropy: &dyn Entropy,
    identity: PrincipalId,
) -> Result<IdentitySecret, RecordError> {
    let secret = NewSecret::generate(entropy);
    let hash = sha256(secret.dangerous_expose().as_bytes());
    let identity = *identity.guid().as_bytes();
    records.write_blocking(move |txn| {
        if let Some(before) = txn.get(PRESENT, &identity)? {
            txn.remove(KIND, &before.value)?;
        }
        txn.put(KIND, &hash, &identity)?;
        txn.put(PRESENT, &identity, &hash)
    })?;
    Ok(secret)
}

impl Issuer {
    /// Does what [`make_identity_secret`] does.
    pub fn make_identity_secret(
        &self,
        identity: PrincipalId,
    ) -> Result<IdentitySecret, RecordError> {
        make_identity_secret(&self.records, &*self.entropy, identity)
    }

    /// Issues a token for a managed identity. `client` is which one the program wants, if it says.
    pub async fn managed_identity(
        &self,
        ask: IdentityAsk<'_>,
        resource: &str,
        client: Option<&str>,
    ) -> Result<TokenReply, OAuthError> {
        let audience = Audience::of_resource(resource, &self.origins).ok_or_else(|| {
            OAuthError::refused(
                super::ErrorWord::InvalidRequest,
                500_011,
                "the resource is none that tokens are issued for",
            )
        })?;
        let identity = match ask {
            IdentityAsk::Header(secret) => self.identity_of(secret).await?,
            IdentityAsk::Machine(client) => {
                self.directory.snapshot().by_client(client).map(|identity| identity.id)
            }
        };
        let snapshot = self.directory.snapshot();
        let found = identity.and_then(|identity| snapshot.principal(identity)).filter(|identity| {
            matches!(identity.kind, PrincipalKind::ManagedIdentity(_)) && identity.enabled
        });
        let (Some(identity), Some(own)) = (found, found.and_then(|found| found.client)) else {
            return Err(no_identity());
        };
        if client.is_some_and(|client| client.parse::<ClientId>() != Ok(own)) {
            return Err(no_identity());
        }
        let credential = snapshot.resource_credential(identity.id).ok_or_else(no_identity)?;
        let standing = Standing {
            principal: identity.id,
            credential,
            proved: self.clock.wall(),
            client: own,
            client_proof: Some(Method::ManagedIdentity),
            session: None,
        };
        self.issue(&standing, audience, Version::V1)
    }

    /// The identity whose secret header this is.
    async fn identity_of(&self, secret: &str) -> Result<Option<PrincipalId>, OAuthError> {
        let hash = sha256(secret.as_bytes());
        let found: Option<Zeroizing<Vec<u8>>> = self
            .records
            .read(move |txn| Ok(txn.get(KIND, &hash)?.map(|record| record.value)))
            .await
            .map_err(|error: RecordError| OAuthError::from(error))?;
        let bytes = found.and_then(|value| <[u8; 16]>::try_from(value.as_slice()).ok());
        Ok(bytes.map(|bytes| PrincipalId::new(Guid::from_bytes(bytes))))
    }
}

fn no_identity() -> OAuthError {
    OAuthError::request("the secret or the client id is not that of a managed identity")
}
