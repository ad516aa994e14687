//! Manifests: their bytes against their digest, their edges against what they say, and whether all
//! that they need is there.

use std::collections::BTreeSet;

use lockyard_base::{ManifestId, RegistryId, RowId};
use lockyard_oci::{Digest, Manifest};
use lockyard_store::{
    StoreError, Txn, blob,
    edge::{self, Edge},
    manifest::{self, ManifestRow},
    walk,
};

use super::{
    family::{Family, Flaw, opened},
    report::{FindingKind, ScrubTable},
};
use crate::{
    RegistryError,
    manifest::{edges_of, open_content, open_row},
    rows::Rows,
};

/// Manifests that one transaction opens; each may have 4 MiB.
const PAGE: u32 = 16;

/// Manifests.
pub(super) struct Manifests;

impl Family for Manifests {
    type Row = (ManifestRow, Vec<u8>);
    const TABLE: ScrubTable = ScrubTable::Manifest;
    const PAGE: u32 = PAGE;

    fn page(
        txn: &mut Txn<'_>,
        registry: RegistryId,
        after: Option<RowId>,
    ) -> Result<Vec<Self::Row>, StoreError> {
        let after = after.map(|id| ManifestId::from_bytes(*id.as_bytes()));
        walk::manifests(txn, registry, after, PAGE)
    }

    fn again(txn: &mut Txn<'_>, id: RowId) -> Result<Option<Self::Row>, StoreError> {
        manifest::get_with_content(txn, ManifestId::from_bytes(*id.as_bytes()))
    }

    fn id((row, _): &Self::Row) -> RowId {
        row.manifest_id.into()
    }

    fn bytes((row, content): &Self::Row) -> u64 {
        (row.sealed.len() + content.len()) as u64
    }

    fn check(
        txn: &mut Txn<'_>,
        rows: &Rows,
        (row, sealed): &Self::Row,
    ) -> Result<Vec<Flaw>, RegistryError> {
        let Some(record) = opened(open_row(rows, row))? else {
            return Ok(vec![Flaw::row("the manifest's descriptor")]);
        };
        let indexed = rows.manifest_index(row.repository_id, &record.digest)? == row.digest_index
            && rows.digest_index(&record.digest)? == row.child_index;
        if !indexed {
            return Ok(vec![Flaw::row("the manifest's descriptor")]);
        }
        let Some(content) = opened(open_content(rows, row, sealed))? else {
            return Ok(vec![Flaw::row("the manifest's content")]);
        };
        let flaw = |sentence: &str| vec![Flaw::new(FindingKind::ContentDamaged, sentence)];
        if content.len() as u64 != record.length
            || Digest::of(record.digest.algorithm(), &content) != record.digest
        {
            return Ok(flaw("the manifest's bytes are not those of its digest; push it again"));
        }
        let Ok(parsed) = Manifest::parse(Some(&record.media_type), &content) else {
            return Ok(flaw("the manifest's bytes are no manifest"));
        };
        let mut flaws = edge_flaws(txn, rows, row, &parsed)?;
        flaws.extend(missing_children(txn, rows, row, &parsed)?);
        Ok(flaws)
    }

    fn mends(kind: FindingKind) -> bool {
        kind == FindingKind::EdgeMissing
    }

    /// Inserts the edges that are missing. Surplus ones stay: they only keep things alive.
    fn mend(txn: &mut Txn<'_>, rows: &Rows, id: RowId) -> Result<(), RegistryError> {
        let id = ManifestId::from_bytes(*id.as_bytes());
        let Some(row) = manifest::lock(txn, id)? else { return Ok(()) };
        let Some((_, sealed)) = manifest::get_with_content(txn, id)? else { return Ok(()) };
        let record = open_row(rows, &row)?;
        let content = open_content(rows, &row, &sealed)?;
        let parsed = Manifest::parse(Some(&record.media_type), &content)
            .map_err(|_| RegistryError::Damaged("a stored manifest"))?;
        walk::rehome_edges(txn, id, row.repository_id)?;
        edge::insert_many(txn, id, row.repository_id, &edges_of(rows, &parsed)?)?;
        Ok(())
    }
}

/// Compares the edges that there are with those that the content asks for.
fn edge_flaws(
    txn: &mut Txn<'_>,
    rows: &Rows,
    row: &ManifestRow,
    parsed: &Manifest,
) -> Result<Vec<Flaw>, RegistryError> {
    let asked: BTreeSet<Edge> = edges_of(rows, parsed)?.into_iter().collect();
    let there = walk::edges(txn, row.manifest_id)?;
    let home: BTreeSet<Edge> = there
        .iter()
        .filter(|(repository, _)| *repository == row.repository_id)
        .map(|(_, edge)| *edge)
        .collect();
    let missing = asked.difference(&home).count();
    let surplus = there.iter().filter(|(_, edge)| !asked.contains(edge)).count();
    let mut flaws = Vec::new();
    if missing > 0 {
        let sentence = format!("{missing} edges of the manifest are missing");
        flaws.push(Flaw::new(FindingKind::EdgeMissing, sentence));
    }
    if surplus > 0 {
        let sentence =
            format!("{surplus} edges say of the manifest what it does not; they only keep blobs");
        flaws.push(Flaw::new(FindingKind::EdgeSurplus, sentence));
    }
    Ok(flaws)
}

/// Counts the blobs that the manifest cannot do without and its repository does not have.
fn missing_children(
    txn: &mut Txn<'_>,
    rows: &Rows,
    row: &ManifestRow,
    parsed: &Manifest,
) -> Result<Option<Flaw>, RegistryError> {
    let mut required = BTreeSet::new();
    for (_, digest) in parsed.required() {
        required.insert(rows.digest_index(digest)?);
    }
    let mut missing = 0;
    for index in &required {
        if blob::find_linked(txn, rows.registry(), row.repository_id, index)?.is_none() {
            missing += 1;
        }
    }
    let sentence =
        || format!("{missing} blobs that the manifest needs are not in its repository; push them");
    Ok((missing > 0).then(|| Flaw::new(FindingKind::ChildMissing, sentence())))
}
