//! The story of anything at all: random verbs against a registry and against a model of one.
//!
//! The model is what a reader of the documentation expects: sets and maps. After every few verbs,
//! and at the end, all that the model holds is read back byte for byte, and nothing else is found.
//! Sweeps, locks and restarts come in between and must not be noticed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lockyard_oci::Digest;
use lockyard_registry::{Limits, Registry, RegistryError, UploadStatus};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRng, TestRunner},
};

use crate::{
    Story,
    support::{
        Base, World, by_digest, by_tag, image, is_unknown_blob, noise, pull, push, put, repo, run,
        sha256, tag,
    },
};

pub(crate) const STORIES: &[Story] =
    &[("model::nothing_live_is_ever_lost_and_nothing_dead_is_found", anything_at_all)];

const REPOSITORIES: [&str; 3] = ["app", "lib/deep", "tool"];
const TAGS: [&str; 3] = ["a", "b", "latest"];
const CONTENTS: u8 = 5;

#[derive(Clone, Debug)]
enum Verb {
    Push { repository: usize, content: u8 },
    Start { repository: usize, content: u8 },
    Continue { upload: usize },
    Finish { upload: usize },
    Cancel { upload: usize },
    Mount { repository: usize, from: Option<usize>, content: u8 },
    Put { repository: usize, tag: Option<usize>, config: u8, layer: u8 },
    DeleteManifest { repository: usize, config: u8, layer: u8 },
    DeleteTag { repository: usize, tag: usize },
    DeleteBlob { repository: usize, content: u8 },
    Wait { minutes: u64 },
    Sweep,
    Relock,
    Restart,
}

fn verbs() -> impl Strategy<Value = Vec<Verb>> {
    let repository = || 0..REPOSITORIES.len();
    let tag = || 0..TAGS.len();
    let content = || 0..CONTENTS;
    let upload = || 0..3_usize;
    let verb = prop_oneof![
        6 => (repository(), content())
            .prop_map(|(repository, content)| Verb::Push { repository, content }),
        2 => (repository(), content())
            .prop_map(|(repository, content)| Verb::Start { repository, content }),
        2 => upload().prop_map(|upload| Verb::Continue { upload }),
        2 => upload().prop_map(|upload| Verb::Finish { upload }),
        1 => upload().prop_map(|upload| Verb::Cancel { upload }),
        2 => (repository(), proptest::option::of(repository()), content())
            .prop_map(|(repository, from, content)| Verb::Mount { repository, from, content }),
        6 => (repository(), proptest::option::of(tag()), content(), content())
            .prop_map(|(repository, tag, config, layer)| {
                Verb::Put { repository, tag, config, layer }
            }),
        2 => (repository(), content(), content())
            .prop_map(|(repository, config, layer)| {
                Verb::DeleteManifest { repository, config, layer }
            }),
        2 => (repository(), tag()).prop_map(|(repository, tag)| Verb::DeleteTag { repository, tag }),
        3 => (repository(), content())
            .prop_map(|(repository, content)| Verb::DeleteBlob { repository, content }),
        2 => (1..2000_u64).prop_map(|minutes| Verb::Wait { minutes }),
        2 => Just(Verb::Sweep),
        1 => Just(Verb::Relock),
        1 => Just(Verb::Restart),
    ];
    proptest::collection::vec(verb, 1..60)
}

/// What a repository should hold.
#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeSet<u8>,
    /// By config and layer, which make the manifest.
    manifests: BTreeSet<(u8, u8)>,
    tags: BTreeMap<&'static str, (u8, u8)>,
}

struct Upload {
    repository: usize,
    content: u8,
    at: UploadStatus,
    touched: Duration,
    /// Whether a sweep found it expired.
    swept: bool,
}

struct Telling {
    world: World,
    model: BTreeMap<usize, Repository>,
    uploads: Vec<Upload>,
    now: Duration,
    /// When access came back after a lock: what would have expired gets its time again.
    regained: Option<Duration>,
}

fn content(number: u8) -> Vec<u8> {
    // One of them needs two segments.
    noise(u64::from(number), if number == 4 { 70_000 } else { usize::from(number) * 10 })
}

fn digest_of(number: u8) -> Digest {
    sha256(&content(number))
}

fn manifest((config, layer): (u8, u8)) -> Vec<u8> {
    image(&digest_of(config), &[digest_of(layer)])
}

fn anything_at_all(base: Base) {
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let told = runner.run(&verbs(), |verbs| {
        run(async {
            let world = World::with(&base, Limits::default(), true).await;
            let (model, uploads) = (BTreeMap::new(), Vec::new());
            let mut story = Telling { world, model, uploads, now: Duration::ZERO, regained: None };
            for (number, verb) in verbs.iter().enumerate() {
                story.tell(verb).await;
                if number % 16 == 15 {
                    story.compare().await;
                }
            }
            story.settle().await;
        });
        Ok(())
    });
    told.unwrap();
}

impl Telling {
    fn registry(&self) -> Registry {
        self.world.registry()
    }

    fn in_use(&self, repository: usize, content: u8) -> bool {
        let of = |found: &Repository| {
            found.manifests.iter().any(|&(config, layer)| [config, layer].contains(&content))
        };
        self.model.get(&repository).is_some_and(of)
    }

    fn has(&self, repository: usize, content: u8) -> bool {
        self.model.get(&repository).is_some_and(|found| found.blobs.contains(&content))
    }

    fn is_expired(&self, upload: usize) -> bool {
        let idle_max = Limits::default().upload_idle_max;
        let since = |then: Duration| self.now.saturating_sub(then);
        let rests = self.regained.is_some_and(|regained| since(regained) < idle_max);
        !rests && since(self.uploads[upload].touched) > idle_max
    }

    async fn tell(&mut self, verb: &Verb) {
        match *verb {
            Verb::Push { repository, content: number } => {
                push(&self.registry(), REPOSITORIES[repository], &content(number)).await;
                self.model.entry(repository).or_default().blobs.insert(number);
            }
            Verb::Start { .. }
            | Verb::Continue { .. }
            | Verb::Finish { .. }
            | Verb::Cancel { .. } => self.tell_upload(verb).await,
            Verb::Mount { repository, from, content: number } => {
                let (name, source) =
                    (repo(REPOSITORIES[repository]), from.map(|f| REPOSITORIES[f]));
                let source = source.map(repo);
                let asked =
                    self.registry().mount_blob(&name, &digest_of(number), source.as_ref()).await;
                let there = match from {
                    Some(from) => self.has(from, number),
                    None => (0..REPOSITORIES.len()).any(|from| self.has(from, number)),
                };
                assert_eq!(asked.unwrap(), there);
                if there {
                    self.model.entry(repository).or_default().blobs.insert(number);
                }
            }
            Verb::Wait { minutes } => {
                let span = Duration::from_secs(minutes * 60);
                self.now += span;
                self.world.wait(span).await;
            }
            Verb::Sweep => {
                self.world.house.sweep().await.unwrap();
                for number in 0..self.uploads.len() {
                    self.uploads[number].swept |= self.is_expired(number);
                }
            }
            Verb::Relock => {
                self.world.lock().await;
                self.world.unlock().await;
                self.regained = Some(self.now);
            }
            Verb::Restart => {
                self.world.restart().await;
                self.regained = None;
            }
            _ => self.tell_manifest(verb).await,
        }
    }

    async fn tell_manifest(&mut self, verb: &Verb) {
        let registry = self.registry();
        match *verb {
            Verb::Put { repository, tag, config, layer } => {
                let bytes = manifest((config, layer));
                let reference =
                    tag.map_or_else(|| by_digest(sha256(&bytes)), |tag| by_tag(TAGS[tag]));
                let made = put(&registry, REPOSITORIES[repository], &reference, &bytes).await;
                if self.has(repository, config) && self.has(repository, layer) {
                    assert_eq!(made.unwrap().digest, sha256(&bytes));
                    let found = self.model.entry(repository).or_default();
                    found.manifests.insert((config, layer));
                    if let Some(tag) = tag {
                        found.tags.insert(TAGS[tag], (config, layer));
                    }
                } else {
                    assert!(matches!(made, Err(RegistryError::ManifestBlobUnknown(_))), "{made:?}");
                }
            }
            Verb::DeleteManifest { repository, config, layer } => {
                let digest = sha256(&manifest((config, layer)));
                let gone = registry.delete_manifest(&repo(REPOSITORIES[repository]), &digest).await;
                let there = self.model.get_mut(&repository).is_some_and(|found| {
                    found.tags.retain(|_, target| *target != (config, layer));
                    found.manifests.remove(&(config, layer))
                });
                assert_eq!(gone.is_ok(), there, "{gone:?}");
            }
            Verb::DeleteTag { repository, tag: number } => {
                let gone =
                    registry.delete_tag(&repo(REPOSITORIES[repository]), &tag(TAGS[number])).await;
                let found = self.model.get_mut(&repository);
                let there = found.is_some_and(|found| found.tags.remove(TAGS[number]).is_some());
                assert_eq!(gone.is_ok(), there, "{gone:?}");
            }
            Verb::DeleteBlob { repository, content } => {
                let name = repo(REPOSITORIES[repository]);
                let gone = registry.delete_blob(&name, &digest_of(content)).await;
                let there = self.has(repository, content);
                if there && self.in_use(repository, content) {
                    assert!(matches!(gone, Err(RegistryError::BlobInUse)), "{gone:?}");
                } else {
                    assert_eq!(gone.is_ok(), there, "{gone:?}");
                    if let Some(found) = self.model.get_mut(&repository) {
                        found.blobs.remove(&content);
                    }
                }
            }
            _ => unreachable!("told elsewhere"),
        }
    }

    async fn tell_upload(&mut self, verb: &Verb) {
        let (registry, now) = (self.registry(), self.now);
        if let Verb::Start { repository, content } = *verb {
            let at = registry.start_upload(&repo(REPOSITORIES[repository]), None).await.unwrap();
            self.model.entry(repository).or_default();
            self.uploads.push(Upload { repository, content, at, touched: now, swept: false });
            return;
        }
        let (Verb::Continue { upload } | Verb::Finish { upload } | Verb::Cancel { upload }) = *verb
        else {
            unreachable!("told elsewhere")
        };
        if upload >= self.uploads.len() {
            return;
        }
        if self.uploads[upload].swept || self.is_expired(upload) {
            let over = self.uploads.remove(upload);
            let name = repo(REPOSITORIES[over.repository]);
            let asked = registry.upload_status(&name, over.at.ticket.id).await;
            assert!(matches!(asked, Err(RegistryError::UploadUnknown)), "{asked:?}");
            return;
        }
        let one = &mut self.uploads[upload];
        let (name, content) = (repo(REPOSITORIES[one.repository]), content(one.content));
        let rest = &content[usize::try_from(one.at.offset).unwrap()..];
        match verb {
            Verb::Continue { .. } => {
                let some = crate::support::body(&rest[..rest.len() / 2]);
                one.at = registry.append_upload(&name, one.at.ticket, None, some).await.unwrap();
                one.touched = now;
            }
            Verb::Finish { .. } => {
                let (ticket, digest) = (one.at.ticket, sha256(&content));
                let last = crate::support::body(rest);
                registry.finish_upload(&name, ticket, &digest, None, last).await.unwrap();
                let one = self.uploads.remove(upload);
                self.model.entry(one.repository).or_default().blobs.insert(one.content);
            }
            _ => {
                registry.cancel_upload(&name, one.at.ticket).await.unwrap();
                self.uploads.remove(upload);
            }
        }
    }

    /// Everything that should be there is, byte for byte, and nothing else.
    async fn compare(&self) {
        let registry = self.registry();
        let expected: Vec<&str> = self.model.keys().map(|&number| REPOSITORIES[number]).collect();
        assert_eq!(registry.list_repositories(99, None).await.unwrap().items, expected);
        let nothing = Repository::default();
        for (number, name) in REPOSITORIES.iter().enumerate() {
            let model = self.model.get(&number).unwrap_or(&nothing);
            for blob in 0..CONTENTS {
                let found = pull(&registry, name, &digest_of(blob)).await;
                if model.blobs.contains(&blob) {
                    assert_eq!(found.unwrap(), content(blob));
                } else {
                    assert!(is_unknown_blob(&found));
                }
            }
            for both in (0..CONTENTS).flat_map(|c| (0..CONTENTS).map(move |l| (c, l))) {
                let bytes = manifest(both);
                let reference = by_digest(sha256(&bytes));
                let found = registry.get_manifest(&repo(name), &reference).await;
                assert_eq!(found.is_ok(), model.manifests.contains(&both), "{found:?}");
                assert!(found.is_err() || found.unwrap().bytes == bytes);
            }
            for tag in TAGS {
                let found = registry.get_manifest(&repo(name), &by_tag(tag)).await;
                match model.tags.get(tag) {
                    Some(target) => assert_eq!(found.unwrap().bytes, manifest(*target)),
                    None => assert!(matches!(found, Err(RegistryError::ManifestUnknown))),
                }
            }
            if self.model.contains_key(&number) {
                let listed = registry.list_tags(&repo(name), 99, None).await.unwrap();
                assert_eq!(listed.items, model.tags.keys().copied().collect::<Vec<_>>());
            }
        }
    }

    /// After all sweeps there are as many files as the model's blobs and open uploads need.
    async fn settle(&mut self) {
        self.compare().await;
        for _ in 0..2 {
            self.world.wait(Limits::default().upload_idle_max * 2).await;
            self.world.house.sweep().await.unwrap();
        }
        self.compare().await;
        self.world.restart().await;
        self.compare().await;
        let linked: BTreeSet<u8> =
            self.model.values().flat_map(|found| found.blobs.iter().copied()).collect();
        let files = self.world.part_files().len();
        let empty = usize::from(linked.contains(&0));
        // A blob that came through a session may have several parts.
        assert!(files >= linked.len() - empty, "{files} files for {linked:?}");
        if linked.is_empty() {
            assert_eq!(files, 0, "nothing is left behind");
        }
    }
}
