//! The key hierarchy: from the service key and the customer's share to a registry key.
//!
//! Normative text and vectors: `docs/spec/keys.md`. Neither share alone opens anything; the vault
//! never sees the registry key; the service key never leaves this crate but sealed in slots.

use std::fmt;

use lockyard_base::{Entropy, Epoch, RegistryId, RowId};
use lockyard_seal::{Bound, Damaged, IndexKey, MainKey, SegmentSize, hkdf, hkdf_expand, pae};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::CustomerShare;

const SERVICE_SHARE_INFO: &[u8] = b"lockyard/v1/service-share";
const REGISTRY_INFO: &[u8] = b"lockyard/v1/registry";
const REGISTRY_WITH_CUSTOMER_INFO: &[u8] = b"lockyard/v1/registry+customer";
const CHECK_INFO: &[u8] = b"lockyard/v1/check";
const ROW_INFO: &[u8] = b"lockyard/v1/row";

/// The instance's own key: 32 random bytes, kept only sealed in slots and in memory.
pub struct ServiceKey(Box<Zeroizing<[u8; 32]>>);

impl ServiceKey {
    /// Draws a new service key: for a data directory that is being initialised, or one whose key is
    /// rotated.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Self(Box::new(Zeroizing::new([0; 32])));
        entropy.fill(key.0.as_mut_slice());
        key
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self(Box::new(Zeroizing::new(*bytes))))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key for one purpose; purposes never share a key.
    pub(crate) fn derived(&self, info: &[u8]) -> MainKey {
        MainKey::from_bytes(&hkdf(b"", self.0.as_slice(), info))
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(…)")
    }
}

/// A service share as it is stored: sealed under the service key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedServiceShare(pub Vec<u8>);

impl SealedServiceShare {
    /// The same share, sealed under another service key. Share, epoch and registry key stay.
    pub fn resealed(
        &self,
        from: &ServiceKey,
        to: &ServiceKey,
        entropy: &dyn Entropy,
        registry: RegistryId,
        epoch: Epoch,
    ) -> Result<Self, UnlockError> {
        let share = self.opened(from, registry, epoch)?;
        Ok(Self::seal(to, entropy, registry, epoch, &share))
    }

    fn seal(
        service: &ServiceKey,
        entropy: &dyn Entropy,
        registry: RegistryId,
        epoch: Epoch,
        share: &[u8; 32],
    ) -> Self {
        let aad = service_share_aad(registry, epoch);
        let key = service.derived(SERVICE_SHARE_INFO);
        Self(key.seal(entropy, SegmentSize::ROW, &aad, share))
    }

    fn opened(
        &self,
        service: &ServiceKey,
        registry: RegistryId,
        epoch: Epoch,
    ) -> Result<Zeroizing<[u8; 32]>, UnlockError> {
        let aad = service_share_aad(registry, epoch);
        let key = service.derived(SERVICE_SHARE_INFO);
        let share = key
            .open(SegmentSize::ROW, &aad, &self.0)
            .map_err(|Damaged| UnlockError::ServiceShare(epoch))?;
        let share = share.as_slice().try_into().map_err(|_| UnlockError::ServiceShare(epoch))?;
        Ok(Zeroizing::new(share))
    }
}

impl fmt::Debug for SealedServiceShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedServiceShare({} bytes)", self.0.len())
    }
}

/// A stored value that tells whether a registry key was derived from the right shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCheck(pub [u8; 32]);

/// A registry's index key as it is stored: sealed under the row key of one epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedIndexKey {
    /// The epoch whose row key seals it.
    pub epoch: Epoch,
    /// Its row.
    pub row: RowId,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedIndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedIndexKey({}, epoch {})", self.row, self.epoch)
    }
}

/// Everything that must be stored for a registry's first epoch, made in one go.
///
/// The keys themselves are dropped and wiped here: a new registry is locked until its first
/// unwrap, like any other.
#[derive(Debug)]
pub struct NewEpoch {
    /// The service share, sealed.
    pub service_share: SealedServiceShare,
    /// The check of the derived key.
    pub check: KeyCheck,
    /// The registry's index key, sealed under this epoch.
    pub index_key: SealedIndexKey,
}

impl NewEpoch {
    /// Makes the first epoch of a registry; with a customer share if it has a customer key.
    pub fn first(
        service: &ServiceKey,
        entropy: &dyn Entropy,
        registry: RegistryId,
        customer: Option<&CustomerShare>,
    ) -> Self {
        let epoch = Epoch::FIRST;
        let share = Zeroizing::new(entropy.bytes::<32>());
        let key = RegistryKey::derive(registry, epoch, &share, customer);
        let row = RowId::random(entropy);
        let index_key = Zeroizing::new(entropy.bytes::<32>());
        let sealed = key.row_key().seal(
            entropy,
            SegmentSize::ROW,
            &index_key_aad(registry, epoch, row),
            index_key.as_slice(),
        );
        Self {
            service_share: SealedServiceShare::seal(service, entropy, registry, epoch, &share),
            check: key.check(),
            index_key: SealedIndexKey { epoch, row, sealed },
        }
    }
}

/// Stored keys did not open: they were changed, swapped, or sealed under another service key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnlockError {
    /// The service share does not open under this service key.
    #[error("the service share of epoch {0} does not open")]
    ServiceShare(Epoch),
    /// The shares open but derive another key than the stored check belongs to.
    #[error("the key check of epoch {0} fails")]
    Check(Epoch),
    /// The index key does not open under its epoch.
    #[error("the index key does not open")]
    IndexKey,
    /// An epoch with a customer key has no wrapped share, or one without has one.
    #[error("epoch {0} lacks a customer share")]
    NoCustomerShare(Epoch),
    /// No epoch is active, or more than one.
    #[error("the registry has no single active epoch")]
    NoActiveEpoch,
}

/// The key of one epoch of one registry; lives only while deriving what the cell keeps.
pub(crate) struct RegistryKey {
    prk: Zeroizing<[u8; 32]>,
}

impl RegistryKey {
    fn derive(
        registry: RegistryId,
        epoch: Epoch,
        service: &[u8; 32],
        customer: Option<&CustomerShare>,
    ) -> Self {
        let mut salt = Vec::with_capacity(24);
        salt.extend_from_slice(registry.as_bytes());
        salt.extend_from_slice(&epoch.to_be_bytes());
        let mut shares = Zeroizing::new(Vec::with_capacity(64));
        shares.extend_from_slice(service);
        let info = if let Some(customer) = customer {
            shares.extend_from_slice(customer.dangerous_expose());
            REGISTRY_WITH_CUSTOMER_INFO
        } else {
            REGISTRY_INFO
        };
        Self { prk: hkdf(&salt, &shares, info) }
    }

    /// Opens the service share, derives the key and proves it against the stored check.
    pub(crate) fn unlock(
        service: &ServiceKey,
        registry: RegistryId,
        epoch: Epoch,
        share: &SealedServiceShare,
        customer: Option<&CustomerShare>,
        check: &KeyCheck,
    ) -> Result<Self, UnlockError> {
        let share = share.opened(service, registry, epoch)?;
        let key = Self::derive(registry, epoch, &share, customer);
        if bool::from(key.check().0.ct_eq(&check.0)) {
            Ok(key)
        } else {
            Err(UnlockError::Check(epoch))
        }
    }

    fn check(&self) -> KeyCheck {
        KeyCheck(*hkdf_expand(&self.prk, CHECK_INFO))
    }

    pub(crate) fn row_key(&self) -> MainKey {
        MainKey::from_bytes(&hkdf_expand(&self.prk, ROW_INFO))
    }
}

/// Opens the registry's index key with the row key of the epoch that seals it.
pub(crate) fn open_index_key(
    registry: RegistryId,
    row_key: &MainKey,
    sealed: &SealedIndexKey,
) -> Result<IndexKey, UnlockError> {
    let aad = index_key_aad(registry, sealed.epoch, sealed.row);
    let opened = row_key
        .open(SegmentSize::ROW, &aad, &sealed.sealed)
        .map_err(|Damaged| UnlockError::IndexKey)?;
    let bytes: &[u8; 32] = opened.as_slice().try_into().map_err(|_| UnlockError::IndexKey)?;
    Ok(IndexKey::from_bytes(bytes))
}

fn service_share_aad(registry: RegistryId, epoch: Epoch) -> Vec<u8> {
    pae(&[b"service share", registry.as_bytes(), &epoch.to_be_bytes()])
}

fn index_key_aad(registry: RegistryId, epoch: Epoch, row: RowId) -> Vec<u8> {
    Bound { table: "index_key", column: "sealed", registry, epoch, row, index: b"", clear: &[] }
        .aad()
}
