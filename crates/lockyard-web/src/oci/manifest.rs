//! `/v2/<name>/manifests/<reference>`: manifests and the tags that point at them.
//!
//! A manifest is taken and served byte for byte, with the media type that it was pushed with; what
//! a client says it accepts changes nothing, because another form would have another digest.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderName, StatusCode, header};
use lockyard_oci::{
    ErrorCode, MANIFEST_BYTES_MAX, ManifestError, MediaType, Reference, ReferenceError, Tag,
};
use lockyard_registry::RegistryError;

use super::{Answer, CONTENT_DIGEST, Call, Reply, blob::accepted, digest};
use crate::failure::OciFailure;

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `HEAD`: whether the manifest is there, what it is and how long.
pub(crate) async fn stat(call: &Call) -> Answer {
    let (name, reference) = (call.repository()?, wanted(call)?);
    let stat = call.registry.stat_manifest(&name, &reference).await;
    let stat = stat.map_err(|error| call.refuse_in(&name, error))?;
    let status = if call.has(&stat.digest) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let length = stat.length;
    Ok(Reply::new(status).content(stat.media_type.as_str(), length, &stat.digest).empty())
}

/// `GET`: the manifest.
pub(crate) async fn read(call: &Call) -> Answer {
    let (name, reference) = (call.repository()?, wanted(call)?);
    let content = call.registry.get_manifest(&name, &reference).await;
    let content = content.map_err(|error| call.refuse_in(&name, error))?;
    let known = call.has(&content.digest);
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let length = content.bytes.len() as u64;
    let reply = Reply::new(status).content(content.media_type.as_str(), length, &content.digest);
    Ok(if known { reply.empty() } else { reply.body(content.bytes) })
}

/// `PUT`: stores the manifest and sets its tags.
pub(crate) async fn put(call: &Call, body: Body) -> Answer {
    let (name, reference) = (call.repository()?, given(call)?);
    let tags = tags(call)?;
    let media_type = media_type(call)?;
    let bytes = collect(call, body).await?;
    let put = call.registry.put_manifest(&name, &reference, &tags, media_type, bytes).await;
    let put = put.map_err(|error| call.refuse_in(&name, error))?;
    let mut reply = Reply::new(StatusCode::CREATED)
        .with(header::LOCATION, format!("/v2/{name}/manifests/{}", put.digest))
        .with(CONTENT_DIGEST, put.digest.to_string())
        .with(header::CONTENT_LENGTH, "0");
    if let Some(subject) = &put.subject {
        reply = reply.with(SUBJECT, subject.to_string());
    }
    if !tags.is_empty() {
        let set: Vec<&str> = put.tags.iter().map(Tag::as_str).collect();
        reply = reply.with(TAG, set.join(", "));
    }
    Ok(reply.empty())
}

/// `DELETE`: a manifest by its digest with all its tags, or one tag alone.
pub(crate) async fn delete(call: &Call) -> Answer {
    let (name, reference) = (call.repository()?, wanted(call)?);
    let deleted = match &reference {
        Reference::Digest(digest) => call.registry.delete_manifest(&name, digest).await,
        Reference::Tag(tag) => call.registry.delete_tag(&name, tag).await,
    };
    deleted.map_err(|error| call.refuse_in(&name, error))?;
    Ok(accepted())
}

/// The reference of something that should be there; no manifest can have a bad tag.
fn wanted(call: &Call) -> Result<Reference, OciFailure> {
    call.last().parse().map_err(|error| match error {
        ReferenceError::Digest(_) => bad_digest(call),
        ReferenceError::Tag(_) => call.refuse(RegistryError::ManifestUnknown),
    })
}

/// The reference that something is to get.
fn given(call: &Call) -> Result<Reference, OciFailure> {
    call.last().parse().map_err(|error| match error {
        ReferenceError::Digest(_) => bad_digest(call),
        ReferenceError::Tag(error) => bad_manifest(error.to_string()),
    })
}

fn bad_digest(call: &Call) -> OciFailure {
    digest(call.last()).err().unwrap_or_else(|| call.refuse(RegistryError::ManifestUnknown))
}

fn bad_manifest(message: String) -> OciFailure {
    OciFailure::bad(ErrorCode::ManifestInvalid, message)
}

/// The tags that a PUT by digest sets as well.
fn tags(call: &Call) -> Result<Vec<Tag>, OciFailure> {
    let parsed = call.query.all("tag").map(str::parse);
    parsed
        .collect::<Result<_, _>>()
        .map_err(|error: lockyard_oci::TagError| bad_manifest(error.to_string()))
}

fn media_type(call: &Call) -> Result<Option<MediaType>, OciFailure> {
    let parsed = call.header(header::CONTENT_TYPE).map(str::parse).transpose();
    parsed.map_err(|error: lockyard_oci::MediaTypeError| {
        bad_manifest(format!("the request's `Content-Type` cannot be read: {error}"))
    })
}

/// Reads the manifest into memory, not a byte further than a manifest may go.
async fn collect(call: &Call, body: Body) -> Result<Bytes, OciFailure> {
    let announced = call.header(header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    if announced > MANIFEST_BYTES_MAX {
        return Err(OciFailure::manifest(&ManifestError::TooLarge(announced)));
    }
    let mut bytes = BytesMut::with_capacity(announced);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| call.refuse(RegistryError::BodyCut))?;
        if bytes.len() + piece.len() > MANIFEST_BYTES_MAX {
            let length = bytes.len() + piece.len();
            return Err(OciFailure::manifest(&ManifestError::TooLarge(length)));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
