//! Changing a version's attributes.

use lockyard_base::Timestamp;
use rusqlite::Transaction;

use super::{
    FoundKey, FoundVersion, KeyChange, Validity,
    create::{check_operations, check_validity},
};
use crate::{Vault, VaultError};

impl Vault {
    /// Applies what an update states to a version.
    pub(crate) fn apply_change(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
        mut version: FoundVersion,
        change: KeyChange,
    ) -> Result<FoundVersion, VaultError> {
        let present = version.validity();
        let validity = Validity {
            not_before: change.not_before.or(present.not_before),
            expires: change.expires.or(present.expires),
        };
        check_validity(validity)?;
        if let Some(operations) = change.operations {
            check_operations(version.shape, &operations)?;
            version.record.operations = operations;
        }
        if let Some(tags) = change.tags {
            version.record.tags = tags;
        }
        self.rewrite(transaction, key, version, |row| {
            row.enabled = change.enabled.unwrap_or(row.enabled);
            row.not_before = validity.not_before.map(Timestamp::as_micros);
            row.expires = validity.expires.map(Timestamp::as_micros);
        })
    }

    /// Changes bound columns of a version and seals it anew.
    pub(crate) fn rewrite(
        &self,
        transaction: &Transaction<'_>,
        key: &FoundKey,
        mut version: FoundVersion,
        edit: impl FnOnce(&mut super::rows::VersionRow),
    ) -> Result<FoundVersion, VaultError> {
        let private = self.open_private(key, &version.row)?;
        edit(&mut version.row);
        version.record.updated = self.clock.wall();
        self.seal_version(key, &mut version, &private);
        self.store_version(transaction, key, &version.row)?;
        Ok(version)
    }
}
