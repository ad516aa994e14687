//! A registry's stored keys: how they are written, and how the keyring reads them.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_base::{Entropy, Epoch, RegistryId, WrapId};
use lockyard_keyring::{
    CurrentWrap, EpochRecord, Identity, InstanceKeys, KeyCheck, Place, RegistryRecord,
    SealedIndexKey, SealedServiceShare, VersionedKeyId, WrapSource, WrapSourceError, WrappedShare,
};
use lockyard_store::{Store, StoreError, epoch, index_key, wrap};

use crate::{
    RegistryError,
    fields::{FieldReader, FieldWriter},
};

/// Reads registries' keys from the store for the keyring.
#[derive(Debug)]
pub struct KeySource {
    store: Store,
    instance: Arc<InstanceKeys>,
}

impl KeySource {
    /// The keys in `store`; `instance` opens the rows of the wraps.
    pub fn new(store: Store, instance: Arc<InstanceKeys>) -> Self {
        Self { store, instance }
    }
}

#[async_trait]
impl WrapSource for KeySource {
    async fn load(&self, registry: RegistryId) -> Result<Option<RegistryRecord>, WrapSourceError> {
        let read = self.store.read(move |txn| {
            Ok::<_, StoreError>((
                epoch::list(txn, registry)?,
                wrap::current(txn, registry)?,
                index_key::get(txn, registry)?,
            ))
        });
        let (epochs, wraps, index_key) = match read.await {
            Ok(found) => found,
            Err(StoreError::Damaged { what, .. }) => return Err(WrapSourceError::Damaged(what)),
            Err(error) => {
                return Err(WrapSourceError::Unavailable(lockyard_base::chain(&error).to_string()));
            }
        };
        let Some(index_key) = index_key else { return Ok(None) };
        let mut records = Vec::with_capacity(epochs.len());
        for row in epochs {
            let wrap = wraps.iter().find(|wrap| wrap.epoch == row.epoch);
            records.push(epoch_record(&self.instance, row, wrap)?);
        }
        let index_key = SealedIndexKey {
            epoch: index_key.epoch,
            row: index_key.row_id,
            sealed: index_key.sealed,
        };
        Ok(Some(RegistryRecord { epochs: records, index_key }))
    }
}

/// An epoch's keys as stored, with the wrap that is current in it.
pub(crate) fn epoch_record(
    instance: &InstanceKeys,
    row: epoch::EpochRow,
    wrap: Option<&wrap::WrapRow>,
) -> Result<EpochRecord, WrapSourceError> {
    let wrap = match (row.customer, wrap) {
        (true, Some(wrap)) => Some(open_wrap(instance, wrap)?),
        (false, None) => None,
        (true, None) | (false, Some(_)) => {
            let text = format!("epoch {} and its wraps do not agree", row.epoch);
            return Err(WrapSourceError::Damaged(text));
        }
    };
    Ok(EpochRecord {
        number: row.epoch,
        active: row.state == epoch::EpochState::Active,
        service_share: SealedServiceShare(row.service_share),
        wrap,
        check: KeyCheck(row.key_check),
    })
}

pub(crate) fn open_wrap(
    instance: &InstanceKeys,
    row: &wrap::WrapRow,
) -> Result<CurrentWrap, WrapSourceError> {
    let damaged = || WrapSourceError::Damaged(format!("wrap {} does not open", row.wrap_id));
    let bound = WrapBound::new(row.registry_id, row.epoch, row.state.word());
    let plain = bound
        .with(row.wrap_id, |place| instance.open_row(place, &row.sealed))
        .map_err(|_| damaged())?;
    let read = || -> Result<CurrentWrap, RegistryError> {
        let wrong = RegistryError::Damaged("a wrap's row");
        let mut fields = FieldReader::new(&plain)?;
        let Ok(key) = fields.text()?.parse::<VersionedKeyId>() else { return Err(wrong) };
        let Ok(identity) = fields.field()?.try_into() else { return Err(wrong) };
        let wrapped = WrappedShare::from_bytes(fields.field()?.to_vec());
        fields.end()?;
        Ok(CurrentWrap { id: row.wrap_id, key, identity: Identity::from_bytes(identity), wrapped })
    };
    read().map_err(|_| damaged())
}

/// Seals the row of a current wrap: key id, identity and wrapped share.
pub(crate) fn seal_wrap(
    instance: &InstanceKeys,
    entropy: &dyn Entropy,
    place: (RegistryId, Epoch),
    wrap: &CurrentWrap,
) -> Vec<u8> {
    seal_wrap_as(instance, entropy, place, wrap::WrapState::Current, wrap)
}

/// Seals a wrap's row in another state.
pub(crate) fn seal_wrap_as(
    instance: &InstanceKeys,
    entropy: &dyn Entropy,
    (registry, epoch): (RegistryId, Epoch),
    state: wrap::WrapState,
    wrap: &CurrentWrap,
) -> Vec<u8> {
    let bound = WrapBound::new(registry, epoch, state.word());
    let key = wrap.key.to_string();
    let fields = FieldWriter::with_capacity(key.len() + wrap.wrapped.as_bytes().len() + 64)
        .field(key.as_bytes())
        .field(wrap.identity.as_bytes())
        .field(wrap.wrapped.as_bytes());
    bound.with(wrap.id, |place| instance.seal_row(entropy, place, fields.as_slice()))
}

/// The clear columns of a wrap that its sealed value is bound to.
struct WrapBound {
    registry: String,
    epoch: [u8; 8],
    state: &'static str,
}

impl WrapBound {
    fn new(registry: RegistryId, epoch: Epoch, state: &'static str) -> Self {
        Self { registry: registry.to_string(), epoch: epoch.to_be_bytes(), state }
    }

    fn with<R>(&self, id: WrapId, work: impl FnOnce(&Place<'_>) -> R) -> R {
        work(&Place {
            table: "wrap",
            column: "sealed",
            row: id.into(),
            index: b"",
            clear: &[self.registry.as_bytes(), &self.epoch, self.state.as_bytes()],
        })
    }
}
