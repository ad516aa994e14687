//! Another identity for a registry: its customer shares are wrapped anew, and nothing else changes.
//!
//! The order is that of every change of a wrap: unwrap with the version that wrapped it, as the
//! present identity or, if that is gone, as the new one; hold the share against the key check; wrap
//! it as the new identity and unwrap that again; replace all live epochs' wraps in one commit. A
//! registry never waits for this: until the commit it stands on the old wraps, from then on on the
//! new ones, and the old ones are deleted when a check has granted the new.

use lockyard_base::{RegistryId, WrapId};
use lockyard_keyring::{
    CurrentWrap, CustomerShare, Denial, EpochRecord, Identity, ProviderError, Standing,
    WrapSourceError,
};
use lockyard_store::{StoreError, epoch, wrap};

use crate::{
    CustomerKey, Registries, RegistryError,
    keys::{epoch_record, seal_wrap, seal_wrap_as},
};

/// One epoch's change of wraps.
struct Change {
    epoch: lockyard_base::Epoch,
    old: wrap::WrapRow,
    /// The old wrap, sealed for its new state.
    old_sealed: Vec<u8>,
    new: WrapId,
    new_sealed: Vec<u8>,
}

impl Registries {
    /// Makes a registry act as another identity, which may use the key already. Again, or as the
    /// identity that it has, it only wraps anew. Returns how the registry stands then.
    pub async fn assign_identity(
        &self,
        id: RegistryId,
        identity: Identity,
    ) -> Result<Standing, RegistryError> {
        let (epochs, rows) = self.wrapped_epochs(id).await?;
        let mut changes = Vec::with_capacity(epochs.len());
        for epoch in &epochs {
            let Some(old) = &epoch.wrap else { continue };
            let row = rows.iter().find(|row| row.wrap_id == old.id);
            let row = row.ok_or(RegistryError::Damaged("a wrap's row"))?;
            changes.push(self.change(id, epoch, old, row.clone(), identity).await?);
        }
        if changes.is_empty() {
            return Err(RegistryError::ServiceManaged);
        }
        self.commit(id, changes).await?;
        let standing = self.ground().keyring.admit(id).await;
        if standing == Standing::Unlocked {
            self.forget_old_wraps(id).await?;
        }
        Ok(standing)
    }

    async fn wrapped_epochs(
        &self,
        id: RegistryId,
    ) -> Result<(Vec<EpochRecord>, Vec<wrap::WrapRow>), RegistryError> {
        let read = self
            .ground()
            .store
            .read(move |txn| Ok::<_, StoreError>((epoch::list(txn, id)?, wrap::current(txn, id)?)));
        let (epochs, rows) = read.await?;
        let records = epochs.into_iter().map(|row| {
            let wrap = rows.iter().find(|wrap| wrap.epoch == row.epoch);
            epoch_record(&self.ground().instance, row, wrap).map_err(|error| match error {
                WrapSourceError::Damaged(_) | WrapSourceError::Unavailable(_) => {
                    RegistryError::Damaged("a registry's keys")
                }
            })
        });
        Ok((records.collect::<Result<_, _>>()?, rows))
    }

    async fn change(
        &self,
        id: RegistryId,
        epoch: &EpochRecord,
        old: &CurrentWrap,
        row: wrap::WrapRow,
        identity: Identity,
    ) -> Result<Change, RegistryError> {
        let ground = self.ground();
        let (entropy, instance) = (&*ground.entropy, &ground.instance);
        let vault = &old.key.key.vault;
        let provider = ground.keyring.provider(vault).ok_or_else(|| {
            let text = format!("no provider speaks for vault `{vault}`");
            RegistryError::CustomerKey(ProviderError::Unreachable(text))
        })?;
        let to = CustomerKey { provider, key: old.key.clone(), identity };
        let share = unwrapped(&to, old).await?;
        if !ground.keyring.proves(id, epoch, &share) {
            let text = "what it unwraps to is not the registry's share".to_owned();
            return Err(RegistryError::CustomerKey(ProviderError::Damaged(text)));
        }
        let new = self.wrap(&to, &share).await?;
        let place = (id, epoch.number);
        Ok(Change {
            epoch: epoch.number,
            old: row,
            old_sealed: seal_wrap_as(instance, entropy, place, wrap::WrapState::Old, old),
            new: new.id,
            new_sealed: seal_wrap(instance, entropy, place, &new),
        })
    }

    async fn commit(&self, id: RegistryId, changes: Vec<Change>) -> Result<(), RegistryError> {
        self.ground()
            .store
            .write(None, move |txn| {
                for change in &changes {
                    let replaced = wrap::ReplacedWrap {
                        wrap_id: change.old.wrap_id,
                        expected: change.old.seal_no,
                        sealed: &change.old_sealed,
                    };
                    let new = wrap::NewWrap {
                        wrap_id: change.new,
                        registry_id: id,
                        epoch: change.epoch,
                        sealed: &change.new_sealed,
                    };
                    if !wrap::replace_current(txn, &replaced, &new)? {
                        return Err(RegistryError::Overtaken);
                    }
                }
                Ok(())
            })
            .await
    }

    async fn forget_old_wraps(&self, id: RegistryId) -> Result<(), RegistryError> {
        self.ground()
            .store
            .write(None, move |txn| {
                for row in wrap::list(txn, id)? {
                    if row.state == wrap::WrapState::Old {
                        wrap::delete(txn, row.wrap_id)?;
                    }
                }
                Ok(())
            })
            .await
    }
}

/// The share of a wrap, as the identity that it was made for or, if that is gone, as the new one.
async fn unwrapped(to: &CustomerKey, old: &CurrentWrap) -> Result<CustomerShare, RegistryError> {
    let as_before = to.provider.unwrap_key(&old.identity, &old.key, &old.wrapped).await;
    let done = match as_before {
        Err(ProviderError::Denied(Denial::IdentityGone | Denial::NotAuthorized, _)) => {
            to.provider.unwrap_key(&to.identity, &old.key, &old.wrapped).await
        }
        done => done,
    };
    done.map_err(RegistryError::CustomerKey)
}
