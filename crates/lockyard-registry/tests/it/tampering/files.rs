//! What is done to the files of parts.

use std::{fs, path::Path};

use rusqlite::types::Value;

use super::known::{Known, Look, Scope, pulls};
use crate::support::{Base, World, noise, push, run};

/// Only blobs have files.
const BLOBS: Scope = &[Look::Blobs];

/// Blob rows as they were: a reader that meets damage marks its blob, which the next change must
/// not inherit.
struct Marks(Vec<(i64, String, Vec<u8>, i64)>);

impl Marks {
    fn of(database: &rusqlite::Connection) -> Self {
        let mut statement =
            database.prepare("SELECT rowid, state, sealed, seal_no FROM blob").unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap();
        Self(rows.collect::<Result<_, _>>().unwrap())
    }

    fn restore(&self, database: &rusqlite::Connection) {
        let sql = "UPDATE blob SET state = ?2, sealed = ?3, seal_no = ?4 WHERE rowid = ?1";
        for (row, state, sealed, seal_no) in &self.0 {
            database.execute(sql, rusqlite::params![row, state, sealed, seal_no]).unwrap();
        }
    }
}

/// Files that a linked blob needs; those of open uploads are not read.
fn needed(known: &Known) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let all = known.world.part_files();
    let sql = "SELECT part_id FROM part WHERE state = 'live'";
    let mut statement = known.database.prepare(sql).unwrap();
    let live: Vec<Value> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let is_live = |path: &Path| {
        live.contains(&Value::Text(path.file_name().unwrap().to_str().unwrap().to_owned()))
    };
    all.into_iter()
        .filter(|path| is_live(path))
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        })
        .collect()
}

/// Reads with one file changed; says whether anything was amiss.
async fn with(known: &Known, marks: &Marks, path: &Path, changed: &[u8], what: &str) -> bool {
    let before = fs::read(path).unwrap();
    fs::write(path, changed).unwrap();
    let met = known.read(BLOBS, what).await;
    fs::write(path, before).unwrap();
    marks.restore(&known.database);
    met.errors > 0
}

/// The files that are read at all; two more belong to uploads.
async fn read_files(known: &Known, marks: &Marks) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut read = Vec::new();
    for (path, bytes) in needed(known) {
        if with(known, marks, &path, b"", "an empty file").await {
            read.push((path, bytes));
        }
    }
    assert_eq!(read.len(), 5, "a config and a layer or two in each registry");
    read
}

pub(super) fn flips() {
    run(async {
        let known = Known::new().await;
        let marks = Marks::of(&known.database);
        for (path, bytes) in read_files(&known, &marks).await {
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                let what = format!("byte {at} of a part");
                assert!(with(&known, &marks, &path, &changed, &what).await, "{what}");
            }
        }
        known.is_whole("at last").await;
    });
}

pub(super) fn lengths() {
    run(async {
        let known = Known::new().await;
        let marks = Marks::of(&known.database);
        for (path, bytes) in read_files(&known, &marks).await {
            for length in 0..bytes.len() {
                let what = format!("a part cut to {length} bytes");
                assert!(with(&known, &marks, &path, &bytes[..length], &what).await, "{what}");
            }
            for more in [&b"\0"[..], &bytes, &[0xff; 100]] {
                let longer = [&bytes[..], more].concat();
                let what = format!("a part grown by {} bytes", more.len());
                assert!(with(&known, &marks, &path, &longer, &what).await, "{what}");
            }
            fs::remove_file(&path).unwrap();
            assert!(known.read(BLOBS, "a part that is gone").await.errors > 0);
            fs::write(&path, &bytes).unwrap();
            marks.restore(&known.database);
        }
        known.is_whole("at last").await;
    });
}

pub(super) fn swaps() {
    run(async {
        let known = Known::new().await;
        let marks = Marks::of(&known.database);
        let files = needed(&known);
        let read = read_files(&known, &marks).await;
        for (one, first) in &read {
            for (two, second) in files.iter().filter(|(two, _)| two != one) {
                fs::write(one, second).unwrap();
                fs::write(two, first).unwrap();
                assert!(known.read(BLOBS, "two parts in each other's place").await.errors > 0);
                fs::write(one, first).unwrap();
                fs::write(two, second).unwrap();
                marks.restore(&known.database);
            }
        }
        known.is_whole("at last").await;
    });
}

/// A part of several segments: flips at every edge, and segments moved, doubled and left out.
pub(super) fn segments() {
    const SEGMENT: usize = 64 << 10;
    run(async {
        let world = World::new(&Base::Sqlite).await;
        let registry = world.registry();
        let content = noise(1, 3 * SEGMENT + 1000);
        let digest = push(&registry, "app", &content).await;
        let database = world.sqlite();
        let marks = Marks::of(&database);
        let path = world.part_files().remove(0);
        let bytes = fs::read(&path).unwrap();
        let segments: Vec<&[u8]> = bytes.chunks(SEGMENT).collect();
        assert_eq!(segments.len(), 4);
        let mut wrong: Vec<(String, Vec<u8>)> = Vec::new();
        for (number, segment) in segments.iter().enumerate() {
            let (start, end) = (number * SEGMENT, number * SEGMENT + segment.len());
            for at in [start, start + 1, start + 39, start + 40, end - 17, end - 16, end - 1] {
                let mut changed = bytes.clone();
                changed[at] ^= 0x10;
                wrong.push((format!("byte {at}"), changed));
            }
            wrong.push((format!("cut before segment {number}"), bytes[..start].to_vec()));
            wrong.push((format!("cut after segment {number}, by one"), bytes[..end - 1].to_vec()));
            let without = [&bytes[..start], &bytes[end..]].concat();
            wrong.push((format!("without segment {number}"), without));
            let doubled = [&bytes[..end], &bytes[start..]].concat();
            wrong.push((format!("segment {number} twice"), doubled));
            for other in 0..segments.len() {
                if other != number {
                    let mut order = segments.clone();
                    order.swap(number, other);
                    let what = format!("segments {number} and {other} in each other's place");
                    wrong.push((what, order.concat()));
                    let mut order = segments.clone();
                    order[number] = segments[other];
                    let what = format!("segment {other} in the place of {number}");
                    wrong.push((what, order.concat()));
                }
            }
        }
        for (what, changed) in wrong {
            fs::write(&path, &changed).unwrap();
            let registry = world.registry();
            assert!(!pulls(&registry, "app", &digest, &content, &what).await, "{what}");
            world.house.drain().await;
            marks.restore(&database);
        }
        fs::write(&path, &bytes).unwrap();
        assert!(pulls(&world.registry(), "app", &digest, &content, "whole again").await);
    });
}
