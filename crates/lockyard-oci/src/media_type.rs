//! Media types, and what the ones we know mean to a registry.
//!
//! Unknown types pass: a registry keeps what it does not understand. Known ones are compared
//! without regard to case, as RFC 6838 has it, and then kept in their usual spelling.

use std::{borrow::Cow, str::FromStr};

use serde::Serialize;
use thiserror::Error;

use crate::word::word;

/// A media type without parameters, such as `application/vnd.oci.image.manifest.v1+json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

word!(MediaType, MediaTypeError);

/// What a manifest of some media type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// A config and layers: OCI image manifest or Docker schema 2.
    Image,
    /// A list of manifests: OCI index or Docker manifest list.
    Index,
    /// A list of blobs: the OCI artifact manifest of the 1.1 release candidates.
    Artifact,
}

/// A text that is not a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MediaTypeError {
    /// The text has more than [`MediaType::CHARS_MAX`] characters.
    #[error("a media type has at most {} characters", MediaType::CHARS_MAX)]
    TooLong,
    /// The text does not follow RFC 6838, section 4.2.
    #[error("a media type is two names of letters, digits and `!#$&-^_.+` around a slash")]
    Malformed,
}

macro_rules! known {
    ($($(#[$meta:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$meta])* pub const $name: Self = Self(Cow::Borrowed($text));)*
        }

        const KNOWN: &[&str] = &[$($text),*];
    };
}

known! {
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI artifact manifest, withdrawn before 1.1 but still pushed.
    OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json";
    /// OCI image config.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// The empty JSON object, as the config of an artifact.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// OCI layer, not compressed.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI layer that is not to be distributed.
    OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// OCI layer that is not to be distributed, gzip.
    OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// OCI layer that is not to be distributed, zstd.
    OCI_FOREIGN_LAYER_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    /// Docker manifest, schema 2.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image config.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer that lies elsewhere, not compressed.
    DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// Docker layer that lies elsewhere, gzip.
    DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// Docker manifest, schema 1: recognised to be refused.
    DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker manifest, schema 1 with signatures: recognised to be refused.
    DOCKER_SCHEMA_1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Config of a BuildKit cache, which stands among the children of an index.
    BUILDKIT_CACHE_CONFIG = "application/vnd.buildkit.cacheconfig.v0";
    /// Bytes of which nothing is known; what blobs are served as.
    OCTET_STREAM = "application/octet-stream";
    /// JSON, of error bodies and lists.
    JSON = "application/json";
}

impl MediaType {
    /// The longest media type in characters: two names of 127 and a slash.
    pub const CHARS_MAX: usize = 255;

    /// What a manifest of this type is; `None` for types that are no manifest we understand.
    pub fn manifest_kind(&self) -> Option<ManifestKind> {
        if [Self::OCI_MANIFEST, Self::DOCKER_MANIFEST].contains(self) {
            Some(ManifestKind::Image)
        } else if [Self::OCI_INDEX, Self::DOCKER_LIST].contains(self) {
            Some(ManifestKind::Index)
        } else if *self == Self::OCI_ARTIFACT {
            Some(ManifestKind::Artifact)
        } else {
            None
        }
    }

    /// Whether this is a Docker schema 1 manifest, which is refused.
    pub fn is_schema_1(&self) -> bool {
        [Self::DOCKER_SCHEMA_1, Self::DOCKER_SCHEMA_1_SIGNED].contains(self)
    }

    /// Whether a layer of this type need not exist in the registry.
    pub fn is_foreign_layer(&self) -> bool {
        [
            Self::OCI_FOREIGN_LAYER,
            Self::OCI_FOREIGN_LAYER_GZIP,
            Self::OCI_FOREIGN_LAYER_ZSTD,
            Self::DOCKER_FOREIGN_LAYER,
            Self::DOCKER_FOREIGN_LAYER_GZIP,
        ]
        .contains(self)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    /// Reads a media type, dropping parameters such as `; charset=utf-8` unread.
    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let essence = text.split_once(';').map_or(text, |(essence, _)| essence);
        let essence = essence.trim_matches([' ', '\t']);
        if essence.len() > Self::CHARS_MAX {
            return Err(MediaTypeError::TooLong);
        }
        if let Some(known) = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(essence)) {
            return Ok(Self(Cow::Borrowed(known)));
        }
        match essence.split_once('/') {
            Some((kind, subtype)) if is_restricted_name(kind) && is_restricted_name(subtype) => {
                Ok(Self(Cow::Owned(essence.to_owned())))
            }
            _ => Err(MediaTypeError::Malformed),
        }
    }
}

/// Whether `name` is a `restricted-name` of RFC 6838, section 4.2.
fn is_restricted_name(name: &str) -> bool {
    name.len() <= 127
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_and_blanks_are_dropped() {
        for text in [
            "application/vnd.oci.image.index.v1+json; charset=utf-8",
            "application/vnd.oci.image.index.v1+json;",
            " application/vnd.oci.image.index.v1+json\t;x=\"y;z\"",
        ] {
            assert_eq!(text.parse(), Ok(MediaType::OCI_INDEX), "{text:?}");
        }
    }

    #[test]
    fn known_types_are_known_in_any_case_and_others_kept_as_they_are() {
        assert_eq!("Application/Vnd.OCI.Image.Index.V1+JSON".parse(), Ok(MediaType::OCI_INDEX));
        assert_eq!("Application/X.Y".parse::<MediaType>().unwrap().as_str(), "Application/X.Y");
    }

    #[test]
    fn texts_outside_the_grammar_are_malformed() {
        for text in [
            "", ";", "/", "a/", "/b", "a", "a/b/c", "a b/c", "a/b,c/d", "*/*", "a/*", "ä/b",
            ".a/b", "a/+b", "a/b\n", "a/b\"",
        ] {
            assert_eq!(text.parse::<MediaType>(), Err(MediaTypeError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn each_name_may_be_127_characters_long_and_not_128() {
        let name = |length| "n".repeat(length);
        for (kind, subtype, expected) in [
            (126, 127, Ok(())),
            (127, 127, Ok(())),
            (126, 128, Err(MediaTypeError::Malformed)),
            (128, 126, Err(MediaTypeError::Malformed)),
            (128, 127, Err(MediaTypeError::TooLong)),
        ] {
            let text = format!("{}/{}", name(kind), name(subtype));
            assert_eq!(text.parse::<MediaType>().map(|_| ()), expected, "{kind} {subtype}");
        }
    }

    #[test]
    fn every_known_type_follows_the_grammar_and_has_its_meaning() {
        for text in KNOWN {
            let (kind, subtype) = text.split_once('/').unwrap();
            assert!(is_restricted_name(kind) && is_restricted_name(subtype), "{text}");
            let media_type: MediaType = text.parse().unwrap();
            let manifest = text.contains("manifest") || text.contains("index");
            let schema_1 = text.contains("manifest.v1") && text.contains("docker");
            let foreign = text.contains("foreign") || text.contains("nondistributable");
            assert_eq!(media_type.is_schema_1(), schema_1, "{text}");
            assert_eq!(media_type.manifest_kind().is_some(), manifest && !schema_1, "{text}");
            assert_eq!(media_type.is_foreign_layer(), foreign, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<MediaType>());
        }

        #[test]
        fn a_generated_type_comes_back_as_it_was(
            text in "[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,40}/[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,40}"
        ) {
            prop_assert_eq!(text.parse::<MediaType>().unwrap().to_string(), text);
        }
    }
}
