//! What stands in a registry's sealed rows, and what each is bound to.
//!
//! Normative table: `docs/spec/keys.md`, "Sealed rows". Names and digests are repeated inside and
//! compared on opening, so that a row which was moved under another index is found out even if its
//! bound data could be forged.

use std::{collections::BTreeMap, sync::Arc};

use lockyard_base::{
    BlindIndex, BlobId, Entropy, Epoch, LinkId, ManifestId, RegistryId, RepositoryId, TagId,
    UploadId,
};
use lockyard_blobs::PartList;
use lockyard_keyring::{Place, SealedRow, UnlockedRegistry};
use lockyard_oci::{Algorithm, Descriptor, Digest, Hasher, MediaType, RepositoryName, Tag};
use lockyard_seal::IndexKind;
use zeroize::Zeroizing;

use crate::{
    RegistryError,
    fields::{FieldReader, FieldWriter},
    opened::Opened,
};

/// A sealed value as it was read: the epoch that its row names, and the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed<'b> {
    pub(crate) epoch: Epoch,
    pub(crate) bytes: &'b [u8],
}

/// What a blob's row holds.
#[derive(Debug)]
pub(crate) struct BlobRecord {
    pub(crate) digest: Digest,
    pub(crate) parts: PartList,
}

/// What a manifest's row says about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestRecord {
    pub(crate) digest: Digest,
    pub(crate) media_type: MediaType,
    pub(crate) length: u64,
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// What it refers to: edges say so in the clear, this proves it.
    pub(crate) subject: Option<Digest>,
}

impl ManifestRecord {
    /// The descriptor by which a referrers list names this manifest.
    pub(crate) fn descriptor(self) -> Descriptor {
        Descriptor::new(&self.media_type, self.digest, self.length)
            .with_artifact_type(self.artifact_type.as_deref())
            .with_annotations(self.annotations)
    }
}

/// What an upload session's row holds.
#[derive(Debug)]
pub(crate) struct UploadRecord {
    pub(crate) hasher: Hasher,
    pub(crate) parts: PartList,
}

/// Seals and opens the rows of one unlocked registry.
#[derive(Debug)]
pub(crate) struct Rows {
    unlocked: UnlockedRegistry,
    entropy: Arc<dyn Entropy>,
    /// How many bytes each kind of opened row may keep in memory.
    kept_bytes_max: usize,
}

impl Rows {
    pub(crate) fn new(
        unlocked: UnlockedRegistry,
        entropy: Arc<dyn Entropy>,
        opened_bytes_max: usize,
    ) -> Self {
        Self { unlocked, entropy, kept_bytes_max: Opened::share(opened_bytes_max) }
    }

    /// What was opened before, and how many bytes of each kind may be kept; fails when the registry
    /// locks, since it is gone then.
    pub(crate) fn opened(&self) -> Result<(Arc<Opened>, usize), RegistryError> {
        Ok((self.unlocked.cache::<Opened>()?, self.kept_bytes_max))
    }

    pub(crate) fn registry(&self) -> RegistryId {
        self.unlocked.id()
    }

    pub(crate) fn unlocked(&self) -> &UnlockedRegistry {
        &self.unlocked
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    pub(crate) fn repository_index(
        &self,
        name: &RepositoryName,
    ) -> Result<BlindIndex, RegistryError> {
        let name = name.as_str().as_bytes();
        Ok(self.unlocked.blind(IndexKind::Repository, None, name)?)
    }

    pub(crate) fn tag_index(
        &self,
        repository: RepositoryId,
        tag: &Tag,
    ) -> Result<BlindIndex, RegistryError> {
        Ok(self.unlocked.blind(IndexKind::Tag, Some(repository), tag.as_str().as_bytes())?)
    }

    /// The index of a manifest within its repository.
    pub(crate) fn manifest_index(
        &self,
        repository: RepositoryId,
        digest: &Digest,
    ) -> Result<BlindIndex, RegistryError> {
        Ok(self.unlocked.blind(IndexKind::Digest, Some(repository), &digest.to_bytes())?)
    }

    /// The registry-wide index of a digest: blobs are found by it and edges point with it.
    pub(crate) fn digest_index(&self, digest: &Digest) -> Result<BlindIndex, RegistryError> {
        Ok(self.unlocked.blind(IndexKind::Digest, None, &digest.to_bytes())?)
    }

    pub(crate) fn seal_repository(
        &self,
        id: RepositoryId,
        index: &BlindIndex,
        name: &RepositoryName,
    ) -> Result<SealedRow, RegistryError> {
        let fields = FieldWriter::with_capacity(512).field(name.as_str().as_bytes());
        self.seal(&repository_place(id, index), &fields)
    }

    pub(crate) fn open_repository(
        &self,
        id: RepositoryId,
        index: &BlindIndex,
        sealed: Sealed<'_>,
    ) -> Result<String, RegistryError> {
        let plain = self.open(&repository_place(id, index), sealed)?;
        let mut fields = FieldReader::new(&plain)?;
        let name = fields.text()?.to_owned();
        fields.end()?;
        Ok(name)
    }

    pub(crate) fn seal_blob(
        &self,
        id: BlobId,
        index: &BlindIndex,
        state: &str,
        digest: &Digest,
        parts: &PartList,
    ) -> Result<SealedRow, RegistryError> {
        let list = encoded(parts);
        let fields =
            FieldWriter::with_capacity(list.len() + 128).field(&digest.to_bytes()).field(&list);
        self.seal(&blob_place(id, index, &[state.as_bytes()]), &fields)
    }

    pub(crate) fn open_blob(
        &self,
        id: BlobId,
        index: &BlindIndex,
        state: &str,
        sealed: Sealed<'_>,
    ) -> Result<BlobRecord, RegistryError> {
        let plain = self.open(&blob_place(id, index, &[state.as_bytes()]), sealed)?;
        let mut fields = FieldReader::new(&plain)?;
        let digest = digest(&mut fields)?;
        let parts = part_list(&mut fields)?;
        fields.end()?;
        Ok(BlobRecord { digest, parts })
    }

    pub(crate) fn seal_link(
        &self,
        id: LinkId,
        repository: RepositoryId,
        blob: BlobId,
        digest: &Digest,
    ) -> Result<SealedRow, RegistryError> {
        let fields = FieldWriter::with_capacity(128).field(&digest.to_bytes());
        let bound = [repository.hex(), blob.hex()];
        self.seal(&link_place(id, &[bound[0].as_bytes(), bound[1].as_bytes()]), &fields)
    }

    /// Proves that this link was made for this repository, blob and digest.
    pub(crate) fn check_link(
        &self,
        id: LinkId,
        repository: RepositoryId,
        blob: BlobId,
        expected: &Digest,
        sealed: Sealed<'_>,
    ) -> Result<(), RegistryError> {
        let linked = self.open_link(id, repository, blob, sealed)?;
        if linked == *expected { Ok(()) } else { Err(RegistryError::Damaged("a link row")) }
    }

    /// The digest of the blob for which this link was made.
    pub(crate) fn open_link(
        &self,
        id: LinkId,
        repository: RepositoryId,
        blob: BlobId,
        sealed: Sealed<'_>,
    ) -> Result<Digest, RegistryError> {
        let bound = [repository.hex(), blob.hex()];
        let clear: [&[u8]; 2] = [bound[0].as_bytes(), bound[1].as_bytes()];
        let plain = self.open(&link_place(id, &clear), sealed)?;
        let mut fields = FieldReader::new(&plain)?;
        let linked = digest(&mut fields)?;
        fields.end()?;
        Ok(linked)
    }

    pub(crate) fn seal_manifest(
        &self,
        row: &ManifestPlace,
        record: &ManifestRecord,
    ) -> Result<SealedRow, RegistryError> {
        let annotations = serde_json::to_vec(&record.annotations)
            .map_err(|_| RegistryError::Internal("annotations are strings"))?;
        let subject = record.subject.map(Digest::to_bytes).unwrap_or_default();
        let fields = FieldWriter::with_capacity(annotations.len() + 1024)
            .field(&record.digest.to_bytes())
            .field(record.media_type.as_str().as_bytes())
            .field(&record.length.to_be_bytes())
            .field(record.artifact_type.as_deref().unwrap_or("").as_bytes())
            .field(&annotations)
            .field(&subject);
        row.with("sealed", |place| self.seal(place, &fields))
    }

    pub(crate) fn open_manifest(
        &self,
        row: &ManifestPlace,
        sealed: Sealed<'_>,
    ) -> Result<ManifestRecord, RegistryError> {
        let plain = row.with("sealed", |place| self.open(place, sealed))?;
        let mut fields = FieldReader::new(&plain)?;
        let digest = digest(&mut fields)?;
        let media_type = fields.text()?.parse().map_err(|_| LAYOUT)?;
        let length = fields.number()?;
        let artifact_type = fields.text()?;
        let annotations = serde_json::from_slice(fields.field()?).map_err(|_| LAYOUT)?;
        let artifact_type = (!artifact_type.is_empty()).then(|| artifact_type.to_owned());
        let subject = match fields.field()? {
            b"" => None,
            bytes => Some(Digest::from_bytes(bytes).map_err(|_| LAYOUT)?),
        };
        fields.end()?;
        Ok(ManifestRecord { digest, media_type, length, artifact_type, annotations, subject })
    }

    /// Seals a manifest's bytes as they were pushed; they stand in a column of their own so that a
    /// HEAD need not open them.
    pub(crate) fn seal_content(
        &self,
        row: &ManifestPlace,
        content: &[u8],
    ) -> Result<SealedRow, RegistryError> {
        row.with("content", |place| Ok(self.unlocked.seal_row(&*self.entropy, place, content)?))
    }

    pub(crate) fn open_content(
        &self,
        row: &ManifestPlace,
        sealed: Sealed<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, RegistryError> {
        row.with("content", |place| self.open(place, sealed))
    }

    pub(crate) fn seal_tag(
        &self,
        row: &TagPlace,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<SealedRow, RegistryError> {
        let fields = FieldWriter::with_capacity(512)
            .field(tag.as_str().as_bytes())
            .field(&digest.to_bytes());
        row.with(|place| self.seal(place, &fields))
    }

    pub(crate) fn open_tag(
        &self,
        row: &TagPlace,
        sealed: Sealed<'_>,
    ) -> Result<(String, Digest), RegistryError> {
        let plain = row.with(|place| self.open(place, sealed))?;
        let mut fields = FieldReader::new(&plain)?;
        let name = fields.text()?.to_owned();
        let digest = digest(&mut fields)?;
        fields.end()?;
        Ok((name, digest))
    }

    pub(crate) fn seal_upload(
        &self,
        id: UploadId,
        repository: RepositoryId,
        generation: u64,
        record: &UploadRecord,
    ) -> Result<SealedRow, RegistryError> {
        let list = encoded(&record.parts);
        let state = Zeroizing::new(record.hasher.save());
        let fields = FieldWriter::with_capacity(list.len() + 512).field(&state).field(&list);
        let (repository, generation) = (repository.hex(), generation.to_string());
        self.seal(&upload_place(id, &[repository.as_bytes(), generation.as_bytes()]), &fields)
    }

    pub(crate) fn open_upload(
        &self,
        id: UploadId,
        repository: RepositoryId,
        generation: u64,
        sealed: Sealed<'_>,
    ) -> Result<UploadRecord, RegistryError> {
        let (repository, generation) = (repository.hex(), generation.to_string());
        let clear: [&[u8]; 2] = [repository.as_bytes(), generation.as_bytes()];
        let plain = self.open(&upload_place(id, &clear), sealed)?;
        let mut fields = FieldReader::new(&plain)?;
        let hasher = Hasher::restore(fields.field()?).map_err(|_| LAYOUT)?;
        let parts = part_list(&mut fields)?;
        fields.end()?;
        if parts.len() == hasher.hashed_bytes() {
            Ok(UploadRecord { hasher, parts })
        } else {
            Err(RegistryError::Damaged("an upload's hash state"))
        }
    }

    fn seal(&self, place: &Place<'_>, fields: &FieldWriter) -> Result<SealedRow, RegistryError> {
        Ok(self.unlocked.seal_row(&*self.entropy, place, fields.as_slice())?)
    }

    fn open(
        &self,
        place: &Place<'_>,
        sealed: Sealed<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, RegistryError> {
        Ok(self.unlocked.open_row(sealed.epoch, place, sealed.bytes)?)
    }
}

impl UploadRecord {
    /// An upload to which nothing has been added.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { hasher: Hasher::new(algorithm), parts: PartList::new() }
    }
}

/// Where a manifest's two sealed columns stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManifestPlace {
    pub(crate) id: ManifestId,
    pub(crate) repository: RepositoryId,
    pub(crate) index: BlindIndex,
    pub(crate) child_index: BlindIndex,
}

impl ManifestPlace {
    fn with<R>(&self, column: &str, work: impl FnOnce(&Place<'_>) -> R) -> R {
        let repository = self.repository.hex();
        work(&Place {
            table: "manifest",
            column,
            row: self.id.into(),
            index: self.index.as_bytes(),
            clear: &[repository.as_bytes(), self.child_index.as_bytes()],
        })
    }
}

/// Where a live tag's sealed column stands. A tombstone has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagPlace {
    pub(crate) id: TagId,
    pub(crate) repository: RepositoryId,
    pub(crate) index: BlindIndex,
    pub(crate) manifest: ManifestId,
}

impl TagPlace {
    fn with<R>(&self, work: impl FnOnce(&Place<'_>) -> R) -> R {
        let repository = self.repository.hex();
        let manifest = self.manifest.hex();
        work(&Place {
            table: "tag",
            column: "sealed",
            row: self.id.into(),
            index: self.index.as_bytes(),
            clear: &[repository.as_bytes(), manifest.as_bytes()],
        })
    }
}

fn repository_place(id: RepositoryId, index: &BlindIndex) -> Place<'_> {
    Place {
        table: "repository",
        column: "sealed",
        row: id.into(),
        index: index.as_bytes(),
        clear: &[],
    }
}

fn blob_place<'p>(id: BlobId, index: &'p BlindIndex, clear: &'p [&'p [u8]]) -> Place<'p> {
    Place { table: "blob", column: "sealed", row: id.into(), index: index.as_bytes(), clear }
}

fn link_place<'p>(id: LinkId, clear: &'p [&'p [u8]]) -> Place<'p> {
    Place { table: "blob_link", column: "sealed", row: id.into(), index: b"", clear }
}

fn upload_place<'p>(id: UploadId, clear: &'p [&'p [u8]]) -> Place<'p> {
    Place { table: "upload", column: "sealed", row: id.into(), index: b"", clear }
}

/// The list's encoded form, which holds blob keys: made at its full size and wiped on drop.
fn encoded(parts: &PartList) -> Zeroizing<Vec<u8>> {
    let mut list = Zeroizing::new(Vec::with_capacity(parts.encoded_len()));
    parts.encode(&mut list);
    list
}

fn digest(fields: &mut FieldReader<'_>) -> Result<Digest, RegistryError> {
    Digest::from_bytes(fields.field()?).map_err(|_| LAYOUT)
}

fn part_list(fields: &mut FieldReader<'_>) -> Result<PartList, RegistryError> {
    PartList::decode(fields.field()?).map_err(|_| LAYOUT)
}

const LAYOUT: RegistryError = RegistryError::Damaged("the layout of a sealed row");
