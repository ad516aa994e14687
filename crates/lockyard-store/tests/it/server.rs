//! Stories of PostgreSQL's connections: lost ones, impossible ones, and several nodes.

use std::{sync::Arc, thread};

use lockyard_base::{HandClock, OsEntropy, RowId, chain};
use lockyard_store::{Engine, OpenError, Store, StoreError, Txn, instance};
use postgres::{Client, NoTls};

use crate::{
    Alone,
    world::{Place, World, no_postgres, postgres},
};

pub(crate) const STORIES: &[Alone] = &[
    ("postgres::nodes_may_start_at_once", no_server, nodes_may_start_at_once),
    ("postgres::broken_connections_are_replaced", no_server, broken_connections_are_replaced),
    ("postgres::a_connection_lost_in_a_transaction_is_told", no_server, a_connection_lost),
    ("postgres::a_connection_lost_at_commit_is_told", no_server, a_connection_lost_at_commit),
    ("postgres::more_writers_than_connections_take_turns", no_server, more_writers),
    ("postgres::a_server_that_is_not_there_is_told", nothing, a_server_that_is_not_there),
    ("postgres::a_url_without_sense_is_told", nothing, a_url_without_sense_is_told),
];

fn nothing() -> Option<String> {
    None
}

fn no_server() -> Option<String> {
    postgres().is_none().then(no_postgres)
}

fn world() -> World {
    World::new(&postgres().unwrap())
}

/// Cuts every connection of a world, as a restarted server would.
fn cut(base: &str, schema: &str) {
    let mut client = Client::connect(base, NoTls).unwrap();
    let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE application_name = $1";
    client.execute(cut, &[&schema]).unwrap();
}

/// What [`cut`] needs to know.
fn place(world: &World) -> (String, String) {
    let Place::Postgres { base, schema, .. } = &world.place else {
        unreachable!("this world is PostgreSQL's")
    };
    (base.clone(), schema.clone())
}

fn nodes_may_start_at_once() {
    let world = world();
    let (base, schema) = place(&world);
    let World { store, other, clock, place } = world;
    store.close();
    other.close();
    let empty = format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}");
    Client::connect(&base, NoTls).unwrap().batch_execute(&empty).unwrap();
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let (engine, clock) = (place.engine(), clock.clone());
            thread::spawn(move || {
                let store = Store::open(engine, clock).unwrap();
                let candidate = RowId::random(&OsEntropy);
                let establish = move |txn: &mut Txn<'_>| instance::establish(txn, candidate);
                store.write_blocking(None, establish).unwrap()
            })
        })
        .collect();
    let ids: Vec<RowId> = nodes.into_iter().map(|node| node.join().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "all nodes are one instance: {ids:?}");
}

fn broken_connections_are_replaced() {
    let world = world();
    let id = RowId::random(&OsEntropy);
    world.write(move |txn| instance::establish(txn, id));
    let (base, schema) = place(&world);
    cut(&base, &schema);
    assert_eq!(world.read(instance::id), Some(id));
    cut(&base, &schema);
    assert_eq!(world.write(move |txn| instance::establish(txn, id)), id);
}

fn a_connection_lost() {
    let world = world();
    let (base, schema) = place(&world);
    let lost = world.store.write_blocking(None, move |txn| {
        let candidate = RowId::random(&OsEntropy);
        instance::establish(txn, candidate)?;
        cut(&base, &schema);
        instance::id(txn)
    });
    assert!(matches!(lost, Err(StoreError::Unreachable(_))), "{lost:?}");
    assert_eq!(world.read(instance::id), None, "nothing was written");
}

fn a_connection_lost_at_commit() {
    let world = world();
    let (base, schema) = place(&world);
    let lost = world.store.write_blocking(None, move |txn| {
        let id = instance::establish(txn, RowId::random(&OsEntropy))?;
        cut(&base, &schema);
        Ok::<_, StoreError>(id)
    });
    assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
    assert_eq!(world.read(instance::id), None, "the server had not seen the commit");
}

fn more_writers() {
    let world = world();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let writes = (0..100_u8).map(|number| {
            let key = format!("key {number}");
            let put =
                move |txn: &mut Txn<'_>| instance::put_instance_key(txn, &key, None, &[number]);
            world.store.write(None, put)
        });
        for won in futures_util::future::join_all(writes).await {
            assert!(won.unwrap_or_else(|error: StoreError| panic!("{error:?}")));
        }
    });
    let (base, schema) = place(&world);
    let mut client = Client::connect(&base, NoTls).unwrap();
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let open: i64 = client.query_one(count, &[&schema]).unwrap().get(0);
    assert!(open <= 7, "six for the one store and one for the other: {open}");
}

fn open(url: &str) -> Result<Store, OpenError> {
    let engine = Engine::Postgres { url: url.to_owned(), connections: 2 };
    assert!(!format!("{engine:?}").contains("hunter2"));
    Store::open(engine, Arc::new(HandClock::default()))
}

fn a_server_that_is_not_there() {
    let refused = open("postgresql://lockyard:hunter2@127.0.0.1:1/lockyard").unwrap_err();
    let told = chain(&refused).to_string();
    let start = "cannot open the database `127.0.0.1`: the database cannot be reached: ";
    assert!(told.starts_with(start), "{told}");
    assert!(!format!("{refused:?} {told}").contains("hunter2"));
}

fn a_url_without_sense_is_told() {
    let refused = open("postgresql://lockyard:hunter2@localhost:many/lockyard").unwrap_err();
    let told = chain(&refused).to_string();
    assert!(matches!(refused, OpenError::Url(_)), "{refused:?}");
    assert!(!format!("{refused:?} {told}").contains("hunter2"), "{told}");
}
