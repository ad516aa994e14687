//! The grants that need no state before them: client credentials, password, refresh token.

use std::time::Duration;

use super::{
    ErrorWord, Issuer, OAuthError, TokenReply, TokenRequest,
    client::Client,
    session::{self, Refreshed, Standing},
    token::SignedIn,
};
use crate::directory::{Presented, Proof, ProveError};

/// How long a client is asked to wait when too many passwords are being checked.
pub(crate) const BUSY_RETRY: Duration = Duration::from_secs(2);

impl Issuer {
    /// A program that acts for itself (RFC 6749 section 4.4).
    pub(crate) async fn client_credentials(
        &self,
        request: &TokenRequest,
    ) -> Result<TokenReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let wanted = self.wanted(parameters, *version)?;
        let used_for = format!("client_credentials {}", wanted.audience.word());
        let client = self.client(parameters, basic.as_ref(), &used_for).await?;
        let Some(proof) = &client.proof else {
            return Err(OAuthError::refused(
                ErrorWord::UnauthorizedClient,
                70_001,
                "a public client cannot act for itself",
            ));
        };
        let standing = standing(&client, proof);
        self.issue(&standing, wanted.audience, *version)
    }

    /// A person's name and password, typed into a program (RFC 6749 section 4.3).
    pub(crate) async fn password(&self, request: &TokenRequest) -> Result<TokenReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let wanted = self.wanted(parameters, *version)?;
        let (name, password) = (parameters.require("username")?, parameters.require("password")?);
        let used_for = format!("password {}", wanted.audience.word());
        let client = self.client(parameters, basic.as_ref(), &used_for).await?;
        let proof = self.sign_in(name, Presented::from(password)).await?;
        let standing = standing(&client, &proof);
        let person = SignedIn { standing, handle: None, wanted, nonce: None };
        self.issue_for_person(person, *version).await
    }

    /// The next tokens of a session (RFC 6749 section 6).
    pub(crate) async fn refresh(&self, request: &TokenRequest) -> Result<TokenReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let wanted = self.wanted_if_said(parameters, *version)?;
        let shown = parameters.require("refresh_token")?;
        let client = self.client(parameters, basic.as_ref(), "refresh_token").await?;
        let now = self.clock.wall();
        let refreshed =
            session::refresh(&self.records, &*self.entropy, shown, client.id, now).await?;
        let over = || OAuthError::grant(70_000, "the refresh token is over, sign in again");
        let (standing, audience, next) = match refreshed {
            Refreshed::Next(standing, audience, next) => (standing, audience, next),
            Refreshed::Unknown => return Err(over()),
            Refreshed::Reused(session) => {
                tracing::warn!("a refresh token came a second time; its session has ended");
                self.ended.add(&self.records, session, now).await?;
                return Err(over());
            }
        };
        let standing = Standing { client_proof: client.method(), ..standing };
        let wanted = wanted.unwrap_or(super::Wanted { audience, openid: false, offline: true });
        let issued = self.issue_with_words(&standing, wanted, *version, None);
        let mut reply = match (issued, standing.session) {
            (Err(error @ OAuthError::Refused { .. }), Some(session)) => {
                // What it rested on is gone, so that it never comes back.
                session::end(&self.records, session).await?;
                return Err(error);
            }
            (issued, _) => issued?,
        };
        reply.refresh_token = Some(next);
        Ok(reply)
    }

    /// Finds out whether a person is who they say, by what they typed.
    pub async fn sign_in(&self, name: &str, password: Presented) -> Result<Proof, OAuthError> {
        self.directory.prove_password(name, password).await.map_err(|error| match error {
            ProveError::Wrong => {
                OAuthError::grant(50_126, "the user name or the password is wrong")
            }
            ProveError::Expired => OAuthError::grant(50_055, "the password is not valid now"),
            ProveError::Disabled => OAuthError::grant(50_057, "the account is disabled"),
            ProveError::Locked { .. } => OAuthError::grant(
                50_053,
                "the account is locked after too many wrong passwords, try again later",
            ),
            ProveError::Busy => OAuthError::Busy(BUSY_RETRY),
            ProveError::Record(error) => OAuthError::Records(error),
        })
    }
}

/// What a token rests on that comes straight from a proof.
pub(crate) fn standing(client: &Client, proof: &Proof) -> Standing {
    Standing {
        principal: proof.principal,
        credential: proof.credential,
        proved: proof.at,
        client: client.id,
        client_proof: client.method(),
        session: None,
    }
}
