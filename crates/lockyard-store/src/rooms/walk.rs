//! Walks over whole tables, for the scrub: every row of a registry, a page at a time.
//!
//! Each page goes on by id after the one given, in the order of the primary key, so that a walk
//! holds nothing between its pages, can be taken up again after a restart, and costs the same per
//! row however long the table is. A row that is inserted behind the walk is not seen by it.
//!
//! The registry is compared through an expression, and joined tables are crossed in order: SQLite
//! would otherwise find the registry's rows by another index and sort all of them for every page.

use lockyard_base::{
    BlobId, LinkId, ManifestId, PartId, RegistryId, RepositoryId, RowId, TagId, UploadId,
};

use super::{
    blob::{self, BlobRow},
    edge::{Edge, EdgeKind},
    instance::{self, RecordRow},
    link::{self, LinkRow},
    manifest::{self, ManifestRow},
    part::{self, PartRow},
    repository::{self, RepositoryRow},
    tag::{self, TagRow},
    upload::{self, UploadRow},
};
use crate::{StoreError, Txn, value::Value};

/// Where a walk begins: every id sorts after the empty text.
fn place<'v>(after: Option<impl Into<Value<'v>>>) -> Value<'v> {
    after.map_or(Value::Text(""), Into::into)
}

/// Lists repositories of a registry, tombstones included.
pub fn repositories(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<RepositoryId>,
    limit: u32,
) -> Result<Vec<RepositoryRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            repository::columns!(),
            " FROM repository r WHERE (r.registry_id || '') = $1 AND r.repository_id > $2 \
             ORDER BY r.repository_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        repository::read,
    )
}

/// Lists manifests of a registry with their sealed content; each may have 4 MiB.
pub fn manifests(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<ManifestId>,
    limit: u32,
) -> Result<Vec<(ManifestRow, Vec<u8>)>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            manifest::columns!(),
            ", m.content FROM manifest m WHERE (m.registry_id || '') = $1 \
             AND m.manifest_id > $2 ORDER BY m.manifest_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        |row| Ok((manifest::read(row)?, row.blob(manifest::COLUMNS)?)),
    )
}

/// Lists tags of a registry, tombstones included.
pub fn tags(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<TagId>,
    limit: u32,
) -> Result<Vec<TagRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            tag::columns!(),
            " FROM tag t CROSS JOIN repository r WHERE r.repository_id = t.repository_id \
             AND r.registry_id = $1 AND t.tag_id > $2 ORDER BY t.tag_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        tag::read,
    )
}

/// Finds a tag or its tombstone.
pub fn tag(txn: &mut Txn<'_>, id: TagId) -> Result<Option<TagRow>, StoreError> {
    txn.row(
        concat!("SELECT ", tag::columns!(), " FROM tag t WHERE t.tag_id = $1"),
        &[id.into()],
        tag::read,
    )
}

/// Lists blobs of a registry.
pub fn blobs(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<BlobId>,
    limit: u32,
) -> Result<Vec<BlobRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            blob::columns!(),
            " FROM blob b WHERE (b.registry_id || '') = $1 AND b.blob_id > $2 \
             ORDER BY b.blob_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        blob::read,
    )
}

/// Lists the links of a registry's repositories.
pub fn links(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<LinkId>,
    limit: u32,
) -> Result<Vec<LinkRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            link::columns!(),
            " FROM blob_link l CROSS JOIN repository r WHERE r.repository_id = l.repository_id \
             AND r.registry_id = $1 AND l.link_id > $2 ORDER BY l.link_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        link::read,
    )
}

/// Finds a link.
pub fn link(txn: &mut Txn<'_>, id: LinkId) -> Result<Option<LinkRow>, StoreError> {
    txn.row(
        concat!("SELECT ", link::columns!(), " FROM blob_link l WHERE l.link_id = $1"),
        &[id.into()],
        link::read,
    )
}

/// Lists upload sessions of a registry.
pub fn uploads(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<UploadId>,
    limit: u32,
) -> Result<Vec<UploadRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            upload::columns!(),
            " FROM upload u WHERE (u.registry_id || '') = $1 AND u.upload_id > $2 \
             ORDER BY u.upload_id LIMIT $3"
        ),
        &[registry.into(), place(after), limit.into()],
        upload::read,
    )
}

/// Lists parts of a registry, up to and including `last`.
pub fn parts(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<PartId>,
    last: PartId,
    limit: u32,
) -> Result<Vec<PartRow>, StoreError> {
    let sql = format!(
        "{} WHERE (registry_id || '') = $1 AND part_id > $2 AND part_id <= $3 \
         ORDER BY part_id LIMIT $4",
        part::SELECT
    );
    txn.rows(&sql, &[registry.into(), place(after), last.into(), limit.into()], part::read)
}

/// Lists parts of all registries, up to and including `last`: what the files of a part store are
/// compared with, since registries share it.
pub fn all_parts(
    txn: &mut Txn<'_>,
    after: Option<PartId>,
    last: PartId,
    limit: u32,
) -> Result<Vec<PartRow>, StoreError> {
    let sql =
        format!("{} WHERE part_id > $1 AND part_id <= $2 ORDER BY part_id LIMIT $3", part::SELECT);
    txn.rows(&sql, &[place(after), last.into(), limit.into()], part::read)
}

/// Finds those of these parts that there are.
pub fn find_parts(txn: &mut Txn<'_>, parts: &[PartId]) -> Result<Vec<PartRow>, StoreError> {
    let sql = format!("{} WHERE part_id IN ({})", part::SELECT, txn.dialect().ids(1));
    txn.rows(&sql, &[parts.into()], part::read)
}

/// Counts the parts of a registry.
pub fn count_parts(txn: &mut Txn<'_>, registry: RegistryId) -> Result<u64, StoreError> {
    txn.one("SELECT count(*) FROM part WHERE registry_id = $1", &[registry.into()], |row| {
        row.count(0)
    })
}

/// Lists a manifest's edges, each with the repository that it says it belongs to.
pub fn edges(
    txn: &mut Txn<'_>,
    manifest: ManifestId,
) -> Result<Vec<(RepositoryId, Edge)>, StoreError> {
    txn.rows(
        "SELECT repository_id, kind, child_index FROM edge WHERE manifest_id = $1 \
         ORDER BY kind, child_index",
        &[manifest.into()],
        |row| {
            let kind = row.word(1, EdgeKind::from_word)?;
            Ok((row.id(0)?, Edge { kind, child_index: row.index(2)? }))
        },
    )
}

/// Brings a manifest's edges home that say they belong to another repository; returns how many.
pub fn rehome_edges(
    txn: &mut Txn<'_>,
    manifest: ManifestId,
    repository: RepositoryId,
) -> Result<u64, StoreError> {
    txn.execute(
        "UPDATE edge SET repository_id = $2 WHERE manifest_id = $1 AND repository_id <> $2",
        &[manifest.into(), repository.into()],
    )
}

/// Lists sealed records of the instance, whatever their kind.
pub fn records(
    txn: &mut Txn<'_>,
    after: Option<RowId>,
    limit: u32,
) -> Result<Vec<RecordRow>, StoreError> {
    let sql = format!("{} WHERE row_id > $1 ORDER BY row_id LIMIT $2", instance::RECORD);
    txn.rows(&sql, &[place(after), limit.into()], instance::record_row)
}
