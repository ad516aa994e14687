//! Tags: listing them, pointing them, taking them away.

use lockyard_access::registry_token::Verb;
use lockyard_base::{ManifestId, RepositoryId, TagId};
use lockyard_oci::{Digest, RepositoryName, Tag};
use lockyard_store::{Txn, tag};

use crate::{
    Page, Registry, RegistryError,
    listing::{Change, Listings, known},
    rows::{Rows, Sealed, TagPlace},
    session::repository,
};

/// Rows that one refresh reads at a time.
const REFRESH_ROWS: u32 = 1000;

impl Registry {
    /// Lists at most `n` tags that come after `last`; a repository that is not there has none.
    pub async fn list_tags(
        &self,
        name: &RepositoryName,
        n: usize,
        last: Option<&str>,
    ) -> Result<Page<String>, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let name = name.clone();
        let found = self.read(move |txn, rows| repository(txn, rows, &name)).await;
        let found = known("of this name", found)?.flatten();
        let Some(found) = found else { return Err(RegistryError::NameUnknown) };
        let id = found.repository_id;
        let listings = self.rows.unlocked().cache::<Listings>()?;
        let listing = listings.tags(id);
        let mut listing = listing.lock().await;
        let page = loop {
            let seen = listing.seen();
            let refresh = self.read(move |txn, rows| changes(txn, rows, id, seen));
            let (changes, reached, pruned_to, full) = refresh.await?;
            if seen > 0 && seen < pruned_to {
                listing.clear();
                continue;
            }
            listing.apply(changes, reached);
            if !full {
                break listing.page(n, last);
            }
        };
        drop(listing);
        listings.trim(self.house.ground().limits.listing_bytes_max);
        Ok(page)
    }

    /// Takes a tag away; its manifest stays.
    pub async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), RegistryError> {
        self.authorize(Verb::Delete, name)?;
        let (name, wanted) = (name.clone(), tag.clone());
        self.write(move |txn, rows, _| {
            let Some(found) = repository(txn, rows, &name)? else {
                return Err(RegistryError::NameUnknown);
            };
            let index = rows.tag_index(found.repository_id, &wanted)?;
            let Some(row) = tag::by_index(txn, found.repository_id, &index)? else {
                return Err(RegistryError::ManifestUnknown);
            };
            tag::delete(txn, found.repository_id, row.tag_id, row.seal_no)?
                .map(drop)
                .ok_or(RegistryError::Overtaken)
        })
        .await
    }
}

/// Points a tag at a manifest, in the transaction that holds the manifest.
pub(crate) fn point(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    name: &Tag,
    digest: &Digest,
    manifest: ManifestId,
) -> Result<(), RegistryError> {
    let index = rows.tag_index(repository, name)?;
    let old = tag::row_for(txn, repository, &index)?;
    let id = old.as_ref().map_or_else(|| TagId::random(rows.entropy()), |row| row.tag_id);
    let sealed = rows.seal_tag(&TagPlace { id, repository, index, manifest }, name, digest)?;
    tag::put(
        txn,
        &tag::PutTag {
            repository_id: repository,
            name_index: index,
            tag_id: id,
            expected: old.map(|row| row.seal_no),
            epoch: sealed.epoch,
            sealed: &sealed.bytes,
            manifest_id: manifest,
        },
    )?
    .map(drop)
    .ok_or(RegistryError::Overtaken)
}

/// Opens a live tag's row: its name and the digest that it points at.
pub(crate) fn open(rows: &Rows, row: &tag::TagRow) -> Result<(String, Digest), RegistryError> {
    let (Some(sealed), Some(manifest)) = (&row.sealed, row.manifest_id) else {
        return Err(RegistryError::Damaged("a live tag's row"));
    };
    let place =
        TagPlace { id: row.tag_id, repository: row.repository_id, index: row.name_index, manifest };
    rows.open_tag(&place, Sealed { epoch: row.epoch, bytes: sealed })
}

type Refresh = (Vec<Change>, u64, u64, bool);

fn changes(
    txn: &mut Txn<'_>,
    rows: &Rows,
    repository: RepositoryId,
    seen: u64,
) -> Result<Refresh, RegistryError> {
    let changes = tag::changed_since(txn, repository, seen, REFRESH_ROWS)?
        .ok_or(RegistryError::NameUnknown)?;
    let mut opened = Vec::with_capacity(changes.rows.len());
    for row in &changes.rows {
        let name = if row.deleted {
            None
        } else {
            known(row.tag_id, open(rows, row))?.map(|(name, _)| name)
        };
        opened.push(Change { row: row.tag_id.into(), name });
    }
    let full = changes.rows.len() == REFRESH_ROWS as usize;
    let reached = match changes.rows.last() {
        Some(row) if full => row.version,
        _ => changes.version,
    };
    Ok((opened, reached, changes.pruned_to, full))
}
