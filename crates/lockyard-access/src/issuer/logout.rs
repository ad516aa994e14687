//! Signing out: a program says by the token that told it who signed in, and that session ends.
//!
//! Without such a token nothing ends, or any web page could sign people out; and nobody is led
//! anywhere that is not registered for the program that the token was made for.

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::{
    Issuer, OAuthError, Version,
    client::{self, KNOWN_REDIRECTS},
    jwt, redirect,
    session::{self, SessionId},
};
use crate::directory::ClientId;

/// The claims of a token that says who signed in, as far as signing out needs them.
#[derive(Deserialize)]
struct Hint {
    aud: String,
    iss: String,
    #[serde(default)]
    sid: Option<String>,
}

impl Issuer {
    /// Ends the session that `hint` (`id_token_hint`) is from, if it is one of ours, and returns
    /// where the person may be led.
    pub async fn sign_out(
        &self,
        hint: Option<&str>,
        back: Option<&str>,
    ) -> Result<Option<String>, OAuthError> {
        let Some(hint) = hint.and_then(|hint| self.read_hint(hint)) else { return Ok(None) };
        if let Some(session) = hint.sid.as_deref().and_then(SessionId::parse) {
            session::end(&self.records, session).await?;
            self.ended.add(&self.records, session, self.clock.wall()).await?;
        }
        let Ok(client) = hint.aud.parse::<ClientId>() else { return Ok(None) };
        Ok(back.filter(|back| self.is_way_back(client, back)).map(str::to_owned))
    }

    /// Reads a token of ours, expired or not.
    fn read_hint(&self, hint: &str) -> Option<Hint> {
        let kid = jwt::header(hint).ok()?.kid?;
        let ring = self.ring();
        let hint: Hint = jwt::read(hint, &ring.named(&kid)?.verifier, &[Algorithm::RS256]).ok()?;
        let tenant = self.directory.snapshot().tenant();
        let issuers = [Version::V1, Version::V2].map(|v| v.issuer(tenant, &self.origins));
        issuers.contains(&hint.iss).then_some(hint)
    }

    fn is_way_back(&self, client: ClientId, back: &str) -> bool {
        if client::known(client).is_some() {
            return redirect::is_registered(back, KNOWN_REDIRECTS);
        }
        let snapshot = self.directory.snapshot();
        snapshot.application(client).is_some_and(|application| {
            redirect::is_registered(back, application.redirect_uris.iter().map(String::as_str))
        })
    }
}
