//! Stories of the rows above the content: instance, registries, epochs, wraps, index keys.

use std::time::Duration;

use lockyard_base::{Epoch, OsEntropy, RegistryId, RowId, WrapId};
use lockyard_store::{
    SealNo, Store, StoreError, Txn,
    epoch::{self, EpochState},
    index_key,
    instance::{self, SlotKind, SlotRow},
    registry,
    wrap::{self, NewWrap, ReplacedWrap, WrapState},
};

use crate::{
    Story,
    world::{Place, World, index},
};

pub(crate) const STORIES: &[Story] = &[
    ("an_instance_keeps_its_first_id", an_instance_keeps_its_first_id),
    ("slots_are_put_replaced_and_deleted", slots_are_put_replaced_and_deleted),
    ("an_instance_key_is_inserted_once_and_then_swapped", an_instance_key),
    ("records_are_found_by_kind_and_name", records_are_found_by_kind_and_name),
    ("a_record_is_swept_when_it_is_over", a_record_is_swept_when_it_is_over),
    ("of_two_that_take_a_record_one_wins", of_two_that_take_a_record_one_wins),
    ("a_record_of_version_1_lives_on", a_record_of_version_1_lives_on),
    ("two_registries_never_share_a_name", two_registries_never_share_a_name),
    ("an_epoch_holds_until_it_retires", an_epoch_holds_until_it_retires),
    ("an_epoch_has_one_current_wrap", an_epoch_has_one_current_wrap),
    ("an_index_key_is_swapped_by_its_seal_number", an_index_key),
];

fn an_instance_keeps_its_first_id(world: World) {
    let (first, second) = (RowId::random(&OsEntropy), RowId::random(&OsEntropy));
    assert_eq!(world.read(instance::id), None);
    assert_eq!(world.write(move |txn| instance::establish(txn, first)), first);
    assert_eq!(world.write(move |txn| instance::establish(txn, second)), first);
    assert_eq!(world.read(instance::id), Some(first));
    assert!(world.read(instance::created_at).is_some());
}

fn slots_are_put_replaced_and_deleted(world: World) {
    let slot_id = RowId::random(&OsEntropy);
    let slot = |kind, params: &str| SlotRow {
        slot_id,
        kind,
        params: params.to_owned(),
        sealed: vec![1, 2, 3],
    };
    for slot in [slot(SlotKind::File, ""), slot(SlotKind::Passphrase, "m=65536,t=3,p=4")] {
        let put = slot.clone();
        world.write(move |txn| instance::put_slot(txn, &put));
        assert_eq!(world.read(instance::slots), [slot]);
    }
    assert!(world.write(move |txn| instance::delete_slot(txn, slot_id)));
    assert!(!world.write(move |txn| instance::delete_slot(txn, slot_id)));
    assert_eq!(world.read(instance::slots), []);
}

fn an_instance_key(world: World) {
    let put = |expected, sealed: &'static [u8]| {
        world.write(move |txn| instance::put_instance_key(txn, "row", expected, sealed))
    };
    assert!(put(None, b"one"));
    assert!(!put(None, b"two"));
    assert!(put(Some(SealNo::FIRST), b"three"));
    assert!(!put(Some(SealNo::FIRST), b"four"));
    let row = world.read(|txn| instance::instance_key(txn, "row")).unwrap();
    assert_eq!((row.sealed.as_slice(), row.seal_no.number()), (b"three".as_slice(), 2));
    assert_eq!(world.read(|txn| instance::instance_key(txn, "index")), None);
}

fn records_are_found_by_kind_and_name(world: World) {
    let name = index("record", "owner");
    let insert = |kind: &'static str| {
        let id = RowId::random(&OsEntropy);
        let insert =
            move |txn: &mut Txn<'_>| instance::insert_record(txn, id, kind, &name, None, b"one");
        let done = world.write(insert);
        (id, done)
    };
    let (owner, inserted) = insert("credential");
    assert!(inserted);
    assert!(!insert("credential").1);
    assert!(insert("authority").1);
    let update = |expected| {
        world.write(move |txn| instance::update_record(txn, owner, expected, None, b"two"))
    };
    assert!(update(SealNo::FIRST));
    assert!(!update(SealNo::FIRST));
    let found = world.read(|txn| instance::record(txn, "credential", &name)).unwrap();
    assert_eq!((found.row_id, found.sealed.as_slice()), (owner, b"two".as_slice()));
    assert_eq!(world.read(|txn| instance::records(txn, "credential")), [found]);
    assert_eq!(world.read(|txn| instance::record(txn, "unknown", &name)), None);
    assert!(world.write(move |txn| instance::delete_record(txn, owner)));
    assert!(!world.write(move |txn| instance::delete_record(txn, owner)));
}

fn a_record_is_swept_when_it_is_over(world: World) {
    let kept = |name: &'static str, seconds: Option<u64>| {
        let id = RowId::random(&OsEntropy);
        assert!(world.write(move |txn| {
            let until = seconds.map(|seconds| txn.now() + Duration::from_secs(seconds));
            instance::insert_record(txn, id, "session", &index("record", name), until, b"one")
        }));
        id
    };
    kept("never", None);
    kept("later", Some(9000));
    let (first, second) = (kept("first", Some(100)), kept("second", Some(200)));
    let left = || {
        let rows = world.read(|txn| instance::records(txn, "session"));
        rows.into_iter().map(|row| row.row_id).collect::<Vec<_>>()
    };
    let sweep = |limit| world.write(move |txn| instance::sweep_records(txn, limit));
    assert_eq!(sweep(9), 0);
    world.wait(Duration::from_secs(1000));
    assert_eq!(world.read(|txn| instance::count_records(txn, "session")), 2);
    assert_eq!(left().len(), 4);
    assert_eq!(sweep(1), 1);
    assert!(!left().contains(&first) && left().contains(&second), "the oldest goes first");
    assert_eq!((sweep(9), sweep(9)), (1, 0));
    assert_eq!(left().len(), 2);
}

fn of_two_that_take_a_record_one_wins(world: World) {
    let name = index("record", "code");
    let id = RowId::random(&OsEntropy);
    world.write(move |txn| instance::insert_record(txn, id, "code", &name, None, b"one"));
    let wins = std::thread::scope(|scope| {
        let takers = [&world.store, &world.other].map(|store| {
            scope.spawn(|| {
                let take = move |txn: &mut Txn<'_>| -> Result<bool, StoreError> {
                    let Some(row) = instance::record(txn, "code", &name)? else { return Ok(false) };
                    instance::take_record(txn, row.row_id, row.seal_no)
                };
                store.write_blocking(None, take).unwrap()
            })
        });
        takers.map(|taker| taker.join().unwrap())
    });
    assert_eq!(wins.iter().filter(|won| **won).count(), 1);
    world.write(move |txn| instance::insert_record(txn, id, "code", &name, None, b"one"));
    world.write(move |txn| instance::update_record(txn, id, SealNo::FIRST, None, b"two"));
    assert!(!world.write(move |txn| instance::take_record(txn, id, SealNo::FIRST)));
}

fn a_record_of_version_1_lives_on(world: World) {
    let (id, name) = (RowId::random(&OsEntropy), index("record", "owner"));
    world.write(move |txn| instance::insert_record(txn, id, "owner", &name, None, b"one"));
    let World { store, other, clock, place } = world;
    store.close();
    other.close();
    let version = match &place {
        Place::Sqlite { .. } => "X'00000001'",
        Place::Postgres { .. } => "'\\x00000001'",
    };
    place.tamper(&format!(
        "DROP INDEX instance_record_expiry; ALTER TABLE instance_record DROP COLUMN expires_at; \
         ALTER TABLE part DROP COLUMN content; \
         UPDATE meta SET value = {version} WHERE key = 'schema'"
    ));
    let store = Store::open(place.engine(), clock).unwrap();
    let row = store.read_blocking(move |txn| instance::record(txn, "owner", &name)).unwrap();
    let row = row.unwrap();
    assert_eq!((row.row_id, row.sealed.as_slice(), row.expires_at), (id, b"one".as_slice(), None));
    assert_eq!(store.write_blocking(None, |txn| instance::sweep_records(txn, 9)).unwrap(), 0);
}

fn two_registries_never_share_a_name(world: World) {
    let name_index = index("registry", "contoso");
    let insert = |id| {
        world.write(move |txn| {
            let new = registry::NewRegistry { registry_id: id, name_index, sealed: b"one" };
            registry::insert(txn, &new)
        })
    };
    let (first, second) = (RegistryId::random(&OsEntropy), RegistryId::random(&OsEntropy));
    assert!(insert(first));
    assert!(!insert(second));
    let row = world.read(|txn| registry::by_name(txn, &name_index)).unwrap();
    assert_eq!((row.registry_id, row.repo_version, row.repo_pruned_to), (first, 0, 0));
    assert_eq!(world.read(registry::list), [row]);
    assert_eq!(world.read(|txn| registry::get(txn, second)), None);
    let update =
        || world.write(move |txn| registry::update_sealed(txn, first, SealNo::FIRST, b"two"));
    assert!(update());
    assert!(!update());
    let row = world.read(|txn| registry::get(txn, first)).unwrap();
    assert_eq!((row.sealed.as_slice(), row.seal_no), (b"two".as_slice(), SealNo::FIRST.next()));
}

fn an_epoch_holds_until_it_retires(world: World) {
    let registry = world.registry();
    let hold = |number| {
        let hold = move |txn: &mut Txn<'_>| epoch::hold_active(txn, registry, Epoch::new(number));
        world.store.write_blocking(None, hold)
    };
    hold(1).unwrap();
    assert!(matches!(hold(2), Err(StoreError::EpochNotActive)));
    let retire = || {
        let (from, to) = (EpochState::Active, EpochState::Retiring);
        world.write(move |txn| epoch::set_state(txn, registry, Epoch::FIRST, from, to))
    };
    assert!(retire());
    assert!(!retire());
    assert!(matches!(hold(1), Err(StoreError::EpochNotActive)));
    let row = world.read(|txn| epoch::get(txn, registry, Epoch::FIRST)).unwrap();
    assert_eq!((row.state, row.customer, row.key_check), (EpochState::Retiring, true, [7; 32]));
    assert_eq!(world.read(|txn| epoch::list(txn, registry)), [row]);
    let locked = world.write(move |txn| epoch::lock(txn, registry, Epoch::FIRST));
    assert_eq!(locked, Some(EpochState::Retiring));
}

fn an_epoch_has_one_current_wrap(world: World) {
    let registry_id = world.registry();
    let wrap_id = || WrapId::random(&OsEntropy);
    let (first, second) = (wrap_id(), wrap_id());
    let new = move |wrap_id| NewWrap { wrap_id, registry_id, epoch: Epoch::FIRST, sealed: b"wrap" };
    assert!(world.write(move |txn| wrap::insert(txn, &new(first))));
    assert!(!world.write(move |txn| wrap::insert(txn, &new(second))));

    let replace = |old, next| {
        let replaced = ReplacedWrap { wrap_id: old, expected: SealNo::FIRST, sealed: b"old" };
        world.write(move |txn| wrap::replace_current(txn, &replaced, &new(next)))
    };
    assert!(replace(first, second));
    assert!(!replace(first, wrap_id()), "the loser of two rotations changes nothing");
    let current = world.read(|txn| wrap::current(txn, registry_id));
    assert_eq!(current.iter().map(|row| row.wrap_id).collect::<Vec<_>>(), [second]);
    let all = world.read(|txn| wrap::list(txn, registry_id));
    let old = all.iter().find(|row| row.state == WrapState::Old).unwrap();
    assert_eq!((old.wrap_id, old.sealed.as_slice()), (first, b"old".as_slice()));

    assert!(world.write(move |txn| wrap::update(txn, second, SealNo::FIRST, b"new")));
    assert!(!world.write(move |txn| wrap::update(txn, second, SealNo::FIRST, b"newer")));
    assert!(!world.write(move |txn| wrap::delete(txn, second)), "a current wrap stays");
    assert!(world.write(move |txn| wrap::delete(txn, first)));
    assert_eq!(world.read(|txn| wrap::list(txn, registry_id)).len(), 1);
}

fn an_index_key(world: World) {
    let (registry, row_id) = (world.registry(), RowId::random(&OsEntropy));
    let insert =
        || world.write(move |txn| index_key::insert(txn, registry, row_id, Epoch::FIRST, b"one"));
    assert!(insert());
    assert!(!insert());
    let (seen, epoch) = (SealNo::FIRST, Epoch::new(2));
    let update = || world.write(move |txn| index_key::update(txn, registry, seen, epoch, b"two"));
    assert!(update());
    assert!(!update());
    let row = world.read(|txn| index_key::get(txn, registry)).unwrap();
    assert_eq!((row.row_id, row.epoch, row.sealed.as_slice()), (row_id, epoch, b"two".as_slice()));
}
