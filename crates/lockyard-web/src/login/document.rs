//! Documents that everybody may read.

use axum::response::Response;
use http::{HeaderValue, StatusCode, Uri, header};
use lockyard_access::issuer::{OAuthError, TenantPath, Version};
use serde_json::Value;

use super::{House, failure::LoginFailure, form, json};

/// OpenID's discovery document.
pub(super) fn discovery(house: House<'_>, tenant: &TenantPath, version: Version) -> Response {
    public(&house.issuer.discovery(tenant, version))
}

/// The public keys.
pub(super) fn keys(house: House<'_>) -> Response {
    public(&house.issuer.key_set())
}

/// What Microsoft's libraries ask about an authority.
pub(super) fn instance(house: House<'_>, uri: &Uri) -> Result<Response, LoginFailure> {
    let parameters = form::query(uri.query())?;
    let asked = parameters.require("authorization_endpoint").map_err(LoginFailure::oauth)?;
    let unknown = || {
        let text = "this issuer knows of no authority but itself";
        LoginFailure::oauth(OAuthError::refused(
            lockyard_access::issuer::ErrorWord::InvalidRequest,
            50_049,
            text,
        ))
    };
    Ok(public(&house.issuer.instance_discovery(asked).ok_or_else(unknown)?))
}

/// Where a person's password is checked; the same for everybody.
pub(super) fn user_realm(house: House<'_>) -> Response {
    json(StatusCode::OK, house.issuer.user_realm().to_string())
}

/// A document that may be kept for some minutes, so that a key that was given up is soon gone.
fn public(document: &Value) -> Response {
    let mut response = json(StatusCode::OK, document.to_string());
    let minutes = HeaderValue::from_static("public, max-age=300");
    let _none = response.headers_mut().insert(header::CACHE_CONTROL, minutes);
    response
}
