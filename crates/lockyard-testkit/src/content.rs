//! What a client finds in a registry, looked for with the registry's own verbs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::TryStreamExt as _;
use lockyard_base::{UploadId, chain};
use lockyard_oci::{Digest, Manifest, Reference, RepositoryName};
use lockyard_registry::{Registry, RegistryError};

use crate::words::sha256;

/// Everything that a story may have pushed anywhere: what to look for.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    /// Repositories.
    pub repositories: BTreeSet<String>,
    /// Blobs.
    pub blobs: BTreeMap<Digest, Arc<[u8]>>,
    /// Manifests.
    pub manifests: BTreeMap<Digest, Vec<u8>>,
    /// Sessions that a client was told of, with their repositories.
    pub uploads: Vec<(String, UploadId)>,
}

impl Universe {
    /// Takes in a blob and tells its digest.
    pub fn blob(&mut self, content: impl Into<Arc<[u8]>>) -> Digest {
        let content = content.into();
        let digest = sha256(&content);
        self.blobs.insert(digest, content);
        digest
    }

    /// Takes in a manifest and tells its digest.
    pub fn manifest(&mut self, content: Vec<u8>) -> Digest {
        let digest = sha256(&content);
        self.manifests.insert(digest, content);
        digest
    }

    /// Takes in a repository.
    pub fn repository(&mut self, name: &str) {
        self.repositories.insert(name.to_owned());
    }
}

/// What there is. Each thing in it was read to its end and is byte for byte what was pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Which repository has which blob.
    pub blobs: BTreeSet<(String, Digest)>,
    /// Which repository has which manifest.
    pub manifests: BTreeSet<(String, Digest)>,
    /// Where each tag points.
    pub tags: BTreeMap<(String, String), Digest>,
    /// How many bytes each session has that the universe knows of, in its order.
    pub uploads: Vec<Option<u64>>,
}

impl Content {
    /// Looks for everything; an error says what is wrong with what is there.
    pub async fn found(registry: &Registry, universe: &Universe) -> Result<Self, String> {
        let mut found = Self::default();
        for name in &universe.repositories {
            let repository: RepositoryName = name.parse().expect("a story's name");
            for (digest, content) in &universe.blobs {
                if has_blob(registry, &repository, digest, content).await? {
                    found.blobs.insert((name.clone(), *digest));
                }
            }
            for (digest, content) in &universe.manifests {
                if has_manifest(registry, &repository, digest, content).await? {
                    found.manifests.insert((name.clone(), *digest));
                }
            }
            for (tag, digest) in tags(registry, &repository).await? {
                found.tags.insert((name.clone(), tag), digest);
            }
        }
        for (name, id) in &universe.uploads {
            let name = name.parse().expect("a story's name");
            let offset = match registry.upload_status(&name, *id).await {
                Ok(status) => Some(status.offset),
                Err(RegistryError::UploadUnknown) => None,
                Err(error) => return Err(told("a session's status", &error)),
            };
            found.uploads.push(offset);
        }
        found.whole(universe)?;
        Ok(found)
    }

    /// Every manifest has what it requires, and every tag a manifest.
    fn whole(&self, universe: &Universe) -> Result<(), String> {
        for (name, digest) in &self.manifests {
            let bytes = &universe.manifests[digest];
            let parsed = Manifest::parse(None, bytes).expect("a story's manifest");
            for (_, child) in parsed.required() {
                if !self.blobs.contains(&(name.clone(), *child)) {
                    return Err(format!("manifest {name}@{digest} lacks {child}"));
                }
            }
        }
        for ((name, tag), digest) in &self.tags {
            if !self.manifests.contains(&(name.clone(), *digest)) {
                return Err(format!("tag {name}:{tag} points at {digest}, which is not there"));
            }
        }
        Ok(())
    }
}

async fn has_blob(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    expected: &[u8],
) -> Result<bool, String> {
    let content = match registry.read_blob(repository, digest, None).await {
        Ok(content) => content,
        Err(RegistryError::BlobUnknown) => return Ok(false),
        Err(error) => return Err(told("a blob", &error)),
    };
    let pieces: Vec<bytes::Bytes> = content
        .stream
        .try_collect()
        .await
        .map_err(|error| format!("{repository}@{digest} does not read: {}", chain(&error)))?;
    if pieces.concat() == expected {
        Ok(true)
    } else {
        Err(format!("{repository}@{digest} is not what was pushed"))
    }
}

async fn has_manifest(
    registry: &Registry,
    repository: &RepositoryName,
    digest: &Digest,
    expected: &[u8],
) -> Result<bool, String> {
    match registry.get_manifest(repository, &Reference::Digest(*digest)).await {
        Ok(manifest) if manifest.bytes == expected => Ok(true),
        Ok(_) => Err(format!("manifest {repository}@{digest} is not what was pushed")),
        Err(RegistryError::ManifestUnknown) => Ok(false),
        Err(error) => Err(told("a manifest", &error)),
    }
}

async fn tags(
    registry: &Registry,
    repository: &RepositoryName,
) -> Result<Vec<(String, Digest)>, String> {
    let page = match registry.list_tags(repository, 1000, None).await {
        Ok(page) => page,
        Err(RegistryError::NameUnknown) => return Ok(Vec::new()),
        Err(error) => return Err(told("a list of tags", &error)),
    };
    let mut found = Vec::new();
    for tag in page.items {
        let reference = Reference::Tag(tag.parse().expect("a listed tag"));
        let manifest = registry
            .get_manifest(repository, &reference)
            .await
            .map_err(|error| told("a listed tag", &error))?;
        found.push((tag, manifest.digest));
    }
    Ok(found)
}

fn told(what: &str, error: &RegistryError) -> String {
    format!("{what} cannot be had: {}", chain(error))
}
