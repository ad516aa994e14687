//! Which registries are unlocked, and the keys of those that are.
//!
//! This is the room where a vault's answer turns into the capability to read and write: a function
//! that touches content takes an [`UnlockedRegistry`], and only [`Keyring`] makes one. Locking
//! empties the registry's cell, and every handle, opener and sealer that was given out answers
//! [`Locked`] from then on. The keyring does no I/O of its own: it asks a [`KeyProvider`] and a
//! [`WrapSource`], and takes time and randomness as parameters.

mod cell;
mod hierarchy;
mod instance;
mod keyring;
mod lease;
mod provider;
mod slot;
mod stretch;
#[cfg(feature = "testing")]
pub mod testing;

pub use cell::{CipherSlot, Locked, OpenError, Place, SealedRow, UnlockedRegistry};
pub use hierarchy::{
    KeyCheck, NewEpoch, SealedIndexKey, SealedServiceShare, ServiceKey, UnlockError,
};
pub use instance::{InstanceKeys, SealedInstanceKeys};
pub use keyring::{
    CurrentWrap, EpochRecord, Keyring, LockedRegistry, Providers, RegistryRecord, Standing,
    WrapSource, WrapSourceError,
};
pub use lease::{LeasePolicy, LockReason};
pub use provider::{
    CustomerShare, Denial, Identity, KeyId, KeyKind, KeyName, KeyNameError, KeyProvider,
    KeyVersion, KeyVersionName, ProviderError, VaultAddress, VersionedKeyId, WrappedShare,
};
pub use slot::{Slot, SlotError, SlotKind, SlotSecret};
pub use stretch::StretchCost;
