//! Many registries on one keyring: a vault that is silent holds up nobody but its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lockyard_base::{Clock, Entropy, Epoch, HandClock, RegistryId, SeededEntropy, WrapId};
use lockyard_keyring::{
    CurrentWrap, CustomerShare, Denial, EpochRecord, Identity, KeyId, KeyProvider, KeyVersion,
    Keyring, LeasePolicy, NewEpoch, ProviderError, Providers, RegistryRecord, ServiceKey, Standing,
    UnlockedRegistry, VaultAddress, VersionedKeyId, WrapSource, WrapSourceError, WrappedShare,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes, and shorter than the keyring waits for a vault.
const SOON: Duration = Duration::from_secs(5);

/// What the vault does with the key of one registry.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Grants,
    Denies,
    Hangs,
}

/// A vault that keeps each registry's share as it is.
#[derive(Debug)]
struct MoodyVault {
    moods: Mutex<HashMap<Identity, Mood>>,
    changes: watch::Sender<u64>,
}

#[async_trait]
impl KeyProvider for MoodyVault {
    async fn wrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        Ok(WrappedShare::from_bytes(share.dangerous_expose().to_vec()))
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        let mood = *self.moods.lock().unwrap().get(caller).unwrap();
        match mood {
            Mood::Grants => {
                Ok(CustomerShare::from_bytes(wrapped.as_bytes().try_into().expect("32 bytes")))
            }
            Mood::Denies => Err(ProviderError::Denied(Denial::KeyDisabled, "enable it".into())),
            Mood::Hangs => std::future::pending().await,
        }
    }

    async fn versions(
        &self,
        _caller: &Identity,
        _key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[derive(Debug)]
struct OneVault(Arc<MoodyVault>);

impl Providers for OneVault {
    fn provider(&self, _vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        Some(Arc::clone(&self.0) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.0) as Arc<dyn KeyProvider>]
    }
}

#[derive(Debug)]
struct Stored(HashMap<RegistryId, RegistryRecord>);

#[async_trait]
impl WrapSource for Stored {
    async fn load(&self, registry: RegistryId) -> Result<Option<RegistryRecord>, WrapSourceError> {
        Ok(self.0.get(&registry).cloned())
    }
}

struct World {
    vault: Arc<MoodyVault>,
    clock: Arc<HandClock>,
    keyring: Arc<Keyring>,
    /// The registries, each with the identity that it acts as, and opened.
    open: Vec<(Identity, UnlockedRegistry)>,
}

impl World {
    /// As many registries, all unlocked.
    async fn with(registries: u8) -> Self {
        let entropy = SeededEntropy::new(7);
        let service = ServiceKey::generate(&entropy);
        let mut stored = HashMap::new();
        let mut identities = Vec::new();
        for number in 0..registries {
            let id = RegistryId::from_bytes([number; 16]);
            let identity = Identity::random(&entropy);
            stored.insert(id, record(&service, &entropy, id, identity));
            identities.push((id, identity));
        }
        let moods = identities.iter().map(|(_, identity)| (*identity, Mood::Grants)).collect();
        let vault = Arc::new(MoodyVault { moods: Mutex::new(moods), changes: watch::channel(0).0 });
        let clock = Arc::new(HandClock::default());
        let keyring = Arc::new(Keyring::new(
            service,
            Arc::new(Stored(stored)),
            Arc::new(OneVault(Arc::clone(&vault))),
            Arc::clone(&clock) as Arc<dyn Clock>,
            LeasePolicy::default(),
        ));
        let mut open = Vec::new();
        for (id, identity) in identities {
            assert_eq!(keyring.admit(id).await, Standing::Unlocked);
            open.push((identity, keyring.open(id).unwrap()));
        }
        Self { vault, clock, keyring, open }
    }

    fn turn(&self, identity: Identity, mood: Mood) {
        self.vault.moods.lock().unwrap().insert(identity, mood);
    }

    fn tell(&self) {
        self.vault.changes.send_modify(|number| *number += 1);
    }
}

fn record(
    service: &ServiceKey,
    entropy: &dyn Entropy,
    id: RegistryId,
    identity: Identity,
) -> RegistryRecord {
    let share = CustomerShare::generate(entropy);
    let epoch = NewEpoch::first(service, entropy, id, Some(&share));
    let wrap = CurrentWrap {
        id: WrapId::random(entropy),
        key: "myvault/key/00000000000000000000000000000001".parse().unwrap(),
        identity,
        wrapped: WrappedShare::from_bytes(share.dangerous_expose().to_vec()),
    };
    let epochs = vec![EpochRecord {
        number: Epoch::FIRST,
        active: true,
        service_share: epoch.service_share,
        wrap: Some(wrap),
        check: epoch.check,
    }];
    RegistryRecord { epochs, index_key: epoch.index_key }
}

async fn is_cut_soon(registry: &UnlockedRegistry) -> bool {
    tokio::time::timeout(SOON, registry.revoked().cancelled()).await.is_ok()
}

#[tokio::test]
async fn a_vault_that_hangs_holds_up_no_other_revocation() {
    let world = World::with(9).await;
    let stop = CancellationToken::new();
    let job = tokio::spawn(Arc::clone(&world.keyring).run(stop.clone()));
    // The job has begun to listen.
    while world.vault.changes.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let ((revoked, registry), hanging) = world.open.split_last().unwrap();
    for (identity, _) in hanging {
        world.turn(*identity, Mood::Hangs);
    }
    // The first change leaves questions that nobody answers; the second one is to be heard.
    world.tell();
    tokio::task::yield_now().await;
    world.turn(*revoked, Mood::Denies);
    world.tell();
    assert!(is_cut_soon(registry).await, "others' silence kept a revoked registry open");
    assert!(hanging.iter().all(|(_, other)| other.is_live()), "an outage is not a revocation");
    stop.cancel();
    job.await.unwrap();
}

#[tokio::test]
async fn a_vault_that_hangs_holds_up_no_hard_stop() {
    let world = World::with(9).await;
    for (identity, _) in &world.open {
        world.turn(*identity, Mood::Hangs);
    }
    world.clock.advance(LeasePolicy::default().hard_stop);
    let keyring = Arc::clone(&world.keyring);
    let tick = tokio::spawn(async move { keyring.tick().await });
    for (_, registry) in &world.open {
        assert!(is_cut_soon(registry).await, "a registry outlived its hard stop");
    }
    tick.abort();
}
