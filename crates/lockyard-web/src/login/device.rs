//! `/device`: a person lets a device in that showed them a code.

use axum::{extract::Request, response::Response};
use lockyard_access::{directory::Presented, issuer::OAuthError};

use super::{House, cookie, cookie::FormToken, failure::LoginFailure, form, page};
use crate::witness::{Actor, SIGN_IN};

/// Asks for the code.
pub(super) fn show(house: House<'_>, request: &Request) -> Response {
    let token = FormToken::of(request.headers(), house.entropy);
    page::device_code(house.entropy, &token, None)
}

/// Takes the code, and then who lets the device in.
pub(super) async fn submit(house: House<'_>, request: Request) -> Result<Response, LoginFailure> {
    let headers = request.headers().clone();
    let typed = form::read(request).await.map_err(LoginFailure::on_page)?;
    cookie::check(&headers, &typed, &house.issuer.origins().login)?;
    let token = FormToken::of(&headers, house.entropy);
    let code = typed.get(page::CODE).unwrap_or_default();
    // Whatever is wanted next, the code is looked at first, so that guesses are counted.
    let asked = house.issuer.device_ask(code).await;
    let ask = match asked.inspect_err(|error| house.witness.refused_by_issuer(error)) {
        Ok(ask) => ask,
        Err(OAuthError::Refused { text, .. }) => {
            return Ok(page::device_code(house.entropy, &token, Some(&text)));
        }
        Err(error) => return Err(LoginFailure::page(error)),
    };
    let user = typed.get(page::USER).unwrap_or_default();
    match typed.get(page::ACTION) {
        Some(page::CANCEL) => {
            house.issuer.device_decide(code, None).await.map_err(LoginFailure::page)?;
            let text = "The device was not let in.";
            Ok(page::notice(house.entropy, "Cancelled", text))
        }
        Some(page::SIGN_IN) => {
            let password = Presented::from(typed.get(page::PASSWORD).unwrap_or_default());
            let proved = house.issuer.sign_in(user, password).await;
            let proof = match proved.inspect_err(|error| house.witness.refused_by_issuer(error)) {
                Ok(proof) => proof,
                Err(OAuthError::Refused { text, .. }) => {
                    let wrong = Some(text.as_str());
                    return Ok(page::device_sign_in(house.entropy, &ask, user, &token, wrong));
                }
                Err(error) => return Err(LoginFailure::page(error)),
            };
            let actor = Actor::new(proof.principal(), Some(ask.client));
            house.saw(SIGN_IN, &actor, "device").await;
            house.issuer.device_decide(code, Some(proof)).await.map_err(LoginFailure::page)?;
            let text = "Your device is signed in; it goes on by itself in a moment.";
            Ok(page::notice(house.entropy, "Signed in", text))
        }
        _ => Ok(page::device_sign_in(house.entropy, &ask, user, &token, None)),
    }
}
