//! Descriptors: how one piece of content points at another (OCI Image 1.1, "Content Descriptors").
//!
//! The digest and the size are parsed, because a registry acts on them. The rest is carried through
//! as it was: clients put media types and artifact types there that no grammar knows, and refusing
//! an image for one would help nobody. Fields we do not know are dropped; manifests themselves are
//! kept verbatim, so nothing is lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{Digest, DigestError, MediaType, object::Object};

/// A pointer to content: its digest, its size, and what it is said to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Wire", try_from = "Object<Wire>")]
pub struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    urls: Vec<String>,
    annotations: BTreeMap<String, String>,
    data: Option<String>,
    artifact_type: Option<String>,
    platform: Option<Box<RawValue>>,
}

/// A descriptor that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DescriptorError {
    /// The digest is malformed or of an algorithm that is not supported.
    #[error("the digest cannot be used")]
    Digest(#[source] DigestError),
    /// The size is below zero.
    #[error("the size `{0}` is negative")]
    NegativeSize(i64),
}

impl Descriptor {
    /// Describes content by what is required of every descriptor.
    pub fn new(media_type: &MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.as_str().to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
            artifact_type: None,
            platform: None,
        }
    }

    /// Sets the type of the artifact that the content is.
    #[must_use]
    pub fn with_artifact_type(mut self, artifact_type: Option<&str>) -> Self {
        self.artifact_type = artifact_type.map(str::to_owned);
        self
    }

    /// Sets the annotations.
    #[must_use]
    pub fn with_annotations(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations = annotations;
        self
    }

    /// The media type as it was given, empty if it was not.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The digest of the content.
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The size of the content in bytes, at most `i64::MAX`.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Places from which the content may be had instead.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The annotations.
    pub const fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// The content itself in base64, unchecked.
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The type of the artifact, if one is given and not empty.
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// The platform as JSON text, unread.
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref().map(RawValue::get)
    }

    /// Whether the content, as a layer, need not exist in the registry.
    ///
    /// That is so for the types that may not be distributed, and for whatever names another place.
    pub fn is_foreign(&self) -> bool {
        let by_type = self.media_type.parse().is_ok_and(|t: MediaType| t.is_foreign_layer());
        by_type || !self.urls.is_empty()
    }
}

/// A descriptor as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    media_type: Option<String>,
    digest: String,
    size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    urls: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Box<RawValue>>,
}

impl TryFrom<Object<Wire>> for Descriptor {
    type Error = DescriptorError;

    fn try_from(Object(wire): Object<Wire>) -> Result<Self, DescriptorError> {
        Ok(Self {
            media_type: wire.media_type.unwrap_or_default(),
            digest: wire.digest.parse().map_err(DescriptorError::Digest)?,
            size: u64::try_from(wire.size).map_err(|_| DescriptorError::NegativeSize(wire.size))?,
            urls: wire.urls.unwrap_or_default(),
            annotations: wire.annotations.unwrap_or_default(),
            data: wire.data,
            // Go writes an unset string as the empty one.
            artifact_type: wire.artifact_type.filter(|text| !text.is_empty()),
            platform: wire.platform,
        })
    }
}

impl From<Descriptor> for Wire {
    fn from(descriptor: Descriptor) -> Self {
        Self {
            media_type: Some(descriptor.media_type),
            digest: descriptor.digest.to_string(),
            size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
            urls: Some(descriptor.urls).filter(|urls| !urls.is_empty()),
            annotations: Some(descriptor.annotations).filter(|all| !all.is_empty()),
            data: descriptor.data,
            artifact_type: descriptor.artifact_type,
            platform: descriptor.platform,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::Algorithm;

    fn digest() -> Digest {
        Digest::of(Algorithm::Sha256, b"{}")
    }

    fn read(json: Value) -> Result<Descriptor, serde_json::Error> {
        serde_json::from_str(&json.to_string())
    }

    #[test]
    fn every_field_comes_back_as_it_was_and_unknown_ones_are_dropped() {
        let mut json = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest().to_string(),
            "size": 2,
            "urls": ["https://a.test/x"],
            "annotations": {"a": "b"},
            "data": "e30=",
            "artifactType": "application/x",
            "platform": {"os": "linux", "architecture": "amd64", "os.features": ["win32k"]},
        });
        let whole = json.clone();
        json["unknown"] = json!([[{}]]);
        let descriptor = read(json).unwrap();
        assert_eq!(serde_json::to_string(&descriptor).unwrap().parse::<Value>().unwrap(), whole);
        assert_eq!(descriptor.data(), Some("e30="));
        assert_eq!(descriptor.urls(), ["https://a.test/x"]);
        assert_eq!(descriptor.platform().unwrap().parse::<Value>().unwrap(), whole["platform"]);
    }

    #[test]
    fn the_values_of_the_fields_in_an_array_are_no_descriptor() {
        let values = json!(["a/b", digest().to_string(), 1, null, null, null, null, null]);
        assert!(read(values).unwrap_err().to_string().contains("expected an object"));
    }

    #[test]
    fn only_what_is_set_is_written() {
        let descriptor = Descriptor::new(&MediaType::OCI_MANIFEST, digest(), 2);
        let expected = format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":2}}"#,
            digest()
        );
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), expected);
    }

    #[test]
    fn unset_fields_may_be_null_or_empty() {
        let descriptor = read(json!({
            "mediaType": "", "digest": digest().to_string(), "size": 0, "urls": null,
            "annotations": null, "data": null, "artifactType": "", "platform": null,
        }))
        .unwrap();
        assert_eq!((descriptor.media_type(), descriptor.artifact_type()), ("", None));
        assert_eq!((descriptor.platform(), descriptor.is_foreign()), (None, false));
    }

    #[test]
    fn a_size_is_a_whole_number_from_zero_to_the_largest_signed_one() {
        let size = |text: &str| {
            let json = format!(r#"{{"mediaType":"a/b","digest":"{}","size":{text}}}"#, digest());
            serde_json::from_str::<Descriptor>(&json).map(|d| d.size()).ok()
        };
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("9223372036854775807"), Some(i64::MAX.cast_unsigned()));
        for text in ["-1", "-9223372036854775808", "9223372036854775808", "1.0", "\"1\"", "null"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn what_names_another_place_or_may_not_be_distributed_is_foreign() {
        let foreign = |media_type: &str, urls: &[&str]| {
            let digest = digest().to_string();
            read(json!({"mediaType": media_type, "digest": digest, "size": 1, "urls": urls}))
                .unwrap()
                .is_foreign()
        };
        assert!(!foreign("application/vnd.oci.image.layer.v1.tar", &[]));
        assert!(foreign("application/vnd.oci.image.layer.v1.tar", &["https://a.test/"]));
        assert!(foreign("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", &[]));
        assert!(foreign("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &[]));
        assert!(!foreign("not a media type", &[]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            drop(serde_json::from_slice::<Descriptor>(&bytes));
        }

        #[test]
        fn a_written_descriptor_reads_the_same(
            content: Vec<u8>,
            size in 0..=i64::MAX.cast_unsigned(),
            artifact_type in prop::option::of("\\PC{1,20}"),
            annotations in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        ) {
            let digest = Digest::of(Algorithm::Sha512, &content);
            let descriptor = Descriptor::new(&MediaType::OCI_INDEX, digest, size)
                .with_artifact_type(artifact_type.as_deref())
                .with_annotations(annotations);
            let json = serde_json::to_vec(&descriptor).unwrap();
            let read: Descriptor = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{descriptor:?}"));
        }
    }
}
