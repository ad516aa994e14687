//! Online garbage collection: takes away what nothing needs, while everything goes on.
//!
//! Two short transactions for each batch (DESIGN 7): links that no manifest needs and nobody relied
//! on within the grace, then blobs without links. Each locks its candidates and looks again in a new
//! statement. The clear edges in the database are hints; before a link goes, the manifests of its
//! repository are opened and must agree. Bytes go later, by the sweep, after the read grace. A
//! locked registry is frozen.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use lockyard_base::{BlindIndex, LinkId, ManifestId, PartId, RegistryId, RepositoryId};
use lockyard_oci::Manifest;
use lockyard_store::{blob, collection, collection::IdleLink, part, registry, repository};

use crate::{
    Registries, Registry, RegistryError,
    blob::open,
    manifest::{open_content, open_row},
    rows::Sealed,
};

/// Candidates that one transaction looks at.
const BATCH: u32 = 128;
/// Manifests that one read opens; each may have 4 MiB.
const MANIFESTS: u32 = 16;

/// What a collection did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectReport {
    /// Links that were taken away.
    pub links: u64,
    /// Blobs that were taken away; their bytes go after the read grace.
    pub blobs: u64,
    /// Links that stay although no clear edge needs them, because a manifest that was opened does,
    /// or because a manifest of their repository could not be opened. Run a scrub.
    pub kept: u64,
    /// Registries that were left alone because they are locked, or were until less than the grace
    /// ago.
    pub registries_locked: u64,
    /// On a dry run: what would go and why, in words for the operator's terminal. Holds names.
    pub explanations: Vec<String>,
}

/// Whether a collection acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectMode {
    /// Take away what nothing needs.
    Act,
    /// Only say what would go.
    Explain,
}

impl Registries {
    /// Collects garbage in every unlocked registry; nothing is stopped meanwhile.
    pub async fn collect(
        self: &Arc<Self>,
        mode: CollectMode,
    ) -> Result<CollectReport, RegistryError> {
        let mut report = CollectReport::default();
        let rows = self.ground().store.read(registry::list).await?;
        for row in rows {
            match self.open_inside(row.registry_id) {
                Ok(_) if self.rests(row.registry_id, self.ground().limits.grace) => {
                    report.registries_locked += 1;
                }
                Ok(registry) => {
                    registry.collect_links(row.registry_id, mode, &mut report).await?;
                    registry.collect_blobs(row.registry_id, mode, &mut report).await?;
                }
                Err(RegistryError::Locked(_)) => report.registries_locked += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

impl Registry {
    async fn collect_links(
        &self,
        id: RegistryId,
        mode: CollectMode,
        report: &mut CollectReport,
    ) -> Result<(), RegistryError> {
        let grace = self.house.ground().limits.grace;
        let mut after: Option<LinkId> = None;
        loop {
            let (cutoff, idle) = self
                .read(move |txn, _| {
                    let cutoff = txn.now().saturating_sub(grace);
                    Ok((cutoff, collection::idle_links(txn, id, cutoff, after, BATCH)?))
                })
                .await?;
            let Some(last) = idle.last() else { return Ok(()) };
            after = Some(last.link_id);
            let confirmed = self.confirm(&idle, report).await?;
            match mode {
                CollectMode::Act => {
                    let links: Vec<LinkId> = confirmed.iter().map(|link| link.link_id).collect();
                    let gone = self
                        .write(move |txn, _, _| {
                            Ok(collection::delete_idle_links(txn, &links, cutoff)?.len() as u64)
                        })
                        .await?;
                    report.links += gone;
                }
                CollectMode::Explain => {
                    report.links += confirmed.len() as u64;
                    for link in confirmed {
                        report.explanations.push(self.explain(link).await?);
                    }
                }
            }
        }
    }

    /// Those of the links that no manifest needs, by the manifests' own word.
    async fn confirm(
        &self,
        idle: &[IdleLink],
        report: &mut CollectReport,
    ) -> Result<Vec<IdleLink>, RegistryError> {
        let mut needed: HashMap<RepositoryId, Option<HashSet<BlindIndex>>> = HashMap::new();
        let mut confirmed = Vec::with_capacity(idle.len());
        for link in idle {
            let children = match needed.entry(link.repository_id) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(self.children_of(link.repository_id).await?),
            };
            match children {
                Some(children) if !children.contains(&link.digest_index) => confirmed.push(*link),
                Some(_) | None => report.kept += 1,
            }
        }
        Ok(confirmed)
    }

    /// Everything that the manifests of a repository name, or `None` if one of them does not open.
    async fn children_of(
        &self,
        repository: RepositoryId,
    ) -> Result<Option<HashSet<BlindIndex>>, RegistryError> {
        let mut children = HashSet::new();
        let mut after: Option<ManifestId> = None;
        loop {
            let batch = self
                .read(move |txn, rows| {
                    let mut named = Vec::new();
                    let found = collection::manifests(txn, repository, after, MANIFESTS)?;
                    let last = found.last().map(|(row, _)| row.manifest_id);
                    for (row, sealed) in found {
                        let record = open_row(rows, &row)?;
                        let content = open_content(rows, &row, &sealed)?;
                        let parsed = Manifest::parse(Some(&record.media_type), &content)
                            .map_err(|_| RegistryError::Damaged("a stored manifest"))?;
                        for child in parsed.children() {
                            named.push(rows.digest_index(child.digest())?);
                        }
                    }
                    Ok((named, last))
                })
                .await;
            match batch {
                Ok((named, last)) => {
                    children.extend(named);
                    let Some(last) = last else { return Ok(Some(children)) };
                    after = Some(last);
                }
                Err(RegistryError::Damaged(what)) => {
                    tracing::error!(%repository, what, "nothing is collected from this repository");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn collect_blobs(
        &self,
        id: RegistryId,
        mode: CollectMode,
        report: &mut CollectReport,
    ) -> Result<(), RegistryError> {
        let mut after = None;
        loop {
            let found = self
                .read(move |txn, _| Ok(collection::unlinked_blobs(txn, id, after, BATCH)?))
                .await?;
            let Some(last) = found.last() else { return Ok(()) };
            after = Some(*last);
            if mode == CollectMode::Explain {
                report.blobs += found.len() as u64;
                let lines = found.iter().map(|id| format!("blob {id}: no repository has it"));
                report.explanations.extend(lines);
                continue;
            }
            let gone = self
                .write(move |txn, rows, _| {
                    let unlinked = collection::lock_unlinked(txn, &found)?;
                    for row in &unlinked {
                        // Parts that a damaged row no longer names are for the scrub to find.
                        if let Ok(record) = open(rows, row) {
                            let parts: Vec<PartId> = record.parts.ids().collect();
                            part::make_dead(txn, &parts)?;
                        }
                        blob::delete(txn, row.blob_id)?;
                    }
                    Ok(unlinked.len() as u64)
                })
                .await?;
            report.blobs += gone;
        }
    }

    async fn explain(&self, link: IdleLink) -> Result<String, RegistryError> {
        self.read(move |txn, rows| {
            let name = match repository::get(txn, link.repository_id)? {
                Some(row) => {
                    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
                    rows.open_repository(row.repository_id, &row.name_index, sealed)?
                }
                None => "(a deleted repository)".to_owned(),
            };
            let digest = match blob::get(txn, link.blob_id)? {
                Some(row) => open(rows, &row)?.digest.to_string(),
                None => "(gone meanwhile)".to_owned(),
            };
            let idle = (txn.now().as_secs() - link.touched_at.as_secs()) / 60;
            Ok(format!("{name}@{digest}: no manifest names it, untouched for {idle} min"))
        })
        .await
    }
}
