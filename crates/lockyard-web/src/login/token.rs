//! The token endpoints and the device endpoints, in both versions.

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::StatusCode;
use lockyard_access::issuer::{DeviceReply, TenantPath, TokenReply, TokenRequest, Version};
use serde::Serialize;

use super::{House, client, failure::LoginFailure, form, json};
use crate::witness::{Actor, TOKEN_ISSUE};

/// `POST /{tenant}/oauth2/v2.0/token` and version 1's.
pub(super) async fn token(
    house: House<'_>,
    tenant: TenantPath,
    version: Version,
    request: Request,
) -> Result<Response, LoginFailure> {
    let request = read(tenant, version, request).await?;
    let grant = grant(request.parameters.get("grant_type").unwrap_or_default());
    let reply = house.issuer.token(request).await.map_err(|error| {
        house.witness.refused_by_issuer(&error);
        LoginFailure::oauth(error)
    })?;
    let actor = Actor::new(reply.bearer.principal, Some(reply.bearer.client));
    house.saw(TOKEN_ISSUE, &actor, grant).await;
    Ok(json(StatusCode::OK, body(&Tokens::of(&reply))))
}

/// `POST /{tenant}/oauth2/v2.0/devicecode` and version 1's.
pub(super) async fn device_code(
    house: House<'_>,
    tenant: TenantPath,
    version: Version,
    request: Request,
) -> Result<Response, LoginFailure> {
    let request = read(tenant, version, request).await?;
    let reply = house.issuer.device(&request).await.map_err(LoginFailure::oauth)?;
    Ok(json(StatusCode::OK, body(&Codes::of(&reply))))
}

/// A grant that tokens were issued for, in the trail's words.
fn grant(word: &str) -> &'static str {
    let known = ["client_credentials", "password", "refresh_token", "authorization_code"];
    known.into_iter().find(|known| *known == word).unwrap_or("device_code")
}

async fn read(
    tenant: TenantPath,
    version: Version,
    request: Request,
) -> Result<TokenRequest, LoginFailure> {
    let basic = client::basic(request.headers())?;
    let parameters = form::read(request).await?;
    Ok(TokenRequest { tenant, version, parameters, basic })
}

fn body(value: &impl Serialize) -> Body {
    // Structs of texts and numbers always serialize.
    Body::from(Bytes::from(serde_json::to_vec(value).unwrap_or_default()))
}

/// A number, which version 1 writes as a text.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

/// The reply of the token endpoint (RFC 6749 section 5.1) with the words that Azure adds.
#[derive(Serialize)]
struct Tokens<'r> {
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'r str>,
    expires_in: Number,
    ext_expires_in: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'r str>,
    access_token: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_info: Option<&'r str>,
}

impl<'r> Tokens<'r> {
    fn of(reply: &'r TokenReply) -> Self {
        let first = reply.version == Version::V1;
        let number = |number: i64| {
            if first { Number::Text(number.to_string()) } else { Number::Number(number) }
        };
        let (issued, expires) = (reply.issued.as_secs(), reply.expires.as_secs());
        // A second less, for the way.
        let left = expires - issued - 1;
        Self {
            token_type: "Bearer",
            scope: reply.scope.as_deref(),
            expires_in: number(left),
            ext_expires_in: number(left),
            expires_on: first.then(|| number(expires)),
            not_before: first.then(|| number(issued)),
            resource: first.then_some(reply.resource.as_str()),
            access_token: &reply.access_token,
            refresh_token: reply.refresh_token.as_ref().map(|token| token.as_str()),
            id_token: reply.id_token.as_ref().map(|token| token.as_str()),
            client_info: reply.client_info.as_deref(),
        }
    }
}

/// The reply of the device endpoint (RFC 8628 section 3.2), with both spellings of the address.
#[derive(Serialize)]
struct Codes<'r> {
    user_code: &'r str,
    device_code: &'r str,
    verification_uri: &'r str,
    verification_url: &'r str,
    expires_in: u64,
    interval: u64,
    message: &'r str,
}

impl<'r> Codes<'r> {
    fn of(reply: &'r DeviceReply) -> Self {
        Self {
            user_code: &reply.user_code,
            device_code: &reply.device_code,
            verification_uri: &reply.verification_uri,
            verification_url: &reply.verification_uri,
            expires_in: reply.life.as_secs(),
            interval: reply.interval.as_secs(),
            message: &reply.message,
        }
    }
}
