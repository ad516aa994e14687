//! Every use of a key by a registry is recorded before its result is given, or refused.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use lockyard_audit::{Audit, AuditError, Event, MemoryAudit, Recorded};
use lockyard_keyring::{KeyProvider as _, ProviderError};
use lockyard_vault::{AuditedProvider, RsaSize};

use crate::support::{REGISTRY, STRANGER, World, allow, key, provider, refused};

#[tokio::test]
async fn every_use_is_recorded_with_who_which_version_and_what_came_of_it() {
    let world = World::new();
    let vault = world.open();
    let id = key("payments", "release");
    vault.create_vault(&id.vault).expect("made");
    let version = vault.create_key(&id, RsaSize::R2048).expect("made");
    allow(&vault, &REGISTRY, &id.vault);
    let audit = Arc::new(MemoryAudit::default());
    let audited = AuditedProvider::new(provider(&vault), Arc::clone(&audit) as _);

    let mut counted = 0;
    let wrapped = audited.wrap_key(&REGISTRY, &version, &world.share()).await.expect("granted");
    counted += 1;
    for _ in 0..10 {
        audited.unwrap_key(&REGISTRY, &version, &wrapped).await.expect("granted");
        refused(audited.unwrap_key(&STRANGER, &version, &wrapped).await);
        audited.versions(&REGISTRY, &id).await.expect("granted");
        counted += 3;
    }
    let events = audit.events();
    assert_eq!(events.len(), counted);
    let told = |place: usize| {
        let event = &events[place];
        (event.operation.as_str(), event.outcome.status, event.caller.object_id.clone())
    };
    let registry = "11111111-1111-1111-1111-111111111111".to_owned();
    let stranger = "22222222-2222-2222-2222-222222222222".to_owned();
    assert_eq!(told(0), ("KeyWrap", 200, registry.clone()));
    assert_eq!(told(1), ("KeyUnwrap", 200, registry.clone()));
    assert_eq!(told(2), ("KeyUnwrap", 403, stranger));
    assert_eq!(told(3), ("KeyListVersions", 200, registry));
    assert_eq!(events[1].request.id, version.to_string());
    assert!(events[1].resource.ends_with("/vaults/payments"), "{}", events[1].resource);
}

#[tokio::test]
async fn a_use_that_cannot_be_recorded_is_out_of_reach_and_a_denial_stays_one() {
    let world = World::new();
    let vault = world.open();
    let id = key("payments", "release");
    vault.create_vault(&id.vault).expect("made");
    let version = vault.create_key(&id, RsaSize::R2048).expect("made");
    allow(&vault, &REGISTRY, &id.vault);
    let audit = Arc::new(MemoryAudit::default());
    let audited = AuditedProvider::new(provider(&vault), Arc::clone(&audit) as _);
    let wrapped = audited.wrap_key(&REGISTRY, &version, &world.share()).await.expect("granted");

    audit.refuse(true);
    let error = refused(audited.unwrap_key(&REGISTRY, &version, &wrapped).await);
    assert!(matches!(error, ProviderError::Unreachable(_)), "{error:?}");
    let error = refused(audited.wrap_key(&REGISTRY, &version, &world.share()).await);
    assert!(matches!(error, ProviderError::Unreachable(_)), "{error:?}");
    let error = refused(audited.unwrap_key(&STRANGER, &version, &wrapped).await);
    assert!(matches!(error, ProviderError::Denied(..)), "{error:?}");
    audit.refuse(false);
    audited.unwrap_key(&REGISTRY, &version, &wrapped).await.expect("it heals by itself");
}

/// A trail whose disk answers only when the test lets it.
#[derive(Debug, Default)]
struct Stalled(Mutex<()>);

#[async_trait]
impl Audit for Stalled {
    async fn append(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append_blocking(event)
    }

    fn append_blocking(&self, _: Event) -> Result<Recorded, AuditError> {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Err(AuditError::Closed)
    }

    fn note_unauthenticated(&self, _: &'static str, _: Option<IpAddr>) {}
}

#[test]
fn a_stalled_trail_holds_up_no_denial() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let world = World::new();
    let vault = world.open();
    let id = key("payments", "release");
    vault.create_vault(&id.vault).expect("made");
    let version = vault.create_key(&id, RsaSize::R2048).expect("made");
    let audit = Arc::new(Stalled::default());
    let audited = AuditedProvider::new(provider(&vault), Arc::clone(&audit) as _);
    // The trail's thread gets no further than this lock for as long as the denial is awaited.
    let stalled = audit.0.lock().unwrap_or_else(PoisonError::into_inner);
    let denied = runtime.block_on(audited.wrap_key(&STRANGER, &version, &world.share()));
    drop(stalled);
    let error = refused(denied);
    assert!(matches!(error, ProviderError::Denied(..)), "{error:?}");
}
