//! `/{tenant}/oauth2/v2.0/authorize`: a person comes from a program, signs in, and is led back.
//!
//! The page's form goes to its own address, query included, so that what is submitted is judged
//! anew from the same words; nothing is kept between the two.

use axum::{extract::Request, response::Response};
use lockyard_access::{
    directory::Presented,
    issuer::{Authorize, AuthorizeRefusal, OAuthError, Version},
};

use super::{House, cookie, cookie::FormToken, failure::LoginFailure, form, page};
use crate::witness::{Actor, SIGN_IN};

/// Shows the page, or leads back at once.
pub(super) fn show(
    house: House<'_>,
    version: Version,
    request: &Request,
) -> Result<Response, LoginFailure> {
    let asked = match asked(house, version, request.uri().query())? {
        Ok(asked) => asked,
        Err(back) => return Ok(back),
    };
    let token = FormToken::of(request.headers(), house.entropy);
    let user = asked.login_hint.clone().unwrap_or_default();
    let action = (own_address(request), user.as_str());
    Ok(page::sign_in(house.entropy, &asked, action, &token, None))
}

/// Takes what a person typed.
pub(super) async fn submit(
    house: House<'_>,
    version: Version,
    request: Request,
) -> Result<Response, LoginFailure> {
    let address = own_address(&request).to_owned();
    let headers = request.headers().clone();
    let asked = match asked(house, version, request.uri().query())? {
        Ok(asked) => asked,
        Err(back) => return Ok(back),
    };
    let typed = form::read(request).await.map_err(LoginFailure::on_page)?;
    cookie::check(&headers, &typed, &house.issuer.origins().login)?;
    if typed.get(page::ACTION) == Some(page::CANCEL) {
        return Ok(page::lead_back(house.entropy, &asked.decline()));
    }
    let user = typed.get(page::USER).unwrap_or_default();
    let password = Presented::from(typed.get(page::PASSWORD).unwrap_or_default());
    let proved = house.issuer.sign_in(user, password).await;
    match proved.inspect_err(|error| house.witness.refused_by_issuer(error)) {
        Ok(proof) => {
            let actor = Actor::new(proof.principal(), Some(asked.client()));
            house.saw(SIGN_IN, &actor, "authorize").await;
            let back = house.issuer.grant_code(&asked, proof).await.map_err(LoginFailure::page)?;
            Ok(page::lead_back(house.entropy, &back))
        }
        Err(OAuthError::Refused { text, .. }) => {
            let token = FormToken::of(&headers, house.entropy);
            let action = (address.as_str(), user);
            Ok(page::sign_in(house.entropy, &asked, action, &token, Some(&text)))
        }
        Err(error) => Err(LoginFailure::page(error)),
    }
}

/// What is asked for, or the answer that leads back with a refusal.
fn asked(
    house: House<'_>,
    version: Version,
    query: Option<&str>,
) -> Result<Result<Authorize, Response>, LoginFailure> {
    let parameters = form::query(query).map_err(LoginFailure::on_page)?;
    match house.issuer.authorize(&parameters, version) {
        Ok(asked) => Ok(Ok(asked)),
        Err(AuthorizeRefusal::Page(error)) => Err(LoginFailure::page(error)),
        Err(AuthorizeRefusal::Back(back)) => Ok(Err(page::lead_back(house.entropy, &back))),
    }
}

/// The page's own address on this host.
fn own_address(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}
