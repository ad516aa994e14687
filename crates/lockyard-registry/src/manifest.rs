//! Manifests: pushing them whole, handing them out verbatim, taking them away.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use lockyard_access::registry_token::Verb;
use lockyard_base::{BlindIndex, ManifestId, RepositoryId, Timestamp};
use lockyard_oci::{
    Algorithm, ChildKind, Digest, Manifest, MediaType, Reference, RepositoryName, Tag,
};
use lockyard_store::{Txn, edge, link, manifest, tag};
use zeroize::Zeroizing;

use crate::{
    Registry, RegistryError,
    opened::{Led, OpenedManifest, OpenedTag, wiped_at_last},
    rows::{ManifestPlace, ManifestRecord, Rows, Sealed},
    session::{repository, repository_or_new},
    tag::point,
};

/// What a push of a manifest came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifest {
    /// Its digest.
    pub digest: Digest,
    /// What it refers to, if it does.
    pub subject: Option<Digest>,
    /// The tags that now point at it.
    pub tags: Vec<Tag>,
}

/// A manifest's digest, type and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestStat {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its length in bytes.
    pub length: u64,
}

/// A manifest as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestContent {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// Its bytes, verbatim.
    pub bytes: Bytes,
}

impl Registry {
    /// Takes a manifest in and points its tags at it.
    ///
    /// By tag, its digest is SHA-256; by digest, it must be that digest. Blobs that it requires must
    /// be in the repository; a subject and the entries of an index need not (Distribution 1.1).
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        tags: &[Tag],
        media_type: Option<MediaType>,
        bytes: Bytes,
    ) -> Result<PutManifest, RegistryError> {
        self.authorize(Verb::Push, name)?;
        let mut tags = tags.to_vec();
        let digest = match reference {
            Reference::Tag(tag) => {
                tags.insert(0, tag.clone());
                Digest::of(Algorithm::Sha256, &bytes)
            }
            Reference::Digest(claimed) => {
                let actual = Digest::of(claimed.algorithm(), &bytes);
                if actual != *claimed {
                    return Err(RegistryError::DigestMismatch {
                        claimed: Box::new(*claimed),
                        actual: Box::new(actual),
                    });
                }
                actual
            }
        };
        let mut given = HashSet::new();
        tags.retain(|tag| given.insert(tag.clone()));
        let limit = self.house.ground().limits.tags_per_put_max;
        if tags.len() > limit {
            return Err(RegistryError::TooManyTags { limit });
        }
        let parsed =
            Manifest::parse(media_type.as_ref(), &bytes).map_err(RegistryError::ManifestInvalid)?;
        let subject = parsed.subject().map(|subject| *subject.digest());
        let push = Push { name: name.clone(), digest, parsed, bytes, tags: tags.clone() };
        self.write(move |txn, rows, _| push.run(txn, rows)).await?;
        Ok(PutManifest { digest, subject, tags })
    }

    /// What a reference leads to, without its content.
    pub async fn stat_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestStat, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let (led, now) = self.led(name, reference, Asked::Record).await?;
        let (grace, id) = (self.house.ground().limits.grace, led.id);
        if led.touched_at < now.saturating_sub(grace / 2) {
            // Whoever asked may be about to rely on it: a collection must not take it meanwhile.
            self.write(move |txn, _, _| {
                let there = manifest::touch(txn, id)?;
                if there { Ok(()) } else { Err(RegistryError::ManifestUnknown) }
            })
            .await?;
        }
        let record = &led.record;
        Ok(ManifestStat {
            digest: record.digest,
            media_type: record.media_type.clone(),
            length: record.length,
        })
    }

    /// What a reference leads to, verbatim.
    pub async fn get_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestContent, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let (led, _) = self.led(name, reference, Asked::Content).await?;
        Ok(ManifestContent {
            digest: led.record.digest,
            media_type: led.record.media_type.clone(),
            bytes: led
                .content
                .clone()
                .ok_or(RegistryError::Internal("the content was asked for"))?,
        })
    }

    /// Where a reference leads, and when that is.
    async fn led(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        asked: Asked,
    ) -> Result<(Arc<Led>, Timestamp), RegistryError> {
        let (opened, bytes_max) = self.rows.opened()?;
        let key = (name.clone(), reference.clone());
        // Asked before the state is read, which may then be newer and is never older.
        let commits = self.house.ground().store.commits();
        let known = commits.and_then(|commits| {
            let led = opened.led.get(&key, bytes_max)?;
            let enough = asked == Asked::Record || led.content.is_some();
            (led.commits == commits && enough).then_some(led)
        });
        if let Some(known) = known {
            // Where the database counts its commits, this is its clock.
            return Ok((known, self.house.ground().clock.wall()));
        }
        let read = self.read(move |txn, rows| {
            let (name, wanted) = &key;
            let repository = repository(txn, rows, name)?.ok_or(RegistryError::ManifestUnknown)?;
            let row = find(txn, rows, repository.repository_id, wanted)?;
            let (record, content) = match asked {
                Asked::Record => (opened_record(rows, &row)?, None),
                Asked::Content => {
                    let (record, bytes) = opened_content(txn, rows, &row)?;
                    (record, Some(bytes))
                }
            };
            expect(&record, wanted)?;
            let (id, touched_at) = (row.manifest_id, row.touched_at);
            let led = Led { commits: commits.unwrap_or_default(), id, touched_at, record, content };
            let led = Arc::new(led);
            if commits.is_some() {
                opened.led.put_shared(key, Arc::clone(&led), bytes_max);
            }
            Ok((led, txn.now()))
        });
        read.await.map_err(unknown_if_damaged)
    }

    /// Takes a manifest away, with every tag that points at it.
    pub async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.authorize(Verb::Delete, name)?;
        let (name, digest) = (name.clone(), *digest);
        self.write(move |txn, rows, _| {
            let Some(found) = repository(txn, rows, &name)? else {
                return Err(RegistryError::NameUnknown);
            };
            let index = rows.manifest_index(found.repository_id, &digest)?;
            let row = manifest::by_index(txn, found.repository_id, &index)?
                .ok_or(RegistryError::ManifestUnknown)?;
            let id = row.manifest_id;
            manifest::lock(txn, id)?.ok_or(RegistryError::ManifestUnknown)?;
            for tag in tag::of_manifest(txn, id)? {
                tag::delete(txn, found.repository_id, tag.tag_id, tag.seal_no)?
                    .ok_or(RegistryError::Overtaken)?;
            }
            edge::delete_of_manifest(txn, id)?;
            if manifest::delete(txn, id)? { Ok(()) } else { Err(RegistryError::ManifestUnknown) }
        })
        .await
    }
}

/// What of a manifest a client wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// What it is.
    Record,
    /// The same with its bytes.
    Content,
}

/// Everything that one push writes.
struct Push {
    name: RepositoryName,
    digest: Digest,
    parsed: Manifest,
    bytes: Bytes,
    tags: Vec<Tag>,
}

impl Push {
    fn run(&self, txn: &mut Txn<'_>, rows: &Rows) -> Result<(), RegistryError> {
        let repository = repository_or_new(txn, rows, &self.name)?.repository_id;
        let edges = edges_of(rows, &self.parsed)?;
        self.hold_children(txn, rows, repository, &edges)?;
        let id = self.store(txn, rows, repository)?;
        edge::insert_many(txn, id, repository, &edges)?;
        for name in &self.tags {
            point(txn, rows, repository, name, &self.digest, id)?;
        }
        Ok(())
    }

    /// Touches whatever this manifest leans on, so that no collection takes it before the edges are
    /// seen; refuses if a required blob is missing.
    fn hold_children(
        &self,
        txn: &mut Txn<'_>,
        rows: &Rows,
        repository: RepositoryId,
        edges: &[edge::Edge],
    ) -> Result<(), RegistryError> {
        let mut required: HashMap<BlindIndex, Digest> = HashMap::new();
        for (_, digest) in self.parsed.required() {
            let _same = required.insert(rows.digest_index(digest)?, *digest);
        }
        let indexes: Vec<BlindIndex> = required.keys().copied().collect();
        let missing = link::touch_required(txn, rows.registry(), repository, &indexes)?;
        if !missing.is_empty() {
            let mut missing: Vec<Digest> =
                missing.iter().filter_map(|index| required.get(index).copied()).collect();
            missing.sort_unstable();
            return Err(RegistryError::ManifestBlobUnknown(missing));
        }
        let entries: Vec<BlindIndex> = edges
            .iter()
            .filter(|edge| edge.kind == edge::EdgeKind::Child)
            .map(|edge| edge.child_index)
            .collect();
        // Entries of an index may be manifests, blobs (buildkit's cache) or absent.
        manifest::touch_children(txn, repository, &entries)?;
        link::touch_required(txn, rows.registry(), repository, &entries)?;
        Ok(())
    }

    /// Inserts the manifest, or touches the one that is there; heals it if it no longer opens.
    fn store(
        &self,
        txn: &mut Txn<'_>,
        rows: &Rows,
        repository: RepositoryId,
    ) -> Result<ManifestId, RegistryError> {
        let index = rows.manifest_index(repository, &self.digest)?;
        let child_index = rows.digest_index(&self.digest)?;
        let old = manifest::by_index_with_content(txn, repository, &index)?;
        let id = old
            .as_ref()
            .map_or_else(|| ManifestId::random(rows.entropy()), |(row, _)| row.manifest_id);
        let place = ManifestPlace { id, repository, index, child_index };
        if let Some((row, content)) = &old
            && self.is_sound(rows, row, content)
        {
            return if manifest::touch(txn, id)? { Ok(id) } else { Err(RegistryError::Overtaken) };
        }
        let sealed = rows.seal_manifest(&place, &self.record())?;
        let content = rows.seal_content(&place, &self.bytes)?;
        let stored = match old {
            Some((row, _)) => {
                manifest::reseal(txn, id, row.seal_no, sealed.epoch, &sealed.bytes, &content.bytes)?
            }
            None => manifest::insert(
                txn,
                &manifest::NewManifest {
                    manifest_id: id,
                    registry_id: rows.registry(),
                    repository_id: repository,
                    digest_index: index,
                    child_index,
                    epoch: sealed.epoch,
                    sealed: &sealed.bytes,
                    content: &content.bytes,
                },
            )?,
        };
        if stored { Ok(id) } else { Err(RegistryError::Overtaken) }
    }

    fn is_sound(&self, rows: &Rows, row: &manifest::ManifestRow, content: &[u8]) -> bool {
        open_row(rows, row).is_ok_and(|record| record == self.record())
            && open_content(rows, row, content).is_ok_and(|opened| **opened == *self.bytes)
    }

    fn record(&self) -> ManifestRecord {
        ManifestRecord {
            digest: self.digest,
            media_type: self.parsed.media_type().clone(),
            length: self.bytes.len() as u64,
            artifact_type: self.parsed.artifact_type().map(str::to_owned),
            annotations: self.parsed.annotations().clone(),
            subject: self.parsed.subject().map(|subject| *subject.digest()),
        }
    }
}

/// The edges that a manifest's content asks for.
pub(crate) fn edges_of(rows: &Rows, parsed: &Manifest) -> Result<Vec<edge::Edge>, RegistryError> {
    let mut edges = Vec::with_capacity(parsed.children().len() + 1);
    for child in parsed.children() {
        let kind = match child.kind() {
            ChildKind::Config => edge::EdgeKind::Config,
            ChildKind::Layer => edge::EdgeKind::Layer,
            ChildKind::ForeignLayer => edge::EdgeKind::Foreign,
            ChildKind::Entry => edge::EdgeKind::Child,
        };
        edges.push(edge::Edge { kind, child_index: rows.digest_index(child.digest())? });
    }
    if let Some(subject) = parsed.subject() {
        let child_index = rows.digest_index(subject.digest())?;
        edges.push(edge::Edge { kind: edge::EdgeKind::Subject, child_index });
    }
    Ok(edges)
}

/// Opens a manifest's row: its descriptor.
pub(crate) fn open_row(
    rows: &Rows,
    row: &manifest::ManifestRow,
) -> Result<ManifestRecord, RegistryError> {
    rows.open_manifest(&place(row), Sealed { epoch: row.epoch, bytes: &row.sealed })
}

/// Opens a manifest's bytes.
pub(crate) fn open_content(
    rows: &Rows,
    row: &manifest::ManifestRow,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, RegistryError> {
    rows.open_content(&place(row), Sealed { epoch: row.epoch, bytes: sealed })
}

fn place(row: &manifest::ManifestRow) -> ManifestPlace {
    ManifestPlace {
        id: row.manifest_id,
        repository: row.repository_id,
        index: row.digest_index,
        child_index: row.child_index,
    }
}

fn find(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    reference: &Reference,
) -> Result<manifest::ManifestRow, RegistryError> {
    match reference {
        Reference::Digest(digest) => {
            let index = rows.manifest_index(repository, digest)?;
            manifest::by_index(txn, repository, &index)?.ok_or(RegistryError::ManifestUnknown)
        }
        Reference::Tag(name) => by_tag(txn, rows, repository, name),
    }
}

/// The manifest that a tag points at now. Its row says by name and digest what its clear columns
/// say by index and id.
fn by_tag(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    name: &Tag,
) -> Result<manifest::ManifestRow, RegistryError> {
    let (opened, bytes_max) = rows.opened()?;
    let key = (repository, name.clone());
    let known = opened.tags.get(&key, bytes_max);
    let index =
        known.as_ref().map_or_else(|| rows.tag_index(repository, name), |known| Ok(known.index))?;
    let (tag, row) =
        tag::resolve(txn, repository, &index)?.ok_or(RegistryError::ManifestUnknown)?;
    let digest_index = if let Some(known) = known.filter(|known| known.is(&tag)) {
        known.digest_index
    } else {
        let (stored, digest) = crate::tag::open(rows, &tag)?;
        if stored != name.as_str() {
            return Err(RegistryError::Damaged("a tag's row"));
        }
        let digest_index = rows.manifest_index(repository, &digest)?;
        opened.tags.put(key, OpenedTag::of(&tag, digest_index), bytes_max);
        digest_index
    };
    if digest_index == row.digest_index {
        Ok(row)
    } else {
        Err(RegistryError::Damaged("a tag's row"))
    }
}

/// What a manifest's row says, opened now or before.
fn opened_record(
    rows: &Rows,
    row: &manifest::ManifestRow,
) -> Result<Arc<ManifestRecord>, RegistryError> {
    let (opened, bytes_max) = rows.opened()?;
    let known = opened.manifests.get(&row.manifest_id, bytes_max).filter(|known| known.is(row));
    if let Some(known) = known {
        return Ok(Arc::clone(&known.record));
    }
    let record = Arc::new(open_row(rows, row)?);
    opened.manifests.put(row.manifest_id, OpenedManifest::of(row, &record), bytes_max);
    Ok(record)
}

/// The same with the manifest's bytes.
fn opened_content(
    txn: &mut Txn<'_>,
    rows: &Rows,
    row: &manifest::ManifestRow,
) -> Result<(Arc<ManifestRecord>, Bytes), RegistryError> {
    let (opened, bytes_max) = rows.opened()?;
    let known = opened.manifests.get(&row.manifest_id, bytes_max).filter(|known| known.is(row));
    let record = match known.as_deref() {
        Some(OpenedManifest { record, content: Some(bytes), .. }) => {
            return Ok((Arc::clone(record), bytes.clone()));
        }
        Some(OpenedManifest { record, content: None, .. }) => Arc::clone(record),
        None => Arc::new(open_row(rows, row)?),
    };
    let sealed = manifest::content(txn, row.manifest_id)?.ok_or(RegistryError::ManifestUnknown)?;
    let bytes = wiped_at_last(open_content(rows, row, &sealed)?);
    if bytes.len() as u64 != record.length {
        return Err(RegistryError::Damaged("a manifest's content"));
    }
    let kept = OpenedManifest::of(row, &record).with(&bytes);
    opened.manifests.put(row.manifest_id, kept, bytes_max);
    Ok((record, bytes))
}

/// What was found by digest must say that digest of itself.
fn expect(record: &ManifestRecord, reference: &Reference) -> Result<(), RegistryError> {
    match reference {
        Reference::Digest(wanted) if record.digest != *wanted => {
            Err(RegistryError::Damaged("a manifest's row"))
        }
        Reference::Digest(_) | Reference::Tag(_) => Ok(()),
    }
}

/// A damaged manifest answers as unknown, so that clients push it again and heal it.
fn unknown_if_damaged(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Damaged(what) => {
            tracing::error!(what, "damaged data was found and not served");
            RegistryError::ManifestUnknown
        }
        other => other,
    }
}
