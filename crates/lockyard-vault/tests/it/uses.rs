//! Using keys through the provider: what is answered, and which kind of failure when not.

use std::{sync::Arc, time::Duration};

use lockyard_base::{Clock as _, HandClock, Timestamp};
use lockyard_keyring::{
    Denial, Identity, KeyKind, KeyProvider as _, ProviderError, VersionedKeyId, WrappedShare,
};
use lockyard_vault::{KeyTarget, RsaSize, Validity, Vault, VaultError};

use crate::support::{REGISTRY, STRANGER, World, allow, allowed, forbid, key, provider, refused};

fn with_key(world: &World) -> (Arc<Vault>, VersionedKeyId) {
    let vault = world.open();
    let id = key("payments", "release");
    vault.create_vault(&id.vault).expect("a new vault");
    let version = vault.create_key(&id, RsaSize::R2048).expect("a key");
    allow(&vault, &REGISTRY, &id.vault);
    (vault, version)
}

fn denied(error: &ProviderError, expected: Denial, cure: &str) {
    let ProviderError::Denied(denial, text) = error else { panic!("{error:?}") };
    assert_eq!(*denial, expected, "{text}");
    assert!(text.contains(cure), "{text}");
}

#[tokio::test]
async fn keys_of_every_size_unwrap_what_they_wrapped_after_a_restart_too() {
    let world = World::new();
    let id = key("payments", "release");
    let share = world.share();
    let mut wrapped = Vec::new();
    {
        let vault = world.open();
        vault.create_vault(&id.vault).unwrap();
        allow(&vault, &REGISTRY, &id.vault);
        for size in [RsaSize::R2048, RsaSize::R3072, RsaSize::R4096] {
            let version = vault.create_key(&id, size).expect("a key");
            let wrap = provider(&vault).wrap_key(&REGISTRY, &version, &share).await.expect("wraps");
            assert_eq!(wrap.as_bytes().len(), size.bits() / 8);
            wrapped.push((version, wrap));
        }
    }
    let vault = world.open();
    for (version, wrap) in &wrapped {
        let unwrapped = provider(&vault).unwrap_key(&REGISTRY, version, wrap).await;
        let unwrapped = unwrapped.expect("unwraps");
        assert_eq!(unwrapped.dangerous_expose(), share.dangerous_expose());
    }
    let versions = provider(&vault).versions(&REGISTRY, &id).await.expect("listed");
    let newest: Vec<_> = versions.iter().map(|version| version.id.clone()).collect();
    assert_eq!(newest, wrapped.iter().rev().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    assert!(versions.iter().all(|version| version.enabled && version.kind == KeyKind::Rsa));
    provider(&vault).health().await.expect("healthy");
}

#[tokio::test]
async fn a_share_wrapped_elsewhere_or_changed_is_damaged() {
    let world = World::new();
    let (vault, first) = with_key(&world);
    let second = vault.create_key(&first.key, RsaSize::R2048).expect("a second version");
    let provider = provider(&vault);
    let wrap = provider.wrap_key(&REGISTRY, &first, &world.share()).await.expect("wraps");
    let mut cases = vec![(second, wrap.as_bytes().to_vec())];
    for change in [0, 128, 255] {
        let mut bytes = wrap.as_bytes().to_vec();
        bytes[change] ^= 1;
        cases.push((first.clone(), bytes));
    }
    cases.push((first.clone(), wrap.as_bytes()[..255].to_vec()));
    cases.push((first.clone(), Vec::new()));
    cases.push((first.clone(), vec![0xff; 256]));
    cases.push((first.clone(), vec![0xff; 4096]));
    for (version, bytes) in cases {
        let wrapped = WrappedShare::from_bytes(bytes);
        let error = refused(provider.unwrap_key(&REGISTRY, &version, &wrapped).await);
        assert!(matches!(error, ProviderError::Damaged(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_disabled_version_denies_every_use_until_it_is_enabled() {
    let world = World::new();
    let (vault, first) = with_key(&world);
    let second = vault.create_key(&first.key, RsaSize::R2048).expect("a second version");
    let provider = provider(&vault);
    let share = world.share();
    let wrap = provider.wrap_key(&REGISTRY, &first, &share).await.expect("wraps");
    let cure = format!("lockyard vault key enable {first}");

    vault.disable(&KeyTarget::Version(first.clone())).expect("disabled");
    let error = refused(provider.unwrap_key(&REGISTRY, &first, &wrap).await);
    denied(&error, Denial::KeyDisabled, &cure);
    let error = refused(provider.wrap_key(&REGISTRY, &first, &share).await);
    denied(&error, Denial::KeyDisabled, &cure);
    provider.wrap_key(&REGISTRY, &second, &share).await.expect("the other version still works");
    let versions = provider.versions(&REGISTRY, &first.key).await.expect("listed all the same");
    assert_eq!(versions.iter().map(|version| version.enabled).collect::<Vec<_>>(), [true, false]);

    vault.disable(&KeyTarget::Key(first.key.clone())).expect("disabled");
    denied(
        &refused(provider.wrap_key(&REGISTRY, &second, &share).await),
        Denial::KeyDisabled,
        "disabled",
    );
    vault.enable(&KeyTarget::Key(first.key.clone())).expect("enabled");
    let unwrapped = provider.unwrap_key(&REGISTRY, &first, &wrap).await.expect("works again");
    assert_eq!(unwrapped.dangerous_expose(), share.dangerous_expose());
}

#[tokio::test]
async fn only_a_granted_identity_may_use_a_key() {
    let world = World::new();
    let (vault, version) = with_key(&world);
    let provider = provider(&vault);
    let share = world.share();
    let wrap = provider.wrap_key(&REGISTRY, &version, &share).await.expect("wraps");
    let all_denied = async |caller: &Identity| {
        let cure = "grant it get, wrapKey and unwrapKey";
        for error in [
            refused(provider.wrap_key(caller, &version, &share).await),
            refused(provider.unwrap_key(caller, &version, &wrap).await),
            refused(provider.versions(caller, &version.key).await),
        ] {
            denied(&error, Denial::NotAuthorized, cure);
            denied(&error, Denial::NotAuthorized, &caller.to_string());
        }
    };
    all_denied(&STRANGER).await;
    let name = &version.key.vault;
    allow(&vault, &STRANGER, name);
    allow(&vault, &STRANGER, name);
    assert_eq!(allowed(&vault, name), [REGISTRY, STRANGER]);
    provider.unwrap_key(&STRANGER, &version, &wrap).await.expect("now it may");
    forbid(&vault, &REGISTRY, name);
    forbid(&vault, &REGISTRY, name);
    all_denied(&REGISTRY).await;
    provider.unwrap_key(&STRANGER, &version, &wrap).await.expect("it still may");
}

#[tokio::test]
async fn what_is_not_there_is_denied_for_what_it_is() {
    let world = World::new();
    let (vault, version) = with_key(&world);
    let provider = provider(&vault);
    let ask = async |caller: &Identity, text: String| {
        let id: VersionedKeyId = text.parse().expect("a key version");
        refused(provider.unwrap_key(caller, &id, &WrappedShare::from_bytes(vec![0; 256])).await)
    };
    let zeros = "0".repeat(32);
    let error = ask(&REGISTRY, format!("nowhere/release/{zeros}")).await;
    denied(&error, Denial::VaultNotFound, "nowhere");
    let error = ask(&REGISTRY, format!("payments/other/{}", version.version)).await;
    denied(&error, Denial::KeyNotFound, "payments/other");
    let error = ask(&REGISTRY, format!("payments/release/{zeros}")).await;
    denied(&error, Denial::VersionNotFound, &zeros);
    let error = ask(&STRANGER, format!("payments/release/{zeros}")).await;
    denied(&error, Denial::NotAuthorized, "release");
}

#[tokio::test]
async fn outside_its_validity_a_version_unwraps_and_does_not_wrap() {
    let world = World::new();
    let (vault, version) = with_key(&world);
    let provider = provider(&vault);
    let share = world.share();
    let wrap = provider.wrap_key(&REGISTRY, &version, &share).await.expect("wraps");
    let start = HandClock::default().wall() + Duration::from_mins(1);
    let end = start + Duration::from_mins(1);
    let validity = Validity { not_before: Some(start), expires: Some(end) };
    let target = KeyTarget::Version(version.clone());
    vault.set_validity(&target, validity).expect("set");
    let listed = &provider.versions(&REGISTRY, &version.key).await.expect("listed")[0];
    assert_eq!((listed.not_before, listed.expires), (Some(start), Some(end)));

    let mut answers = Vec::new();
    let micro = Duration::from_micros(1);
    let nearly = Duration::from_micros(59_999_999);
    for wait in [Duration::ZERO, nearly, micro, nearly, micro] {
        world.clock.advance(wait);
        answers.push(provider.wrap_key(&REGISTRY, &version, &share).await.is_ok());
        provider.unwrap_key(&REGISTRY, &version, &wrap).await.expect("always unwraps");
    }
    assert_eq!(answers, [false, false, true, true, false]);
    let error = refused(provider.wrap_key(&REGISTRY, &version, &share).await);
    denied(&error, Denial::KeyDisabled, "expired");

    let never = Validity { not_before: Some(end), expires: Some(Timestamp::from_micros(0)) };
    let error = vault.set_validity(&target, never).expect_err("empty");
    assert!(matches!(error, VaultError::EmptyValidity), "{error:?}");
    vault.set_validity(&target, Validity::default()).expect("lifted");
    provider.wrap_key(&REGISTRY, &version, &share).await.expect("wraps again");
}

#[tokio::test]
async fn the_provider_tells_of_changes() {
    let world = World::new();
    let (vault, version) = with_key(&world);
    let mut changes = provider(&vault).changes();
    let before = *changes.borrow_and_update();
    vault.disable(&KeyTarget::Version(version)).expect("disabled");
    changes.changed().await.expect("the vault lives");
    assert!(*changes.borrow() > before);
}
