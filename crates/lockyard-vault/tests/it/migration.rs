//! Vault directories that older versions wrote. `fixtures/schema-1.db` is one that the code of
//! schema 1 made: root key 09…, keys of 2048 bits, a share of 05… wrapped under the first version.

use std::{fs, os::unix::fs::PermissionsExt as _};

use lockyard_keyring::{Denial, KeyProvider as _, ProviderError, VersionedKeyId, WrappedShare};
use lockyard_vault::{KeyOperations, PermissionModel, RsaSize, VaultRootKey};
use rusqlite::Connection;

use crate::support::{REGISTRY, STRANGER, World, provider, refused};

const SCHEMA_1: &[u8] = include_bytes!("fixtures/schema-1.db");
const NAMES: &str = include_str!("fixtures/schema-1.txt");

fn world_of_schema_1() -> (World, VaultRootKey) {
    let world = World::new();
    let directory = world.directory();
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    let file = directory.join("vault.db");
    fs::write(&file, SCHEMA_1).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    (world, VaultRootKey::from_bytes(&[9; 32]))
}

fn names() -> (VersionedKeyId, VersionedKeyId, WrappedShare) {
    let lines: Vec<&str> = NAMES.lines().collect();
    let wrap = WrappedShare::from_bytes(hex::decode(lines[2]).unwrap());
    (lines[0].parse().unwrap(), lines[1].parse().unwrap(), wrap)
}

#[tokio::test]
async fn a_vault_of_schema_1_goes_on_as_it_was() {
    let (world, root) = world_of_schema_1();
    let (first, second, wrap) = names();
    for opening in ["migrated", "opened again"] {
        let vault = std::sync::Arc::new(world.try_open_with(&root).expect(opening));
        let given = vault.convert_grants(&[REGISTRY]).expect("converted");
        assert_eq!(given.len(), usize::from(opening == "migrated"));
        let provider = provider(&vault);
        let share = provider.unwrap_key(&REGISTRY, &first, &wrap).await.expect("still granted");
        assert_eq!(share.dangerous_expose(), &[5; 32], "{opening}");
        let error = refused(provider.unwrap_key(&STRANGER, &first, &wrap).await);
        assert!(matches!(error, ProviderError::Denied(Denial::NotAuthorized, _)), "{error:?}");
        let error = refused(provider.wrap_key(&REGISTRY, &first, &share).await);
        assert!(error.to_string().contains("expired"), "{error}");
        let error = refused(provider.unwrap_key(&REGISTRY, &second, &wrap).await);
        assert!(error.to_string().contains("is disabled"), "{error}");
        let vaults: Vec<_> = vault.live_vaults().unwrap();
        let shown: Vec<_> = vaults.iter().map(|vault| vault.name.as_str()).collect();
        assert_eq!(shown, ["archive", "Payments"], "{opening}");
        assert!(vaults.iter().all(|vault| vault.model == PermissionModel::Policies));
        assert!(vaults.iter().all(|vault| vault.place.is_unplaced()));
        let policies: Vec<_> = vaults.iter().map(|vault| vault.policies.len()).collect();
        assert_eq!(policies, [0, 1], "{opening}");
        let bundle = vault.key(&first.key, Some(&first.version)).unwrap();
        assert_eq!(bundle.operations, KeyOperations::all());
        assert_eq!((bundle.hsm, bundle.attributes.recoverable_days), (false, 90));
    }
    let vault = std::sync::Arc::new(world.try_open_with(&root).expect("opens"));
    let third = vault.create_key(&first.key, RsaSize::R2048).expect("a new version");
    let versions = vault.versions(&first.key).unwrap();
    let order: Vec<_> = versions.into_iter().map(|version| version.id.version).collect();
    assert_eq!(order, [third.version, second.version, first.version]);
}

#[test]
fn a_migrated_database_has_the_tables_of_a_new_one() {
    let shape = |world: &World| -> Vec<String> {
        let database = Connection::open(world.directory().join("vault.db")).unwrap();
        let mut select = database
            .prepare(
                "SELECT t.name || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' '
                     || c.pk || ' ' || coalesce(c.dflt_value, '')
                 FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'
                 UNION ALL SELECT tbl_name || ' index' FROM sqlite_schema WHERE type = 'index'
                 UNION ALL SELECT 'version ' || user_version FROM pragma_user_version
                 ORDER BY 1",
            )
            .unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let (old, root) = world_of_schema_1();
    drop(old.try_open_with(&root).expect("migrated"));
    let new = World::new();
    drop(new.open());
    assert_eq!(shape(&old), shape(&new));
}

#[test]
fn a_damaged_version_keeps_nobody_from_the_rest_of_an_old_vault() {
    let (world, root) = world_of_schema_1();
    let (first, second, _) = names();
    let id = hex::decode(second.version.as_str()).unwrap();
    world
        .intrude()
        .execute("UPDATE key_version SET enabled = 1 WHERE version_id = ?1", [&id])
        .unwrap();
    let vault = world.try_open_with(&root).expect("opens all the same");
    assert!(vault.key(&first.key, Some(&first.version)).is_ok());
    let error = vault.key(&first.key, Some(&second.version)).expect_err("was changed");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn a_wrong_root_key_migrates_nothing() {
    let (world, _) = world_of_schema_1();
    let wrong = VaultRootKey::from_bytes(&[8; 32]);
    world.try_open_with(&wrong).expect_err("wrong root key");
    let version: i64 = world
        .intrude()
        .query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
}
