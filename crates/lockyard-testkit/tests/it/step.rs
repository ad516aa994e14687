//! The steps that stories are made of: one verb each, and fit to be tried again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lockyard_base::UploadId;
use lockyard_oci::{Digest, Reference, RepositoryName};
use lockyard_registry::{CollectMode, Registry, RegistryError, UploadTicket};
use lockyard_testkit::{Universe, World, artifact, body, image, noise};

/// A blob of a story: the seed of its bytes and their number.
pub(crate) type Blob = (u64, usize);

/// A manifest of a story.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Made {
    /// An image of a config and layers.
    Image(Blob, &'static [Blob]),
    /// An artifact with this config that refers to the image.
    Referrer(Blob, &'static Self),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Push(&'static str, Blob),
    Start(&'static str),
    /// Brings the session to this many bytes of the blob.
    Patch(&'static str, Blob, usize),
    /// Ends the session with what is left of the blob.
    Finish(&'static str, Blob),
    Cancel(&'static str),
    /// Into the first from the second.
    Mount(&'static str, &'static str, Blob),
    Put(&'static str, Option<&'static str>, Made),
    DeleteTag(&'static str, &'static str),
    DeleteManifest(&'static str, Made),
    DeleteBlob(&'static str, Blob),
    Collect,
    Compact,
    Sweep,
    /// Folds the log into the database.
    Fold,
    Wait(Duration),
    Pull(&'static str, Blob),
    Stat(&'static str, Blob),
    PullImage(&'static str, &'static str),
    StatImage(&'static str, &'static str),
    List(&'static str),
    Catalog,
    Referrers(&'static str, Made),
    /// Makes a registry with a customer key.
    Create(&'static str),
    /// Asks the vault again.
    Confirm,
}

/// What a story knows so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) universe: Universe,
    session: Option<UploadId>,
    /// Whether a byte of it was acknowledged.
    appended: bool,
}

impl Made {
    pub(crate) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Image(config, layers) => {
                let layers: Vec<Digest> = layers.iter().map(|blob| digest(*blob)).collect();
                image(&digest(config), &layers)
            }
            Self::Referrer(config, subject) => artifact(&digest(config), &subject.digest()),
        }
    }

    fn digest(self) -> Digest {
        lockyard_testkit::sha256(&self.bytes())
    }
}

/// Makes a registry; one that an earlier try has made must be whole.
async fn create(world: &World, name: &str, again: bool) -> Result<(), RegistryError> {
    let name = name.parse().unwrap();
    let id = match world.house.create(&name, Some(world.customer_key())).await {
        Err(RegistryError::RegistryExists) if again => world.house.find(&name).await?.unwrap().id(),
        id => id?,
    };
    if again {
        world.house.keyring().changed().await;
        let registry = world.house.open_inside(id)?;
        assert_eq!(registry.list_repositories(1, None).await?.items, [""; 0]);
    }
    Ok(())
}

fn bytes(blob: Blob) -> Arc<[u8]> {
    known(blob).0
}

fn digest(blob: Blob) -> Digest {
    known(blob).1
}

type Known = (Arc<[u8]>, Digest);

/// A blob's bytes and digest, made once: stories are told thousands of times.
fn known(blob: Blob) -> Known {
    static KNOWN: Mutex<BTreeMap<Blob, Known>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap();
    let (bytes, digest) = known.entry(blob).or_insert_with(|| {
        let bytes = noise(blob.0, blob.1);
        (bytes.as_slice().into(), lockyard_testkit::sha256(&bytes))
    });
    (Arc::clone(bytes), *digest)
}

fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

fn by_tag(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

impl Step {
    /// Takes what this step pushes into the universe.
    pub(crate) fn announce(self, universe: &mut Universe) {
        match self {
            Self::Push(name, blob) | Self::Finish(name, blob) | Self::Mount(name, _, blob) => {
                universe.repository(name);
                universe.blob(bytes(blob));
            }
            Self::Put(name, _, made) => {
                universe.repository(name);
                universe.manifest(made.bytes());
            }
            _ => {}
        }
    }

    /// Does it. `again` says that an earlier try may have done it already.
    pub(crate) async fn run(
        self,
        world: &World,
        notes: &mut Notes,
        again: bool,
    ) -> Result<(), RegistryError> {
        match self {
            Self::Collect => world.house.collect(CollectMode::Act).await.map(drop),
            Self::Compact => world.house.compact().await.map(drop),
            Self::Sweep => world.house.sweep().await.map(drop),
            Self::Fold => world.store.truncate_log().map_err(RegistryError::from),
            Self::Wait(span) => {
                world.wait(span).await;
                Ok(())
            }
            Self::Confirm => {
                world.house.keyring().changed().await;
                Ok(())
            }
            Self::Create(name) => create(world, name, again).await,
            Self::Start(_) | Self::Patch(..) | Self::Finish(..) | Self::Cancel(_) => {
                self.upload(&world.registry()?, notes, again).await
            }
            Self::DeleteTag(..) | Self::DeleteManifest(..) | Self::DeleteBlob(..) => {
                match self.delete(&world.registry()?).await {
                    Err(RegistryError::BlobUnknown | RegistryError::ManifestUnknown) if again => {
                        Ok(())
                    }
                    outcome => outcome,
                }
            }
            _ => self.other(&world.registry()?).await,
        }
    }

    async fn upload(
        self,
        registry: &Registry,
        notes: &mut Notes,
        again: bool,
    ) -> Result<(), RegistryError> {
        if let Self::Start(name) = self {
            let status = registry.start_upload(&repository(name), None).await?;
            notes.session = Some(status.ticket.id);
            notes.universe.uploads.push((name.to_owned(), status.ticket.id));
            return Ok(());
        }
        let id = notes.session.unwrap();
        match self {
            Self::Patch(name, blob, to) => {
                let status = match registry.upload_status(&repository(name), id).await {
                    // A session without a byte may be lost in a power cut: clients begin again.
                    Err(RegistryError::UploadUnknown) if again && !notes.appended => {
                        let status = registry.start_upload(&repository(name), None).await?;
                        notes.session = Some(status.ticket.id);
                        notes.universe.uploads.push((name.to_owned(), status.ticket.id));
                        status
                    }
                    status => status?,
                };
                let from = usize::try_from(status.offset).unwrap();
                if from >= to {
                    assert!(again, "nobody else appends");
                    return Ok(());
                }
                let piece = body(&bytes(blob)[from..to]);
                registry.append_upload(&repository(name), status.ticket, None, piece).await?;
                notes.appended = true;
                Ok(())
            }
            Self::Finish(name, blob) => {
                let name = repository(name);
                let status = match registry.upload_status(&name, id).await {
                    Err(RegistryError::UploadUnknown) if again => {
                        return registry.stat_blob(&name, &digest(blob)).await.map(drop);
                    }
                    status => status?,
                };
                let rest = bytes(blob)[usize::try_from(status.offset).unwrap()..].to_vec();
                let digest = digest(blob);
                registry.finish_upload(&name, status.ticket, &digest, None, body(&rest)).await?;
                Ok(())
            }
            Self::Cancel(name) => {
                let ticket = UploadTicket { id, generation: None };
                match registry.cancel_upload(&repository(name), ticket).await {
                    Err(RegistryError::UploadUnknown) if again => Ok(()),
                    outcome => outcome,
                }
            }
            _ => unreachable!("{self:?} is no upload"),
        }
    }

    async fn delete(self, registry: &Registry) -> Result<(), RegistryError> {
        match self {
            Self::DeleteTag(name, tag) => {
                registry.delete_tag(&repository(name), &tag.parse().unwrap()).await
            }
            Self::DeleteManifest(name, made) => {
                registry.delete_manifest(&repository(name), &made.digest()).await
            }
            Self::DeleteBlob(name, blob) => {
                registry.delete_blob(&repository(name), &digest(blob)).await
            }
            _ => unreachable!("{self:?} deletes nothing"),
        }
    }

    async fn other(self, registry: &Registry) -> Result<(), RegistryError> {
        match self {
            Self::Push(name, blob) => {
                let (name, content) = (repository(name), bytes(blob));
                registry.push_blob(&name, &digest(blob), body(&content)).await.map(drop)
            }
            Self::Mount(to, from, blob) => {
                let (to, from) = (repository(to), repository(from));
                let mounted = registry.mount_blob(&to, &digest(blob), Some(&from)).await?;
                assert!(mounted, "the source has it");
                Ok(())
            }
            Self::Put(name, tag, made) => {
                let reference = match tag {
                    Some(tag) => by_tag(tag),
                    None => Reference::Digest(made.digest()),
                };
                let manifest = Bytes::from(made.bytes());
                let name = repository(name);
                registry.put_manifest(&name, &reference, &[], None, manifest).await.map(drop)
            }
            Self::Pull(name, blob) => {
                let content = registry.read_blob(&repository(name), &digest(blob), None).await?;
                let pieces: Result<Vec<Bytes>, _> =
                    futures_util::TryStreamExt::try_collect(content.stream).await;
                let pieces = pieces.map_err(|error| RegistryError::Unavailable(error.into()))?;
                assert_eq!(pieces.concat(), *bytes(blob));
                Ok(())
            }
            Self::Stat(name, blob) => {
                registry.stat_blob(&repository(name), &digest(blob)).await.map(drop)
            }
            Self::PullImage(name, tag) => {
                registry.get_manifest(&repository(name), &by_tag(tag)).await.map(drop)
            }
            Self::StatImage(name, tag) => {
                registry.stat_manifest(&repository(name), &by_tag(tag)).await.map(drop)
            }
            Self::List(name) => registry.list_tags(&repository(name), 10, None).await.map(drop),
            Self::Catalog => registry.list_repositories(10, None).await.map(drop),
            Self::Referrers(name, made) => {
                let found =
                    registry.list_referrers(&repository(name), &made.digest(), None, None).await?;
                drop(found);
                Ok(())
            }
            _ => unreachable!("{self:?} is done elsewhere"),
        }
    }
}
