//! The names of all repositories.

use lockyard_store::repository;

use crate::{
    Page, Registry, RegistryError,
    listing::{Change, Listings, known},
    rows::Sealed,
};

/// Rows that one refresh reads at a time.
const REFRESH_ROWS: u32 = 1000;

impl Registry {
    /// Lists at most `n` repositories whose names come after `last`.
    pub async fn list_repositories(
        &self,
        n: usize,
        last: Option<&str>,
    ) -> Result<Page<String>, RegistryError> {
        self.authorize_catalog()?;
        let listings = self.rows.unlocked().cache::<Listings>()?;
        let mut listing = listings.repositories.lock().await;
        loop {
            let seen = listing.seen();
            let refresh = self.read(move |txn, rows| {
                let changes = repository::changed_since(txn, rows.registry(), seen, REFRESH_ROWS)?
                    .ok_or(RegistryError::Damaged("the registry's row is gone"))?;
                let mut opened = Vec::with_capacity(changes.rows.len());
                for row in &changes.rows {
                    let name = if row.deleted {
                        None
                    } else {
                        let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
                        let id = row.repository_id;
                        known(id, rows.open_repository(id, &row.name_index, sealed))?
                    };
                    opened.push(Change { row: row.repository_id.into(), name });
                }
                let full = changes.rows.len() == REFRESH_ROWS as usize;
                let reached = match changes.rows.last() {
                    Some(row) if full => row.version,
                    _ => changes.version,
                };
                Ok((opened, reached, changes.pruned_to, full))
            });
            let (changes, reached, pruned_to, full) = refresh.await?;
            if seen > 0 && seen < pruned_to {
                listing.clear();
                continue;
            }
            listing.apply(changes, reached);
            if !full {
                return Ok(listing.page(n, last));
            }
        }
    }
}
