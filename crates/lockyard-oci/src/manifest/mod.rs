//! Reading manifests: what they are, what they need, and what they refer to.
//!
//! A manifest comes from whoever may push, and its bytes are kept and served as they came. So this
//! reads them once, strictly where clients could be made to disagree (two media types, two kinds of
//! children, a field given twice) and leniently everywhere else (unknown fields, unset lists). It
//! never writes a manifest.

mod wire;

use std::{collections::BTreeMap, fmt, str::Utf8Error};

use thiserror::Error;

use crate::{
    Descriptor, DescriptorError, Digest, ManifestKind, MediaType, MediaTypeError, object::Object,
};

use wire::Document;

/// The largest manifest in bytes: 4 MiB, the least that OCI Distribution 1.1 asks for.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// The deepest nesting of arrays and objects in a manifest.
pub const MANIFEST_DEPTH_MAX: usize = 64;

/// The most descriptors in a manifest, its subject included.
pub const DESCRIPTORS_MAX: usize = 10_000;

/// What a registry needs to know of a manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    media_type: MediaType,
    kind: ManifestKind,
    children: Vec<Child>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// Something that a manifest is made of.
#[derive(Clone, Debug)]
pub struct Child {
    kind: ChildKind,
    descriptor: Descriptor,
}

/// How a manifest uses one of its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChildKind {
    /// The config of an image; a blob that must exist.
    Config,
    /// A layer of an image or a blob of an artifact; it must exist.
    Layer,
    /// A layer that may lie elsewhere; a blob that need not exist.
    ForeignLayer,
    /// An entry of an index; a manifest or a blob that need not exist.
    Entry,
}

/// A manifest that is refused.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The manifest has more than [`MANIFEST_BYTES_MAX`] bytes; answered with 413.
    #[error("a manifest has at most {MANIFEST_BYTES_MAX} bytes, this one has {0}")]
    TooLarge(usize),
    /// The manifest is not text.
    #[error("the manifest is not UTF-8")]
    NotText(#[source] Utf8Error),
    /// The manifest nests deeper than [`MANIFEST_DEPTH_MAX`].
    #[error("a manifest nests at most {MANIFEST_DEPTH_MAX} arrays and objects")]
    TooDeep,
    /// The manifest is not JSON, or a field has the wrong type.
    #[error("the manifest cannot be read")]
    Json(#[source] serde_json::Error),
    /// The manifest is of Docker's schema 1.
    #[error("docker schema 1 manifests are not accepted, push the image with a newer client")]
    SchemaOne,
    /// The manifest's `schemaVersion` is missing or unknown.
    #[error("the manifest's `schemaVersion` must be 2")]
    SchemaVersion(Option<i64>),
    /// Neither the manifest nor the request tells its media type.
    #[error("neither `Content-Type` nor `mediaType` tells what the manifest is")]
    MediaTypeMissing,
    /// The manifest's `mediaType` is not a media type.
    #[error("the manifest's `mediaType` cannot be read")]
    MediaTypeMalformed(#[source] MediaTypeError),
    /// The request and the manifest tell different media types.
    #[error("`Content-Type` says `{header}` but the manifest's `mediaType` says `{field}`")]
    MediaTypeMismatch {
        /// The media type of the request.
        header: MediaType,
        /// The media type in the manifest.
        field: MediaType,
    },
    /// The media type is not that of a manifest we understand.
    #[error("`{0}` is not the media type of a supported manifest")]
    UnsupportedMediaType(MediaType),
    /// A field is missing that the media type requires.
    #[error("the manifest has no `{0}`")]
    FieldMissing(&'static str),
    /// A field is there that belongs to another kind of manifest (CVE-2021-41190).
    #[error("the manifest has `{0}`, which its media type does not have")]
    Ambiguous(&'static str),
    /// The manifest has more than [`DESCRIPTORS_MAX`] descriptors.
    #[error("a manifest has at most {DESCRIPTORS_MAX} descriptors, this one has {0}")]
    TooManyDescriptors(usize),
    /// A descriptor cannot be followed.
    #[error("the descriptor at `{place}` is not valid")]
    Descriptor {
        /// Where the descriptor stands.
        place: Place,
        /// What is wrong with it.
        #[source]
        source: DescriptorError,
    },
}

/// Where in a manifest a descriptor stands, such as `layers[3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    field: &'static str,
    index: Option<usize>,
}

impl Manifest {
    /// Reads a manifest that was pushed with this `Content-Type`.
    pub fn parse(content_type: Option<&MediaType>, bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len()));
        }
        if content_type.is_some_and(MediaType::is_schema_1) {
            return Err(ManifestError::SchemaOne);
        }
        let text = std::str::from_utf8(bytes).map_err(ManifestError::NotText)?;
        if depth(bytes) > MANIFEST_DEPTH_MAX {
            return Err(ManifestError::TooDeep);
        }
        let Object::<Document>(document) =
            serde_json::from_str(text).map_err(ManifestError::Json)?;
        let media_type = agreed_media_type(content_type, &document)?;
        let Some(kind) = media_type.manifest_kind() else {
            return Err(ManifestError::UnsupportedMediaType(media_type));
        };
        // Artifact manifests have no schema version.
        if kind != ManifestKind::Artifact && document.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion(document.schema_version));
        }
        let count = document.descriptors();
        if count > DESCRIPTORS_MAX {
            return Err(ManifestError::TooManyDescriptors(count));
        }
        document.refuse_ambiguity(kind)?;
        document.into_manifest(media_type, kind)
    }

    /// The media type, which the manifest is served with.
    pub const fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// What the manifest is.
    pub const fn kind(&self) -> ManifestKind {
        self.kind
    }

    /// Everything the manifest is made of, in its order; the same content may come twice.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The blobs that must exist for the manifest to be accepted; the same may come twice.
    pub fn required(&self) -> impl Iterator<Item = (ChildKind, &Digest)> {
        self.children
            .iter()
            .filter(|child| child.kind.is_required())
            .map(|child| (child.kind, child.descriptor.digest()))
    }

    /// The config of an image.
    pub fn config(&self) -> Option<&Descriptor> {
        let config = self.children.iter().find(|child| child.kind == ChildKind::Config);
        config.map(Child::descriptor)
    }

    /// The manifest that this one refers to, which need not exist.
    pub const fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    /// The type of the artifact, by the rules of "Listing Referrers" in OCI Distribution 1.1: the
    /// field `artifactType`, and for images without it the media type of the config.
    pub fn artifact_type(&self) -> Option<&str> {
        let of_config = || match self.kind {
            ManifestKind::Image => self.config().map(Descriptor::media_type),
            ManifestKind::Index | ManifestKind::Artifact => None,
        };
        self.artifact_type.as_deref().or_else(of_config).filter(|text| !text.is_empty())
    }

    /// The annotations.
    pub const fn annotations(&self) -> &BTreeMap<String, String> {
        &self.annotations
    }

    /// Describes this manifest as an entry of the list of its subject's referrers.
    pub fn describe(&self, digest: Digest, size: u64) -> Descriptor {
        Descriptor::new(&self.media_type, digest, size)
            .with_artifact_type(self.artifact_type())
            .with_annotations(self.annotations.clone())
    }
}

impl Child {
    /// How the manifest uses it.
    pub const fn kind(&self) -> ChildKind {
        self.kind
    }

    /// The descriptor, as the manifest has it.
    pub const fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The digest of the content.
    pub const fn digest(&self) -> &Digest {
        self.descriptor.digest()
    }
}

impl ChildKind {
    /// Whether the content must exist for the manifest to be accepted.
    pub const fn is_required(self) -> bool {
        match self {
            Self::Config | Self::Layer => true,
            Self::ForeignLayer | Self::Entry => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.field),
            None => f.write_str(self.field),
        }
    }
}

/// The media type that request and manifest agree on.
fn agreed_media_type(
    header: Option<&MediaType>,
    document: &Document,
) -> Result<MediaType, ManifestError> {
    if document.schema_version == Some(1) {
        return Err(ManifestError::SchemaOne);
    }
    // Go writes an unset string as the empty one.
    let field = match document.media_type.as_deref() {
        None | Some("") => None,
        Some(text) => Some(text.parse::<MediaType>().map_err(ManifestError::MediaTypeMalformed)?),
    };
    match (header, field) {
        (_, Some(field)) if field.is_schema_1() => Err(ManifestError::SchemaOne),
        (Some(header), Some(field)) if *header != field => {
            Err(ManifestError::MediaTypeMismatch { header: header.clone(), field })
        }
        (_, Some(field)) => Ok(field),
        (Some(header), None) => Ok(header.clone()),
        (None, None) => Err(ManifestError::MediaTypeMissing),
    }
}

/// How deep arrays and objects nest in JSON, at least; exact for well-formed JSON.
///
/// The JSON library skips unknown fields without counting their depth, but whoever reads the
/// manifest after us may not.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
