//! `/v2/<name>/blobs/uploads/`: pushing blobs, at once or in pieces, or mounting them.
//!
//! A session's address carries its generation, which every piece changes: a client that goes on
//! from an old address is told where the session stands instead of being appended in the wrong
//! place. Addresses are relative, so that they hold behind any proxy.

use axum::{body::Body, response::Response};
use http::{HeaderName, StatusCode, header};
use lockyard_base::UploadId;
use lockyard_oci::{Algorithm, ContentRange, Digest, ErrorCode, RepositoryName};
use lockyard_registry::{RegistryError, UploadStatus, UploadTicket};

use super::{Answer, CONTENT_DIGEST, Call, Reply, digest, intake, query};
use crate::failure::OciFailure;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST`: mounts a blob, takes a whole one, or begins a session.
pub(crate) async fn start(call: &Call, body: Body) -> Answer {
    let name = call.repository()?;
    let refuse = |error| call.refuse_in(&name, error);
    if let Some(mount) = call.query.first("mount") {
        let mount = digest(mount)?;
        // What cannot be mounted is uploaded: a source that is no name is one that has no blob.
        let from = call.query.first("from").map(str::parse::<RepositoryName>);
        let mounted = match from {
            None => call.registry.mount_blob(&name, &mount, None).await.map_err(refuse)?,
            Some(Ok(from)) => {
                call.registry.mount_blob(&name, &mount, Some(&from)).await.map_err(refuse)?
            }
            Some(Err(_)) => false,
        };
        if mounted {
            return Ok(created(&name, &mount));
        }
        return begin(call, &name, Some(mount.algorithm())).await;
    }
    if let Some(claimed) = call.query.first("digest") {
        let claimed = digest(claimed)?;
        let pushed = call.registry.push_blob(&name, &claimed, intake(body)).await;
        return Ok(created(&name, &pushed.map_err(refuse)?));
    }
    let algorithm = call.query.first("digest-algorithm").map(str::parse::<Algorithm>).transpose();
    let algorithm =
        algorithm.map_err(|error| OciFailure::bad(ErrorCode::DigestInvalid, error.to_string()))?;
    begin(call, &name, algorithm).await
}

async fn begin(call: &Call, name: &RepositoryName, algorithm: Option<Algorithm>) -> Answer {
    let begun = call.registry.start_upload(name, algorithm).await;
    let status = begun.map_err(|error| call.refuse_in(name, error))?;
    Ok(standing(StatusCode::ACCEPTED, name, &status))
}

/// `PATCH`: adds a piece.
pub(crate) async fn append(call: &Call, body: Body) -> Answer {
    let name = call.repository()?;
    let (ticket, range) = (ticket(call)?, chunk(call)?);
    let appended = call.registry.append_upload(&name, ticket, range, intake(body)).await;
    let status = appended.map_err(|error| call.refuse_in(&name, error))?;
    Ok(standing(StatusCode::ACCEPTED, &name, &status))
}

/// `PUT`: adds the last piece, if there is one, and makes the blob.
pub(crate) async fn finish(call: &Call, body: Body) -> Answer {
    let name = call.repository()?;
    let (ticket, range) = (ticket(call)?, chunk(call)?);
    let claimed = call.query.first("digest").ok_or_else(|| {
        OciFailure::bad(ErrorCode::DigestInvalid, "the query parameter `digest` is missing")
    })?;
    let claimed = digest(claimed)?;
    let finished = call.registry.finish_upload(&name, ticket, &claimed, range, intake(body)).await;
    Ok(created(&name, &finished.map_err(|error| call.refuse_in(&name, error))?))
}

/// `GET`: where the session stands.
pub(crate) async fn status(call: &Call) -> Answer {
    let name = call.repository()?;
    let found = call.registry.upload_status(&name, ticket(call)?.id).await;
    let status = found.map_err(|error| call.refuse_in(&name, error))?;
    Ok(standing(StatusCode::NO_CONTENT, &name, &status))
}

/// `DELETE`: forgets the session and what it has.
pub(crate) async fn cancel(call: &Call) -> Answer {
    let name = call.repository()?;
    let cancelled = call.registry.cancel_upload(&name, ticket(call)?).await;
    cancelled.map_err(|error| call.refuse_in(&name, error))?;
    Ok(Reply::new(StatusCode::NO_CONTENT).empty())
}

/// The relative address of a session at its present generation.
pub(crate) fn location(name: &RepositoryName, ticket: &UploadTicket) -> String {
    let path = format!("/v2/{name}/blobs/uploads/{}", ticket.id);
    match ticket.generation {
        Some(generation) => {
            let query = query::encode(&[("generation", &generation.to_string())]);
            format!("{path}?{query}")
        }
        None => path,
    }
}

/// The bytes that a session has, as `0-<last>`.
///
/// Nothing is written `0-0`, like one byte, because `0--1` breaks clients.
pub(crate) fn range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn standing(status: StatusCode, name: &RepositoryName, upload: &UploadStatus) -> Response {
    let reply = Reply::new(status)
        .with(header::LOCATION, location(name, &upload.ticket))
        .with(header::RANGE, range(upload.offset))
        .with(UPLOAD_UUID, upload.ticket.id.to_string());
    reply.empty()
}

fn created(name: &RepositoryName, digest: &Digest) -> Response {
    Reply::new(StatusCode::CREATED)
        .with(header::LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .with(CONTENT_DIGEST, digest.to_string())
        .with(header::CONTENT_LENGTH, "0")
        .empty()
}

/// The session that the path names, at the generation that the query names.
fn ticket(call: &Call) -> Result<UploadTicket, OciFailure> {
    let unknown = |_| call.refuse(RegistryError::UploadUnknown);
    let id: UploadId = call.last().parse().map_err(unknown)?;
    let generation = call.query.first("generation").map(str::parse::<u64>).transpose();
    let generation = generation.map_err(|_| {
        let message = "the query parameter `generation` is not one that was given out";
        OciFailure::bad(ErrorCode::BlobUploadInvalid, message)
    })?;
    Ok(UploadTicket { id, generation })
}

/// The place of the piece, if the client says it; its length must be the body's.
fn chunk(call: &Call) -> Result<Option<ContentRange>, OciFailure> {
    let Some(header) = call.header(header::CONTENT_RANGE) else { return Ok(None) };
    let range = header.parse::<ContentRange>();
    let range =
        range.map_err(|error| OciFailure::bad(ErrorCode::BlobUploadInvalid, error.to_string()))?;
    let length = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length != range.length()) {
        return Err(call.refuse(RegistryError::LengthMismatch));
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_without_bytes_is_written_like_one_with_one() {
        assert_eq!(range(0), "0-0");
        assert_eq!(range(1), "0-0");
        assert_eq!(range(1024), "0-1023");
    }

    #[test]
    fn an_address_carries_the_generation() {
        let name = "a/b".parse().unwrap();
        let id = UploadId::from_bytes([0xab; 16]);
        let path = format!("/v2/a/b/blobs/uploads/{id}");
        let ticket = UploadTicket { id, generation: Some(7) };
        assert_eq!(location(&name, &ticket), format!("{path}?generation=7"));
        assert_eq!(location(&name, &UploadTicket { id, generation: None }), path);
    }
}
