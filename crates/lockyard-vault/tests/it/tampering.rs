//! An intruder who can write to the database can break keys, but never grant, enable, rename or
//! exchange one.

use std::{fmt, fs, sync::Arc};

use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyProvider as _, ProviderError, VersionedKeyId, WrappedShare,
};
use lockyard_vault::{OpenVaultError, RsaSize, Vault};
use rusqlite::types::Value;

use crate::support::{REGISTRY, STRANGER, World, allow, key, provider};

/// What a use answers after the intrusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Right,
    Denied(Denial),
    Damaged,
    WrongRootKey,
    DoesNotOpen,
}

/// A vault with two keys of two versions each, whose database is changed again and again.
struct Scene {
    world: World,
    pristine: Vec<u8>,
    share: CustomerShare,
    /// Two versions of `payments/alpha`, then two of `payments/beta`.
    wraps: Vec<(VersionedKeyId, WrappedShare)>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        let vault = world.open();
        let share = world.share();
        let mut wraps = Vec::new();
        vault.create_vault(&"payments".parse().unwrap()).unwrap();
        vault.create_vault(&"archive".parse().unwrap()).unwrap();
        allow(&vault, &REGISTRY, &"payments".parse().unwrap());
        for name in ["alpha", "beta"] {
            let id = key("payments", name);
            for _ in 0..2 {
                let version = vault.create_key(&id, RsaSize::R2048).unwrap();
                let wrap = provider(&vault).wrap_key(&REGISTRY, &version, &share).await.unwrap();
                wraps.push((version, wrap));
            }
        }
        vault.disable(&wraps[1].0.to_string().parse().unwrap()).unwrap();
        drop(vault);
        let pristine = fs::read(world.directory().join("vault.db")).unwrap();
        Self { world, pristine, share, wraps }
    }

    /// Changes the pristine database.
    fn intrude(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) {
        fs::write(self.world.directory().join("vault.db"), &self.pristine).unwrap();
        let changed = self.world.intrude().execute(sql, values).unwrap_or_else(|error| {
            panic!("{sql}: {error}");
        });
        assert!(changed > 0, "{sql} changed nothing");
    }

    /// What using this version answers, as this caller; a wrong share is a failure at once.
    async fn unwrap(&self, caller: &Identity, which: usize) -> Answer {
        let (version, wrap) = &self.wraps[which];
        self.unwrap_as(caller, version, wrap).await
    }

    async fn unwrap_as(
        &self,
        caller: &Identity,
        version: &VersionedKeyId,
        wrap: &WrappedShare,
    ) -> Answer {
        let vault = match self.world.try_open() {
            Ok(vault) => Arc::new(vault),
            Err(OpenVaultError::WrongRootKey) => return Answer::WrongRootKey,
            Err(OpenVaultError::Damaged(_)) => return Answer::DoesNotOpen,
            Err(error) => panic!("{error:?}"),
        };
        let answer =
            answer(provider(&vault).unwrap_key(caller, version, wrap).await.map(|share| {
                assert_eq!(share.dangerous_expose(), self.share.dangerous_expose());
            }));
        // The listing must not be more trusting than the use.
        let listed = listing(&vault, caller, version).await;
        if answer == Answer::Damaged {
            assert_eq!(listed, Answer::Damaged, "{version}");
        }
        answer
    }
}

async fn listing(vault: &Arc<Vault>, caller: &Identity, version: &VersionedKeyId) -> Answer {
    answer(provider(vault).versions(caller, &version.key).await)
}

fn answer<T: fmt::Debug>(result: Result<T, ProviderError>) -> Answer {
    match result {
        Ok(_) => Answer::Right,
        Err(ProviderError::Denied(denial, _)) => Answer::Denied(denial),
        Err(ProviderError::Damaged(_)) => Answer::Damaged,
        Err(ProviderError::Unreachable(text)) => panic!("{text}"),
    }
}

/// Each column of the schema, and what its change leads to.
const COLUMNS: [(&str, &str, Answer); 31] = {
    use Answer::{Damaged, Denied, DoesNotOpen, Right};
    use Denial::{KeyNotFound, VaultNotFound, VersionNotFound};
    [
        ("meta/row_key", "name", DoesNotOpen),
        ("meta/row_key", "value", DoesNotOpen),
        ("meta/index_key", "name", DoesNotOpen),
        ("meta/index_key", "value", DoesNotOpen),
        ("meta/directory_id", "name", DoesNotOpen),
        ("meta/directory_id", "value", Answer::WrongRootKey),
        ("meta/root_key_check", "name", DoesNotOpen),
        ("meta/root_key_check", "value", Answer::WrongRootKey),
        ("vault", "vault_id", Damaged),
        ("vault", "name_index", Denied(VaultNotFound)),
        ("vault", "sealed_name", Damaged),
        ("vault", "created_at", Right),
        ("vault", "purge_at", Damaged),
        ("vault", "sealed_record", Damaged),
        ("key", "key_id", Damaged),
        ("key", "vault_id", Denied(KeyNotFound)),
        ("key", "name_index", Denied(KeyNotFound)),
        ("key", "sealed_name", Damaged),
        ("key", "created_at", Right),
        ("key", "purge_at", Damaged),
        ("key", "rotate_at", Damaged),
        ("key", "sealed_record", Damaged),
        ("key_version", "version_id", Denied(VersionNotFound)),
        ("key_version", "key_id", Denied(VersionNotFound)),
        ("key_version", "ordinal", Damaged),
        ("key_version", "kind", Damaged),
        ("key_version", "enabled", Damaged),
        ("key_version", "not_before", Damaged),
        ("key_version", "expires", Damaged),
        ("key_version", "sealed_key", Damaged),
        ("key_version", "sealed_record", Damaged),
    ]
};

fn changed(value: Value) -> Value {
    match value {
        Value::Null => Value::Integer(1),
        Value::Integer(number) => Value::Integer(number ^ 1),
        Value::Real(_) => panic!("the schema has no such column"),
        Value::Text(text) => Value::Text(text.replace('0', "1").replace('_', "-") + "x"),
        Value::Blob(mut bytes) => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Value::Blob(bytes)
        }
    }
}

#[tokio::test]
async fn every_changed_column_is_noticed() {
    let scene = Scene::new().await;
    assert_eq!(scene.unwrap(&REGISTRY, 0).await, Answer::Right);
    let mut seen = 0;
    for (place, column, expected) in COLUMNS {
        let (table, row) = place.split_once('/').unwrap_or((place, ""));
        let only = if row.is_empty() { String::new() } else { format!("WHERE name = '{row}'") };
        fs::write(scene.world.directory().join("vault.db"), &scene.pristine).unwrap();
        let values: Vec<(i64, Value)> = {
            let database = scene.world.intrude();
            let mut select = database
                .prepare(&format!("SELECT rowid, {column} FROM {table} {only}"))
                .expect("a column of the schema");
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        let mut noticed = Vec::new();
        for (rowid, value) in values {
            scene.intrude(
                &format!("UPDATE {table} SET {column} = ?1 WHERE rowid = ?2"),
                &[&changed(value), &rowid],
            );
            seen += 1;
            // Each row concerns some of the versions; all others must be as they were.
            for which in [0, 2, 3] {
                let found = scene.unwrap(&REGISTRY, which).await;
                assert!(
                    found == Answer::Right || found == expected,
                    "{table}.{column} of row {rowid}: {found:?}"
                );
                noticed.push(found);
            }
        }
        assert!(noticed.contains(&expected), "{table}.{column}: {noticed:?}");
    }
    assert!(seen > 60, "{seen} changes were tried");
}

#[tokio::test]
async fn the_table_above_knows_every_column() {
    let scene = Scene::new().await;
    let database = scene.world.intrude();
    let mut select = database
        .prepare(
            "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
             -- Only older versions wrote grants, and no use looks at one.
             WHERE t.type = 'table' AND t.name <> 'key_grant'",
        )
        .unwrap();
    let columns = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for column in columns {
        let column = column.unwrap();
        let known = COLUMNS.iter().any(|(place, name, _)| {
            format!("{}.{name}", place.split('/').next().unwrap()) == column
        });
        assert!(known, "{column} is not tried");
    }
}

#[tokio::test]
async fn every_byte_of_a_sealed_key_matters() {
    let scene = Scene::new().await;
    let (version, _) = &scene.wraps[0];
    let id = hex::decode(version.version.as_str()).unwrap();
    let sealed: Vec<u8> = scene
        .world
        .intrude()
        .query_row("SELECT sealed_key FROM key_version WHERE version_id = ?1", [&id], |row| {
            row.get(0)
        })
        .unwrap();
    let update = "UPDATE key_version SET sealed_key = ?1 WHERE version_id = ?2";
    for place in (0..sealed.len()).step_by(37).chain([sealed.len() - 1]) {
        let mut bytes = sealed.clone();
        bytes[place] ^= 0x80;
        scene.intrude(update, &[&bytes, &id]);
        assert_eq!(scene.unwrap(&REGISTRY, 0).await, Answer::Damaged, "byte {place}");
    }
    for length in [0, 1, 39, 40, 56, sealed.len() - 1] {
        scene.intrude(update, &[&&sealed[..length], &id]);
        assert_eq!(scene.unwrap(&REGISTRY, 0).await, Answer::Damaged, "{length} bytes");
    }
}

#[tokio::test]
async fn rows_that_change_places_are_damaged() {
    let scene = Scene::new().await;
    let database = scene.world.intrude();
    let ids = |table: &str, column: &str| -> Vec<Vec<u8>> {
        let mut select =
            database.prepare(&format!("SELECT {column} FROM {table} ORDER BY rowid")).unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    // Unique columns exchange their values through a value that nothing else has.
    let swaps = [
        ("key_version", "sealed_key", 0, 2),
        ("key_version", "sealed_key", 2, 3),
        ("key_version", "sealed_record", 0, 2),
        ("key_version", "sealed_record", 2, 3),
        ("key", "sealed_record", 0, 1),
        ("vault", "sealed_record", 0, 1),
        ("key_version", "version_id", 2, 3),
        ("key_version", "key_id", 0, 2),
        ("key", "name_index", 0, 1),
        ("key", "sealed_name", 0, 1),
        ("key", "key_id", 0, 1),
        ("vault", "name_index", 0, 1),
        ("vault", "sealed_name", 0, 1),
        ("vault", "vault_id", 0, 1),
    ];
    let columns: Vec<_> = swaps.iter().map(|swap| ids(swap.0, swap.1)).collect();
    drop(database);
    for ((table, column, a, b), values) in swaps.into_iter().zip(columns) {
        let (a, b) = (a + 1, b + 1);
        let (of_a, of_b) = (&values[a - 1], &values[b - 1]);
        scene.intrude(&format!("UPDATE {table} SET {column} = x'00' WHERE rowid = {a}"), &[]);
        let database = scene.world.intrude();
        for (rowid, value) in [(b, of_a), (a, of_b)] {
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE rowid = {rowid}");
            database.execute(&sql, [value]).unwrap();
        }
        drop(database);
        let mut answers = Vec::new();
        for which in [0, 2, 3] {
            answers.push(scene.unwrap(&REGISTRY, which).await);
        }
        let what = format!("{table}.{column} of rows {a} and {b}: {answers:?}");
        assert!(answers.iter().any(|answer| *answer != Answer::Right), "{what}");
    }
}

#[tokio::test]
async fn an_intruder_cannot_enable_grant_or_move_a_key() {
    let scene = Scene::new().await;
    let (alpha, wrap) = &scene.wraps[1];
    assert_eq!(scene.unwrap(&REGISTRY, 1).await, Answer::Denied(Denial::KeyDisabled));
    scene.intrude("UPDATE key_version SET enabled = 1", &[]);
    assert_eq!(scene.unwrap(&REGISTRY, 1).await, Answer::Damaged);

    assert_eq!(scene.unwrap(&STRANGER, 0).await, Answer::Denied(Denial::NotAuthorized));

    // The version moves, with all that belongs to it, under the other key.
    let id = hex::decode(alpha.version.as_str()).unwrap();
    scene.intrude(
        "UPDATE key_version SET ordinal = 9, key_id = (SELECT key_id FROM key ORDER BY rowid DESC)
         WHERE version_id = ?1",
        &[&id],
    );
    let moved = VersionedKeyId { key: key("payments", "beta"), version: alpha.version.clone() };
    assert_eq!(scene.unwrap_as(&REGISTRY, &moved, wrap).await, Answer::Damaged);
}
