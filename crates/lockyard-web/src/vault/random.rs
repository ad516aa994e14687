//! Random bytes.

use http::StatusCode;
use lockyard_arm::{Body, BodyError};
use lockyard_audit::Operation;
use serde_json::json as value;

use super::{Answer, Asked, json, record::Deed, told::encoded};

/// `POST /rng`.
pub(super) async fn answer(asked: &Asked<'_>, count: usize) -> Answer {
    let deed = Deed::read(Operation::RANDOM_BYTES_GET, &asked.vault);
    let bytes = asked.act(deed, move |plane| plane.random(count)).await?;
    Ok(json(StatusCode::OK, &value!({ "value": encoded(&bytes) })))
}

/// How many bytes a body asks for.
pub(super) fn to_draw(body: &Body<'_>) -> Result<usize, BodyError> {
    let count = body.integer("count")?.unwrap_or_default();
    // What is no count at all is as wrong as one that is too large.
    Ok(usize::try_from(count).unwrap_or_default())
}
