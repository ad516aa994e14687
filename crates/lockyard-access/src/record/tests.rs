//! Records on a database of their own, with a clock that the test winds.

use std::time::Duration;

use lockyard_base::{HandClock, SeededEntropy};
use lockyard_keyring::ServiceKey;
use lockyard_store::Engine;

use super::*;

struct World {
    records: Records,
    clock: Arc<HandClock>,
    file: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(HandClock::default()));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let service = ServiceKey::generate(&*entropy);
    let keys = InstanceKeys::generate(&service, &*entropy);
    let keys = Arc::new(InstanceKeys::open(&service, &keys).unwrap());
    let file = dir.path().join("store.db");
    let store =
        Store::open(Engine::Sqlite { path: file.clone() }, Arc::clone(&clock) as _).unwrap();
    World { records: Records::new(store, keys, entropy), clock, file, _dir: dir }
}

impl World {
    fn in_seconds(&self, seconds: u64) -> Timestamp {
        use lockyard_base::Clock as _;
        self.clock.wall() + Duration::from_secs(seconds)
    }

    fn tamper(&self, sql: &str) {
        let changed = rusqlite::Connection::open(&self.file).unwrap().execute(sql, []).unwrap();
        assert_eq!(changed, 1, "{sql}");
    }

    fn value(&self, kind: &str, name: &[u8]) -> Option<Vec<u8>> {
        self.records.get(kind, name).unwrap().map(|value| value.to_vec())
    }
}

#[test]
fn a_record_is_over_when_its_time_has_come() {
    let world = world();
    world.records.put_until("code", b"a", b"one", world.in_seconds(60)).unwrap();
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(world.value("code", b"a").as_deref(), Some(b"one".as_slice()));
    assert_eq!(world.records.list("code").unwrap().len(), 1);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.value("code", b"a"), None);
    assert!(world.records.list("code").unwrap().is_empty());
    assert!(world.records.take("code", b"a").unwrap().is_none());
}

#[test]
fn a_record_is_taken_once() {
    let world = world();
    world.records.put_until("code", b"a", b"one", world.in_seconds(60)).unwrap();
    let taken = world.records.take("code", b"a").unwrap().unwrap();
    assert_eq!(taken.as_slice(), b"one");
    assert!(world.records.take("code", b"a").unwrap().is_none());
}

#[test]
fn only_what_was_seen_is_replaced() {
    let world = world();
    let records = &world.records;
    let seen = |name: &[u8]| {
        records.read_blocking(|txn| txn.get("family", name)).unwrap().map(|record| record.seal)
    };
    records.put_until("family", b"a", b"one", world.in_seconds(60)).unwrap();
    let first = seen(b"a").unwrap();
    assert!(records.replace_if("family", b"a", first, b"two").unwrap());
    assert!(!records.replace_if("family", b"a", first, b"three").unwrap(), "it was overtaken");
    assert!(!records.replace_if("family", b"b", first, b"three").unwrap(), "it is another");
    assert_eq!(world.value("family", b"a").as_deref(), Some(b"two".as_slice()));
    // A record that was forgotten and made anew is another one, however often it was sealed.
    records.remove("family", b"a").unwrap();
    records.put("family", b"a", b"new").unwrap();
    assert!(!records.replace_if("family", b"a", first, b"three").unwrap());
    records.put_until("family", b"a", b"late", world.in_seconds(60)).unwrap();
    let late = seen(b"a").unwrap();
    world.clock.advance(Duration::from_secs(61));
    assert!(!records.replace_if("family", b"a", late, b"three").unwrap(), "it is over");
}

#[test]
fn a_name_is_inserted_once_until_it_is_over() {
    let world = world();
    let insert = |until| {
        world.records.write_blocking(move |txn| txn.insert("used", b"jti", b"", Some(until)))
    };
    let until = world.in_seconds(60);
    assert!(insert(until).unwrap());
    assert!(!insert(until).unwrap());
    world.clock.advance(Duration::from_secs(60));
    assert!(insert(world.in_seconds(60)).unwrap());
}

#[test]
fn several_records_change_together_or_not_at_all() {
    let world = world();
    world.records.put("a", b"1", b"old").unwrap();
    let failed: Result<(), RecordError> = world.records.write_blocking(|txn| {
        txn.put("a", b"1", b"new")?;
        txn.put("a", b"2", b"new")?;
        Err(RecordError::Overtaken)
    });
    assert!(matches!(failed, Err(RecordError::Overtaken)));
    assert_eq!(world.value("a", b"1").as_deref(), Some(b"old".as_slice()));
    assert_eq!(world.value("a", b"2"), None);
}

#[test]
fn a_prolonged_record_is_damaged() {
    let world = world();
    world.records.put_until("code", b"a", b"one", world.in_seconds(60)).unwrap();
    world.tamper("UPDATE instance_record SET expires_at = expires_at + 1");
    assert!(matches!(world.records.get("code", b"a"), Err(RecordError::Damaged)));
    assert!(matches!(world.records.take("code", b"a"), Err(RecordError::Damaged)));
    world.tamper("UPDATE instance_record SET expires_at = NULL");
    assert!(matches!(world.records.get("code", b"a"), Err(RecordError::Damaged)));
    assert!(matches!(world.records.list("code"), Err(RecordError::Damaged)));
}

#[test]
fn a_record_under_another_kind_is_damaged_in_a_list_too() {
    let world = world();
    world.records.put("guest", b"a", b"one").unwrap();
    world.tamper("UPDATE instance_record SET kind = 'owner'");
    assert!(matches!(world.records.list("owner"), Err(RecordError::Damaged)));
    assert_eq!(world.value("owner", b"a"), None);
}

#[test]
fn a_record_of_version_1_reads_on_and_is_bound_when_it_is_written_again() {
    let world = world();
    let records = world.records.clone();
    let (id, index) = (RowId::random(&*records.entropy), records.index("owner", b""));
    let sealed = records.keys.seal_row(&*records.entropy, &place(id, &index), b"somebody");
    let insert =
        move |txn: &mut Txn<'_>| instance::insert_record(txn, id, "owner", &index, None, &sealed);
    assert!(records.store.write_blocking(None, insert).unwrap());
    assert_eq!(world.value("owner", b"").as_deref(), Some(b"somebody".as_slice()));
    assert!(matches!(records.list("owner"), Err(RecordError::Damaged)), "its kind is not bound");
    records.put("owner", b"", b"somebody").unwrap();
    assert_eq!(records.list("owner").unwrap().len(), 1);
}

#[tokio::test]
async fn a_sweep_deletes_what_is_over_and_nothing_else() {
    let world = world();
    let until = world.in_seconds(60);
    let many = u64::from(SWEPT_AT_ONCE) * 2;
    let fill = move |txn: &mut RecordTxn<'_, '_>| -> Result<(), RecordError> {
        for number in 0..many {
            txn.put_until("code", &number.to_be_bytes(), b"", until)?;
        }
        txn.put("owner", b"", b"")
    };
    world.records.write(fill).await.unwrap();
    assert_eq!(world.records.sweep_expired().await.unwrap(), 0);
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.records.sweep_expired().await.unwrap(), many);
    assert_eq!(world.value("owner", b"").as_deref(), Some(b"".as_slice()));
}
