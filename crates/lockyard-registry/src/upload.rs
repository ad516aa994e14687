//! Uploads: sessions that take a blob in pieces, and pushes in one piece.
//!
//! A session is one row whose sealed value holds the parts so far and the state of their hash. Each
//! non-empty request body becomes one part; each step is a compare-and-set on the session's
//! generation, so that of two concurrent steps one wins and the other is told where the session
//! stands. Work that seals a body runs on a task of its own: a client that goes away does not undo
//! what arrived.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lockyard_access::registry_token::Verb;
use lockyard_base::{PartId, RepositoryId, UploadId};
use lockyard_blobs::{
    BlobStream, PartList, ReadError, SHORT_BYTES_MAX, SealedPart, seal_short, with_row_part,
};
use lockyard_oci::{Algorithm, ContentRange, Digest, Hasher, RepositoryName};
use lockyard_store::{Txn, part, upload};

use crate::{
    Body, Registry, RegistryError,
    blob::link_parts,
    intake::{self, Beginning, BodyEnd, Intake, Taken},
    newborn::{FirstStep, Newborn},
    rows::{Rows, Sealed, UploadRecord},
    session::{repository, repository_or_new},
    written::Written,
};

/// Names a session, and the step of it that the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadTicket {
    /// The session.
    pub id: UploadId,
    /// The step; `None` if the client does not say, which then means the present one.
    pub generation: Option<u64>,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// The ticket for the next step.
    pub ticket: UploadTicket,
    /// How many bytes it has.
    pub offset: u64,
}

/// A session as it was read.
struct Session {
    id: UploadId,
    name: RepositoryName,
    /// Its repository; `None` if it has no row yet, which comes with its first step.
    repository: Option<RepositoryId>,
    generation: u64,
    record: UploadRecord,
}

impl Session {
    fn status(&self) -> UploadStatus {
        UploadStatus {
            ticket: UploadTicket { id: self.id, generation: Some(self.generation) },
            offset: self.record.parts.len(),
        }
    }

    /// Refuses a step that does not continue from here.
    fn continues(
        &self,
        ticket: UploadTicket,
        range: Option<ContentRange>,
    ) -> Result<(), RegistryError> {
        let status = self.status();
        let stale = ticket.generation.is_some_and(|known| known != self.generation);
        if stale || range.is_some_and(|range| range.first() != status.offset) {
            return Err(RegistryError::UploadRange {
                ticket: status.ticket,
                offset: status.offset,
            });
        }
        Ok(())
    }
}

/// A step that is being committed; of a session with a row, the row says who came first.
struct Step<'n>(Option<FirstStep<'n>>);

impl Step<'_> {
    /// Ends it as its transaction ended.
    fn end(self, committed: &Result<bool, RegistryError>) {
        if let (Some(first), Ok(true)) = (self.0, committed) {
            first.made();
        }
    }
}

/// Inserts the row of a session without a byte.
fn insert(
    txn: &mut Txn<'_>,
    rows: &Rows,
    id: UploadId,
    repository: RepositoryId,
    algorithm: Algorithm,
    idle: Duration,
) -> Result<(), RegistryError> {
    let sealed = rows.seal_upload(id, repository, 0, &UploadRecord::new(algorithm))?;
    let expires_at = txn.now() + idle;
    Ok(upload::insert(
        txn,
        &upload::NewUpload {
            upload_id: id,
            registry_id: rows.registry(),
            repository_id: repository,
            epoch: sealed.epoch,
            sealed: &sealed.bytes,
            expires_at,
        },
    )?)
}

impl Registry {
    /// Begins a session; its hash is SHA-256 unless the client says otherwise.
    ///
    /// A session without a byte may be lost, by a power cut or by the end of the process: nothing was
    /// promised but a place to send to, and a client that is told that it is gone begins again. From
    /// its first byte on it is as durable as everything.
    pub async fn start_upload(
        &self,
        name: &RepositoryName,
        algorithm: Option<Algorithm>,
    ) -> Result<UploadStatus, RegistryError> {
        self.authorize(Verb::Push, name)?;
        let name = name.clone();
        let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
        let limits = self.house.ground().limits;
        let id = UploadId::random(self.rows.entropy());
        let status = UploadStatus { ticket: UploadTicket { id, generation: Some(0) }, offset: 0 };
        if self.house.ground().store.commits().is_some() {
            self.be_born(id, &name, algorithm).await?;
            return Ok(status);
        }
        self.write_soon(move |txn, rows, _| {
            if upload::count(txn, rows.registry())? >= limits.uploads_max {
                return Err(RegistryError::TooManyUploads { limit: limits.uploads_max });
            }
            let repository = repository_or_new(txn, rows, &name)?.repository_id;
            insert(txn, rows, id, repository, algorithm, limits.upload_idle_max)
        })
        .await?;
        Ok(status)
    }

    /// Begins a session that gets its row with its first byte.
    async fn be_born(
        &self,
        id: UploadId,
        name: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<(), RegistryError> {
        let ground = self.house.ground();
        let (limit, registry) = (ground.limits.uploads_max, self.rows.registry());
        let wanted = name.clone();
        let in_rows = self.read(move |txn, rows| {
            // None is made before there is a byte, but a damaged one is told at once.
            repository(txn, rows, &wanted)?;
            Ok(upload::count(txn, registry)?)
        });
        let in_rows = in_rows.await?;
        let expires_at = ground.clock.wall() + ground.limits.upload_idle_max;
        let newborn = Newborn::new(self.rows.repository_index(name)?, algorithm, expires_at);
        let most = limit.saturating_sub(in_rows);
        if self.house.nursery().add(registry, id, newborn, most) {
            Ok(())
        } else {
            Err(RegistryError::TooManyUploads { limit })
        }
    }

    /// Adds a body to a session. A body that is cut keeps what arrived.
    pub async fn append_upload(
        &self,
        name: &RepositoryName,
        ticket: UploadTicket,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<UploadStatus, RegistryError> {
        self.authorize(Verb::Push, name)?;
        let session = self.session(name, ticket.id).await?;
        session.continues(ticket, range)?;
        let this = self.share();
        self.detached(async move { this.append(session, range, body).await }).await
    }

    /// Ends a session with an optional last body; the whole must have this digest.
    pub async fn finish_upload(
        &self,
        name: &RepositoryName,
        ticket: UploadTicket,
        digest: &Digest,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<Digest, RegistryError> {
        self.authorize(Verb::Push, name)?;
        let session = self.session(name, ticket.id).await?;
        session.continues(ticket, range)?;
        let (this, digest) = (self.share(), *digest);
        self.detached(async move { this.finish(session, digest, range, body).await }).await
    }

    /// Takes a whole blob in with one request and no session.
    pub async fn push_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        body: Body,
    ) -> Result<Digest, RegistryError> {
        self.authorize(Verb::Push, name)?;
        let (this, name, digest) = (self.share(), name.clone(), *digest);
        self.detached(async move {
            let record = UploadRecord::new(digest.algorithm());
            let (record, written) = this.extend(record, None, body, true).await?;
            this.verify(&record, &digest, &written).await?;
            this.write(move |txn, rows, _| {
                let repository = repository_or_new(txn, rows, &name)?.repository_id;
                link_parts(txn, rows, repository, &digest, &record.parts, &written)
            })
            .await?;
            Ok(digest)
        })
        .await
    }

    /// Where a session stands.
    pub async fn upload_status(
        &self,
        name: &RepositoryName,
        id: UploadId,
    ) -> Result<UploadStatus, RegistryError> {
        self.authorize(Verb::Push, name)?;
        Ok(self.session(name, id).await?.status())
    }

    /// Drops a session and what it has.
    pub async fn cancel_upload(
        &self,
        name: &RepositoryName,
        ticket: UploadTicket,
    ) -> Result<(), RegistryError> {
        self.authorize(Verb::Push, name)?;
        let session = self.session(name, ticket.id).await?;
        session.continues(ticket, None)?;
        if session.repository.is_none() {
            let step = self.house.nursery().step(self.rows.registry(), session.id);
            return match step {
                Some(step) => {
                    step.made();
                    Ok(())
                }
                None => Err(self.overtaken(session.id, 0).await),
            };
        }
        let parts: Vec<PartId> = session.record.parts.ids().collect();
        let (id, generation, before) = (session.id, session.generation, session.record.parts.len());
        let dropped = self.write(move |txn, _, _| {
            if !upload::delete(txn, id, generation)? {
                return Ok(false);
            }
            part::make_dead(txn, &parts)?;
            Ok(true)
        });
        if dropped.await? { Ok(()) } else { Err(self.overtaken(id, before).await) }
    }

    async fn session(&self, name: &RepositoryName, id: UploadId) -> Result<Session, RegistryError> {
        let name = name.clone();
        let idle = self.house.ground().limits.upload_idle_max;
        let rests = self.house.rests(self.rows.registry(), idle);
        if let Some(newborn) = self.house.nursery().get(self.rows.registry(), id) {
            let expired = newborn.expires_at < self.house.ground().clock.wall() && !rests;
            if expired || newborn.repository != self.rows.repository_index(&name)? {
                return Err(RegistryError::UploadUnknown);
            }
            let record = UploadRecord::new(newborn.algorithm);
            return Ok(Session { id, name, repository: None, generation: 0, record });
        }
        self.read(move |txn, rows| {
            let repository = repository(txn, rows, &name)?.ok_or(RegistryError::UploadUnknown)?;
            let row = upload::get(txn, id)?.ok_or(RegistryError::UploadUnknown)?;
            let expired = row.expires_at < txn.now() && !rests;
            if row.repository_id != repository.repository_id || expired {
                return Err(RegistryError::UploadUnknown);
            }
            let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
            let record = rows.open_upload(id, row.repository_id, row.generation, sealed)?;
            let (repository, generation) = (Some(row.repository_id), row.generation);
            Ok(Session { id, name, repository, generation, record })
        })
        .await
    }

    async fn append(
        &self,
        session: Session,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<UploadStatus, RegistryError> {
        let Session { id, name, repository, generation, record } = session;
        let (before, algorithm) = (record.parts.len(), record.hasher.algorithm());
        let (record, written, cut) = self.take(record, range, body).await?;
        let offset = record.parts.len();
        let idle = self.house.ground().limits.upload_idle_max;
        let file = written.file();
        let Some(first) = self.first_step(id, repository) else {
            self.discard(file).await;
            return Err(self.overtaken(id, before).await);
        };
        let advanced = self
            .write(move |txn, rows, _| {
                let repository = if let Some(repository) = repository {
                    repository
                } else {
                    let found = repository_or_new(txn, rows, &name)?.repository_id;
                    insert(txn, rows, id, found, algorithm, idle)?;
                    found
                };
                let sealed = rows.seal_upload(id, repository, generation + 1, &record)?;
                let expires_at = txn.now() + idle;
                let (epoch, bytes) = (sealed.epoch, &sealed.bytes);
                if !upload::advance(txn, id, generation, epoch, bytes, expires_at)? {
                    return Ok(false);
                }
                written.keep(txn, rows)?;
                Ok(true)
            })
            .await;
        first.end(&advanced);
        match advanced {
            Ok(true) if cut => Err(RegistryError::BodyCut),
            Ok(true) => Ok(UploadStatus {
                ticket: UploadTicket { id, generation: Some(generation + 1) },
                offset,
            }),
            Ok(false) => {
                self.discard(file).await;
                Err(self.overtaken(id, before).await)
            }
            Err(error) => {
                self.discard(file).await;
                Err(error)
            }
        }
    }

    async fn finish(
        &self,
        session: Session,
        digest: Digest,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<Digest, RegistryError> {
        let Session { id, name, repository, generation, record } = session;
        let before = record.parts.len();
        let (record, written) = self.extend(record, range, body, false).await?;
        self.verify(&record, &digest, &written).await?;
        let file = written.file();
        let Some(first) = self.first_step(id, repository) else {
            self.discard(file).await;
            return Err(self.overtaken(id, before).await);
        };
        let finished = self
            .write(move |txn, rows, _| {
                let repository = match repository {
                    Some(_) if !upload::delete(txn, id, generation)? => return Ok(false),
                    Some(repository) => repository,
                    None => repository_or_new(txn, rows, &name)?.repository_id,
                };
                link_parts(txn, rows, repository, &digest, &record.parts, &written)?;
                Ok(true)
            })
            .await;
        first.end(&finished);
        match finished {
            Ok(true) => Ok(digest),
            Ok(false) => {
                self.discard(file).await;
                Err(self.overtaken(id, before).await)
            }
            Err(error) => {
                self.discard(file).await;
                Err(error)
            }
        }
    }

    /// Begins a step of a session, which for one without a row only one can do at a time; `None` if
    /// another one came first.
    fn first_step(&self, id: UploadId, repository: Option<RepositoryId>) -> Option<Step<'_>> {
        match repository {
            Some(_) => Some(Step(None)),
            None => {
                self.house.nursery().step(self.rows.registry(), id).map(|step| Step(Some(step)))
            }
        }
    }

    /// Takes a last or only body in; one that is cut leaves nothing behind.
    async fn extend(
        &self,
        record: UploadRecord,
        range: Option<ContentRange>,
        body: Body,
        whole: bool,
    ) -> Result<(UploadRecord, Written), RegistryError> {
        debug_assert!(
            !whole || record.parts.count() == 0,
            "a push in one piece starts from nothing"
        );
        let (record, written, cut) = self.take(record, range, body).await?;
        if cut {
            self.discard(written.file()).await;
            return Err(RegistryError::BodyCut);
        }
        Ok((record, written))
    }

    /// Seals a body into a new part and adds it to the record; says whether the body was cut.
    async fn take(
        &self,
        record: UploadRecord,
        range: Option<ContentRange>,
        body: Body,
    ) -> Result<(UploadRecord, Written, bool), RegistryError> {
        let limits = self.house.ground().limits;
        let UploadRecord { hasher, mut parts } = record;
        let room = limits.blob_bytes_max - parts.len().min(limits.blob_bytes_max);
        let short = if parts.count() == 0 { limits.row_part_bytes_max } else { 0 };
        let short = short.min(SHORT_BYTES_MAX).min(usize::try_from(room).unwrap_or(usize::MAX));
        let body = match intake::begin(body, short, self.revoked()).await? {
            // No byte, no part: a PUT that only names the digest costs no commit here.
            Beginning::Empty => {
                return match range {
                    Some(_) => Err(RegistryError::LengthMismatch),
                    None => Ok((UploadRecord { hasher, parts }, Written::Nothing, false)),
                };
            }
            Beginning::Short(pieces) => {
                let (record, written) = self.take_short(hasher, range, &pieces)?;
                return Ok((record, written, false));
            }
            Beginning::Long(body) => body,
        };
        // Asked only now: a session with as many parts as it may have must still be able to finish.
        if parts.count() >= limits.parts_per_upload_max {
            return Err(RegistryError::TooManyParts { limit: limits.parts_per_upload_max });
        }
        let id = self.announce().await?;
        let taken = self.seal(id, hasher, body, room).await;
        let Taken { part, hasher, end } = match taken {
            Ok(taken) => taken,
            Err(error) => {
                self.discard(Some(id)).await;
                return Err(error);
            }
        };
        let length = part.as_ref().map_or(0, SealedPart::len);
        let wrong = match end {
            BodyEnd::TooLong => Some(RegistryError::BlobTooLarge { limit: limits.blob_bytes_max }),
            BodyEnd::Whole if range.is_some_and(|range| range.length() != length) => {
                Some(RegistryError::LengthMismatch)
            }
            BodyEnd::Locked => Some(RegistryError::LockedMeanwhile),
            BodyEnd::Whole | BodyEnd::Cut => None,
        };
        if let Some(error) = wrong {
            self.discard(Some(id)).await;
            return Err(error);
        }
        let written = if part.is_some() { Written::File(id) } else { Written::Nothing };
        match part {
            Some(part) => parts
                .push(part)
                .map_err(|_| RegistryError::TooManyParts { limit: limits.parts_per_upload_max })?,
            None => self.discard(Some(id)).await,
        }
        Ok((UploadRecord { hasher, parts }, written, end == BodyEnd::Cut))
    }

    /// Seals a whole body that is to lie in its part's row.
    fn take_short(
        &self,
        mut hasher: Hasher,
        range: Option<ContentRange>,
        pieces: &[Bytes],
    ) -> Result<(UploadRecord, Written), RegistryError> {
        let entropy = self.rows.entropy();
        let id = PartId::random(entropy);
        for piece in pieces {
            hasher.update(piece);
        }
        let plaintext = pieces.iter().map(|piece| &piece[..]);
        let (part, bytes) = seal_short(self.rows.unlocked(), id, plaintext, entropy)?;
        if range.is_some_and(|range| range.length() != part.len()) {
            return Err(RegistryError::LengthMismatch);
        }
        let mut parts = PartList::new();
        parts.push(part).map_err(|_| RegistryError::Internal("one part is not too many"))?;
        Ok((UploadRecord { hasher, parts }, Written::Row(id, bytes)))
    }

    /// Seals a body while keeping its part's lease.
    pub(crate) async fn seal(
        &self,
        id: PartId,
        hasher: Hasher,
        body: Body,
        room: u64,
    ) -> Result<Taken, RegistryError> {
        let ground = self.house.ground();
        let intake = Intake {
            parts: std::sync::Arc::clone(&ground.parts),
            entropy: std::sync::Arc::clone(&ground.entropy),
            unlocked: self.rows.unlocked().share(),
            part: id,
        };
        let lease = ground.limits.writing_lease;
        let mut taking = std::pin::pin!(intake.take(hasher, body, room));
        loop {
            let renewal = tokio::time::sleep(lease / 4);
            tokio::select! {
                taken = &mut taking => return taken,
                () = renewal => {
                    self.write(move |txn, _, _| {
                        let until = txn.now() + lease;
                        part::renew(txn, &[id], until)?;
                        Ok(())
                    })
                    .await?;
                }
            }
        }
    }

    /// Compares the digest; what was written for nothing dies.
    async fn verify(
        &self,
        record: &UploadRecord,
        claimed: &Digest,
        written: &Written,
    ) -> Result<(), RegistryError> {
        let actual = if record.hasher.algorithm() == claimed.algorithm() {
            Ok(record.hasher.clone().finish())
        } else {
            self.rehash(&record.parts, written, claimed.algorithm()).await
        };
        let wrong = match actual {
            Ok(actual) if actual == *claimed => return Ok(()),
            Ok(actual) => RegistryError::DigestMismatch {
                claimed: Box::new(*claimed),
                actual: Box::new(actual),
            },
            Err(error) => error,
        };
        self.discard(written.file()).await;
        Err(wrong)
    }

    /// Reads sealed parts again for a digest that was not announced when the session began.
    async fn rehash(
        &self,
        parts: &PartList,
        written: &Written,
        algorithm: Algorithm,
    ) -> Result<Digest, RegistryError> {
        let unreadable = |error: ReadError| match error {
            ReadError::Locked => RegistryError::LockedMeanwhile,
            other => RegistryError::Unavailable(Box::new(other)),
        };
        let (unlocked, pool) = (self.rows.unlocked(), self.house.pool());
        let store = match written {
            Written::Row(id, bytes) => {
                with_row_part(&self.house.ground().parts, *id, bytes.clone())
            }
            Written::Nothing | Written::File(_) => self.part_store(parts).await?,
        };
        let mut stream = BlobStream::open(unlocked, &store, pool, parts, 0..parts.len())
            .await
            .map_err(unreadable)?;
        let mut hasher = Hasher::new(algorithm);
        while let Some(piece) = stream.next().await {
            hasher.update(&piece.map_err(unreadable)?);
        }
        Ok(hasher.finish())
    }

    /// Gives up a part that was written for nothing; its lease would do so later.
    pub(crate) async fn discard(&self, part: Option<PartId>) {
        let Some(id) = part else { return };
        let dead = self.write(move |txn, _, _| Ok(part::make_dead(txn, &[id])?)).await;
        if let Err(error) = dead {
            tracing::debug!(part = %id, error = %lockyard_base::chain(&error), "left to its lease");
        }
    }

    /// What to tell the loser of two concurrent steps.
    async fn overtaken(&self, id: UploadId, before: u64) -> RegistryError {
        // A winner's step may not be committed yet; and if it fails, the session is as it was.
        if self.house.nursery().settled(self.rows.registry(), id).await.is_some() {
            let ticket = UploadTicket { id, generation: Some(0) };
            return RegistryError::UploadRange { ticket, offset: 0 };
        }
        let present = self.read(move |txn, rows| {
            let row = upload::get(txn, id)?.ok_or(RegistryError::UploadUnknown)?;
            let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
            let record = rows.open_upload(id, row.repository_id, row.generation, sealed)?;
            Ok((row.generation, record.parts.len()))
        });
        match present.await {
            Ok((generation, offset)) => {
                debug_assert!(offset >= before, "a session only grows");
                let ticket = UploadTicket { id, generation: Some(generation) };
                RegistryError::UploadRange { ticket, offset }
            }
            Err(error) => error,
        }
    }

    /// Runs `work` to its end even if the request that asked for it is dropped.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let joined = self.house.tasks().spawn(work).await;
        joined.map_err(|error| RegistryError::Unavailable(Box::new(error)))?
    }
}
