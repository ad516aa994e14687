//! The verbs of a registry, as a client says them (OCI distribution specification 1.1).

use sha2::{Digest as _, Sha256};

use crate::{
    content::Content,
    failure::{Failure, Outcome},
    http::{Connection, Endpoint},
};

/// The media type of what is pushed; some registries need to be told that it is accepted.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The path of a blob.
pub(crate) fn blob_path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

impl Connection {
    /// Pushes a blob as docker and skopeo do: begins a session, sends all in one piece, finishes.
    pub(crate) fn push(&mut self, repository: &str, content: &Content) -> Outcome {
        let session = self.begin(repository)?;
        let head = self.send("PATCH", &session, content)?;
        let head = self.expect(head, 202, "PATCH of an upload")?;
        let session = session_path(head.location.as_deref())?;
        let head = self.ask("PUT", &finish_path(&session, content))?;
        self.expect(head, 201, "PUT of an upload").map(drop)
    }

    /// Pushes a small blob in two requests, the fewest that every registry understands.
    pub(crate) fn push_small(&mut self, repository: &str, content: &Content) -> Outcome {
        let session = self.begin(repository)?;
        let head = self.send("PUT", &finish_path(&session, content), content)?;
        self.expect(head, 201, "PUT of an upload").map(drop)
    }

    /// Pulls a blob, forgets it, and returns its length.
    pub(crate) fn pull(&mut self, repository: &str, digest: &str) -> Outcome<u64> {
        let head = self.ask("GET", &blob_path(repository, digest))?;
        if head.status != 200 {
            self.expect(head, 200, "GET of a blob")?;
            return Ok(0);
        }
        self.discard(&head)
    }

    /// Pulls a blob and checks that it is the one.
    pub(crate) fn verify(&mut self, repository: &str, digest: &str) -> Outcome {
        let head = self.ask("GET", &blob_path(repository, digest))?;
        let mut hasher = Sha256::new();
        self.body(&head, |piece| hasher.update(piece))?;
        let found = format!("sha256:{}", hex::encode(hasher.finalize()));
        if found == digest {
            return Ok(());
        }
        Err(Failure::new(format!("`{digest}` came back as `{found}` ({})", head.status)))
    }

    /// Puts a manifest under a tag or digest, maybe with a query.
    pub(crate) fn put_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        manifest: &[u8],
    ) -> Outcome {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let headers = format!("content-type: {MANIFEST_TYPE}\r\n");
        let head = self.ask_with("PUT", &target, &headers, manifest)?;
        self.expect(head, 201, "PUT of a manifest").map(drop)
    }

    fn begin(&mut self, repository: &str) -> Outcome<String> {
        let head = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"))?;
        let head = self.expect(head, 202, "POST of an upload")?;
        session_path(head.location.as_deref())
    }
}

/// Pushes an image of one layer and returns its manifest.
pub(crate) fn push_image(
    endpoint: &Endpoint,
    repository: &str,
    tag: &str,
    content: &Content,
) -> Outcome<Vec<u8>> {
    let mut connection = endpoint.connect()?;
    connection.push_small(repository, content)?;
    let manifest = manifest(content.digest(), content.len(), &[(content.digest(), content.len())]);
    connection.put_manifest(repository, tag, &manifest)?;
    Ok(manifest)
}

/// Returns a manifest of a configuration and layers, each a digest with its length.
pub(crate) fn manifest(config: &str, config_len: u64, layers: &[(&str, u64)]) -> Vec<u8> {
    let layers: Vec<serde_json::Value> = layers
        .iter()
        .map(|(digest, size)| {
            let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
            serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size })
        })
        .collect();
    let media_type = "application/vnd.oci.image.config.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": { "mediaType": media_type, "digest": config, "size": config_len },
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

/// Returns the digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Takes the path out of an upload's location, which may be a whole URL.
fn session_path(location: Option<&str>) -> Outcome<String> {
    let location = location.ok_or_else(|| Failure::new("an upload without a location"))?;
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"),
        None => location,
    };
    Ok(path.to_owned())
}

fn finish_path(session: &str, content: &Content) -> String {
    let separator = if session.contains('?') { '&' } else { '?' };
    format!("{session}{separator}digest={}", content.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_may_be_relative_or_whole() {
        let path = "/v2/a/blobs/uploads/1?state=x";
        for location in [path.to_owned(), format!("http://localhost:5000{path}")] {
            assert_eq!(session_path(Some(&location)).unwrap(), path);
        }
        assert!(session_path(None).is_err());
    }
}
