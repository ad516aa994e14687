//! Blobs: looking, reading, deleting, and bringing new ones in.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use lockyard_access::registry_token::Verb;
use lockyard_base::{BlobId, LinkId, PartId, RepositoryId};
use lockyard_blobs::{
    BlobStream, DangerousExport, ExportError, PartError, PartList, ReadError, dangerous_export,
};
use lockyard_oci::{ByteRange, Digest, RepositoryName};
use lockyard_store::{SealNo, Txn, blob, edge, link, part};

use crate::{
    Registry, RegistryError,
    intake::blocking,
    rows::{BlobRecord, Rows, Sealed},
    session::repository,
    written::Written,
};

/// A blob's digest and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobStat {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// A blob that is being read.
pub struct BlobContent {
    /// The length of the whole blob in bytes.
    pub length: u64,
    /// Which bytes `stream` gives.
    pub range: Range<u64>,
    /// The bytes. An error in the middle means that the rest must not be trusted to come: end the
    /// connection.
    pub stream: BoxStream<'static, Result<Bytes, ReadError>>,
}

impl std::fmt::Debug for BlobContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlobContent({:?} of {} bytes)", self.range, self.length)
    }
}

/// A linked blob, opened.
struct Found {
    id: BlobId,
    /// The row as it was read: what is found wrong with its parts is said of this one.
    seal_no: SealNo,
    link: LinkId,
    /// Whether the link was touched so long ago that a collection might look at it.
    stale: bool,
    record: BlobRecord,
}

impl Registry {
    /// Whether the repository has this blob, and how long it is.
    pub async fn stat_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobStat, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let found = self.find_blob(name, digest).await?;
        if found.stale {
            // Whoever asks "do you have it?" will not push it: the link must outlive the answer.
            let link = found.link;
            self.write(move |txn, _, _| {
                if link::touch(txn, link)? { Ok(()) } else { Err(RegistryError::BlobUnknown) }
            })
            .await?;
        }
        Ok(BlobStat { digest: *digest, length: found.record.parts.len() })
    }

    /// Opens a blob, or a range of it, for reading.
    pub async fn read_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<ByteRange>,
    ) -> Result<BlobContent, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let mut found = self.find_blob(name, digest).await?;
        let length = found.record.parts.len();
        let range = match range {
            Some(range) => range.resolve(length).map_err(RegistryError::RangeUnsatisfiable)?,
            None => 0..length,
        };
        let stream = match self.open_parts(&found, range.clone()).await? {
            Err(ReadError::Missing(_)) => {
                // A compaction may have put other parts in their place.
                found = self.find_blob(name, digest).await?;
                self.open_parts(&found, range.clone()).await?
            }
            first => first,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => return Err(self.unreadable(&found, error).await),
        };
        let (registry, id, seen) = (self.share(), found.id, found.seal_no);
        let watched = stream.inspect(move |piece| {
            if let Err(error @ (ReadError::Missing(_) | ReadError::Damaged(_))) = piece {
                tracing::error!(blob = %id, error = %error, "damaged data was found in mid-stream");
                let this = registry.share();
                registry.house.tasks().spawn(async move { this.quarantine(id, seen).await });
            }
        });
        Ok(BlobContent { length, range, stream: watched.boxed() })
    }

    /// The parts of a blob with their keys in the clear: for an operator who must prove or rescue
    /// with other tools, and for nothing else.
    pub async fn dangerous_export(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<DangerousExport>, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let found = self.find_blob(name, digest).await?;
        let unlocked = self.rows.unlocked().share();
        let store = self.part_store(&found.record.parts).await?;
        blocking(move || {
            let parts = &found.record.parts;
            (0..parts.count())
                .map(|n| dangerous_export(&unlocked, &store, parts, n))
                .collect::<Result<Vec<_>, _>>()
        })
        .await?
        .map_err(|error: ExportError| match error {
            ExportError::Locked => RegistryError::LockedMeanwhile,
            other => RegistryError::Unavailable(Box::new(other)),
        })
    }

    /// Takes a blob away from this repository, unless a manifest there still names it.
    pub async fn delete_blob(
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
            let repository = found.repository_id;
            let index = rows.digest_index(&digest)?;
            let (blob, link) = blob::find_linked(txn, rows.registry(), repository, &index)?
                .ok_or(RegistryError::BlobUnknown)?;
            link::lock(txn, link.link_id)?.ok_or(RegistryError::BlobUnknown)?;
            if edge::names_blob(txn, repository, &index)? {
                return Err(RegistryError::BlobInUse);
            }
            link::delete(txn, link.link_id)?;
            forget_if_unlinked(txn, rows, &blob)
        })
        .await
    }

    /// Links a blob of another repository into this one. `false`: it is not there, or not for this
    /// caller to see; an upload is the way then.
    ///
    /// Without a source, any repository of the registry that the caller may pull will do.
    pub async fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<bool, RegistryError> {
        self.authorize(Verb::Push, name)?;
        // Without a source, the blob may come from anywhere: that is for those who may see it all.
        let visible = match from {
            Some(from) => self.authorize(Verb::Pull, from).is_ok(),
            None => !self.is_limited() && self.authorize(Verb::Pull, name).is_ok(),
        };
        if !visible {
            return Ok(false);
        }
        let (name, from, digest) = (name.clone(), from.cloned(), *digest);
        self.write(move |txn, rows, _| {
            let index = rows.digest_index(&digest)?;
            let Some(row) = blob::hold(txn, rows.registry(), &index)? else { return Ok(false) };
            let sound = row.state == blob::BlobState::Present
                && open(rows, &row).is_ok_and(|record| record.digest == digest);
            if !sound {
                return Ok(false);
            }
            let linked = match &from {
                Some(from) => match repository(txn, rows, from)? {
                    Some(source) => match link::find(txn, source.repository_id, row.blob_id)? {
                        // Its clear columns alone say nothing: somebody may have planted them.
                        Some(source) => {
                            check_link(rows, &source, &digest).is_ok()
                                && link::lock(txn, source.link_id)?.is_some()
                        }
                        None => false,
                    },
                    None => false,
                },
                None => link::of_blob(txn, row.blob_id)? > 0,
            };
            if linked {
                let target = crate::session::repository_or_new(txn, rows, &name)?;
                put_link(txn, rows, target.repository_id, row.blob_id, &digest)?;
            }
            Ok(linked)
        })
        .await
    }

    async fn find_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Found, RegistryError> {
        let (name, digest) = (name.clone(), *digest);
        let grace = self.house.ground().limits.grace;
        let found = self.read(move |txn, rows| {
            let repository =
                repository(txn, rows, &name)?.ok_or(RegistryError::BlobUnknown)?.repository_id;
            let index = rows.digest_index(&digest)?;
            let (row, link) = blob::find_linked(txn, rows.registry(), repository, &index)?
                .ok_or(RegistryError::BlobUnknown)?;
            if row.state == blob::BlobState::Quarantined {
                return Err(RegistryError::BlobUnknown);
            }
            check_link(rows, &link, &digest)?;
            let record = open(rows, &row)?;
            if record.digest != digest {
                return Err(RegistryError::Damaged("a blob's row"));
            }
            let stale = link.touched_at < txn.now().saturating_sub(grace / 2);
            let (id, seal_no, link) = (row.blob_id, row.seal_no, link.link_id);
            Ok(Found { id, seal_no, link, stale, record })
        });
        found.await.map_err(|error| match error {
            // Unknown, so that clients push it again and heal it.
            RegistryError::Damaged(what) => {
                tracing::error!(what, "damaged data was found and not served");
                RegistryError::BlobUnknown
            }
            other => other,
        })
    }

    async fn open_parts(
        &self,
        found: &Found,
        range: Range<u64>,
    ) -> Result<Result<BlobStream, ReadError>, RegistryError> {
        let (unlocked, parts) = (self.rows.unlocked(), &found.record.parts);
        let store = self.part_store(parts).await?;
        Ok(BlobStream::open(unlocked, &store, self.house.pool(), parts, range).await)
    }

    async fn unreadable(&self, found: &Found, error: ReadError) -> RegistryError {
        match error {
            ReadError::Locked => RegistryError::LockedMeanwhile,
            ReadError::Missing(_) | ReadError::Damaged(_) => {
                let id = found.id;
                tracing::error!(blob = %id, error = %error, "damaged data was found and not served");
                self.quarantine(id, found.seal_no).await;
                RegistryError::BlobUnknown
            }
            other => RegistryError::Unavailable(Box::new(other)),
        }
    }

    /// Marks a blob whose parts are damaged: it answers as unknown until it is pushed again. Returns
    /// whether it was marked now.
    ///
    /// Only the row that was seen is marked: a push may have healed it since.
    pub(crate) async fn quarantine(&self, id: BlobId, seen: SealNo) -> bool {
        let marked = self.write(move |txn, rows, _| {
            let Some(row) = blob::get(txn, id)? else { return Ok(false) };
            if row.state == blob::BlobState::Quarantined || row.seal_no != seen {
                return Ok(false);
            }
            let record = open(rows, &row)?;
            let state = blob::BlobState::Quarantined;
            let index = &row.digest_index;
            let sealed = rows.seal_blob(id, index, state.word(), &record.digest, &record.parts)?;
            if blob::update(txn, id, row.seal_no, sealed.epoch, state, &sealed.bytes)? {
                Ok(true)
            } else {
                Err(RegistryError::Overtaken)
            }
        });
        marked.await.unwrap_or_else(|error| {
            tracing::warn!(blob = %id, error = %lockyard_base::chain(&error), "not quarantined");
            false
        })
    }
}

/// Makes sealed parts a blob of this repository: a new one, or the one that is there already.
///
/// What was `written` of them just now becomes live; all die where an intact blob makes them unneeded.
/// An existing blob that is quarantined or no longer opens gets the new parts in place of its own: this
/// is how pushing heals.
pub(crate) fn link_parts(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    digest: &Digest,
    parts: &PartList,
    written: &Written,
) -> Result<(), RegistryError> {
    let index = rows.digest_index(digest)?;
    let present = blob::BlobState::Present;
    let id = match blob::hold(txn, rows.registry(), &index)? {
        None => {
            let id = BlobId::random(rows.entropy());
            let sealed = rows.seal_blob(id, &index, present.word(), digest, parts)?;
            written.keep(txn, rows)?;
            let inserted = blob::insert(
                txn,
                &blob::NewBlob {
                    blob_id: id,
                    registry_id: rows.registry(),
                    digest_index: index,
                    epoch: sealed.epoch,
                    sealed: &sealed.bytes,
                },
            )?;
            if !inserted {
                return Err(RegistryError::Overtaken);
            }
            id
        }
        Some(row) => {
            let record = open(rows, &row).ok().filter(|record| record.digest == *digest);
            if row.state == present && record.is_some() {
                let unneeded: Vec<PartId> = parts.ids().collect();
                part::make_dead(txn, &unneeded)?;
            } else {
                let sealed = rows.seal_blob(row.blob_id, &index, present.word(), digest, parts)?;
                written.keep(txn, rows)?;
                let (id, seal_no) = (row.blob_id, row.seal_no);
                if !blob::update(txn, id, seal_no, sealed.epoch, present, &sealed.bytes)? {
                    return Err(RegistryError::Overtaken);
                }
                let old: Vec<PartId> =
                    record.iter().flat_map(|record| record.parts.ids()).collect();
                part::make_dead(txn, &old)?;
            }
            row.blob_id
        }
    };
    put_link(txn, rows, repository, id, digest)
}

/// Links a repository to a blob that this transaction holds; repairs a link that does not open.
fn put_link(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    blob: BlobId,
    digest: &Digest,
) -> Result<(), RegistryError> {
    if let Some(old) = link::find(txn, repository, blob)? {
        if check_link(rows, &old, digest).is_ok() {
            return if link::touch(txn, old.link_id)? {
                Ok(())
            } else {
                Err(RegistryError::Overtaken)
            };
        }
        let sealed = rows.seal_link(old.link_id, repository, blob, digest)?;
        return if link::reseal(txn, old.link_id, old.seal_no, sealed.epoch, &sealed.bytes)? {
            Ok(())
        } else {
            Err(RegistryError::Overtaken)
        };
    }
    let id = LinkId::random(rows.entropy());
    let sealed = rows.seal_link(id, repository, blob, digest)?;
    link::insert_or_touch(
        txn,
        &link::NewLink {
            link_id: id,
            repository_id: repository,
            blob_id: blob,
            epoch: sealed.epoch,
            sealed: &sealed.bytes,
        },
    )?;
    Ok(())
}

/// Deletes a blob that no repository links to any more, and with its row the keys of its parts.
fn forget_if_unlinked(
    txn: &mut Txn<'_>,
    rows: &Rows,
    row: &blob::BlobRow,
) -> Result<(), RegistryError> {
    // Lock first, then look in a new statement: a link that came meanwhile must be seen.
    let Some(row) = blob::lock(txn, rows.registry(), &row.digest_index)? else { return Ok(()) };
    if link::of_blob(txn, row.blob_id)? > 0 {
        return Ok(());
    }
    if let Ok(record) = open(rows, &row) {
        let parts: Vec<PartId> = record.parts.ids().collect();
        part::make_dead(txn, &parts)?;
    }
    blob::delete(txn, row.blob_id)?;
    Ok(())
}

pub(crate) fn open(rows: &Rows, row: &blob::BlobRow) -> Result<BlobRecord, RegistryError> {
    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
    rows.open_blob(row.blob_id, &row.digest_index, row.state.word(), sealed)
}

fn check_link(rows: &Rows, row: &link::LinkRow, digest: &Digest) -> Result<(), RegistryError> {
    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
    rows.check_link(row.link_id, row.repository_id, row.blob_id, digest, sealed)
}

impl From<PartError> for RegistryError {
    fn from(error: PartError) -> Self {
        match error {
            PartError::Full { .. } => Self::Full,
            other => Self::Unavailable(Box::new(other)),
        }
    }
}
