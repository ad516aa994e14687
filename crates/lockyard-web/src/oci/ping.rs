//! `GET /v2/`: whether this is a registry, and whether the caller may come in.
//!
//! It touches no content, so it answers while the registry is locked too: clients begin with it and
//! keep its body to themselves, but what they ask for next is refused with words that they show.
//! For the same reason it asks for no role. Whoever shows nothing is asked for a login even where
//! everybody may pull, because clients log in only where the first answer tells them to.

use axum::response::Response;
use http::{StatusCode, header};
use lockyard_registry::{Caller, LoginNeeded, RegistryEntry, check_standing};

use super::Reply;
use crate::caller::Login;

/// Answers `{}`, as clients have come to expect.
pub(crate) fn ping(login: &Login, registry: &RegistryEntry) -> Result<Response, LoginNeeded> {
    match &login.caller {
        Caller::Anonymous if login.shown && registry.anonymous_pull() => {}
        caller => check_standing(caller)?,
    }
    Ok(Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json").body("{}"))
}
