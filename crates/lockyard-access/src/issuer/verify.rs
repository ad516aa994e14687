//! Who bears a token: the signature, the claims, and whether all that it rests on is still so.
//!
//! The directory is asked each time, so a token is worth nothing from the moment when its
//! principal is disabled, its credential removed or its session ended, whatever its `exp` says.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use lockyard_arm::ResourceId;
use lockyard_base::Timestamp;
use thiserror::Error;

use super::{
    Audience, Issuer, Version,
    claims::AccessClaims,
    jwt::{self, JwtError},
    seen::{Signed, TokenHash},
    session::SessionId,
};
use crate::{
    PrincipalId,
    directory::{ClientId, CredentialId, PrincipalKind, TenantId},
};

/// Somebody who showed a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: PrincipalId,
    /// What they proved it with.
    pub credential: CredentialId,
    /// The program that they use; for a program that acts for itself, that program.
    pub client: ClientId,
    /// The tenant.
    pub tenant: TenantId,
    /// What they are; a managed identity's resource is in it.
    pub kind: PrincipalKind,
    /// What the token has in `iss`, for messages that quote it.
    pub issuer: String,
    /// When the token is over.
    pub expires: Timestamp,
}

impl Caller {
    /// The resource of a managed identity (`xms_mirid`).
    pub fn resource(&self) -> Option<&ResourceId> {
        match &self.kind {
            PrincipalKind::ManagedIdentity(resource) => Some(resource),
            PrincipalKind::User | PrincipalKind::ServicePrincipal | PrincipalKind::Group => None,
        }
    }

    /// Whether a person acts, through whatever program.
    pub fn is_person(&self) -> bool {
        self.kind == PrincipalKind::User
    }
}

/// A token is not one to believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is no token of ours, by its form or its signature.
    #[error("the token is malformed or was not issued here")]
    Invalid(#[source] JwtError),
    /// It was signed by a key that is not, or no longer, ours.
    #[error("the token was signed by a key that is not known here")]
    Key,
    /// It names another issuer.
    #[error("the token was issued by somebody else")]
    Issuer,
    /// It names another tenant.
    #[error("the token is for another tenant")]
    Tenant,
    /// It is for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The principal, its credential or its session is gone.
    #[error("what the token rests on was revoked")]
    Revoked,
}

impl Issuer {
    /// Finds out who bears a token that is for `audience`.
    pub fn verify(&self, bearer: &str, audience: Audience) -> Result<Caller, TokenError> {
        let signed = self.signed(bearer)?;
        self.check_claims(&signed.claims, audience)?;
        self.check_standing(&signed.claims)
    }

    /// Whether a key that is published now signed this.
    fn signed(&self, bearer: &str) -> Result<Arc<Signed>, TokenError> {
        let (ring, hash) = (self.ring(), TokenHash::of(bearer));
        if let Some(signed) = self.seen.get(hash) {
            return ring.named(&signed.kid).map(|_| signed).ok_or(TokenError::Key);
        }
        let header = jwt::header(bearer).map_err(TokenError::Invalid)?;
        let key = header.kid.as_deref().and_then(|kid| ring.named(kid)).ok_or(TokenError::Key)?;
        let claims: AccessClaims =
            jwt::read(bearer, &key.verifier, &[Algorithm::RS256]).map_err(TokenError::Invalid)?;
        let signed = Arc::new(Signed { kid: key.kid.clone(), claims });
        self.seen.put(hash, &signed);
        Ok(signed)
    }

    fn check_claims(&self, claims: &AccessClaims, audience: Audience) -> Result<(), TokenError> {
        let (snapshot, origins) = (self.directory.snapshot(), &self.origins);
        let tenant = snapshot.tenant();
        if ![Version::V1, Version::V2].map(|v| v.issuer(tenant, origins)).contains(&claims.iss) {
            return Err(TokenError::Issuer);
        }
        if claims.tid != tenant.to_string() {
            return Err(TokenError::Tenant);
        }
        if claims.aud != audience.claim(origins) {
            return Err(TokenError::Audience);
        }
        let now = self.clock.wall().as_secs();
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        if claims.nbf > now {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    /// Holds what a token rests on against the directory as it is now.
    fn check_standing(&self, claims: &AccessClaims) -> Result<Caller, TokenError> {
        // Texts that we wrote; if they do not read, the token is not one of ours.
        let malformed = TokenError::Invalid(JwtError::Malformed);
        let principal: PrincipalId = claims.oid.parse().map_err(|_| malformed)?;
        let credential: CredentialId = claims.lockyard_credential.parse().map_err(|_| malformed)?;
        let client: ClientId = claims.client().ok_or(malformed)?.parse().map_err(|_| malformed)?;
        let session = match &claims.sid {
            Some(sid) => Some(SessionId::parse(sid).ok_or(malformed)?),
            None => None,
        };
        let proved = Timestamp::from_micros(claims.lockyard_proved);
        if session.is_some_and(|session| self.ended.contains(session)) {
            return Err(TokenError::Revoked);
        }
        let snapshot = self.directory.snapshot();
        let found = snapshot.principal(principal).ok_or(TokenError::Revoked)?;
        let stands = found.enabled
            && proved >= found.sessions_valid_from
            && snapshot.has_credential(principal, credential);
        if !stands {
            return Err(TokenError::Revoked);
        }
        Ok(Caller {
            principal,
            credential,
            client,
            tenant: snapshot.tenant(),
            kind: found.kind.clone(),
            issuer: claims.iss.clone(),
            expires: Timestamp::from_micros(claims.exp.saturating_mul(1_000_000)),
        })
    }
}
