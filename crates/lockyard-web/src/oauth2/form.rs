//! The form that comes in a request's body.
//!
//! It may hold secrets, so that it is wiped when it is dropped.

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use http::{HeaderMap, header};
use zeroize::Zeroizing;

use super::Refusal;

/// The longest form in bytes; the largest token with the most scopes is shorter.
pub const FORM_BYTES_MAX: usize = 64 << 10;

/// The most fields of a form.
pub const FORM_FIELDS_MAX: usize = 256;

/// How long a form may take to come.
const FORM_TIME_MAX: Duration = Duration::from_secs(20);

/// A decoded form.
pub(super) struct Form(Vec<(Zeroizing<String>, Zeroizing<String>)>);

impl Form {
    /// Reads the body of a request, not a byte further than a form may go.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).trim());
        if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
        {
            return Err(Refusal::request(
                "the request's `Content-Type` is not `application/x-www-form-urlencoded`",
            ));
        }
        Self::parse(&whole(body, FORM_TIME_MAX).await?)
    }

    /// Reads names and values, decoded.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if fields.len() == FORM_FIELDS_MAX {
                return Err(Refusal::too_large());
            }
            fields.push((Zeroizing::new(name.into_owned()), Zeroizing::new(value.into_owned())));
        }
        Ok(Self(fields))
    }

    /// The value of `name`, unless it is absent or empty (RFC 6749, section 3.2); twice is once too
    /// often.
    pub(super) fn one<'f>(&'f self, name: &'f str) -> Result<Option<&'f str>, Refusal> {
        let mut values = self.all(name).filter(|value| !value.is_empty());
        let value = values.next();
        if values.next().is_some() {
            return Err(Refusal::request(format!("the parameter `{name}` is there twice")));
        }
        Ok(value)
    }

    /// The value of `name`, which must be there.
    pub(super) fn required<'f>(&'f self, name: &'f str) -> Result<&'f str, Refusal> {
        let missing = || Refusal::request(format!("the parameter `{name}` is missing"));
        self.one(name)?.ok_or_else(missing)
    }

    /// All values of `name`, in their order.
    pub(super) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(key, _)| key.as_str() == name).map(|(_, value)| value.as_str())
    }
}

/// A body, not a byte longer than a form may be; in one piece of memory, so that no copy is left.
///
/// Strangers send forms too: one that never ends must not hold its room for long.
async fn whole(body: Body, time_max: Duration) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let read = async {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FORM_BYTES_MAX));
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Refusal::request("the request's body was cut off"))?;
            if bytes.len() + piece.len() > FORM_BYTES_MAX {
                return Err(Refusal::too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = || Refusal::request("the form did not come in time");
    tokio::time::timeout(time_max, read).await.unwrap_or_else(|_elapsed| Err(late()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_that_never_ends_is_given_up() {
        let endless = futures_util::stream::pending::<Result<&str, std::io::Error>>();
        assert!(whole(Body::from_stream(endless), Duration::ZERO).await.is_err());
        let form = whole(Body::from("a=b"), FORM_TIME_MAX).await.unwrap();
        assert_eq!(form.as_slice(), b"a=b");
    }
}
