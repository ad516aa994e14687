//! What is acknowledged is on the disk: the order of writes, syncs and answers, as the system saw
//! them.
//!
//! A kill proves nothing here, since the page cache survives it. So the server runs under strace,
//! and for each answer that promises something the record must show, in this order: the row that
//! announces the part synced, the part's file made, its bytes written, the file synced, its
//! directory synced, the row that makes it visible written and synced, and only then the answer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::outside::{Story, stories};
use crate::push;
use crate::trace::{self, Deed, Event, STRACE};
use crate::world::{Server, World};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn stories() -> Vec<Story> {
    stories![
        an_answer_before_its_sync_is_noticed,
        #[needs(STRACE[0], STRACE[1])]
        a_blob_is_on_the_disk_before_it_is_acknowledged,
        #[needs(STRACE[0], STRACE[1])]
        every_chunk_is_on_the_disk_before_it_is_acknowledged,
        #[needs(STRACE[0], STRACE[1])]
        a_change_of_rows_is_on_the_disk_before_it_is_acknowledged,
        #[needs(STRACE[0], STRACE[1])]
        what_a_first_start_makes_is_on_the_disk_before_the_first_acknowledgement,
        #[needs(STRACE[0], STRACE[1])]
        a_start_reads_a_small_part_of_a_large_database,
    ]
}

/// How long a blob is at most that lies in its row.
const IN_ROW: usize = 16 << 10;

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// Nothing that this looks at.
    Nothing,
    /// Rows.
    Rows,
    /// A part and the rows that make it visible.
    Part,
}

/// The requests of a story in turn, each with the status and the promise of its answer.
#[derive(Default)]
struct Script(Vec<(u16, Promise)>);

impl Script {
    /// Sends a request and notes what its answer promises.
    #[track_caller]
    fn ask(
        &mut self,
        server: &Server,
        line: &str,
        body: &[u8],
        (status, promise): (u16, Promise),
    ) -> crate::http::Reply {
        let headers = [("content-type", MANIFEST)];
        let headers = headers.get(..usize::from(line.contains("/manifests/"))).unwrap_or(&[]);
        let reply = server.ask(line, headers, body).expect(status);
        self.0.push((status, promise));
        reply
    }

    /// Fails unless every promise was kept before it was given; returns how many there were.
    #[track_caller]
    fn check(&self, world: &World, events: &[Event]) -> usize {
        let answers: Vec<&Event> =
            events.iter().filter(|event| matches!(event.deed, Deed::Answered(_))).collect();
        // What the world asked while it waited for the start comes first.
        let own = answers.len() - self.0.len();
        let mut since = answers.get(own.wrapping_sub(1)).map_or(0, |event| event.begun);
        let mut promises = 0;
        for (answer, (status, promise)) in answers.iter().skip(own).zip(&self.0) {
            assert_eq!(answer.deed, Deed::Answered(*status));
            let window: Vec<Event> = events
                .iter()
                .filter(|event| event.begun > since && event.ended < answer.begun)
                .cloned()
                .collect();
            let kept = match promise {
                Promise::Nothing => Ok(()),
                Promise::Rows => rows_are_durable(&world.data(), &window, 0).map(drop),
                Promise::Part => parts_are_durable(&world.data(), events, &window),
            };
            if let Err(broken) = kept {
                panic!("answer {status} came before {broken}:\n{window:#?}");
            }
            promises += usize::from(*promise != Promise::Nothing);
            since = answer.begun;
        }
        promises
    }
}

/// Looks for the next event that fits and begins after a line; returns the line on which it ends.
fn next(events: &[Event], after: usize, fits: impl Fn(&Deed) -> bool) -> Option<usize> {
    let found = events.iter().find(|event| event.begun > after && fits(&event.deed));
    found.map(|event| event.ended)
}

/// The last event that fits.
fn last(events: &[Event], fits: impl Fn(&Deed) -> bool) -> Option<usize> {
    events.iter().filter(|event| fits(&event.deed)).map(|event| event.ended).max()
}

/// Something was written to the log after a line, and then the log was synced; returns when.
fn rows_are_durable(data: &Path, events: &[Event], after: usize) -> Result<usize, String> {
    let log = data.join("lockyard.db-wal");
    let written =
        next(events, after, |deed| *deed == Deed::Wrote(log.clone())).ok_or("rows were written")?;
    // A commit writes several times; what counts is the sync after the last of them.
    let written = last(events, |deed| *deed == Deed::Wrote(log.clone())).unwrap_or(written);
    next(events, written, |deed| *deed == Deed::Synced(log.clone()))
        .ok_or_else(|| "the log was synced".to_owned())
}

/// At least one part was made, and each is durable before the rows that make it visible.
///
/// Its announcement may have come long before, together with others; which of them the log cannot
/// say. That no part is ever without a row is for the simulated power cuts to show.
fn parts_are_durable(data: &Path, history: &[Event], events: &[Event]) -> Result<(), String> {
    let (parts, log) = (data.join("parts"), data.join("lockyard.db-wal"));
    let made: Vec<(PathBuf, usize, usize)> = events
        .iter()
        .filter_map(|event| match &event.deed {
            Deed::Made(path) if path.starts_with(&parts) => {
                Some((path.clone(), event.begun, event.ended))
            }
            _ => None,
        })
        .collect();
    if made.is_empty() {
        return Err("a part was made".to_owned());
    }
    for (part, begun, ended) in made {
        let before: Vec<Event> =
            history.iter().filter(|event| event.ended < begun).cloned().collect();
        next(&before, 0, |deed| *deed == Deed::Wrote(log.clone()))
            .and_then(|wrote| next(&before, wrote, |deed| *deed == Deed::Synced(log.clone())))
            .ok_or("the announcement was durable")?;
        let written = last(events, |deed| *deed == Deed::Wrote(part.clone()))
            .filter(|written| *written > ended)
            .ok_or("the part was written")?;
        let synced = next(events, written, |deed| *deed == Deed::Synced(part.clone()))
            .ok_or("the part was synced")?;
        let folder = part.parent().unwrap_or(Path::new("/")).to_path_buf();
        let named = next(events, synced, |deed| *deed == Deed::Synced(folder.clone()))
            .ok_or("the part's directory was synced")?;
        let rows = next(events, named, |deed| *deed == Deed::Wrote(log.clone()))
            .ok_or("the rows of the part were written")?;
        rows_are_durable(data, events, rows - 1)?;
    }
    Ok(())
}

fn an_answer_before_its_sync_is_noticed() {
    let data = Path::new("/d");
    let part = "/d/parts/ab/abcd";
    let lines = [
        "7 execve(\"lockyard\") = 0",
        "7 pwrite64(5</d/lockyard.db-wal>, \"\"..., 4096, 0) = 4096",
        "7 fdatasync(5</d/lockyard.db-wal>) = 0",
        &format!("8 openat(AT_FDCWD, \"{part}\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 9<{part}>"),
        &format!("8 pwrite64(9<{part}>, \"\"..., 100, 0) = 100"),
        &format!("8 fdatasync(9<{part}> <unfinished ...>"),
        "7 <... nanosleep resumed>) = 0",
        "8 <... fdatasync resumed>) = 0",
        "8 fsync(10</d/parts/ab>) = 0",
        "7 pwrite64(5</d/lockyard.db-wal>, \"\"..., 4096, 4096) = 4096",
        "7 fdatasync(5</d/lockyard.db-wal>) = 0",
    ];
    let kept = |lines: &[&str]| {
        let events = trace::parse(&lines.join("\n"));
        parts_are_durable(data, &events, &events)
    };
    kept(&lines).expect("the whole order is there");
    for (missing, what) in
        [(2, "announcement"), (4, "written"), (8, "directory"), (9, "rows"), (10, "log")]
    {
        let mut lines = lines.to_vec();
        lines.remove(missing);
        let broken = kept(&lines).expect_err("something is missing");
        assert!(broken.contains(what), "{broken} instead of {what}");
    }
    for (one, other) in [(7, 8), (8, 10), (5, 4)] {
        let mut lines = lines.to_vec();
        lines.swap(one, other);
        kept(&lines).expect_err("the order is another");
    }
    let answer = "9 sendto(3<socket:[77]>, \"HTTP/1.1 201 Created\\r\\ncontent-l\"..., 300, \
                  MSG_NOSIGNAL, NULL, 0) = 300";
    let events = trace::parse(answer);
    assert!(matches!(events.as_slice(), [Event { deed: Deed::Answered(201), .. }]), "{events:?}");
    assert!(trace::parse("9 fdatasync(3</d/x>) = -1 EIO (Input/output error)").is_empty());
}

fn a_blob_is_on_the_disk_before_it_is_acknowledged() {
    let world = World::new();
    let (server, record) = trace::serve(&world, "serve");
    let mut script = Script::default();
    // Around the sizes at which rows become files, and batches, segments and threads change.
    for size in [1, IN_ROW, IN_ROW + 1, 65_536, 300_000, (2 << 20) + 3] {
        let promise = if size <= IN_ROW { Promise::Rows } else { Promise::Part };
        let bytes = push::noise(&format!("monolithic {size}"), size);
        let digest = push::digest(&bytes);
        let post = format!("POST /v2/team/app/blobs/uploads/?digest={digest}");
        script.ask(&server, &post, &bytes, (201, promise));
        let bytes = push::noise(&format!("two requests {size}"), size);
        let post = "POST /v2/team/app/blobs/uploads/";
        let reply = script.ask(&server, post, b"", (202, Promise::Nothing));
        let location = push::path_of(reply.header("location").expect("a location"));
        let put = push::with_digest(&location, &push::digest(&bytes));
        script.ask(&server, &format!("PUT {put}"), &bytes, (201, promise));
    }
    server.stop();
    assert_eq!(script.check(&world, &trace::read(&record)), 12);
}

fn every_chunk_is_on_the_disk_before_it_is_acknowledged() {
    let world = World::new();
    let (server, record) = trace::serve(&world, "quickstart");
    let mut script = Script::default();
    let bytes = push::noise("in chunks", 700_000);
    let post = "POST /v2/team/app/blobs/uploads/";
    let mut reply = script.ask(&server, post, b"", (202, Promise::Nothing));
    let location = |reply: &crate::http::Reply| {
        push::path_of(reply.header("location").expect("each step answers with a location"))
    };
    for chunk in bytes.chunks(250_000) {
        let patch = format!("PATCH {}", location(&reply));
        reply = script.ask(&server, &patch, chunk, (202, Promise::Part));
    }
    let put = push::with_digest(&location(&reply), &push::digest(&bytes));
    script.ask(&server, &format!("PUT {put}"), b"", (201, Promise::Rows));
    server.stop();
    assert_eq!(script.check(&world, &trace::read(&record)), 4);
}

fn a_change_of_rows_is_on_the_disk_before_it_is_acknowledged() {
    let world = World::new();
    let (server, record) = trace::serve(&world, "serve");
    let mut script = Script::default();
    let layer = push::noise("a layer", 5000);
    let digest = push::digest(&layer);
    let post = format!("POST /v2/team/app/blobs/uploads/?digest={digest}");
    script.ask(&server, &post, &layer, (201, Promise::Rows));
    let manifest = |number: u32| {
        let blob = json!({"mediaType": "a/b", "digest": digest, "size": layer.len()});
        serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob,
            "layers": [blob], "annotations": {"number": number.to_string()}}))
        .expect("JSON is written")
    };
    let (first, second) = (manifest(1), manifest(2));
    let rows = |status| (status, Promise::Rows);
    let tag = "PUT /v2/team/app/manifests/v1";
    script.ask(&server, tag, &first, rows(201));
    // A tag that moves, and one that moves back to what is there already.
    script.ask(&server, tag, &second, rows(201));
    script.ask(&server, tag, &first, rows(201));
    let by_digest = format!("/v2/team/app/manifests/{}", push::digest(&second));
    script.ask(&server, &format!("PUT {by_digest}"), &second, rows(201));
    let mount = format!("POST /v2/team/copy/blobs/uploads/?mount={digest}&from=team/app");
    script.ask(&server, &mount, b"", rows(201));
    script.ask(&server, &format!("DELETE {by_digest}"), b"", rows(202));
    script.ask(&server, "DELETE /v2/team/app/manifests/v1", b"", rows(202));
    script.ask(&server, &format!("DELETE /v2/team/copy/blobs/{digest}"), b"", rows(202));
    script.ask(&server, "GET /v2/team/app/tags/list", b"", (200, Promise::Nothing));
    server.stop();
    assert_eq!(script.check(&world, &trace::read(&record)), 9);
}

/// What may be lost, since the next start makes it anew or does without.
fn is_dispensable(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = ["-shm", "-journal", ".lock", "lock", "admin.sock"];
    endings.iter().any(|ending| name.ends_with(ending))
}

fn what_a_first_start_makes_is_on_the_disk_before_the_first_acknowledgement() {
    for verb in ["serve", "quickstart"] {
        let world = World::new();
        let (server, record) = trace::serve(&world, verb);
        let mut script = Script::default();
        let bytes = push::noise("a file's worth", IN_ROW + 1);
        let post = format!("POST /v2/a/blobs/uploads/?digest={}", push::digest(&bytes));
        script.ask(&server, &post, &bytes, (201, Promise::Part));
        server.stop();
        let events = trace::read(&record);
        script.check(&world, &events);
        let answer = last(&events, |deed| *deed == Deed::Answered(201)).expect("one answer");
        let before: Vec<Event> = events.into_iter().filter(|event| event.ended < answer).collect();
        let (mut files, mut known) = (0, HashSet::new());
        for event in &before {
            let (Deed::Made(path) | Deed::Renamed(path)) = &event.deed else { continue };
            if !path.starts_with(world.folder()) || is_dispensable(path) {
                continue;
            }
            // Whoever opens a file that is there may say that it is to be made if need be.
            if matches!(event.deed, Deed::Made(_)) && !known.insert(path) {
                continue;
            }
            let folder = path.parent().expect("it lies somewhere").to_path_buf();
            assert!(
                next(&before, event.ended, |deed| *deed == Deed::Synced(folder.clone())).is_some(),
                "{verb}: `{}` was not synced after `{}` got its name",
                folder.display(),
                path.display()
            );
            let Some(written) = last(&before, |deed| *deed == Deed::Wrote(path.clone())) else {
                continue;
            };
            files += 1;
            // A log's frames may be ahead of its sync, and the database behind its log.
            let ahead = path.extension().is_some_and(|ext| ext == "db" || ext == "db-wal");
            let since = if ahead { 0 } else { written };
            assert!(
                next(&before, since, |deed| *deed == Deed::Synced(path.clone())).is_some(),
                "{verb}: `{}` was never synced",
                path.display()
            );
        }
        assert!(files >= 5, "{verb}: only {files} files were looked at");
    }
}

fn a_start_reads_a_small_part_of_a_large_database() {
    const ROWS: u32 = 200_000;
    let world = World::new();
    let server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    let path = world.data().join("lockyard.db");
    let database = rusqlite::Connection::open(&path).expect("it opens");
    let fill = "INSERT INTO part (part_id, registry_id, state, lease_until, changed_at) \
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                SELECT lower(hex(randomblob(16))), registry_id, 'live', 0, 0 FROM n, registry";
    assert_eq!(database.execute(fill, [ROWS]).expect("writable"), ROWS as usize);
    drop(database);
    let length = std::fs::metadata(&path).expect("it is there").len();
    assert!(length > 20 << 20, "{length} bytes are not large");

    let (server, record) = trace::serve(&world, "serve");
    pushed.check(&server);
    server.stop();
    let events = trace::read(&record);
    let ready = next(&events, 0, |deed| matches!(deed, Deed::Answered(200))).expect("it is ready");
    let read: u64 = events
        .iter()
        .filter(|event| event.ended < ready)
        .filter_map(|event| match &event.deed {
            Deed::Read(file, bytes) if *file == path => Some(*bytes),
            _ => None,
        })
        .sum();
    assert!(read > 0, "nothing was looked at");
    assert!(read < 2 << 20, "{read} bytes of {length} were read before the server was ready");
}
