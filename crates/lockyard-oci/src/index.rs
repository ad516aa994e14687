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
