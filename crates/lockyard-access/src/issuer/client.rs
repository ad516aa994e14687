//! Which program asks, and how it proves that.
//!
//! A program that can keep a secret shows one, or an assertion that it signed, or a token of an
//! issuer that was named for it. One that cannot is public: it names itself and is believed, since
//! what it gets is a person's to give.

use lockyard_base::Guid;

use super::{Issuer, OAuthError, Parameters, token::Basic};
use crate::directory::{ClientId, Method, Presented, Proof, ProveError};

/// The type of an assertion by JWT (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Programs that people have already and that belong to no directory: public, known by their id.
const KNOWN: [(&str, &str); 4] = [
    ("04b07795-8ddb-461a-bbee-02f9e1bf7b46", "Azure CLI"),
    ("1950a258-227b-4e31-a9cf-717495945fc2", "Azure PowerShell"),
    ("aebc6443-996d-45c2-90f0-388ff96faa56", "Visual Studio Code"),
    ("872cd9fa-d31f-45e0-9eab-6e460a02d1f1", "Visual Studio"),
];

/// Where a known public program is led back to: its own machine.
pub(crate) const KNOWN_REDIRECTS: [&str; 3] =
    ["http://localhost/", "http://127.0.0.1/", "http://[::1]/"];

/// A program that asks for a token.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    /// Who it proved to be; `None` for a public one.
    pub(crate) proof: Option<Proof>,
}

impl Client {
    /// How it proved itself.
    pub(crate) fn method(&self) -> Option<Method> {
        self.proof.as_ref().map(|proof| proof.method)
    }
}

/// The name that people know a public program by.
pub(crate) fn known(client: ClientId) -> Option<&'static str> {
    let is = |id: &str| id.parse::<Guid>().is_ok_and(|id| id == client.guid());
    KNOWN.into_iter().find(|(id, _)| is(id)).map(|(_, name)| name)
}

impl Issuer {
    /// Finds out which program asks. `used_for` is what an assertion is used up for: the same one
    /// cannot be shown for it again.
    pub(crate) async fn client(
        &self,
        parameters: &Parameters,
        basic: Option<&Basic>,
        used_for: &str,
    ) -> Result<Client, OAuthError> {
        let named = parameters.get("client_id");
        let secret = parameters.get("client_secret");
        let assertion = parameters.get("client_assertion");
        let ways = [basic.is_some(), secret.is_some(), assertion.is_some()];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            return Err(OAuthError::request(
                "the client proves itself in more than one way, it may use one",
            ));
        }
        if let Some(basic) = basic {
            if named.is_some_and(|named| !named.eq_ignore_ascii_case(&basic.user)) {
                return Err(OAuthError::request("the request names two clients"));
            }
            return self.client_by_secret(&basic.user, &basic.password);
        }
        let named =
            named.ok_or_else(|| OAuthError::request("the request must have a `client_id`"))?;
        if let Some(secret) = secret {
            return self.client_by_secret(named, secret);
        }
        let id: ClientId = named.parse().map_err(|_| unknown())?;
        if let Some(assertion) = assertion {
            if parameters.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(OAuthError::request(format!(
                    "an assertion has the `client_assertion_type` `{ASSERTION_TYPE}`"
                )));
            }
            let proof = self.prove_assertion(id, assertion, used_for).await?;
            return Ok(Client { id, proof: Some(proof) });
        }
        if self.is_public(id) {
            return Ok(Client { id, proof: None });
        }
        Err(OAuthError::client(
            7_000_218,
            "the client must prove itself by `client_secret` or `client_assertion`",
        ))
    }

    fn client_by_secret(&self, id: &str, secret: &str) -> Result<Client, OAuthError> {
        let id: ClientId = id.parse().map_err(|_| unknown())?;
        let proof = self.directory.prove_secret(id, &Presented::from(secret));
        Ok(Client { id, proof: Some(proof.map_err(refused_secret)?) })
    }

    /// Whether a program is one that cannot keep a secret.
    pub(crate) fn is_public(&self, client: ClientId) -> bool {
        let snapshot = self.directory.snapshot();
        known(client).is_some()
            || snapshot.application(client).is_some_and(|application| application.public)
    }
}

/// Like a wrong secret: whether a client is known is nobody's business.
fn unknown() -> OAuthError {
    OAuthError::client(7_000_215, "the client id or its secret is wrong")
}

fn refused_secret(error: ProveError) -> OAuthError {
    match error {
        ProveError::Wrong | ProveError::Locked { .. } => unknown(),
        ProveError::Expired => {
            OAuthError::client(7_000_222, "the client's secret is not valid now, make another")
        }
        ProveError::Disabled => OAuthError::client(7_000_112, "the client is disabled"),
        ProveError::Busy => OAuthError::Busy(super::grant::BUSY_RETRY),
        ProveError::Record(error) => OAuthError::Records(error),
    }
}
