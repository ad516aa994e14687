//! What only the inside can provoke or see: failures at each step, and stored keys in the clear.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use lockyard_base::{Clock, Entropy, Guid, HandClock, SeededEntropy};
use lockyard_keyring::{
    CustomerShare, Identity, KeyId, KeyName, KeyProvider as _, ProviderError, VersionedKeyId,
};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::{
    AccessPolicy, Caller, EmbeddedProvider, EncryptionAlgorithm, KeySettings, KeyShape, KeyTarget,
    Permissions, PolicyEdit, Principals, Roles, RolesUnavailable, RsaSize, Source, Vault,
    VaultError, VaultRootKey,
    crypto::{NewPrivate, Purpose, ReadyKey},
};

const CALLER: Identity = Identity::from_bytes([1; 16]);

/// A change and what it is called.
type Change<'c> = (&'static str, &'c dyn Fn() -> Result<(), VaultError>);

pub(crate) fn open(directory: &TempDir) -> Arc<Vault> {
    let clock: Arc<dyn Clock> = Arc::new(HandClock::default());
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(5));
    let root = VaultRootKey::from_bytes(&[9; 32]);
    Arc::new(Vault::open(&directory.path().join("vault"), &root, clock, entropy).expect("opens"))
}

pub(crate) fn key() -> KeyId {
    KeyId { vault: "payments".parse().unwrap(), name: "release".parse().unwrap() }
}

/// The tenant of a vault without a place, and everybody in it.
#[derive(Debug)]
struct Everybody;

const TENANT: Guid = Guid::from_bytes([0; 16]);

impl Roles for Everybody {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(false)
    }
}

impl Principals for Everybody {
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable> {
        Ok(Some(Caller {
            tenant: TENANT,
            object: Guid::from_bytes(*identity.as_bytes()),
            application: None,
            groups: Vec::new(),
            resource: None,
            source: Source::TrustedService,
        }))
    }
}

fn provider(vault: &Arc<Vault>) -> EmbeddedProvider {
    EmbeddedProvider::new(Arc::clone(vault), Arc::new(Everybody))
}

fn edit(vault: &Vault, edit: PolicyEdit, identity: &Identity) -> Result<(), VaultError> {
    let object = Guid::from_bytes(*identity.as_bytes());
    let permissions = Permissions::of_a_registry();
    let policy = AccessPolicy { tenant: TENANT, object, application: None, permissions };
    vault.edit_policies(&key().vault, edit, vec![policy]).map(drop)
}

fn with_key(directory: &TempDir) -> (Arc<Vault>, VersionedKeyId) {
    let vault = open(directory);
    vault.create_vault(&key().vault).unwrap();
    let version = vault.create_key(&key(), RsaSize::R2048).unwrap();
    edit(&vault, PolicyEdit::Add, &CALLER).unwrap();
    (vault, version)
}

fn private_key() -> NewPrivate {
    NewPrivate::generate(KeyShape::Rsa(RsaSize::R2048)).unwrap()
}

/// Makes the database fail once it has done `steps` more of its own steps.
fn fail_after(connection: &mut Connection, steps: u32) {
    let left = AtomicU32::new(steps);
    let handler = move || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    };
    connection.progress_handler(1, Some(handler)).expect("set");
}

fn work_again(connection: &mut Connection) {
    connection.progress_handler(0, None::<fn() -> bool>).expect("lifted");
}

#[test]
fn a_change_that_fails_at_any_step_is_made_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = with_key(&directory);
    let second = vault.create_key(&key(), RsaSize::R2048).unwrap();
    let private = private_key();
    let other = Identity::from_bytes([2; 16]);
    let state = || {
        let enabled: Vec<_> =
            vault.versions(&key()).unwrap().iter().map(|version| version.enabled).collect();
        let policies = vault.vault(&key().vault).unwrap().unwrap().policies;
        let granted: Vec<_> =
            policies.iter().map(|policy| Identity::from_bytes(*policy.object.as_bytes())).collect();
        (enabled, granted, vault.vaults().unwrap().len())
    };
    let changes: [Change<'_>; 5] = [
        ("disable", &|| vault.disable(&KeyTarget::Key(key()))),
        ("grant", &|| edit(&vault, PolicyEdit::Add, &other)),
        ("revoke", &|| edit(&vault, PolicyEdit::Remove, &CALLER)),
        ("create vault", &|| vault.create_vault(&"archive".parse().unwrap())),
        ("create key", &|| {
            vault.insert_version(&key(), &private, &KeySettings::default()).map(drop)
        }),
    ];
    let mut reached = Vec::new();
    for (what, change) in changes {
        let before = state();
        let mut failures = 0;
        loop {
            fail_after(&mut vault.database.writer(), failures);
            let done = change();
            work_again(&mut vault.database.writer());
            let Err(error) = done else { break };
            assert!(matches!(error, VaultError::Database(_)), "{what}: {error:?}");
            if state() != before {
                // Committed, and failed only to say so; what it is now is compared below.
                break;
            }
            failures += 1;
        }
        assert!(failures > 10, "{what} failed only {failures} times");
        let after = state();
        assert_ne!(after, before, "{what}");
        reached.push(after);
    }
    let (both, off) = (vec![CALLER, other], vec![false; 2]);
    let expected = [
        (off.clone(), vec![CALLER], 1),
        (off.clone(), both, 1),
        (off.clone(), vec![other], 1),
        (off.clone(), vec![other], 2),
        ([vec![true], off].concat(), vec![other], 2),
    ];
    assert_eq!(reached, expected);
    assert_eq!(vault.versions(&key()).unwrap()[1].id, second);
}

#[test]
fn a_change_that_cannot_commit_is_undone_and_told_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, version) = with_key(&directory);
    let mut changes = vault.changes();
    changes.mark_unchanged();
    vault.database.writer().commit_hook(Some(|| true)).unwrap();
    let error = vault.disable(&KeyTarget::Version(version)).expect_err("cannot commit");
    assert!(matches!(error, VaultError::Database(_)), "{error:?}");
    assert!(changes.has_changed().unwrap(), "nobody can know what of it reached the disk");
    vault.database.writer().commit_hook(None::<fn() -> bool>).unwrap();
    assert!(vault.versions(&key()).unwrap()[0].enabled);
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_unreachable_and_denies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, version) = with_key(&directory);
    let provider = provider(&vault);
    let share = CustomerShare::from_bytes(&[3; 32]);
    let wrapped = provider.wrap_key(&CALLER, &version, &share).await.unwrap();
    let mut failures = 0;
    loop {
        fail_after(&mut vault.database.reader(), failures);
        let answers = [
            provider.unwrap_key(&CALLER, &version, &wrapped).await.map(drop),
            provider.health().await,
        ];
        work_again(&mut vault.database.reader());
        for answer in &answers {
            assert!(
                matches!(answer, Ok(()) | Err(ProviderError::Unreachable(_))),
                "after {failures} steps: {answer:?}"
            );
        }
        if answers.iter().all(Result::is_ok) {
            break;
        }
        failures += 1;
    }
    assert!(failures > 10, "failed only {failures} times");
    provider.unwrap_key(&CALLER, &version, &wrapped).await.expect("works again");
}

#[test]
fn a_key_in_memory_never_outvotes_its_row() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, version) = with_key(&directory);
    let ready = || {
        vault.database.read(|transaction| {
            let found = vault.find_key(transaction, &version.key)?;
            let name = Some(&version.version);
            let row = vault.version_in(transaction, &version.key.vault, &found, name)?;
            vault.ready_key(&found, &row, Purpose::Oaep)
        })
    };
    let first = ready().expect("opens");
    assert!(Arc::ptr_eq(&first, &ready().expect("from memory")));
    let intrude = |sql: &str| vault.database.writer().execute(sql, []).unwrap();
    intrude("UPDATE key_version SET expires = 1");
    let error = ready().expect_err("the row was changed under it");
    assert!(matches!(error, VaultError::DamagedRow { .. }), "{error:?}");
    intrude("UPDATE key_version SET expires = NULL");
    assert!(Arc::ptr_eq(&first, &ready().expect("from memory")));
    vault.disable(&KeyTarget::Version(version.clone())).unwrap();
    vault.enable(&KeyTarget::Version(version.clone())).unwrap();
    assert!(!Arc::ptr_eq(&first, &ready().expect("from its new row")));
    assert_eq!(Arc::strong_count(&first), 1, "the vault has let go of what it had in memory");
}

#[test]
fn what_a_use_found_is_remembered_until_anything_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, version) = with_key(&directory);
    let caller = Everybody.managed_identity(&CALLER).unwrap().unwrap();
    let plane = vault.data_plane(&key().vault, caller, &Everybody);
    let (name, algorithm) = (key().name, EncryptionAlgorithm::RsaOaep256);
    let wrap = |name: &KeyName, version| plane.wrap_key(name, version, algorithm, &[3; 32]);
    let wrapped = wrap(&name, None).unwrap();
    let unwrap = || {
        let named = Some(&version.version);
        plane.unwrap_key(&name, named, algorithm, &wrapped.value).map(drop)
    };
    let (reads_nothing, reads_again) = (
        || fail_after(&mut vault.database.reader(), 0),
        || work_again(&mut vault.database.reader()),
    );
    unwrap().unwrap();
    reads_nothing();
    unwrap().expect("it is remembered");
    assert_eq!(wrap(&name, None).expect("as the newest, too").id, version);
    let unknown = wrap(&"other".parse().unwrap(), None).expect_err("nobody asked for it before");
    assert!(matches!(unknown, VaultError::Database(_)), "{unknown:?}");
    // A change, or one that may have reached the disk: nothing from before it is used any more.
    vault.database.writer().commit_hook(Some(|| true)).unwrap();
    let failed = vault.create_vault(&"archive".parse().unwrap()).expect_err("cannot commit");
    assert!(matches!(failed, VaultError::Database(_)), "{failed:?}");
    vault.database.writer().commit_hook(None::<fn() -> bool>).unwrap();
    assert!(matches!(unwrap(), Err(VaultError::Database(_))), "it asks the database");
    reads_again();
    unwrap().unwrap();

    let target = KeyTarget::Version(version.clone());
    vault.disable(&target).unwrap();
    assert!(matches!(unwrap(), Err(VaultError::KeyDisabled(..))));
    vault.enable(&target).unwrap();
    unwrap().unwrap();
    edit(&vault, PolicyEdit::Remove, &CALLER).unwrap();
    assert!(matches!(unwrap(), Err(VaultError::ForbiddenByPolicy(_))));
    edit(&vault, PolicyEdit::Add, &CALLER).unwrap();
    unwrap().unwrap();
    let second = vault.create_key(&key(), RsaSize::R2048).unwrap();
    assert_eq!(wrap(&name, None).unwrap().id, second, "the newest is another one");
}

#[test]
fn no_piece_of_a_private_key_lies_in_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = with_key(&directory);
    let private = private_key();
    let version = vault.insert_version(&key(), &private, &KeySettings::default()).unwrap();
    vault.disable(&KeyTarget::Version(version)).unwrap();
    // Past the header, which is the same in every key; what follows is the public half first,
    // which nobody can read either.
    let pieces: Vec<&[u8]> = private.pkcs8[64..].chunks_exact(8).collect();
    let search = |when: &str| {
        for entry in fs::read_dir(directory.path().join("vault")).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read(&path).unwrap();
            for window in content.windows(8) {
                assert!(!pieces.contains(&window), "{when}: {}", path.display());
            }
        }
    };
    search("while running");
    drop(vault);
    search("after closing");
}

#[test]
fn a_vault_does_not_print_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = with_key(&directory);
    let printed = format!("{vault:?} {:?}", provider(&vault));
    assert!(!printed.contains("release") && !printed.contains("MainKey"), "{printed}");
    let private = private_key();
    let ready = ReadyKey::from_pkcs8(private.shape, Purpose::Oaep, &private.pkcs8).unwrap();
    assert_eq!(format!("{private:?} {ready:?}"), "NewPrivate(RSA-2048) ReadyKey(RSA-OAEP)");
}
