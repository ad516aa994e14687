//! A person is sent here by a program to sign in, and back with a code (RFC 6749 section 4.1).
//!
//! Until program and way back are known good, every refusal is a page of ours; only then may one
//! be carried back. A code is bound to a challenge that the program made (PKCE, RFC 7636): without
//! one, or with one in plain, nobody is sent anywhere.

use std::fmt;

use super::{
    ErrorWord, Issuer, OAuthError, Parameters, Version, Wanted,
    client::{self, KNOWN_REDIRECTS},
    redirect,
};
use crate::directory::{ClientId, Proof};

/// The longest `state` and `nonce` in bytes.
const STATE_BYTES_MAX: usize = 4096;

/// How an answer is carried back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query.
    Query,
    /// In the fragment.
    Fragment,
    /// In a form that the person's browser posts.
    FormPost,
}

/// A request to sign in that may be shown to a person.
pub struct Authorize {
    /// The program.
    pub(crate) client: ClientId,
    /// What people know the program by.
    pub client_name: String,
    /// The way back, exactly as it was asked for and is registered.
    pub redirect_uri: String,
    /// How the answer is carried back.
    pub mode: ResponseMode,
    /// Who is expected to sign in.
    pub login_hint: Option<String>,
    pub(crate) wanted: Wanted,
    pub(crate) challenge: String,
    pub(crate) nonce: Option<String>,
    state: Option<String>,
}

impl fmt::Debug for Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorize({})", self.client)
    }
}

/// Something that is carried back to a program.
#[derive(Clone)]
pub struct Redirection {
    /// Where to.
    pub uri: String,
    /// How.
    pub mode: ResponseMode,
    /// What: names and values, not yet encoded.
    pub parameters: Vec<(&'static str, String)>,
}

impl fmt::Debug for Redirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redirection({:?})", self.mode)
    }
}

/// Nobody is asked to sign in.
#[derive(Debug)]
pub enum AuthorizeRefusal {
    /// To be shown here: the way back is not known good.
    Page(OAuthError),
    /// To be carried back to the program.
    Back(Box<Redirection>),
}

impl Issuer {
    /// Reads a request to sign in.
    pub fn authorize(
        &self,
        parameters: &Parameters,
        version: Version,
    ) -> Result<Authorize, AuthorizeRefusal> {
        let page = AuthorizeRefusal::Page;
        let (client, client_name, redirect_uri) = self.way_back(parameters).map_err(page)?;
        let state = parameters.get("state").map(str::to_owned);
        let mode = match parameters.get("response_mode") {
            None | Some("query") => ResponseMode::Query,
            Some("fragment") => ResponseMode::Fragment,
            Some("form_post") => ResponseMode::FormPost,
            Some(_) => {
                let text = "`response_mode` is `query`, `fragment` or `form_post`";
                return Err(page(OAuthError::request(text)));
            }
        };
        let refusal = |error: OAuthError| {
            let back = back(&redirect_uri, mode, state.as_deref(), &error);
            AuthorizeRefusal::Back(Box::new(back))
        };
        let (wanted, challenge) = self.what_for(parameters, version).map_err(refusal)?;
        let nonce = parameters.get("nonce").map(str::to_owned);
        let long =
            |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > STATE_BYTES_MAX);
        if long(&state) || long(&nonce) {
            let text = format!("`state` and `nonce` have at most {STATE_BYTES_MAX} bytes");
            return Err(page(OAuthError::request(text)));
        }
        if parameters.get("prompt") == Some("none") {
            let text = "somebody has to sign in, and nobody may be asked";
            return Err(refusal(OAuthError::refused(ErrorWord::LoginRequired, 50_058, text)));
        }
        Ok(Authorize {
            client,
            client_name,
            mode,
            login_hint: parameters.get("login_hint").map(str::to_owned),
            wanted,
            challenge,
            nonce,
            state,
            redirect_uri,
        })
    }

    /// Who asks and where the answer goes: nothing is carried anywhere before this is known good.
    fn way_back(&self, parameters: &Parameters) -> Result<(ClientId, String, String), OAuthError> {
        let unknown = || {
            OAuthError::refused(
                ErrorWord::UnauthorizedClient,
                700_016,
                "no program with this `client_id` is registered here",
            )
        };
        let client: ClientId = parameters.require("client_id")?.parse().map_err(|_| unknown())?;
        let uri = parameters.require("redirect_uri")?;
        let snapshot = self.directory.snapshot();
        let (name, registered) = match (client::known(client), snapshot.application(client)) {
            (Some(name), _) => (name.to_owned(), redirect::is_registered(uri, KNOWN_REDIRECTS)),
            (None, Some(application)) => {
                let uris = application.redirect_uris.iter().map(String::as_str);
                (application.display_name.clone(), redirect::is_registered(uri, uris))
            }
            (None, None) => return Err(unknown()),
        };
        if !registered {
            return Err(OAuthError::refused(
                ErrorWord::InvalidRequest,
                50_011,
                "the `redirect_uri` is not one that is registered for this program",
            ));
        }
        Ok((client, name, uri.to_owned()))
    }

    /// What the code will be good for, and the challenge that protects it.
    fn what_for(
        &self,
        parameters: &Parameters,
        version: Version,
    ) -> Result<(Wanted, String), OAuthError> {
        if parameters.require("response_type")? != "code" {
            return Err(OAuthError::refused(
                ErrorWord::UnsupportedResponseType,
                700_054,
                "the only `response_type` here is `code`",
            ));
        }
        if parameters.get("request").or(parameters.get("request_uri")).is_some() {
            return Err(OAuthError::request("a request object is not read here"));
        }
        let challenge = parameters.get("code_challenge").unwrap_or_default();
        let sound = challenge.len() == 43
            && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if parameters.get("code_challenge_method") != Some("S256") || !sound {
            return Err(OAuthError::refused(
                ErrorWord::InvalidRequest,
                501_471,
                "a `code_challenge` of 43 characters with the method `S256` is required (PKCE)",
            ));
        }
        Ok((self.wanted(parameters, version)?, challenge.to_owned()))
    }

    /// Somebody signed in: makes the code and says where it goes.
    pub async fn grant_code(
        &self,
        request: &Authorize,
        proof: Proof,
    ) -> Result<Redirection, OAuthError> {
        let code = self.make_code(request, proof).await?;
        let mut parameters = vec![("code", code.to_string())];
        parameters.extend(request.state.clone().map(|state| ("state", state)));
        Ok(Redirection { uri: request.redirect_uri.clone(), mode: request.mode, parameters })
    }
}

impl Authorize {
    /// The program that sends the person.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// The person does not want to: says where that goes.
    pub fn decline(&self) -> Redirection {
        let refusal = OAuthError::refused(
            ErrorWord::AccessDenied,
            65_004,
            "the person did not want to sign in",
        );
        back(&self.redirect_uri, self.mode, self.state.as_deref(), &refusal)
    }
}

/// Carries a refusal back to the program.
fn back(uri: &str, mode: ResponseMode, state: Option<&str>, error: &OAuthError) -> Redirection {
    let (word, text) = match error {
        OAuthError::Refused { word, number, text } => (*word, format!("AADSTS{number}: {text}")),
        OAuthError::Busy(_) | OAuthError::Records(_) | OAuthError::Signing | OAuthError::CutOff => {
            (ErrorWord::TemporarilyUnavailable, "the issuer cannot answer now".to_owned())
        }
    };
    let mut parameters = vec![("error", word.as_str().to_owned()), ("error_description", text)];
    parameters.extend(state.map(|state| ("state", state.to_owned())));
    Redirection { uri: uri.to_owned(), mode, parameters }
}
