//! Stories of short parts that lie in their rows instead of files.

use std::fs;

use lockyard_base::PartId;
use lockyard_blobs::SHORT_BYTES_MAX;
use lockyard_oci::{Algorithm, ByteRange, Digest};
use lockyard_registry::{FindingKind, Limits, RegistryError, ScrubOptions};
use lockyard_store::part;
use tokio_util::sync::CancellationToken;

use crate::{
    Story, stories,
    support::{
        Base, World, append, body, cut_body, drain, files, is_unknown_blob, noise, pull, push,
        push_image, repo, sha256,
    },
};

pub(crate) const STORIES: &[Story] = stories!["in_row":
    a_short_blob_leaves_no_file_and_one_of_a_byte_more_does,
    a_limit_above_what_is_short_is_no_limit,
    a_session_that_begins_short_may_go_on_long,
    a_session_s_short_part_may_be_hashed_otherwise,
    a_short_body_that_does_not_fit_its_promises_is_refused,
    what_is_pushed_twice_lies_there_once_and_goes_with_its_row,
    a_damaged_row_is_never_served_and_heals,
    rows_that_trade_their_parts_serve_neither,
    a_scrub_looks_for_parts_where_they_are,
    nothing_is_readable_in_the_rows,
    a_lock_ends_it_all,
];

/// The parts that lie in rows.
fn in_rows(world: &World) -> Vec<PartId> {
    let listed = world.store.read_blocking(|txn| {
        lockyard_store::walk::all_parts(txn, None, PartId::from_bytes([0xff; 16]), 1000)
    });
    listed.unwrap().into_iter().filter(|row| row.in_row).map(|row| row.part_id).collect()
}

async fn a_short_blob_leaves_no_file_and_one_of_a_byte_more_does(base: Base) {
    let mut world = World::in_rows(&base, Limits::default()).await;
    let limit = Limits::default().row_part_bytes_max;
    let mut pushed = Vec::new();
    for (seed, len, files) in [(1, 1, 0), (2, limit - 1, 0), (3, limit, 0), (4, limit + 1, 1)] {
        let content = noise(seed, len);
        pushed.push((push(&world.registry(), "app", &content).await, content));
        assert_eq!(world.part_files().len(), files, "{len}");
    }
    assert_eq!(in_rows(&world).len(), 3);
    world.restart().await;
    for (digest, content) in &pushed {
        let registry = world.registry();
        assert!(pull(&registry, "app", digest).await.unwrap() == *content);
        let stat = registry.stat_blob(&repo("app"), digest).await.unwrap();
        assert_eq!(stat.length, content.len() as u64);
        let exported = registry.dangerous_export(&repo("app"), digest).await.unwrap();
        assert_eq!(exported.len(), 1);
    }
    let range = Some(ByteRange::parse("bytes=100-199").unwrap());
    let some = world.registry().read_blob(&repo("app"), &pushed[1].0, range).await.unwrap();
    assert!(drain(some.stream).await.unwrap() == pushed[1].1[100..200]);
}

async fn a_limit_above_what_is_short_is_no_limit(base: Base) {
    let limits = Limits { row_part_bytes_max: usize::MAX, ..Limits::default() };
    let world = World::in_rows(&base, limits).await;
    for (seed, len, files) in [(1, SHORT_BYTES_MAX, 0), (2, SHORT_BYTES_MAX + 1, 1)] {
        let digest = push(&world.registry(), "app", &noise(seed, len)).await;
        assert_eq!(world.part_files().len(), files);
        assert!(pull(&world.registry(), "app", &digest).await.unwrap() == noise(seed, len));
    }
}

async fn a_session_that_begins_short_may_go_on_long(base: Base) {
    let mut world = World::in_rows(&base, Limits::default()).await;
    let (name, pieces) = (repo("app"), [noise(1, 700), noise(2, 100_000), noise(3, 50)]);
    let mut at = world.registry().start_upload(&name, None).await.unwrap();
    for piece in &pieces {
        at = append(&world.registry(), "app", at, piece).await;
    }
    assert_eq!((in_rows(&world).len(), world.part_files().len()), (1, 2), "only the first");
    world.restart().await;
    let registry = world.registry();
    let cut = registry.append_upload(&name, at.ticket, None, cut_body(b"cut")).await;
    assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
    let at = registry.upload_status(&name, at.ticket.id).await.unwrap();
    let whole = [&pieces.concat()[..], b"cut"].concat();
    let digest = sha256(&whole);
    registry.finish_upload(&name, at.ticket, &digest, None, body(b"")).await.unwrap();
    assert!(pull(&registry, "app", &digest).await.unwrap() == whole);
    // Beginning, middle of the boundary, end.
    for (range, bytes) in
        [("bytes=0-9", 0..10), ("bytes=690-709", 690..710), ("bytes=-5", 100_748..100_753)]
    {
        let range = Some(ByteRange::parse(range).unwrap());
        let some = registry.read_blob(&name, &digest, range).await.unwrap();
        assert!(drain(some.stream).await.unwrap() == whole[bytes]);
    }
}

async fn a_session_s_short_part_may_be_hashed_otherwise(base: Base) {
    let world = World::in_rows(&base, Limits::default()).await;
    let (registry, name, content) = (world.registry(), repo("app"), noise(1, 700));
    let digest = Digest::of(Algorithm::Sha512, &content);
    // All in the last body, and all before it.
    for (first, last) in [(&b""[..], &content[..]), (&content[..], &b""[..])] {
        let at = registry.start_upload(&name, Some(Algorithm::Sha256)).await.unwrap();
        let at = if first.is_empty() { at } else { append(&registry, "app", at, first).await };
        registry.finish_upload(&name, at.ticket, &digest, None, body(last)).await.unwrap();
        assert!(pull(&registry, "app", &digest).await.unwrap() == content);
        registry.delete_blob(&name, &digest).await.unwrap();
    }
    assert!(world.part_files().is_empty());
}

async fn a_short_body_that_does_not_fit_its_promises_is_refused(base: Base) {
    let limits = Limits { blob_bytes_max: 10, ..Limits::default() };
    let world = World::in_rows(&base, limits).await;
    let (registry, name) = (world.registry(), repo("app"));
    let wrong = registry.push_blob(&name, &sha256(b"other"), body(b"content")).await;
    assert!(matches!(wrong, Err(RegistryError::DigestMismatch { .. })), "{wrong:?}");
    let cut = registry.push_blob(&name, &sha256(b"content"), cut_body(b"content")).await;
    assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
    let long = registry.push_blob(&name, &sha256(&[7; 11]), body(&[7; 11])).await;
    assert!(matches!(long, Err(RegistryError::BlobTooLarge { limit: 10 })), "{long:?}");
    let at = registry.start_upload(&name, None).await.unwrap();
    let range = "0-6".parse().unwrap();
    let short = registry.append_upload(&name, at.ticket, Some(range), body(b"six by")).await;
    assert!(matches!(short, Err(RegistryError::LengthMismatch)), "{short:?}");
    assert!(in_rows(&world).is_empty());
    push(&registry, "app", &[7; 10]).await;
    assert_eq!(in_rows(&world).len(), 1);
}

async fn what_is_pushed_twice_lies_there_once_and_goes_with_its_row(base: Base) {
    let mut world = World::in_rows(&base, Limits::default()).await;
    let digest = push(&world.registry(), "app", b"content").await;
    push(&world.registry(), "app", b"content").await;
    push(&world.registry(), "other", b"content").await;
    let parts = in_rows(&world);
    assert_eq!(parts.len(), 1);
    for name in ["app", "other"] {
        world.registry().delete_blob(&repo(name), &digest).await.unwrap();
    }
    assert_eq!(in_rows(&world), parts, "a reader that begins now would not find it otherwise");
    world.wait(Limits::default().read_grace * 2).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1);
    let id = parts[0];
    assert!(world.store.read_blocking(|txn| part::get(txn, id)).unwrap().is_none());
}

async fn a_damaged_row_is_never_served_and_heals(base: Base) {
    if matches!(base, Base::Postgres { .. }) {
        // What it gives is opened by the same code.
        return;
    }
    let world = World::in_rows(&base, Limits::default()).await;
    let content = noise(1, 40);
    let digest = push(&world.registry(), "app", &content).await;
    let length = 40 + 40 + 16;
    let flips = (0..length).step_by(5).chain([length - 1]);
    let damages = flips.map(Damage::Flip).chain([
        Damage::Cut(0),
        Damage::Cut(39),
        Damage::Cut(length - 1),
        Damage::Grow,
        Damage::Gone,
    ]);
    let database = world.sqlite();
    for damage in damages {
        // The part that the blob has now; those before it are dead.
        let sql = "SELECT part_id, content FROM part WHERE state = 'live'";
        let (part, bytes): (String, Vec<u8>) =
            database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(bytes.len(), length);
        let sql = "UPDATE part SET content = ?2 WHERE part_id = ?1";
        let changed = database.execute(sql, rusqlite::params![part, damage.of(bytes)]).unwrap();
        assert_eq!(changed, 1);
        let pulled = pull(&world.registry(), "app", &digest).await;
        assert!(is_unknown_blob(&pulled), "{damage:?}: {pulled:?}");
        push(&world.registry(), "app", &content).await;
        assert!(pull(&world.registry(), "app", &digest).await.unwrap() == content, "{damage:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Grow,
    Gone,
}

impl Damage {
    fn of(self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Flip(at) => bytes[at] ^= 1 << (at % 8),
            Self::Cut(len) => bytes.truncate(len),
            Self::Grow => bytes.push(0),
            Self::Gone => return None,
        }
        Some(bytes)
    }
}

async fn rows_that_trade_their_parts_serve_neither(base: Base) {
    if matches!(base, Base::Postgres { .. }) {
        return;
    }
    let world = World::in_rows(&base, Limits::default()).await;
    let registry = world.registry();
    let contents = [noise(1, 40), noise(2, 40)];
    for content in &contents {
        push(&registry, "app", content).await;
    }
    let [one, two] = in_rows(&world)[..] else { panic!("two parts") };
    let bytes = |id| world.store.read_blocking(|txn| part::content(txn, id)).unwrap().unwrap();
    let traded = [(one, bytes(two)), (two, bytes(one))];
    let database = world.sqlite();
    for (part, bytes) in traded {
        let sql = "UPDATE part SET content = ?2 WHERE part_id = ?1";
        let changed = database.execute(sql, rusqlite::params![part.to_string(), bytes]).unwrap();
        assert_eq!(changed, 1);
    }
    for content in &contents {
        let pulled = pull(&world.registry(), "app", &sha256(content)).await;
        assert!(is_unknown_blob(&pulled), "{pulled:?}");
    }
}

async fn a_scrub_looks_for_parts_where_they_are(base: Base) {
    let world = World::in_rows(&base, Limits::default()).await;
    let registry = world.registry();
    push_image(&registry, "app", "latest", 1).await;
    let at = registry.start_upload(&repo("app"), None).await.unwrap();
    append(&registry, "app", at, b"short").await;
    push(&registry, "app", &noise(1, 100_000)).await;
    let kinds = || async {
        let cancel = CancellationToken::new();
        let report = world.house.scrub(ScrubOptions::default(), &|_| {}, &cancel).await.unwrap();
        report.findings.into_iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, []);
    let id = in_rows(&world)[0];
    let directory = world.dir().join(format!("parts/{:02x}", id.as_bytes()[0]));
    fs::write(directory.join(id.to_string()), b"").unwrap();
    assert_eq!(kinds().await, [FindingKind::FileUnknown]);
    fs::remove_file(directory.join(id.to_string())).unwrap();
    world.tamper(&format!("UPDATE part SET content = NULL WHERE part_id = '{id}'"));
    assert_eq!(kinds().await, [FindingKind::PartMissing, FindingKind::FileMissing]);
}

async fn nothing_is_readable_in_the_rows(base: Base) {
    if matches!(base, Base::Postgres { .. }) {
        // What its rows hold is what SQLite's hold.
        return;
    }
    let world = World::in_rows(&base, Limits::default()).await;
    let content = b"POTOROO-IN-A-ROW".repeat(20);
    push(&world.registry(), "app", &content).await;
    assert_eq!(in_rows(&world).len(), 1);
    world.store.truncate_log().unwrap();
    let mut searched = 0;
    for path in files(world.dir()) {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(16).any(|window| window == &content[..16]));
        searched += bytes.len();
    }
    assert!(searched > content.len());
}

async fn a_lock_ends_it_all(base: Base) {
    let world = World::in_rows(&base, Limits::default()).await;
    let before = world.registry();
    let digest = push(&before, "app", b"content").await;
    world.lock().await;
    assert!(matches!(pull(&before, "app", &digest).await, Err(RegistryError::LockedMeanwhile)));
    let late = before.push_blob(&repo("app"), &sha256(b"late"), body(b"late")).await;
    assert!(matches!(late, Err(RegistryError::LockedMeanwhile)), "{late:?}");
    world.unlock().await;
    assert_eq!(in_rows(&world).len(), 1);
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
}
