//! Repositories, tags and links: small rows that each say by name or digest what their clear
//! columns say by index and id.

use lockyard_base::{LinkId, RegistryId, RepositoryId, RowId, TagId};
use lockyard_oci::{RepositoryName, Tag};
use lockyard_store::{
    StoreError, Txn, blob, link::LinkRow, manifest, repository, repository::RepositoryRow,
    tag::TagRow, walk,
};

use super::{
    family::{Family, Flaw, opened},
    report::{FindingKind, ScrubTable},
};
use crate::{
    RegistryError,
    rows::{Rows, Sealed},
};

/// Small rows that one transaction opens.
const PAGE: u32 = 256;

/// Repositories, tombstones included: they keep their names.
pub(super) struct Repositories;

impl Family for Repositories {
    type Row = RepositoryRow;
    const TABLE: ScrubTable = ScrubTable::Repository;
    const PAGE: u32 = PAGE;

    fn page(
        txn: &mut Txn<'_>,
        registry: RegistryId,
        after: Option<RowId>,
    ) -> Result<Vec<RepositoryRow>, StoreError> {
        let after = after.map(|id| RepositoryId::from_bytes(*id.as_bytes()));
        walk::repositories(txn, registry, after, PAGE)
    }

    fn again(txn: &mut Txn<'_>, id: RowId) -> Result<Option<RepositoryRow>, StoreError> {
        repository::get(txn, RepositoryId::from_bytes(*id.as_bytes()))
    }

    fn id(row: &RepositoryRow) -> RowId {
        row.repository_id.into()
    }

    fn bytes(row: &RepositoryRow) -> u64 {
        row.sealed.len() as u64
    }

    fn check(
        _txn: &mut Txn<'_>,
        rows: &Rows,
        row: &RepositoryRow,
    ) -> Result<Vec<Flaw>, RegistryError> {
        let flaw = || Ok(vec![Flaw::row("the repository's name")]);
        let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
        let name = rows.open_repository(row.repository_id, &row.name_index, sealed);
        let Some(name) = opened(name)? else { return flaw() };
        let Ok(name) = name.parse::<RepositoryName>() else { return flaw() };
        if rows.repository_index(&name)? == row.name_index { Ok(Vec::new()) } else { flaw() }
    }
}

/// Tags; tombstones hold nothing.
pub(super) struct Tags;

impl Family for Tags {
    type Row = TagRow;
    const TABLE: ScrubTable = ScrubTable::Tag;
    const PAGE: u32 = PAGE;

    fn page(
        txn: &mut Txn<'_>,
        registry: RegistryId,
        after: Option<RowId>,
    ) -> Result<Vec<TagRow>, StoreError> {
        walk::tags(txn, registry, after.map(|id| TagId::from_bytes(*id.as_bytes())), PAGE)
    }

    fn again(txn: &mut Txn<'_>, id: RowId) -> Result<Option<TagRow>, StoreError> {
        walk::tag(txn, TagId::from_bytes(*id.as_bytes()))
    }

    fn id(row: &TagRow) -> RowId {
        row.tag_id.into()
    }

    fn bytes(row: &TagRow) -> u64 {
        row.sealed.as_ref().map_or(0, |sealed| sealed.len() as u64)
    }

    fn check(txn: &mut Txn<'_>, rows: &Rows, row: &TagRow) -> Result<Vec<Flaw>, RegistryError> {
        if row.deleted {
            return Ok(Vec::new());
        }
        let flaw = || Ok(vec![Flaw::row("the tag")]);
        let Some((name, digest)) = opened(crate::tag::open(rows, row))? else { return flaw() };
        let Ok(name) = name.parse::<Tag>() else { return flaw() };
        if rows.tag_index(row.repository_id, &name)? != row.name_index {
            return flaw();
        }
        let manifest = match row.manifest_id {
            Some(id) => manifest::get(txn, id)?,
            None => None,
        };
        let index = rows.manifest_index(row.repository_id, &digest)?;
        let right = manifest.is_some_and(|manifest| {
            manifest.repository_id == row.repository_id && manifest.digest_index == index
        });
        if right {
            return Ok(Vec::new());
        }
        let sentence = "the tag leads to another manifest than it was pointed at; push it again";
        Ok(vec![Flaw::new(FindingKind::TagAstray, sentence)])
    }
}

/// Links.
pub(super) struct Links;

impl Family for Links {
    type Row = LinkRow;
    const TABLE: ScrubTable = ScrubTable::Link;
    const PAGE: u32 = PAGE;

    fn page(
        txn: &mut Txn<'_>,
        registry: RegistryId,
        after: Option<RowId>,
    ) -> Result<Vec<LinkRow>, StoreError> {
        walk::links(txn, registry, after.map(|id| LinkId::from_bytes(*id.as_bytes())), PAGE)
    }

    fn again(txn: &mut Txn<'_>, id: RowId) -> Result<Option<LinkRow>, StoreError> {
        walk::link(txn, LinkId::from_bytes(*id.as_bytes()))
    }

    fn id(row: &LinkRow) -> RowId {
        row.link_id.into()
    }

    fn bytes(row: &LinkRow) -> u64 {
        row.sealed.len() as u64
    }

    fn check(txn: &mut Txn<'_>, rows: &Rows, row: &LinkRow) -> Result<Vec<Flaw>, RegistryError> {
        let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
        let digest = rows.open_link(row.link_id, row.repository_id, row.blob_id, sealed);
        let Some(digest) = opened(digest)? else { return Ok(vec![Flaw::row("the link")]) };
        let index = rows.digest_index(&digest)?;
        let right = blob::get(txn, row.blob_id)?
            .is_some_and(|blob| blob.registry_id == rows.registry() && blob.digest_index == index);
        if right {
            return Ok(Vec::new());
        }
        let sentence = "the link leads to another blob than it was made for; push the blob again";
        Ok(vec![Flaw::new(FindingKind::LinkAstray, sentence)])
    }
}
