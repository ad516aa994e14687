//! `/v2/<name>/blobs/<digest>`: reading and deleting blobs.
//!
//! Blobs are served as they were pushed, never compressed on the way, in whole or in one range.

use axum::{body::Body, response::Response};
use http::{StatusCode, header};
use lockyard_oci::{ByteRange, Digest, ErrorCode, MediaType, content_range};

use super::{Answer, Call, Reply, etag};
use crate::failure::OciFailure;

/// `HEAD`: whether the blob is there, and how long it is.
pub(crate) async fn stat(call: &Call) -> Answer {
    let (name, digest) = (call.repository()?, call.digest()?);
    let stat = call.registry.stat_blob(&name, &digest).await;
    let stat = stat.map_err(|error| call.refuse_in(&name, error))?;
    let status = if call.has(&digest) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    Ok(reply(status, stat.length, &digest).empty())
}

/// `GET`: the blob, or one range of it.
pub(crate) async fn read(call: &Call) -> Answer {
    let (name, digest) = (call.repository()?, call.digest()?);
    if call.has(&digest) {
        return stat(call).await;
    }
    let range = wanted_range(call, &digest)?;
    let content = call.registry.read_blob(&name, &digest, range).await;
    let content = content.map_err(|error| call.refuse_in(&name, error))?;
    let length = content.range.end - content.range.start;
    let part = range.and_then(|_| content_range(&content.range, content.length));
    let reply = match part {
        Some(part) => {
            reply(StatusCode::PARTIAL_CONTENT, length, &digest).with(header::CONTENT_RANGE, part)
        }
        None => reply(StatusCode::OK, length, &digest),
    };
    Ok(reply.body(Body::from_stream(content.stream)))
}

/// `DELETE`: takes the blob out of the repository.
pub(crate) async fn delete(call: &Call) -> Answer {
    let (name, digest) = (call.repository()?, call.digest()?);
    let deleted = call.registry.delete_blob(&name, &digest).await;
    deleted.map_err(|error| call.refuse_in(&name, error))?;
    Ok(accepted())
}

/// What every delete answers.
pub(super) fn accepted() -> Response {
    Reply::new(StatusCode::ACCEPTED).with(header::CONTENT_LENGTH, "0").empty()
}

fn reply(status: StatusCode, length: u64, digest: &Digest) -> Reply {
    Reply::new(status)
        .content(MediaType::OCTET_STREAM.as_str(), length, digest)
        .with(header::ACCEPT_RANGES, "bytes")
}

/// The range that is asked for, unless the client has begun with other content (`If-Range`).
fn wanted_range(call: &Call, digest: &Digest) -> Result<Option<ByteRange>, OciFailure> {
    let Some(header) = call.header(header::RANGE) else { return Ok(None) };
    if call.header(header::IF_RANGE).is_some_and(|tag| tag != etag(digest)) {
        return Ok(None);
    }
    let range = ByteRange::parse(header);
    if range.is_none() && is_reversed(header) {
        let message = "the range's last byte is before its first";
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        return Err(OciFailure::new(status, ErrorCode::SizeInvalid, message));
    }
    Ok(range)
}

/// Whether the header is one range that ends before it begins.
///
/// RFC 9110, section 14.2, lets a server ignore or refuse it; OCI's conformance program wants it
/// refused.
fn is_reversed(header: &str) -> bool {
    let number = |digits: &str| digits.parse::<u64>().ok();
    let bounds = header.trim().strip_prefix("bytes=").and_then(|set| set.split_once('-'));
    let Some((Some(first), Some(last))) = bounds.map(|(first, last)| (number(first), number(last)))
    else {
        return false;
    };
    first > last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_that_ends_before_it_begins_is_reversed() {
        for (header, reversed) in [
            ("bytes=500-0", true),
            ("bytes=1-1", false),
            ("bytes=0-500", false),
            ("bytes=-500", false),
            ("bytes=500-", false),
            ("bytes=5-0,7-8", false),
            ("lines=5-0", false),
            ("", false),
        ] {
            assert_eq!(is_reversed(header), reversed, "{header}");
        }
    }
}
