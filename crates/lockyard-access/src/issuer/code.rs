//! Authorization codes: made for one program, one way back and one challenge; good once, briefly.
//!
//! A code that was used stays known until it would have expired. Whoever shows it again ends the
//! session that it began, because one of the two who showed it was not meant to have it (RFC 6749
//! section 4.1.2). A code that was shown with anything wrong is used up too.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{Guid, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{
    Audience, Authorize, Issuer, OAuthError, TokenReply, TokenRequest, Wanted,
    client::Client,
    session::{self, Handle, SessionId, Standing, sha256},
    token::SignedIn,
};
use crate::{
    PrincipalId, RecordError, RecordTxn,
    directory::{ClientId, CredentialId, Proof},
};

/// How long a code is good: a program fetches its tokens within seconds.
pub const CODE_LIFE: Duration = Duration::from_secs(120);

/// The kind of a code's record; the name is a hash of the code.
const KIND: &str = "issuer-code";

/// A code as its record holds it.
#[derive(Serialize, Deserialize)]
struct Stored {
    client: String,
    redirect_uri: String,
    challenge: String,
    audience: String,
    openid: bool,
    offline: bool,
    nonce: Option<String>,
    principal: String,
    credential: String,
    proved: i64,
    /// The handle of the session that the code begins; once it is used, only its public id.
    session: Option<String>,
    used: Option<String>,
}

/// A code that was good.
struct Redeemed {
    standing: Standing,
    handle: Handle,
    wanted: Wanted,
    nonce: Option<String>,
}

/// What became of a code.
enum Outcome {
    Good(Box<Redeemed>),
    Unknown,
    Wrong,
    Again(SessionId),
}

/// What a program shows besides the code.
struct Shown {
    client: ClientId,
    redirect_uri: Option<String>,
    challenge: String,
}

impl Issuer {
    /// Makes a code for somebody who signed in.
    pub(crate) async fn make_code(
        &self,
        request: &Authorize,
        proof: Proof,
    ) -> Result<Zeroizing<String>, OAuthError> {
        let bits = Zeroizing::new(self.entropy.bytes::<32>());
        let code = Zeroizing::new(URL_SAFE_NO_PAD.encode(bits.as_slice()));
        let stored = Stored {
            client: request.client.to_string(),
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            audience: request.wanted.audience.word().to_owned(),
            openid: request.wanted.openid,
            offline: request.wanted.offline,
            nonce: request.nonce.clone(),
            principal: proof.principal.to_string(),
            credential: proof.credential.to_string(),
            proved: proof.at.as_micros(),
            session: Some(Handle::random(&*self.entropy).to_text()),
            used: None,
        };
        let (name, value) = (sha256(code.as_bytes()), to_bytes(&stored));
        let until = self.clock.wall() + CODE_LIFE;
        let made = self.records.write(move |txn| txn.put_until(KIND, &name, &value, until)).await;
        made.map_err(|error: RecordError| OAuthError::from(error))?;
        Ok(code)
    }

    /// A program brings a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub(crate) async fn authorization_code(
        &self,
        request: &TokenRequest,
    ) -> Result<TokenReply, OAuthError> {
        let TokenRequest { version, parameters, basic, .. } = request;
        let said = self.wanted_if_said(parameters, *version)?;
        let code = parameters.require("code")?;
        let verifier = parameters.require("code_verifier")?;
        let client = self.client(parameters, basic.as_ref(), "authorization_code").await?;
        let redirect_uri = parameters.get("redirect_uri").map(str::to_owned);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let shown = Shown { client: client.id, redirect_uri, challenge };
        let Redeemed { standing, handle, wanted, nonce } = self.redeem(code, shown).await?;
        let standing = with_client(standing, &client);
        // The token may be for something else than was named at the page; the words are the page's.
        let audience = said.map_or(wanted.audience, |said| said.audience);
        let wanted = Wanted { audience, ..wanted };
        let nonce = nonce.as_deref();
        let person = SignedIn { standing, handle: Some(handle), wanted, nonce };
        self.issue_for_person(person, *version).await
    }

    async fn redeem(&self, code: &str, shown: Shown) -> Result<Redeemed, OAuthError> {
        let name = sha256(code.as_bytes());
        let outcome = self.records.write(move |txn| use_code(txn, &name, &shown)).await;
        match outcome.map_err(|error: RecordError| OAuthError::from(error))? {
            Outcome::Good(redeemed) => Ok(*redeemed),
            Outcome::Unknown => {
                Err(OAuthError::grant(70_008, "the code is over or was never given, sign in again"))
            }
            Outcome::Wrong => Err(OAuthError::grant(
                501_481,
                "the code was given to another program, for another `redirect_uri` or for another \
                 `code_verifier`; it is used up, sign in again",
            )),
            Outcome::Again(session) => {
                tracing::warn!("a code came a second time; the session that it began has ended");
                session::end(&self.records, session).await?;
                self.ended.add(&self.records, session, self.clock.wall()).await?;
                Err(OAuthError::grant(54_005, "the code was used already, sign in again"))
            }
        }
    }
}

/// The one transaction in which a code is used.
fn use_code(
    txn: &mut RecordTxn<'_, '_>,
    name: &[u8],
    shown: &Shown,
) -> Result<Outcome, RecordError> {
    let Some(record) = txn.get(KIND, name)? else { return Ok(Outcome::Unknown) };
    let mut stored: Stored =
        serde_json::from_slice(&record.value).map_err(|_| RecordError::Damaged)?;
    let handle = stored.session.take().and_then(|handle| Handle::from_text(&handle));
    let Some(handle) = handle else {
        let used = stored.used.as_deref().and_then(SessionId::parse);
        return used.map(Outcome::Again).ok_or(RecordError::Damaged);
    };
    stored.used = Some(handle.id().to_string());
    if !txn.replace_if(KIND, name, record.seal, &to_bytes(&stored))? {
        return Err(RecordError::Overtaken);
    }
    let guid = |text: &str| text.parse::<Guid>().map_err(|_| RecordError::Damaged);
    let client = ClientId::new(guid(&stored.client)?);
    let same_challenge: bool = stored.challenge.as_bytes().ct_eq(shown.challenge.as_bytes()).into();
    // The way back was in the request, so it must be here too (RFC 6749 section 4.1.3).
    let same_way = shown.redirect_uri.as_deref() == Some(stored.redirect_uri.as_str());
    if client != shown.client || !same_challenge || !same_way {
        return Ok(Outcome::Wrong);
    }
    let standing = Standing {
        principal: PrincipalId::new(guid(&stored.principal)?),
        credential: CredentialId::new(guid(&stored.credential)?),
        proved: Timestamp::from_micros(stored.proved),
        client,
        client_proof: None,
        session: None,
    };
    let audience = Audience::from_word(&stored.audience).ok_or(RecordError::Damaged)?;
    let wanted = Wanted { audience, openid: stored.openid, offline: stored.offline };
    Ok(Outcome::Good(Box::new(Redeemed { standing, handle, wanted, nonce: stored.nonce })))
}

fn with_client(standing: Standing, client: &Client) -> Standing {
    Standing { client_proof: client.method(), ..standing }
}

fn to_bytes(stored: &Stored) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(stored).unwrap_or_default())
}
