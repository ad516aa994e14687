//! A manifest as JSON has it, and its way to a [`Manifest`].
//!
//! One structure holds the fields of every kind of manifest, so that a field which belongs to
//! another kind is seen instead of skipped. A field given twice is refused by serde.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Child, ChildKind, Manifest, ManifestError, Place};
use crate::{Descriptor, ManifestKind, MediaType, descriptor::Wire, object::Object};

/// The fields of all manifests together; lists are `None` if absent and empty if `null`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) schema_version: Option<i64>,
    pub(super) media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Object<Wire>>,
    #[serde(default, deserialize_with = "list")]
    layers: Option<Vec<Object<Wire>>>,
    #[serde(default, deserialize_with = "list")]
    manifests: Option<Vec<Object<Wire>>>,
    #[serde(default, deserialize_with = "list")]
    blobs: Option<Vec<Object<Wire>>>,
    subject: Option<Object<Wire>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Reads a list, taking `null` for the empty one, because that is how Go writes it.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Object<Wire>>>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

impl Document {
    /// How many descriptors there are, in all fields.
    pub(super) fn descriptors(&self) -> usize {
        let lists = [&self.layers, &self.manifests, &self.blobs];
        let listed: usize = lists.into_iter().flatten().map(Vec::len).sum();
        listed + usize::from(self.config.is_some()) + usize::from(self.subject.is_some())
    }

    /// Refuses children of another kind of manifest than this is said to be.
    ///
    /// A client that goes by the fields would otherwise see other content than one that goes by the
    /// media type, under one digest.
    pub(super) fn refuse_ambiguity(&self, kind: ManifestKind) -> Result<(), ManifestError> {
        let filled =
            |list: &Option<Vec<Object<Wire>>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let (image, index) = (kind == ManifestKind::Image, kind == ManifestKind::Index);
        for (field, foreign) in [
            ("config", !image && self.config.is_some()),
            ("layers", !image && filled(&self.layers)),
            ("manifests", !index && filled(&self.manifests)),
        ] {
            if foreign {
                return Err(ManifestError::Ambiguous(field));
            }
        }
        Ok(())
    }

    /// Takes what the kind of manifest has.
    pub(super) fn into_manifest(
        self,
        media_type: MediaType,
        kind: ManifestKind,
    ) -> Result<Manifest, ManifestError> {
        let mut children = Vec::with_capacity(self.descriptors());
        match kind {
            ManifestKind::Image => {
                let config = self.config.ok_or(ManifestError::FieldMissing("config"))?;
                let descriptor = descriptor("config", None, config)?;
                children.push(Child { kind: ChildKind::Config, descriptor });
                let layers = self.layers.ok_or(ManifestError::FieldMissing("layers"))?;
                collect(&mut children, "layers", layers, layer)?;
            }
            ManifestKind::Index => {
                let entries = self.manifests.ok_or(ManifestError::FieldMissing("manifests"))?;
                collect(&mut children, "manifests", entries, |_| ChildKind::Entry)?;
            }
            ManifestKind::Artifact => {
                collect(&mut children, "blobs", self.blobs.unwrap_or_default(), layer)?;
            }
        }
        let subject = self.subject.map(|wire| descriptor("subject", None, wire)).transpose()?;
        Ok(Manifest {
            media_type,
            kind,
            children,
            subject,
            artifact_type: self.artifact_type.filter(|text| !text.is_empty()),
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

fn layer(descriptor: &Descriptor) -> ChildKind {
    if descriptor.is_foreign() { ChildKind::ForeignLayer } else { ChildKind::Layer }
}

fn collect(
    children: &mut Vec<Child>,
    field: &'static str,
    list: Vec<Object<Wire>>,
    kind: impl Fn(&Descriptor) -> ChildKind,
) -> Result<(), ManifestError> {
    for (index, wire) in list.into_iter().enumerate() {
        let descriptor = descriptor(field, Some(index), wire)?;
        children.push(Child { kind: kind(&descriptor), descriptor });
    }
    Ok(())
}

fn descriptor(
    field: &'static str,
    index: Option<usize>,
    wire: Object<Wire>,
) -> Result<Descriptor, ManifestError> {
    wire.try_into()
        .map_err(|source| ManifestError::Descriptor { place: Place { field, index }, source })
}
