//! Forms: a body of a known type, of bounded length, that comes in bounded time.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use lockyard_access::issuer::{FORM_BYTES_MAX, Parameters};

use super::failure::LoginFailure;

/// How long a form may take to come.
const FORM_TIME_MAX: Duration = Duration::from_secs(20);

/// Reads the form that a request carries.
pub(super) async fn read(request: Request) -> Result<Parameters, LoginFailure> {
    let (parts, body) = request.into_parts();
    check_type(&parts.headers)?;
    let reading = tokio::time::timeout(FORM_TIME_MAX, collect(body)).await;
    let bytes =
        reading.map_err(|_elapsed| LoginFailure::request("the form did not come in time"))?;
    Parameters::parse(&bytes?).map_err(LoginFailure::oauth)
}

/// Reads the parameters of a query.
pub(super) fn query(query: Option<&str>) -> Result<Parameters, LoginFailure> {
    Parameters::parse(query.unwrap_or_default().as_bytes()).map_err(LoginFailure::oauth)
}

fn check_type(headers: &HeaderMap) -> Result<(), LoginFailure> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(LoginFailure::request("the request's body must be `application/x-www-form-urlencoded`"))
}

async fn collect(body: Body) -> Result<Vec<u8>, LoginFailure> {
    match Limited::new(body, FORM_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(LoginFailure::too_long(format!("a form has at most {FORM_BYTES_MAX} bytes")))
        }
        Err(_) => Err(LoginFailure::request("the form did not come whole")),
    }
}
