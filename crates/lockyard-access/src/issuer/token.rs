//! What is asked of the token endpoint and what it gives.

use std::fmt;

use lockyard_base::Timestamp;
use zeroize::Zeroizing;

use super::{
    ACCESS_TOKEN_LIFE, Audience, ErrorWord, Issuer, OAuthError, Parameters, TenantPath, Version,
    Wanted,
    claims::{self, AccessClaims, Subject},
    jwt,
    session::{self, Handle, Standing},
};
use crate::{
    PrincipalId,
    directory::{ClientId, Principal, Snapshot},
};

/// A login by HTTP Basic, decoded as RFC 6749 section 2.3.1 says.
pub struct Basic {
    /// The client id.
    pub user: String,
    /// The client secret.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(…)")
    }
}

/// A request to the token endpoint or to the device endpoint.
#[derive(Debug)]
pub struct TokenRequest {
    /// The tenant, as the path has it.
    pub tenant: TenantPath,
    /// Which endpoint.
    pub version: Version,
    /// The form.
    pub parameters: Parameters,
    /// The login in the header, if there is one.
    pub basic: Option<Basic>,
}

/// Whom tokens were issued to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Who they speak for.
    pub principal: PrincipalId,
    /// The program that asked for them.
    pub client: ClientId,
}

/// Tokens, with what is said beside them. Wiped on drop.
pub struct TokenReply {
    /// The version whose form the reply has.
    pub version: Version,
    /// Whom they were issued to.
    pub bearer: Bearer,
    /// The access token.
    pub access_token: Zeroizing<String>,
    /// What it is for.
    pub audience: Audience,
    /// What the audience is called in tokens.
    pub resource: String,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it is over.
    pub expires: Timestamp,
    /// The scope that was granted, for people's tokens.
    pub scope: Option<String>,
    /// The next refresh token.
    pub refresh_token: Option<Zeroizing<String>>,
    /// Who signed in.
    pub id_token: Option<Zeroizing<String>>,
    /// What libraries name the account by.
    pub client_info: Option<String>,
}

impl fmt::Debug for TokenReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenReply({:?})", self.audience)
    }
}

impl Issuer {
    /// Answers a request to the token endpoint.
    pub async fn token(&self, request: TokenRequest) -> Result<TokenReply, OAuthError> {
        match request.parameters.require("grant_type")? {
            "client_credentials" => self.client_credentials(&request).await,
            "password" => self.password(&request).await,
            "refresh_token" => self.refresh(&request).await,
            "authorization_code" => self.authorization_code(&request).await,
            // Version 1's word, and RFC 8628's.
            "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => {
                self.device_code(&request).await
            }
            _ => Err(OAuthError::refused(
                ErrorWord::UnsupportedGrantType,
                70_003,
                "there is no such `grant_type` here",
            )),
        }
    }

    /// What a request wants, if it says so: `scope` in version 2, `resource` in version 1.
    pub(crate) fn wanted_if_said(
        &self,
        parameters: &Parameters,
        version: Version,
    ) -> Result<Option<Wanted>, OAuthError> {
        let (scope, resource) = (parameters.get("scope"), parameters.get("resource"));
        match (version, scope, resource) {
            (Version::V1, _, Some(resource)) => {
                Wanted::of_resource(resource, &self.origins).map(Some)
            }
            (Version::V2, None, Some(_)) => {
                Err(OAuthError::request("this endpoint takes a `scope` and no `resource`"))
            }
            (_, Some(scope), _) => Wanted::of_scope(scope, &self.origins).map(Some),
            (_, None, _) => Ok(None),
        }
    }

    /// What a request wants; it must say so.
    pub(crate) fn wanted(
        &self,
        parameters: &Parameters,
        version: Version,
    ) -> Result<Wanted, OAuthError> {
        let missing = || match version {
            Version::V1 => OAuthError::request("the request must have a `resource`"),
            Version::V2 => OAuthError::request("the request must have a `scope`"),
        };
        self.wanted_if_said(parameters, version)?.ok_or_else(missing)
    }

    /// Issues an access token, if all that it rests on still stands.
    pub(crate) fn issue(
        &self,
        standing: &Standing,
        audience: Audience,
        version: Version,
    ) -> Result<TokenReply, OAuthError> {
        let snapshot = self.directory.snapshot();
        let principal = stands(&snapshot, standing)?;
        let issued = self.clock.wall();
        let expires = issued + ACCESS_TOKEN_LIFE;
        let subject = Subject {
            principal,
            standing,
            tenant: snapshot.tenant(),
            version,
            origins: &self.origins,
            now: issued,
            until: expires,
        };
        let claims = AccessClaims::new(&subject, audience, &*self.entropy);
        let ring = self.ring();
        let key = ring.signer(issued).ok_or(OAuthError::Signing)?;
        let token = jwt::write(key, &claims).ok_or(OAuthError::Signing)?;
        Ok(TokenReply {
            version,
            bearer: Bearer { principal: standing.principal, client: standing.client },
            access_token: Zeroizing::new(token),
            audience,
            resource: claims.aud,
            issued,
            expires,
            scope: None,
            refresh_token: None,
            id_token: None,
            client_info: None,
        })
    }

    /// Issues what a person's sign-in gives: an access token, and as the scope says who they are
    /// and a session of their own.
    pub(crate) async fn issue_for_person(
        &self,
        person: SignedIn<'_>,
        version: Version,
    ) -> Result<TokenReply, OAuthError> {
        let SignedIn { standing, handle, wanted, nonce } = person;
        let handle = handle.unwrap_or_else(|| Handle::random(&*self.entropy));
        let standing = Standing { session: Some(handle.id()), ..standing };
        let mut reply = self.issue_with_words(&standing, wanted, version, nonce)?;
        if wanted.offline {
            let (records, now) = (&self.records, self.clock.wall());
            let what = (standing, wanted.audience);
            let token = session::begin(records, &*self.entropy, handle, what, now).await?;
            reply.refresh_token = Some(token);
        }
        Ok(reply)
    }

    /// Issues an access token for a person, with what is said about them.
    pub(crate) fn issue_with_words(
        &self,
        standing: &Standing,
        wanted: Wanted,
        version: Version,
        nonce: Option<&str>,
    ) -> Result<TokenReply, OAuthError> {
        let mut reply = self.issue(standing, wanted.audience, version)?;
        let snapshot = self.directory.snapshot();
        let principal = stands(&snapshot, standing)?;
        let tenant = snapshot.tenant();
        if wanted.openid {
            let subject = Subject {
                principal,
                standing,
                tenant,
                version,
                origins: &self.origins,
                now: reply.issued,
                until: reply.expires,
            };
            let ring = self.ring();
            let key = ring.signer(reply.issued).ok_or(OAuthError::Signing)?;
            let token = jwt::write(key, &claims::id_claims(&subject, nonce));
            reply.id_token = Some(Zeroizing::new(token.ok_or(OAuthError::Signing)?));
        }
        reply.client_info = Some(claims::client_info(principal, tenant));
        reply.scope = Some(granted(wanted, &reply.resource));
        Ok(reply)
    }
}

/// Somebody who signed in just now.
pub(crate) struct SignedIn<'p> {
    pub(crate) standing: Standing,
    /// The session's handle, if it was drawn before.
    pub(crate) handle: Option<Handle>,
    pub(crate) wanted: Wanted,
    pub(crate) nonce: Option<&'p str>,
}

/// The principal of a standing, if everything in it still holds.
pub(crate) fn stands<'s>(
    snapshot: &'s Snapshot,
    standing: &Standing,
) -> Result<&'s Principal, OAuthError> {
    let principal = snapshot.principal(standing.principal).filter(|principal| {
        principal.enabled
            && standing.proved >= principal.sessions_valid_from
            && snapshot.has_credential(standing.principal, standing.credential)
    });
    principal.ok_or_else(|| {
        OAuthError::grant(50_173, "the sign-in was revoked or its account is gone, sign in again")
    })
}

/// The scope as it is said back.
fn granted(wanted: Wanted, resource: &str) -> String {
    let mut words = Vec::new();
    if wanted.openid {
        words.extend(["openid", "profile"]);
    }
    if wanted.offline {
        words.push("offline_access");
    }
    let resource = format!("{resource}/.default");
    words.push(&resource);
    words.join(" ")
}
