//! Referrers: the manifests that name another one as their subject.

use lockyard_access::registry_token::Verb;
use lockyard_base::ManifestId;
use lockyard_oci::{Descriptor, Digest, RepositoryName};
use lockyard_store::edge;

use crate::{Registry, RegistryError, listing::known, manifest::open_row, session::repository};

/// Descriptors on a page stop here, however few they are: annotations may be long.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Rows that one look into the database opens.
const BATCH: u32 = 100;

/// One page of referrers.
#[derive(Clone, Debug)]
pub struct Referrers {
    /// Their descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Where the next page begins, if there is one; opaque.
    pub next: Option<String>,
}

impl Registry {
    /// Lists what refers to `subject`, of one artifact type if given, page by page.
    ///
    /// A subject or a repository that is not there has no referrers, which is an answer and not an
    /// error (Distribution 1.1, "Listing Referrers").
    pub async fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&str>,
    ) -> Result<Referrers, RegistryError> {
        self.authorize(Verb::Pull, name)?;
        let mut after: Option<ManifestId> = after
            .map(|marker| marker.parse().map_err(|_| RegistryError::PageMarker))
            .transpose()?;
        let page_max = self.house.ground().limits.referrers_page_max;
        let mut descriptors = Vec::new();
        let mut bytes = 0;
        loop {
            let (name, subject) = (name.clone(), *subject);
            let batch = self
                .read(move |txn, rows| {
                    let found = known("of this name", repository(txn, rows, &name))?.flatten();
                    let Some(found) = found else { return Ok(Vec::new()) };
                    let home = found.repository_id;
                    let index = rows.digest_index(&subject)?;
                    let found = edge::referrers(txn, home, &index, after, BATCH)?;
                    found
                        .iter()
                        .map(|row| {
                            let record = known(row.manifest_id, open_row(rows, row))?;
                            // Edges are hints: the sealed row has the last word.
                            let record = record.filter(|record| {
                                row.repository_id == home && record.subject == Some(subject)
                            });
                            Ok((row.manifest_id, row.sealed.len(), record))
                        })
                        .collect::<Result<Vec<_>, RegistryError>>()
                })
                .await?;
            let last_batch = batch.len() < BATCH as usize;
            for (id, size, record) in batch {
                if descriptors.len() >= page_max || bytes >= PAGE_BYTES_MAX {
                    return Ok(Referrers { descriptors, next: after.map(|id| id.to_string()) });
                }
                after = Some(id);
                let Some(record) = record else {
                    tracing::error!(manifest = %id, "a manifest was left out of the referrers");
                    continue;
                };
                if artifact_type
                    .is_none_or(|wanted| record.artifact_type.as_deref() == Some(wanted))
                {
                    bytes += size;
                    descriptors.push(record.descriptor());
                }
            }
            if last_batch {
                return Ok(Referrers { descriptors, next: None });
            }
        }
    }
}
