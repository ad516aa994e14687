//! `/oauth2/exchange`: a refresh token of this registry for a token of our issuer.

use axum::{body::Body, response::Response};
use http::HeaderMap;
use lockyard_access::registry_token::REFRESH_LIFE;
use lockyard_registry::verbs_of;
use serde::Serialize;

use super::{Desk, Refusal, form::Form, holder, json};
use crate::caller::{Login, LoginError};

#[derive(Serialize)]
struct Reply<'r> {
    refresh_token: &'r str,
}

/// `POST`: the token in a form.
pub(super) async fn post(
    desk: &Desk<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let form = Form::read(headers, body).await?;
    let token = match form.required("grant_type")? {
        "access_token" | "access_token_refresh_token" => form.required("access_token")?,
        _ => {
            return Err(Refusal::grant_type("`access_token` and `access_token_refresh_token`"));
        }
    };
    let login = of_issuers_token(desk, token).map_err(|error| Refusal::login(desk, error))?;
    let holder = holder(&login).ok_or_else(|| Refusal::grant("the token is nobody's"))?;
    let verbs = verbs_of(&login.caller, &desk.registry);
    let tokens = &desk.door.faces.registry_tokens;
    desk.saw(&login, "exchange").await;
    let refresh = tokens.issue_refresh(&desk.login_server, holder, verbs, REFRESH_LIFE, None);
    Ok(json(&Reply { refresh_token: &refresh.text }))
}

/// Proves who bears a token that our issuer made for registries.
pub(super) fn of_issuers_token(desk: &Desk<'_>, token: &str) -> Result<Login, LoginError> {
    Login::of_issuers_token(&desk.door.faces, token)
}
