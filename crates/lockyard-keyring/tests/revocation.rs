//! A registry follows its vault: the keyring driven by a vault that a test commands, with a clock
//! that a test winds.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use lockyard_base::{
    Clock, Entropy, Epoch, HandClock, OsEntropy, PartId, RegistryId, SeededEntropy, WrapId,
};
use lockyard_keyring::{
    CurrentWrap, CustomerShare, Denial, EpochRecord, Identity, KeyId, KeyProvider, KeyVersion,
    Keyring, LeasePolicy, LockReason, NewEpoch, ProviderError, Providers, RegistryRecord,
    ServiceKey, Slot, SlotKind, SlotSecret, Standing, VaultAddress, VersionedKeyId, WrapSource,
    WrapSourceError, WrappedShare,
};
use lockyard_seal::{Header, MainKey, Position, SegmentSize, part_aad};
use tokio::sync::watch;

const REGISTRY: RegistryId = RegistryId::from_bytes([5; 16]);

/// What the commanded vault does with the next unwrap.
#[derive(Clone, Debug)]
enum Mood {
    Grants,
    Answers(ProviderError),
    /// Unwraps to something else than what was wrapped.
    Lies,
}

#[derive(Debug)]
struct CommandedVault {
    mood: Mutex<Mood>,
    uses: Mutex<u32>,
    changes: watch::Sender<u64>,
    /// Runs in the middle of the next unwrap.
    meanwhile: Mutex<Option<Meanwhile>>,
}

type Act = Box<dyn FnOnce() + Send>;
struct Meanwhile(Act);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl CommandedVault {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Grants),
            uses: Mutex::new(0),
            changes: watch::channel(0).0,
            meanwhile: Mutex::new(None),
        })
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn uses(&self) -> u32 {
        *self.uses.lock().unwrap()
    }

    /// "Wrapping" here is a bitwise complement: the keyring cannot tell and need not.
    fn wrap(share: &CustomerShare) -> WrappedShare {
        WrappedShare::from_bytes(share.dangerous_expose().iter().map(|b| !b).collect())
    }
}

#[async_trait]
impl KeyProvider for CommandedVault {
    async fn wrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        Ok(Self::wrap(share))
    }

    async fn unwrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        *self.uses.lock().unwrap() += 1;
        let mood = self.mood.lock().unwrap().clone();
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(Meanwhile(act)) = meanwhile {
            act();
            // What was spawned runs before this answer arrives.
            tokio::task::yield_now().await;
        }
        let mut bytes: [u8; 32] = wrapped.as_bytes().try_into().expect("32 bytes were wrapped");
        for byte in &mut bytes {
            *byte = !*byte;
        }
        match mood {
            Mood::Grants => Ok(CustomerShare::from_bytes(&bytes)),
            Mood::Lies => Ok(CustomerShare::from_bytes(&[0; 32])),
            Mood::Answers(error) => Err(error),
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
struct OneVault(Arc<CommandedVault>);

impl Providers for OneVault {
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        (vault.as_str() == "myvault").then(|| Arc::clone(&self.0) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.0) as Arc<dyn KeyProvider>]
    }
}

#[derive(Debug)]
struct Stored(Mutex<Result<Option<RegistryRecord>, WrapSourceError>>);

#[async_trait]
impl WrapSource for Stored {
    async fn load(&self, registry: RegistryId) -> Result<Option<RegistryRecord>, WrapSourceError> {
        assert_eq!(registry, REGISTRY);
        self.0.lock().unwrap().clone()
    }
}

struct World {
    vault: Arc<CommandedVault>,
    clock: Arc<HandClock>,
    stored: Arc<Stored>,
    keyring: Keyring,
}

impl World {
    /// A stored registry that has a customer key, and a keyring that has just started.
    fn new() -> Self {
        Self::with(true)
    }

    fn with(customer_key: bool) -> Self {
        let entropy = SeededEntropy::new(42);
        let service = ServiceKey::generate(&entropy);
        let share = customer_key.then(|| CustomerShare::generate(&entropy));
        let epoch = NewEpoch::first(&service, &entropy, REGISTRY, share.as_ref());
        let record = RegistryRecord {
            epochs: vec![EpochRecord {
                number: Epoch::FIRST,
                active: true,
                service_share: epoch.service_share,
                wrap: share.as_ref().map(|share| CurrentWrap {
                    id: WrapId::random(&entropy),
                    key: "myvault/key/00000000000000000000000000000001".parse().unwrap(),
                    identity: Identity::random(&entropy),
                    wrapped: CommandedVault::wrap(share),
                }),
                check: epoch.check,
            }],
            index_key: epoch.index_key,
        };
        let vault = CommandedVault::new();
        let clock = Arc::new(HandClock::default());
        let stored = Arc::new(Stored(Mutex::new(Ok(Some(record)))));
        let keyring = Keyring::new(
            service,
            Arc::clone(&stored) as Arc<dyn WrapSource>,
            Arc::new(OneVault(Arc::clone(&vault))),
            Arc::clone(&clock) as Arc<dyn Clock>,
            LeasePolicy::default(),
        );
        Self { vault, clock, stored, keyring }
    }

    fn record(&self, change: impl FnOnce(&mut RegistryRecord)) {
        let mut stored = self.stored.0.lock().unwrap();
        change(stored.as_mut().unwrap().as_mut().unwrap());
    }

    async fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.keyring.tick().await;
    }

    fn standing(&self) -> Standing {
        self.keyring.standing(REGISTRY).expect("admitted")
    }
}

fn disabled() -> Mood {
    Mood::Answers(ProviderError::Denied(Denial::KeyDisabled, "enable the key".into()))
}

fn unreachable() -> Mood {
    Mood::Answers(ProviderError::Unreachable("no route".into()))
}

#[tokio::test]
async fn a_registry_is_locked_until_its_vault_unwraps() {
    let world = World::new();
    assert!(world.keyring.open(REGISTRY).is_err());
    world.vault.becomes(disabled());
    let denied = Standing::Locked(LockReason::Denied(Denial::KeyDisabled, "enable the key".into()));
    assert_eq!(world.keyring.admit(REGISTRY).await, denied);
    world.vault.becomes(Mood::Grants);
    world.pass(10).await;
    assert_eq!(world.standing(), Standing::Unlocked);
}

#[tokio::test]
async fn a_change_that_revokes_locks_at_once_and_cuts_what_is_open() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    let open = world.keyring.open(REGISTRY).expect("unlocked");
    let aad = part_aad(SegmentSize::CURRENT, REGISTRY, PartId::from_bytes([1; 16]));
    let cipher = MainKey::generate(&OsEntropy).cipher(&Header::generate(&OsEntropy), &aad);
    let slot = open.register(cipher).expect("unlocked");
    assert_eq!(world.keyring.live_ciphers(REGISTRY), 1);

    world.vault.becomes(disabled());
    world.keyring.changed().await;

    let refused = world.keyring.open(REGISTRY).expect_err("the key is disabled");
    assert!(matches!(refused.reason, LockReason::Denied(Denial::KeyDisabled, _)));
    assert_eq!(world.keyring.live_ciphers(REGISTRY), 0);
    assert!(slot.seal_in_place(Position { index: 0, last: true }, &mut [0; 8]).is_err());
    assert!(open.revoked().is_cancelled());
}

#[tokio::test]
async fn a_revocation_that_nobody_tells_is_noticed_within_the_lease() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    world.vault.becomes(disabled());
    for _ in 0..59 {
        world.pass(1).await;
    }
    assert!(matches!(world.standing(), Standing::Locked(LockReason::Denied(..))));
}

#[tokio::test]
async fn an_outage_degrades_and_then_fails_closed_at_the_hard_stop() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    world.vault.becomes(unreachable());
    world.pass(60).await;
    assert_eq!(world.standing(), Standing::Degraded);
    assert!(world.keyring.open(REGISTRY).is_ok());
    for _ in 0..53 {
        world.pass(10).await;
    }
    assert_eq!(world.standing(), Standing::Degraded);
    world.pass(10).await;
    assert!(matches!(world.standing(), Standing::Locked(LockReason::Unreachable(_))));
    assert!(world.keyring.open(REGISTRY).is_err());
    world.vault.becomes(Mood::Grants);
    world.pass(10).await;
    assert_eq!(world.standing(), Standing::Unlocked);
}

#[tokio::test]
async fn the_hard_stop_bites_without_a_tick() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    let open = world.keyring.open(REGISTRY).expect("unlocked");
    world.clock.advance(Duration::from_secs(600));
    assert!(world.keyring.open(REGISTRY).is_err());
    assert!(!open.is_live());
}

#[tokio::test]
async fn a_wrong_share_is_damage_not_an_outage() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    world.vault.becomes(Mood::Lies);
    world.keyring.changed().await;
    assert!(matches!(world.standing(), Standing::Locked(LockReason::Damaged(_))));
}

#[tokio::test]
async fn a_grant_that_a_change_overtakes_is_asked_again() {
    let world = Arc::new(World::new());
    world.keyring.admit(REGISTRY).await;
    let uses = world.vault.uses();
    // While the first answer (a grant) is on its way, the key is disabled and the vault says so.
    let vault = Arc::clone(&world.vault);
    let second = Arc::clone(&world);
    let (told, hears) = std::sync::mpsc::channel();
    *world.vault.meanwhile.lock().unwrap() = Some(Meanwhile(Box::new(move || {
        vault.becomes(disabled());
        let other = tokio::spawn(async move { second.keyring.changed().await });
        told.send(other).expect("the test listens");
    })));
    world.keyring.changed().await;
    hears.recv().expect("the change was told").await.expect("no panic");
    assert!(matches!(world.standing(), Standing::Locked(LockReason::Denied(..))));
    // The overtaken grant, the other check's denial, and the overtaken check's second question.
    assert_eq!(world.vault.uses(), uses + 3);
}

#[tokio::test]
async fn a_denial_of_a_wrap_that_is_no_longer_current_does_not_count() {
    let world = Arc::new(World::new());
    world.keyring.admit(REGISTRY).await;
    world.vault.becomes(disabled());
    let rotating = Arc::clone(&world);
    *world.vault.meanwhile.lock().unwrap() = Some(Meanwhile(Box::new(move || {
        // A rotation commits while the old version's denial is on its way.
        rotating.record(|record| {
            let wrap = record.epochs[0].wrap.as_mut().expect("a customer key");
            wrap.id = WrapId::from_bytes([9; 16]);
        });
        rotating.vault.becomes(Mood::Grants);
    })));
    let open = world.keyring.open(REGISTRY).expect("unlocked");
    world.keyring.changed().await;
    assert_eq!(world.standing(), Standing::Unlocked);
    assert!(open.is_live(), "nothing was cut");
}

#[tokio::test]
async fn a_database_that_does_not_answer_revokes_nothing() {
    let world = World::new();
    world.keyring.admit(REGISTRY).await;
    *world.stored.0.lock().unwrap() = Err(WrapSourceError::Unavailable("busy".into()));
    world.keyring.changed().await;
    assert_eq!(world.standing(), Standing::Degraded);
    assert!(world.keyring.open(REGISTRY).is_ok());
    let trouble = world.keyring.trouble(REGISTRY).expect("it is told");
    assert!(trouble.contains("busy"), "{trouble}");
}

#[tokio::test]
async fn changed_stored_keys_lock_the_registry() {
    let changes: [fn(&mut RegistryRecord); 5] = [
        |record| record.epochs[0].check.0[0] ^= 1,
        |record| record.epochs[0].service_share.0[50] ^= 1,
        |record| record.index_key.sealed[50] ^= 1,
        |record| record.epochs[0].active = false,
        |record| record.epochs[0].wrap = None,
    ];
    for change in changes {
        let world = World::new();
        world.record(change);
        let standing = world.keyring.admit(REGISTRY).await;
        assert!(matches!(standing, Standing::Locked(LockReason::Damaged(_))), "{standing:?}");
    }
}

#[tokio::test]
async fn a_registry_without_a_customer_key_needs_no_vault() {
    let world = World::with(false);
    world.vault.becomes(disabled());
    assert_eq!(world.keyring.admit(REGISTRY).await, Standing::Unlocked);
    world.pass(1_000_000).await;
    assert_eq!(world.standing(), Standing::Unlocked);
    assert_eq!(world.vault.uses(), 0);
}

#[tokio::test]
async fn a_vault_that_nobody_speaks_for_is_unreachable() {
    let world = World::new();
    world.record(|record| {
        let wrap = record.epochs[0].wrap.as_mut().expect("a customer key");
        wrap.key = "elsewhere/key/00000000000000000000000000000001".parse().unwrap();
    });
    let standing = world.keyring.admit(REGISTRY).await;
    assert!(matches!(standing, Standing::Locked(LockReason::Unreachable(_))), "{standing:?}");
}

#[test]
fn another_service_key_opens_no_slot() {
    let entropy = SeededEntropy::new(1);
    let key = ServiceKey::generate(&entropy);
    let secret = SlotSecret::generate(&entropy);
    let slot = Slot::seal(&key, SlotKind::File, &secret, &entropy).expect("valid");
    assert!(slot.open(&secret).is_ok());
    assert!(
        slot.open(&SlotSecret::new((&OsEntropy as &dyn Entropy).bytes::<32>().to_vec())).is_err()
    );
}
