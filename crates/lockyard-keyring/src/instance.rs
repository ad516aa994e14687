//! Keys for rows outside any registry: they must be readable while registries are locked.

use std::fmt;

use lockyard_base::{BlindIndex, Entropy, Epoch, RegistryId};
use lockyard_seal::{Bound, Damaged, IndexKey, IndexKind, MainKey, SegmentSize, pae};
use zeroize::Zeroizing;

use crate::{OpenError, Place, ServiceKey};

const INFO: &[u8] = b"lockyard/v1/instance";
/// Instance rows bind this in place of a registry's id.
const NO_REGISTRY: RegistryId = RegistryId::from_bytes([0; 16]);
/// Instance rows bind this in place of an epoch.
const NO_EPOCH: Epoch = Epoch::new(0);

/// The instance's row key and index key, sealed under the service key.
///
/// They are random and sealed, not derived, so that a new service key costs two re-seals and not
/// one for each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedInstanceKeys {
    /// The sealed row key.
    pub row: Vec<u8>,
    /// The sealed index key.
    pub index: Vec<u8>,
}

impl SealedInstanceKeys {
    /// The same keys, sealed under another service key: no row need be sealed again.
    pub fn resealed(
        &self,
        from: &ServiceKey,
        to: &ServiceKey,
        entropy: &dyn Entropy,
    ) -> Result<Self, Damaged> {
        let [row, index] = self.opened(from)?;
        Ok(Self::seal(to, entropy, &row, &index))
    }

    fn seal(service: &ServiceKey, entropy: &dyn Entropy, row: &[u8; 32], index: &[u8; 32]) -> Self {
        let key = service.derived(INFO);
        let seal = |purpose: &[u8], secret: &[u8; 32]| {
            key.seal(entropy, SegmentSize::ROW, &aad(purpose), secret)
        };
        Self { row: seal(b"row", row), index: seal(b"index", index) }
    }

    fn opened(&self, service: &ServiceKey) -> Result<[Zeroizing<[u8; 32]>; 2], Damaged> {
        let key = service.derived(INFO);
        let open = |purpose: &[u8], sealed: &[u8]| -> Result<Zeroizing<[u8; 32]>, Damaged> {
            let opened = key.open(SegmentSize::ROW, &aad(purpose), sealed)?;
            Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| Damaged)?))
        };
        Ok([open(b"row", &self.row)?, open(b"index", &self.index)?])
    }
}

/// Seals and opens the rows that belong to the instance and not to one registry.
pub struct InstanceKeys {
    row: MainKey,
    index: IndexKey,
}

impl InstanceKeys {
    /// Draws new instance keys and seals them; only for an empty data directory.
    pub fn generate(service: &ServiceKey, entropy: &dyn Entropy) -> SealedInstanceKeys {
        let [row, index] = [entropy.bytes::<32>(), entropy.bytes()].map(Zeroizing::new);
        SealedInstanceKeys::seal(service, entropy, &row, &index)
    }

    /// Opens stored instance keys; fails if they were changed or belong to another service key.
    pub fn open(service: &ServiceKey, sealed: &SealedInstanceKeys) -> Result<Self, Damaged> {
        let [row, index] = sealed.opened(service)?;
        Ok(Self { row: MainKey::from_bytes(&row), index: IndexKey::from_bytes(&index) })
    }

    /// Seals one instance row's value in its place.
    pub fn seal_row(&self, entropy: &dyn Entropy, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
        self.row.seal(entropy, SegmentSize::ROW, &bound(place).aad(), plaintext)
    }

    /// Opens one instance row's value; fails unless it was sealed in exactly this place.
    pub fn open_row(
        &self,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.row
            .open(SegmentSize::ROW, &bound(place).aad(), sealed)
            .map_err(|Damaged| OpenError::Damaged)
    }

    /// The blind index of a name outside any registry.
    pub fn blind(&self, kind: IndexKind, value: &[u8]) -> BlindIndex {
        self.index.blind(kind, None, value)
    }
}

impl fmt::Debug for InstanceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceKeys(…)")
    }
}

fn bound<'p>(place: &'p Place<'p>) -> Bound<'p> {
    place.bound(NO_REGISTRY, NO_EPOCH)
}

fn aad(purpose: &[u8]) -> Vec<u8> {
    pae(&[b"instance key", purpose])
}

#[cfg(test)]
mod tests {
    use lockyard_base::{RowId, SeededEntropy};

    use super::*;

    #[test]
    fn instance_rows_open_in_their_place_and_with_their_service_key_only() {
        let entropy = SeededEntropy::new(3);
        let service = ServiceKey::generate(&entropy);
        let sealed = InstanceKeys::generate(&service, &entropy);
        let keys = InstanceKeys::open(&service, &sealed).expect("its own service key");
        let place = Place {
            table: "instance_record",
            column: "sealed",
            row: RowId::from_bytes([1; 16]),
            index: b"i",
            clear: &[b"owner"],
        };
        let value = keys.seal_row(&entropy, &place, b"secret");
        assert_eq!(keys.open_row(&place, &value).expect("its place").as_slice(), b"secret");
        let elsewhere = Place { clear: &[b"ca"], ..place };
        assert_eq!(keys.open_row(&elsewhere, &value).err(), Some(OpenError::Damaged));

        let other = ServiceKey::generate(&entropy);
        assert!(InstanceKeys::open(&other, &sealed).is_err());
        let swapped = SealedInstanceKeys { row: sealed.index.clone(), index: sealed.row };
        assert!(InstanceKeys::open(&service, &swapped).is_err());
    }
}
