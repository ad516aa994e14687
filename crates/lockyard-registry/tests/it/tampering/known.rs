//! A small instance of which everything is known, and the reader that tolerates no other answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lockyard_access::Records;
use lockyard_base::{RegistryId, UploadId};
use lockyard_oci::{Digest, MediaType, Reference, RegistryName};
use lockyard_registry::{Limits, Registries, Registry, RegistryError};

use crate::support::{
    Base, World, append, artifact, by_digest, by_tag, image, noise, push, put, repo, sha256,
};

/// Two registries of which everything is known.
pub(crate) struct Known {
    pub(crate) world: World,
    pub(crate) database: rusqlite::Connection,
    contents: Vec<Content>,
}

/// Everything in one registry.
struct Content {
    id: RegistryId,
    name: RegistryName,
    key: Option<String>,
    blobs: Vec<(&'static str, Digest, Vec<u8>)>,
    manifests: Vec<(&'static str, Reference, Vec<u8>)>,
    /// What is in no repository or not in this one.
    absent: Vec<(&'static str, Reference)>,
    tags: Vec<(&'static str, &'static [&'static str])>,
    referrers: Vec<(Digest, Vec<serde_json::Value>)>,
    uploads: Vec<(UploadId, u64)>,
}

/// A kind of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Not a kind by itself: as after a restart, with nothing in memory.
    Anew,
    Instance,
    Blobs,
    Uploads,
    Manifests,
    Referrers,
    Lists,
}

/// What to read: the fewer verbs look at a table, the more bytes of it can be tried.
pub(crate) type Scope = &'static [Look];

pub(crate) const ALL: Scope = &[
    Look::Anew,
    Look::Instance,
    Look::Blobs,
    Look::Uploads,
    Look::Manifests,
    Look::Referrers,
    Look::Lists,
];

/// Everything that looks at this table.
pub(crate) fn scope_of(table: &str) -> Scope {
    match table {
        "instance_record" => &[Look::Anew, Look::Instance],
        "registry" => &[Look::Anew, Look::Instance, Look::Lists],
        "blob" | "blob_link" => &[Look::Blobs],
        "part" => &[Look::Blobs, Look::Uploads],
        "manifest" => &[Look::Manifests, Look::Referrers],
        "edge" => &[Look::Referrers],
        "tag" => &[Look::Anew, Look::Manifests, Look::Lists],
        "upload" => &[Look::Uploads],
        _ => ALL,
    }
}

/// What a reader met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    /// Reads that answered an error.
    pub(crate) errors: usize,
    /// Entries that a list did not have.
    pub(crate) missing: usize,
}

const TYPE: &str = "application/vnd.example.note";

impl Known {
    /// Two registries: one with two repositories that share blobs, images, referrers and uploads,
    /// the other one smaller and without a customer key; and two records of the instance.
    pub(crate) async fn new() -> Self {
        // What was opened before would be known in spite of what is done to the rows.
        let limits = Limits { opened_bytes_max: 0, ..Limits::default() };
        let world = World::with(&Base::Sqlite, limits, true).await;
        let name: RegistryName = "lockyard".parse().unwrap();
        let mut first =
            Content::new(world.id, name, &[("app", &["one", "two"]), ("lib", &["one"])]);
        first.key = Some(world.customer_key().key.to_string());
        first.fill(&world.registry(), 1).await;
        first.refer(&world.registry()).await;
        let name: RegistryName = "another".parse().unwrap();
        let id = world.house.create(&name, None).await.unwrap();
        let mut second = Content::new(id, name, &[("app", &["one"])]);
        second.fill(&world.house.open_inside(id).unwrap(), 2).await;
        first.absent.push(("app", second.manifests[1].1.clone()));
        second.absent.push(("app", first.manifests[1].1.clone()));

        let database = world.sqlite();
        database.pragma_update(None, "ignore_check_constraints", true).unwrap();
        let known = Self { world, database, contents: vec![first, second] };
        for kind in ["owner", "authority"] {
            known.records().unwrap().put(kind, b"name", kind.as_bytes()).unwrap();
        }
        known.is_whole("at first").await;
        known
    }

    fn records(&self) -> Option<Records> {
        let secret = self.world.secret();
        let opened = lockyard_registry::instance::open(
            &self.world.store,
            &[(lockyard_keyring::SlotKind::File, secret)],
        );
        let keys = opened.ok()?.keys;
        Some(Records::new(self.world.store.clone(), keys, self.world.entropy()))
    }

    /// Everything is as it was.
    pub(crate) async fn is_whole(&self, when: &str) {
        assert_eq!(self.read(ALL, when).await, Met::default(), "{when}");
    }

    /// Reads everything in scope; panics if anything is served that was not stored.
    pub(crate) async fn read(&self, scope: Scope, what: &str) -> Met {
        self.world.store.notice_strange_writes();
        let mut met = Met::default();
        let house = if scope.contains(&Look::Anew) {
            let Ok(house) = self.world.second_house() else {
                met.errors += 1;
                return met;
            };
            if house.admit_all().await.is_err() {
                met.errors += 1;
            }
            house
        } else {
            Arc::clone(&self.world.house)
        };
        if scope.contains(&Look::Instance) {
            self.read_instance(&house, &mut met, what).await;
        }
        for content in &self.contents {
            match house.open_inside(content.id) {
                Ok(registry) => content.read(&registry, scope, &mut met, what).await,
                Err(RegistryError::Locked(_)) => met.errors += 1,
                Err(error) => panic!("{what}: {error:?}"),
            }
        }
        house.drain().await;
        met
    }

    /// What is read outside of any registry.
    async fn read_instance(&self, house: &Registries, met: &mut Met, what: &str) {
        for content in &self.contents {
            match house.find(&content.name).await {
                Ok(Some(found)) => assert_eq!(found.id(), content.id, "{what}"),
                Ok(None) => met.missing += 1,
                Err(_) => met.errors += 1,
            }
        }
        match house.list().await {
            Ok(listed) => {
                met.missing += self.contents.len() - listed.len();
                for one in listed {
                    let content = self.contents.iter().find(|content| content.id == one.id);
                    let content = content.unwrap();
                    let key = one.customer_key.map(|key| key.to_string());
                    assert_eq!(one.name, content.name, "{what}");
                    met.missing += usize::from(key != content.key);
                    assert!(key.is_none() || key == content.key, "{what}: {key:?}");
                }
            }
            Err(_) => met.errors += 1,
        }
        let Some(records) = self.records() else {
            met.errors += 1;
            return;
        };
        for kind in ["owner", "authority"] {
            match records.get(kind, b"name") {
                Ok(Some(value)) => assert_eq!(**value, *kind.as_bytes(), "{what}"),
                Ok(None) => met.missing += 1,
                Err(_) => met.errors += 1,
            }
        }
    }
}

impl Content {
    fn new(
        id: RegistryId,
        name: RegistryName,
        tags: &[(&'static str, &'static [&'static str])],
    ) -> Self {
        Self {
            id,
            name,
            key: None,
            blobs: Vec::new(),
            manifests: Vec::new(),
            absent: vec![
                ("lib", by_tag("two")),
                ("app", by_tag("three")),
                ("app", by_digest(sha256(b"half"))),
            ],
            tags: tags.to_vec(),
            referrers: Vec::new(),
            uploads: Vec::new(),
        }
    }

    /// An image for every tag, with a shared config and a layer of its own; two open uploads.
    async fn fill(&mut self, registry: &Registry, seed: u64) {
        let content = b"{}".to_vec();
        for (name, tags) in self.tags.clone() {
            let config = push(registry, name, &content).await;
            self.blobs.push((name, config, content.clone()));
            for (number, tag) in tags.iter().enumerate() {
                let layer = noise(seed * 10 + number as u64, 16);
                let digest = push(registry, name, &layer).await;
                let bytes = image(&config, &[digest]);
                let made = put(registry, name, &by_tag(tag), &bytes).await.unwrap();
                self.blobs.push((name, digest, layer));
                self.manifests.push((name, by_tag(tag), bytes.clone()));
                self.manifests.push((name, by_digest(made.digest), bytes));
                if number > 0 {
                    self.absent.push(("lib", by_digest(digest)));
                    self.absent.push(("lib", by_digest(made.digest)));
                }
            }
        }
        for piece in ["half", "third"] {
            let at = registry.start_upload(&repo("app"), None).await.unwrap();
            let at = append(registry, "app", at, piece.as_bytes()).await;
            self.uploads.push((at.ticket.id, at.offset));
        }
    }

    /// Two artifacts, each with another subject.
    async fn refer(&mut self, registry: &Registry) {
        for (number, subject) in ["subject", "another"].iter().enumerate() {
            let subject = sha256(subject.as_bytes());
            let bytes = artifact(&sha256(b"{}"), TYPE, &format!("note {number}"), &subject);
            let digest = by_digest(sha256(&bytes));
            put(registry, "app", &digest, &bytes).await.unwrap();
            self.manifests.push(("app", digest, bytes));
            let listed = registry.list_referrers(&repo("app"), &subject, None, None).await;
            let listed = listed.unwrap().descriptors;
            assert_eq!(listed.len(), 1);
            self.referrers.push((subject, listed.iter().map(json).collect()));
        }
    }

    async fn read(&self, registry: &Registry, scope: Scope, met: &mut Met, what: &str) {
        if scope.contains(&Look::Blobs) {
            self.read_blobs(registry, met, what).await;
        }
        if scope.contains(&Look::Uploads) {
            self.read_uploads(registry, met, what).await;
        }
        if scope.contains(&Look::Manifests) {
            self.read_manifests(registry, met, what).await;
        }
        if scope.contains(&Look::Referrers) {
            self.read_referrers(registry, met, what).await;
        }
        if scope.contains(&Look::Lists) {
            self.read_lists(registry, met, what).await;
        }
    }

    async fn read_blobs(&self, registry: &Registry, met: &mut Met, what: &str) {
        for (name, digest, content) in &self.blobs {
            match registry.stat_blob(&repo(name), digest).await {
                Ok(stat) => assert_eq!(stat.length, content.len() as u64, "{what}"),
                Err(_) => met.errors += 1,
            }
            met.errors += usize::from(!pulls(registry, name, digest, content, what).await);
        }
        for (name, reference) in &self.absent {
            if let Reference::Digest(digest) = reference {
                let found = registry.stat_blob(&repo(name), digest).await;
                assert!(found.is_err(), "{what}: {digest} of {name} came out of nowhere");
            }
        }
    }

    async fn read_uploads(&self, registry: &Registry, met: &mut Met, what: &str) {
        for (id, offset) in &self.uploads {
            match registry.upload_status(&repo("app"), *id).await {
                Ok(status) => assert_eq!(status.offset, *offset, "{what}"),
                Err(_) => met.errors += 1,
            }
        }
    }

    async fn read_manifests(&self, registry: &Registry, met: &mut Met, what: &str) {
        for (name, reference, bytes) in &self.manifests {
            match registry.stat_manifest(&repo(name), reference).await {
                Ok(stat) => {
                    assert_eq!(stat.digest, sha256(bytes), "{what}");
                    assert_eq!(stat.media_type, MediaType::OCI_MANIFEST, "{what}");
                    assert_eq!(stat.length, bytes.len() as u64, "{what}");
                }
                Err(_) => met.errors += 1,
            }
            match registry.get_manifest(&repo(name), reference).await {
                Ok(found) => {
                    assert_eq!(found.bytes, Bytes::copy_from_slice(bytes), "{what}");
                    assert_eq!(found.digest, sha256(bytes), "{what}");
                    assert_eq!(found.media_type, MediaType::OCI_MANIFEST, "{what}");
                }
                Err(_) => met.errors += 1,
            }
        }
        for (name, reference) in &self.absent {
            let found = registry.get_manifest(&repo(name), reference).await;
            assert!(found.is_err(), "{what}: {reference} of {name} came out of nowhere");
        }
    }

    async fn read_lists(&self, registry: &Registry, met: &mut Met, what: &str) {
        for (name, expected) in &self.tags {
            let listed = registry.list_tags(&repo(name), 99, None).await;
            compare(listed.map(|page| page.items), expected, met, what);
        }
        let listed = registry.list_repositories(99, None).await;
        let expected: Vec<&str> = self.tags.iter().map(|(name, _)| *name).collect();
        compare(listed.map(|page| page.items), &expected, met, what);
    }

    async fn read_referrers(&self, registry: &Registry, met: &mut Met, what: &str) {
        for (subject, expected) in &self.referrers {
            let listed = registry.list_referrers(&repo("app"), subject, None, None).await;
            match listed {
                Ok(listed) => {
                    let found: Vec<_> = listed.descriptors.iter().map(json).collect();
                    assert!(found.iter().all(|one| expected.contains(one)), "{what}: {found:?}");
                    met.missing += expected.len() - found.len();
                }
                Err(_) => met.errors += 1,
            }
            let elsewhere = registry.list_referrers(&repo("lib"), subject, None, None).await;
            assert!(elsewhere.is_err() || elsewhere.unwrap().descriptors.is_empty(), "{what}");
        }
    }
}

/// Whether a blob can be pulled; each byte that is served must be its own.
pub(crate) async fn pulls(
    registry: &Registry,
    name: &str,
    digest: &Digest,
    content: &[u8],
    what: &str,
) -> bool {
    let Ok(mut found) = registry.read_blob(&repo(name), digest, None).await else { return false };
    assert_eq!(found.length, content.len() as u64, "{what}");
    let mut at = 0;
    while let Some(piece) = found.stream.next().await {
        let Ok(piece) = piece else { return false };
        assert!(content[at..].starts_with(&piece), "{what}: other bytes were served");
        at += piece.len();
    }
    assert_eq!(at, content.len(), "{what}: the end is missing");
    true
}

fn compare(
    listed: Result<Vec<String>, RegistryError>,
    expected: &[&str],
    met: &mut Met,
    what: &str,
) {
    match listed {
        Ok(listed) => {
            assert!(
                listed.iter().all(|one| expected.contains(&one.as_str())),
                "{what}: {listed:?}"
            );
            met.missing += expected.len() - listed.len();
        }
        Err(_) => met.errors += 1,
    }
}

fn json(descriptor: &lockyard_oci::Descriptor) -> serde_json::Value {
    serde_json::to_value(descriptor).unwrap()
}
