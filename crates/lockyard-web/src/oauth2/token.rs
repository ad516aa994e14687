//! `/oauth2/token`: access tokens, for whoever proves who they are and for nobody in particular.
//!
//! `GET` with Basic credentials is what every client can; `POST` with a form is what those use that
//! hold a refresh token. Asked for more than somebody may have, it grants what they may, and be it
//! nothing: clients ask first and find out later.

use axum::{body::Body, response::Response};
use http::HeaderMap;
use lockyard_access::registry_token::{Access, OFFLINE_LIFE};
use lockyard_registry::{Caller, Known, verbs_of};
use serde::Serialize;

use super::{Desk, Refusal, form::Form, holder, issued_at, json};
use crate::{
    basic::Basic,
    caller::{Login, Shown},
};

#[derive(Serialize)]
struct Reply<'r> {
    /// The same token twice: older clients read the one, newer ones the other.
    token: &'r str,
    access_token: &'r str,
    token_type: &'static str,
    expires_in: i64,
    issued_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'r str>,
}

/// `GET`: with Basic credentials or none, and what is wanted in the query.
pub(super) async fn get(
    desk: &Desk<'_>,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<Response, Refusal> {
    let query = Form::parse(query.unwrap_or_default().as_bytes())?;
    let wish = Access::parse(query.all("scope"))?;
    let login = of_header(desk, headers).await?;
    let offline = query.one("offline_token")? == Some("true");
    desk.saw(&login, "basic").await;
    Ok(hand_out(desk, &login, &wish, offline))
}

/// `POST`: everything in a form.
pub(super) async fn post(
    desk: &Desk<'_>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let form = Form::read(headers, body).await?;
    let wish = Access::parse(form.all("scope"))?;
    let faces = &desk.door.faces;
    let (reason, login) = match form.required("grant_type")? {
        "refresh_token" => {
            let token = form.required("refresh_token")?;
            ("refresh_token", Login::of_refresh_token(faces, &desk.login_server, token))
        }
        "password" => match (form.one("username")?, form.one("password")?) {
            (Some(name), Some(secret)) => {
                let shown = Shown::Basic(Basic::new(name, secret));
                ("password", Login::of(faces, &desk.login_server, shown).await)
            }
            // Azure's SDKs ask so for a token of nobody in particular.
            (None, None) => ("basic", Ok(of_header(desk, headers).await?)),
            _ => return Err(Refusal::request("`username` and `password` go together")),
        },
        "access_token" => {
            let token = form.required("access_token")?;
            ("access_token", super::exchange::of_issuers_token(desk, token))
        }
        _ => {
            let known = "`refresh_token`, `password` and `access_token`";
            return Err(Refusal::grant_type(known));
        }
    };
    let login = login.map_err(|error| Refusal::login(desk, error))?;
    let offline = form.one("access_type")? == Some("offline");
    desk.saw(&login, reason).await;
    Ok(hand_out(desk, &login, &wish, offline))
}

async fn of_header(desk: &Desk<'_>, headers: &HeaderMap) -> Result<Login, Refusal> {
    let refuse = |error| Refusal::login(desk, error);
    let shown = Shown::of(headers).map_err(refuse)?;
    Login::of(&desk.door.faces, &desk.login_server, shown).await.map_err(refuse)
}

fn hand_out(desk: &Desk<'_>, login: &Login, wish: &Access, offline: bool) -> Response {
    let tokens = &desk.door.faces.registry_tokens;
    let verbs = verbs_of(&login.caller, &desk.registry);
    let mut access = wish.within(verbs);
    let known = match &login.caller {
        Caller::Known(Known { holder, limit, .. }) => {
            if let Some(limit) = limit {
                access = access.intersect(limit);
            }
            Some(*holder)
        }
        Caller::Anonymous | Caller::Loopback => None,
    };
    let token = tokens.issue_access(&desk.login_server, known, access, login.until);
    let refresh = holder(login).filter(|_| offline).map(|holder| {
        let until = login.until;
        tokens.issue_refresh(&desk.login_server, holder, verbs, OFFLINE_LIFE, until)
    });
    json(&Reply {
        token: &token.text,
        access_token: &token.text,
        token_type: "Bearer",
        expires_in: token.expires.as_secs().saturating_sub(token.at.as_secs()),
        issued_at: issued_at(&token),
        refresh_token: refresh.as_ref().map(|refresh| refresh.text.as_str()),
    })
}
