//! `GET /v2/`: whether this is a registry, and whether the caller may come in.

use axum::response::Response;
use http::{StatusCode, header};
use lockyard_registry::Action;

use super::{Call, Reply};
use crate::failure::OciFailure;

/// Answers `{}`, as clients have come to expect.
pub(crate) fn ping(call: &Call) -> Result<Response, OciFailure> {
    call.registry.authorize(Action::Pull).map_err(|error| call.refuse(error))?;
    Ok(Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json").body("{}"))
}
