//! Words to push with: bodies, contents that look like nothing, manifests.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use lockyard_base::{Entropy as _, SeededEntropy};
use lockyard_oci::{Algorithm, Digest, MediaType};
use lockyard_registry::Body;

/// The SHA-256 digest of a content.
pub fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Bytes that look like nothing, always the same for one seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

/// A body that arrives in pieces of at most 10,000 bytes.
pub fn body(content: &[u8]) -> Body {
    let pieces: Vec<_> =
        content.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

/// A manifest of an image with one config and these layers.
pub fn image(config: &Digest, layers: &[Digest]) -> Vec<u8> {
    let layers: Vec<_> = layers
        .iter()
        .map(|digest| descriptor("application/vnd.oci.image.layer.v1.tar", digest))
        .collect();
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": descriptor(MediaType::OCI_CONFIG.as_str(), config),
        "layers": layers,
    });
    document.to_string().into_bytes()
}

/// A manifest that refers to `subject` and needs nothing but a config.
pub fn artifact(config: &Digest, subject: &Digest) -> Vec<u8> {
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "artifactType": "application/vnd.example.note",
        "config": descriptor(MediaType::OCI_EMPTY.as_str(), config),
        "layers": [],
        "subject": descriptor(MediaType::OCI_MANIFEST.as_str(), subject),
    });
    document.to_string().into_bytes()
}

fn descriptor(media_type: &str, digest: &Digest) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 2 })
}
