//! `GET /v2/`: whether this is a registry, and whether the caller may come in.
//!
//! It touches no content, so it answers while the registry is locked too: clients begin with it and
//! keep its body to themselves, but what they ask for next is refused with words that they show.

use axum::response::Response;
use http::{StatusCode, header};
use lockyard_registry::{Action, Caller, RegistryError, decide};

use super::Reply;

/// Answers `{}`, as clients have come to expect.
pub(crate) fn ping(caller: Caller) -> Result<Response, RegistryError> {
    decide(caller, Action::Pull)?;
    Ok(Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json").body("{}"))
}
