//! Bodies of requests to the faces that speak JSON: read whole, within a limit.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;
use thiserror::Error;

/// A body that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum IntakeError {
    /// It has more bytes than the face takes.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// It broke off.
    #[error("the body broke off")]
    Cut,
    /// It is not JSON.
    #[error("the body is not JSON")]
    NotJson,
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn bytes(body: Body, limit: usize) -> Result<Bytes, IntakeError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(IntakeError::TooLarge(limit)),
        Err(_) => Err(IntakeError::Cut),
    }
}

/// Reads a body of at most `limit` bytes as JSON; an empty one is an empty object.
pub(crate) async fn json(body: Body, limit: usize) -> Result<Value, IntakeError> {
    parsed(&bytes(body, limit).await?)
}

/// Reads bytes as JSON; none are an empty object.
pub(crate) fn parsed(bytes: &[u8]) -> Result<Value, IntakeError> {
    // Some clients begin with the mark that their editor put there.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if text.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(text).map_err(|_| IntakeError::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_up_to_its_limit() {
        let limit = 10;
        assert_eq!(json(Body::from("\"12345678\""), limit).await, Ok("12345678".into()));
        let long = json(Body::from("\"123456789\""), limit).await;
        assert_eq!(long, Err(IntakeError::TooLarge(limit)));
        assert_eq!(json(Body::empty(), limit).await, Ok(serde_json::json!({})));
        assert_eq!(json(Body::from("\u{feff}[]"), limit).await, Ok(serde_json::json!([])));
        assert_eq!(json(Body::from("{"), limit).await, Err(IntakeError::NotJson));
        assert_eq!(json(Body::from(vec![0xff]), limit).await, Err(IntakeError::NotJson));
        let deep = "[".repeat(1000);
        assert_eq!(json(Body::from(deep), 1000).await, Err(IntakeError::NotJson));
    }
}
