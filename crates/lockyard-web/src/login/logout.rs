//! `/{tenant}/oauth2/v2.0/logout`: a program signs a person out (OpenID Connect RP-Initiated Logout
//! 1.0).

use axum::{extract::Request, response::Response};
use http::Method;
use lockyard_access::issuer::ResponseMode;

use super::{House, failure::LoginFailure, form, page};

/// Ends the session that the program names, and leads on if that is registered.
pub(super) async fn sign_out(house: House<'_>, request: Request) -> Result<Response, LoginFailure> {
    let parameters = if *request.method() == Method::POST {
        form::read(request).await
    } else {
        form::query(request.uri().query())
    };
    let parameters = parameters.map_err(LoginFailure::on_page)?;
    let (hint, back) =
        (parameters.get("id_token_hint"), parameters.get("post_logout_redirect_uri"));
    let back = house.issuer.sign_out(hint, back).await.map_err(LoginFailure::page)?;
    Ok(match back {
        Some(uri) => {
            let state = parameters.get("state").map(|state| ("state", state.to_owned()));
            let Some(state) = state else { return Ok(page::see_other(&uri)) };
            let mode = ResponseMode::Query;
            let back = lockyard_access::issuer::Redirection { uri, mode, parameters: vec![state] };
            page::lead_back(house.entropy, &back)
        }
        None => page::notice(house.entropy, "Signed out", "You are signed out."),
    })
}
