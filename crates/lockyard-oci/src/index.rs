//! Writing the image index that lists a manifest's referrers.
//!
//! This is the one document that a registry makes up itself; pushed indexes are never rewritten.

use serde::Serialize;

use crate::{Descriptor, MediaType};

/// An OCI image index, to be answered with exactly [`MediaType::OCI_INDEX`] as its type.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIndex {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

impl ImageIndex {
    /// Lists `manifests` in their order; an empty list is written as `[]`.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: MediaType::OCI_INDEX, manifests }
    }

    /// The index as JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("descriptors hold only what JSON can")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Algorithm, ChildKind, Digest, Manifest};

    #[test]
    fn an_empty_index_lists_nothing_rather_than_null() {
        let expected = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert_eq!(String::from_utf8(ImageIndex::new(Vec::new()).to_json()).unwrap(), expected);
    }

    #[test]
    fn an_index_has_its_entries_in_order_and_can_be_read_again() {
        let entry = |content: &[u8], artifact_type| {
            let digest = Digest::of(Algorithm::Sha256, content);
            Descriptor::new(&MediaType::OCI_MANIFEST, digest, content.len() as u64)
                .with_artifact_type(artifact_type)
                .with_annotations(BTreeMap::from([("key".to_owned(), "value".to_owned())]))
        };
        let json = ImageIndex::new(vec![entry(b"{}", Some("a/b")), entry(b"{ }", None)]).to_json();
        let text = std::str::from_utf8(&json).unwrap();
        assert!(text.contains(
            r#""size":2,"annotations":{"key":"value"},"artifactType":"a/b"},{"mediaType""#
        ));
        let index = Manifest::parse(None, &json).unwrap();
        let sizes: Vec<_> = index.children().iter().map(|c| c.descriptor().size()).collect();
        assert_eq!(sizes, [2, 3]);
        assert!(index.children().iter().all(|child| child.kind() == ChildKind::Entry));
    }
}
