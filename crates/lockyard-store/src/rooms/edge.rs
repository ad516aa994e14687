//! Edges: what a manifest names. They are in the clear and therefore hints: before anything is
//! deleted on their word, the manifests themselves are opened.
//!
//! A child is named by the registry-wide index of its digest, whether it is a blob or a manifest,
//! and need not exist.

use lockyard_base::{BlindIndex, ManifestId, RepositoryId};

use super::manifest::{self, ManifestRow};
use crate::{StoreError, Txn, word::words};

words! {
    /// In what role a manifest names something.
    EdgeKind {
        /// Its config blob.
        Config = "config",
        /// One of its layers.
        Layer = "layer",
        /// A manifest (or, in some indexes, a blob) that an index lists.
        Child = "child",
        /// The manifest that it refers to.
        Subject = "subject",
        /// A layer that is kept elsewhere.
        Foreign = "foreign",
    }
}

/// One thing that a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// In what role.
    pub kind: EdgeKind,
    /// The registry-wide index of its digest.
    pub child_index: BlindIndex,
}

/// Inserts a manifest's edges; those that are there already, or given twice, count once.
pub fn insert_many(
    txn: &mut Txn<'_>,
    manifest: ManifestId,
    repository: RepositoryId,
    edges: &[Edge],
) -> Result<(), StoreError> {
    use EdgeKind::{Child, Config, Foreign, Layer, Subject};
    // `WHERE true` keeps SQLite from taking ON CONFLICT for a join's condition.
    let sql = format!(
        "INSERT INTO edge (manifest_id, repository_id, kind, child_index) \
         SELECT $1, $2, $3, given.item FROM ({}) AS given WHERE true ON CONFLICT DO NOTHING",
        txn.dialect().indexes(4)
    );
    for kind in [Config, Layer, Child, Subject, Foreign] {
        let children: Vec<BlindIndex> =
            edges.iter().filter(|edge| edge.kind == kind).map(|edge| edge.child_index).collect();
        if !children.is_empty() {
            txn.execute(
                &sql,
                &[
                    manifest.into(),
                    repository.into(),
                    kind.word().into(),
                    children.as_slice().into(),
                ],
            )?;
        }
    }
    Ok(())
}

/// Lists what a manifest names.
pub fn of_manifest(txn: &mut Txn<'_>, manifest: ManifestId) -> Result<Vec<Edge>, StoreError> {
    txn.rows(
        "SELECT kind, child_index FROM edge WHERE manifest_id = $1 ORDER BY kind, child_index",
        &[manifest.into()],
        |row| Ok(Edge { kind: row.word(0, EdgeKind::from_word)?, child_index: row.index(1)? }),
    )
}

/// Whether a manifest of the repository names this blob as config, layer or child.
pub fn names_blob(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    child: &BlindIndex,
) -> Result<bool, StoreError> {
    let named = txn.row(
        "SELECT manifest_id FROM edge WHERE repository_id = $1 AND child_index = $2 \
         AND kind IN ('config', 'layer', 'child') LIMIT 1",
        &[repository.into(), child.into()],
        |row| row.id::<ManifestId>(0),
    )?;
    Ok(named.is_some())
}

/// Lists the manifests of the repository that refer to `subject`, by id, after the one given.
pub fn referrers(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    subject: &BlindIndex,
    after: Option<ManifestId>,
    limit: u32,
) -> Result<Vec<ManifestRow>, StoreError> {
    let after = after.map_or("".into(), Into::into); // every id sorts after the empty text
    txn.rows(
        concat!(
            "SELECT ",
            manifest::columns!(),
            " FROM edge e JOIN manifest m ON m.manifest_id = e.manifest_id \
             WHERE e.repository_id = $1 AND e.child_index = $2 AND e.kind = 'subject' \
             AND e.manifest_id > $3 ORDER BY e.manifest_id LIMIT $4"
        ),
        &[repository.into(), subject.into(), after, limit.into()],
        manifest::read,
    )
}

/// Deletes a manifest's edges; returns how many there were.
pub fn delete_of_manifest(txn: &mut Txn<'_>, manifest: ManifestId) -> Result<u64, StoreError> {
    txn.execute("DELETE FROM edge WHERE manifest_id = $1", &[manifest.into()])
}
