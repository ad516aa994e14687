//! Opening, closing and opening again: what a vault directory promises to whoever runs it.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use lockyard_base::chain;
use lockyard_vault::{KeyTarget, OpenVaultError, RootKeyError, RsaSize, VaultError, VaultRootKey};

use crate::support::{REGISTRY, World, allow, allowed, forbid, key};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_restart_finds_vaults_keys_versions_and_policies() {
    let world = World::new();
    let payments = key("payments", "release");
    let (first, second) = {
        let vault = world.open();
        for name in ["payments", "archive"] {
            vault.create_vault(&name.parse().unwrap()).expect("a new vault");
        }
        let first = vault.create_key(&payments, RsaSize::R2048).expect("a key");
        let second = vault.create_key(&payments, RsaSize::R3072).expect("a version");
        vault.create_key(&key("payments", "Backup"), RsaSize::R2048).expect("a key");
        allow(&vault, &REGISTRY, &payments.vault);
        vault.disable(&KeyTarget::Version(first.clone())).expect("disabled");
        (first, second)
    };
    let vault = world.open();
    let names: Vec<_> = vault.vaults().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["archive", "payments"]);
    let keys: Vec<_> =
        vault.keys(&payments.vault).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["payments/Backup", "payments/release"]);
    let versions: Vec<_> =
        vault.versions(&payments).unwrap().into_iter().map(|v| (v.id, v.enabled)).collect();
    assert_eq!(versions, [(second, true), (first, false)]);
    assert_eq!(allowed(&vault, &payments.vault), [REGISTRY]);
}

#[test]
fn names_are_taken_whatever_their_case_and_missing_ones_are_told() {
    let world = World::new();
    let vault = world.open();
    vault.create_vault(&"Payments".parse().unwrap()).expect("a new vault");
    let taken = vault.create_vault(&"payments".parse().unwrap());
    assert!(matches!(taken, Err(VaultError::VaultExists(_))), "{taken:?}");
    let external = vault.create_vault(&"payments.example.org".parse().unwrap());
    assert!(matches!(external, Err(VaultError::NotEmbedded(_))), "{external:?}");

    let first = vault.create_key(&key("PAYMENTS", "Release"), RsaSize::R2048).expect("a key");
    vault.create_key(&key("payments", "RELEASE"), RsaSize::R2048).expect("a second version");
    assert_eq!(vault.versions(&key("payments", "release")).unwrap().len(), 2);
    assert_eq!(first.to_string().split('/').next_back().unwrap().len(), 32);

    let nowhere = vault.create_key(&key("nowhere", "release"), RsaSize::R2048);
    assert!(matches!(nowhere, Err(VaultError::VaultNotFound(_))), "{nowhere:?}");
    let unknown = vault.disable(&"payments/other".parse().unwrap());
    assert!(matches!(unknown, Err(VaultError::KeyNotFound(_))), "{unknown:?}");
    let target = format!("payments/release/{}", "0".repeat(32)).parse().unwrap();
    let unknown = vault.enable(&target);
    assert!(matches!(unknown, Err(VaultError::VersionNotFound(_))), "{unknown:?}");
}

#[test]
fn everything_in_the_directory_is_private_while_the_vault_runs() {
    let world = World::new();
    let vault = world.open();
    vault.create_vault(&"payments".parse().unwrap()).expect("a new vault");
    assert_eq!(mode(&world.directory()), 0o700);
    assert_eq!(mode(&world.key_file()), 0o600);
    let files = world.files();
    assert!(files.len() >= 4, "database, log, shared memory and lock: {}", files.len());
    for (path, _) in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_directory_or_database_that_others_can_read_is_refused() {
    let world = World::new();
    drop(world.open());
    for (path, right) in [(world.directory(), 0o700), (world.directory().join("vault.db"), 0o600)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(right | 0o040)).unwrap();
        let error = world.try_open().expect_err("exposed");
        assert!(error.to_string().contains("run `chmod"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(right)).unwrap();
    }
    drop(world.open());
}

#[test]
fn a_directory_is_used_by_one_vault_at_a_time() {
    let world = World::new();
    let vault = world.open();
    let error = world.try_open().expect_err("in use");
    assert!(matches!(error, OpenVaultError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("another process uses the vault directory"), "{error}");
    vault.health().expect("the first one goes on");
    drop(vault);
    drop(world.open());
}

#[test]
fn a_wrong_root_key_is_told_and_changes_nothing() {
    let world = World::new();
    drop(world.open());
    let before = world.files();
    let error = world.try_open_with(&VaultRootKey::from_bytes(&[7; 32])).expect_err("wrong");
    assert!(matches!(error, OpenVaultError::WrongRootKey), "{error:?}");
    assert_eq!(world.files(), before);
    drop(world.open());
}

#[test]
fn a_lost_key_file_is_told_and_never_replaced() {
    let world = World::new();
    drop(world.open());
    fs::remove_file(world.key_file()).unwrap();
    let lost = VaultRootKey::read_or_create(&world.key_file(), &world.directory(), world.entropy());
    assert!(matches!(lost, Err(RootKeyError::Missing { .. })), "{lost:?}");
    assert!(!world.key_file().exists());
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let world = World::new();
    drop(world.open());
    world.intrude().pragma_update(None, "user_version", 3).unwrap();
    let before = world.files();
    let error = world.try_open().expect_err("newer");
    assert!(matches!(error, OpenVaultError::Newer { found: 3, known: 2 }), "{error:?}");
    assert!(error.to_string().contains("schema 3"), "{error}");
    assert_eq!(world.files(), before);
}

#[test]
fn directories_and_databases_of_somebody_else_are_left_alone() {
    let world = World::new();
    let root_key = world.root_key();
    fs::create_dir(world.directory()).unwrap();
    let photo = world.directory().join("photo.jpg");
    fs::write(&photo, "x").unwrap();
    let error = world.try_open_with(&root_key).expect_err("not empty");
    assert!(matches!(error, OpenVaultError::NotAVault { .. }), "{error:?}");
    fs::rename(&photo, world.directory().join("vault.db-wal")).unwrap();
    let error = world.try_open_with(&root_key).expect_err("a log without its database");
    assert!(matches!(error, OpenVaultError::NotAVault { .. }), "{error:?}");
    fs::remove_file(world.directory().join("vault.db-wal")).unwrap();

    world.intrude().execute_batch("CREATE TABLE diary (day TEXT)").unwrap();
    fs::set_permissions(world.directory(), fs::Permissions::from_mode(0o700)).unwrap();
    let database = world.directory().join("vault.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    let error = world.try_open_with(&root_key).expect_err("foreign");
    assert!(matches!(error, OpenVaultError::ForeignDatabase), "{error:?}");

    fs::write(&database, "no database at all, whatever its name may promise").unwrap();
    let error = world.try_open_with(&root_key).expect_err("garbage");
    assert!(matches!(error, OpenVaultError::Damaged(_)), "{error:?}");
    assert!(chain(&error).to_string().contains("restore the vault directory"), "{error}");
}

#[test]
fn a_first_start_that_was_cut_short_is_taken_up_again() {
    let world = World::new();
    let root_key = world.root_key();
    fs::create_dir(world.directory()).unwrap();
    for name in ["vault.lock", "vault.db", "vault.db-journal"] {
        fs::write(world.directory().join(name), "").unwrap();
    }
    let vault = world.try_open_with(&root_key).expect("begins again");
    vault.create_vault(&"payments".parse().unwrap()).expect("works");
}

#[test]
fn no_name_can_be_read_in_the_directory() {
    let world = World::new();
    let vault = world.open();
    let id = key("MarkerVault", "MarkerKey");
    vault.create_vault(&id.vault).unwrap();
    vault.create_key(&id, RsaSize::R2048).unwrap();
    allow(&vault, &REGISTRY, &id.vault);
    vault.disable(&KeyTarget::Key(id.clone())).unwrap();
    let search = |when: &str| {
        for (path, content) in world.files() {
            let content = content.to_ascii_lowercase();
            let found = content.windows(6).any(|window| window == b"marker");
            assert!(!found, "{when}: {}", path.display());
        }
    };
    search("while running");
    drop(vault);
    search("after closing");
}

#[test]
fn every_change_raises_the_number_and_refusals_do_not() {
    let world = World::new();
    let vault = world.open();
    let mut changes = vault.changes();
    let id = key("payments", "release");
    let mut raised = |what: &str, expected: bool| {
        assert_eq!(changes.has_changed().unwrap(), expected, "{what}");
        let before = *changes.borrow();
        let now = *changes.borrow_and_update();
        assert!(now >= before);
    };
    vault.create_vault(&id.vault).unwrap();
    raised("create vault", true);
    assert!(vault.create_vault(&id.vault).is_err());
    raised("refused", false);
    vault.create_key(&id, RsaSize::R2048).unwrap();
    raised("create key", true);
    allow(&vault, &REGISTRY, &id.vault);
    raised("grant", true);
    vault.disable(&KeyTarget::Key(id.clone())).unwrap();
    raised("disable", true);
    vault.enable(&KeyTarget::Key(id.clone())).unwrap();
    raised("enable", true);
    forbid(&vault, &REGISTRY, &id.vault);
    raised("revoke", true);
    assert!(allowed(&vault, &id.vault).is_empty());
    raised("reading", false);
    assert_eq!(*Arc::clone(&vault).changes().borrow(), 6);
}
