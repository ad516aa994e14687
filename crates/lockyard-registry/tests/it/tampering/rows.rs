//! What is done to rows.

use rusqlite::{params_from_iter, types::Value};

use super::known::{Known, scope_of};
use crate::support::run;

/// Sealed columns of a registry's content.
const CONTENT: &[(&str, &str)] = &[
    ("repository", "sealed"),
    ("blob", "sealed"),
    ("blob_link", "sealed"),
    ("manifest", "sealed"),
    ("manifest", "content"),
    ("tag", "sealed"),
    ("upload", "sealed"),
];

/// Everything that opens or names a registry and the instance.
const KEYS: &[(&str, &str)] = &[
    ("service_slot", "sealed"),
    ("instance_key", "sealed"),
    ("instance_record", "sealed"),
    ("registry", "sealed"),
    ("epoch", "service_share"),
    ("epoch", "key_check"),
    ("wrap", "sealed"),
    ("index_key", "sealed"),
];

const TABLES: &[&str] = &[
    "service_slot",
    "instance_key",
    "instance_record",
    "registry",
    "epoch",
    "wrap",
    "index_key",
    "repository",
    "blob",
    "part",
    "blob_link",
    "manifest",
    "edge",
    "tag",
    "upload",
];

pub(super) fn flips_of_rows() {
    run(flips(CONTENT));
}

pub(super) fn flips_of_keys() {
    run(flips(KEYS));
}

async fn flips(columns: &[(&str, &str)]) {
    let known = Known::new().await;
    let mut flipped = 0;
    for (table, column) in columns {
        let scope = scope_of(table);
        for (row, value) in column_of(&known, table, column) {
            let Value::Blob(sealed) = value else { continue };
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << (at % 8);
                set(&known, table, column, row, &Value::Blob(changed)).unwrap();
                let what = format!("byte {at} of {table}.{column}");
                let met = known.read(scope, &what).await;
                assert!(met.errors > 0, "{what} was not found");
                flipped += 1;
            }
            set(&known, table, column, row, &Value::Blob(sealed)).unwrap();
        }
    }
    known.is_whole("at last").await;
    assert!(flipped > 500, "{flipped} bytes");
}

/// Between every two rows of every table: each column alone, and all but each.
pub(super) fn swaps() {
    run(async {
        let known = Known::new().await;
        let mut swapped = 0;
        for table in TABLES {
            let columns = columns(&known, table);
            let rows = rows(&known, table);
            for (number, one) in rows.iter().enumerate() {
                for two in &rows[number + 1..] {
                    for column in &columns {
                        let others = columns.iter().filter(|other| *other != column);
                        let others: Vec<&str> = others.map(String::as_str).collect();
                        swapped += swap(&known, table, &[column], *one, *two).await;
                        swapped += swap(&known, table, &others, *one, *two).await;
                    }
                }
            }
        }
        // The two sealed columns of one row.
        let scope = scope_of("manifest");
        let sealed = column_of(&known, "manifest", "sealed");
        let content = column_of(&known, "manifest", "content");
        for ((row, sealed), (_, content)) in sealed.iter().zip(&content) {
            set(&known, "manifest", "sealed", *row, content).unwrap();
            assert!(known.read(scope, "content for descriptor").await.errors > 0);
            set(&known, "manifest", "content", *row, sealed).unwrap();
            assert!(known.read(scope, "descriptor for content and back").await.errors > 0);
            set(&known, "manifest", "sealed", *row, sealed).unwrap();
            assert!(known.read(scope, "descriptor for content").await.errors > 0);
            set(&known, "manifest", "content", *row, content).unwrap();
        }
        known.is_whole("at last").await;
        assert!(swapped > 500, "{swapped} swaps");
    });
}

/// Trades the values of some columns between two rows, reads, and trades them back. Returns how
/// many trades the database let happen.
async fn swap(known: &Known, table: &str, columns: &[&str], one: i64, two: i64) -> usize {
    let what = format!("{columns:?} of rows {one} and {two} of {table}");
    let before = (values(known, table, columns, one), values(known, table, columns, two));
    if before.0 == before.1 {
        return 0;
    }
    // Unique columns must step aside first.
    let aside = |column: &&str| match column {
        column if column.ends_with("_id") => Value::Text("f".repeat(32)),
        column if column.ends_with("index") => Value::Blob(vec![0xff; 32]),
        _ => Value::Integer(99),
    };
    known.database.execute_batch("SAVEPOINT swap").unwrap();
    let mut traded = Ok(());
    for (row, of) in [(one, None), (two, Some(&before.0)), (one, Some(&before.1))] {
        for (number, column) in columns.iter().enumerate() {
            let unique = column.ends_with("_id") || column.ends_with("index");
            let value = match of {
                None if unique => aside(column),
                None => continue,
                Some(of) => of[number].clone(),
            };
            traded = traded.and_then(|()| set(known, table, column, row, &value));
        }
    }
    if traded.is_err() {
        // A constraint of the schema refuses this; nothing to read.
        known.database.execute_batch("ROLLBACK TO swap; RELEASE swap").unwrap();
        return 0;
    }
    known.database.execute_batch("RELEASE swap").unwrap();
    known.read(scope_of(table), &what).await;
    restore(known, table, columns, &[(one, &before.0), (two, &before.1)]);
    1
}

/// Each clear column of each row gets values that somebody might like it to have.
pub(super) fn changes() {
    run(async {
        let known = Known::new().await;
        let mut changed = 0;
        for table in TABLES {
            for column in columns(&known, table) {
                for (row, value) in column_of(&known, table, &column) {
                    for other in others(&value) {
                        if set(&known, table, &column, row, &other).is_err() {
                            continue;
                        }
                        let what = format!("{table}.{column} of row {row} as {other:?}");
                        known.read(scope_of(table), &what).await;
                        changed += 1;
                        restore(&known, table, &[&column], &[(row, std::slice::from_ref(&value))]);
                    }
                }
            }
        }
        known.is_whole("at last").await;
        assert!(changed > 500, "{changed} changes");
    });
}

fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(number) => {
            [0, 1, 2, -1, i64::MAX, i64::MIN, number.saturating_add(1), number.saturating_sub(1)]
                .into_iter()
                .filter(|other| other != number)
                .map(Value::Integer)
                .collect()
        }
        Value::Text(text) => {
            let words = ["", "active", "retiring", "present", "quarantined", "current", "old"];
            let more = ["live", "dead", "layer", "subject", "file", "row", "index", "\u{1F512}"];
            let ids = ["0".repeat(32), "F".repeat(32), "ab".repeat(16)];
            words
                .into_iter()
                .chain(more)
                .map(str::to_owned)
                .chain(ids)
                .filter(|other| other != text)
                .map(Value::Text)
                .collect()
        }
        Value::Blob(bytes) => {
            let mut last = bytes.clone();
            *last.last_mut().unwrap() ^= 1;
            let longer = [bytes.as_slice(), &[0]].concat();
            let shorter = bytes[..bytes.len() - 1].to_vec();
            let most = bytes[..bytes.len().min(56)].to_vec();
            vec![last, longer, shorter, most, Vec::new(), vec![0; bytes.len()]]
                .into_iter()
                .filter(|other| other != bytes)
                .map(Value::Blob)
                .collect()
        }
        Value::Null | Value::Real(_) => Vec::new(),
    }
}

fn columns(known: &Known, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}')");
    let mut statement = known.database.prepare(&sql).unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

fn rows(known: &Known, table: &str) -> Vec<i64> {
    column_of(known, table, "rowid").into_iter().map(|(row, _)| row).collect()
}

fn column_of(known: &Known, table: &str, column: &str) -> Vec<(i64, Value)> {
    let sql = format!("SELECT rowid, {column} FROM {table} ORDER BY rowid");
    let mut statement = known.database.prepare(&sql).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

fn values(known: &Known, table: &str, columns: &[&str], row: i64) -> Vec<Value> {
    let sql = format!("SELECT {} FROM {table} WHERE rowid = ?1", columns.join(", "));
    let read = |found: &rusqlite::Row<'_>| (0..columns.len()).map(|n| found.get(n)).collect();
    known.database.query_row(&sql, [row], read).unwrap()
}

fn set(
    known: &Known,
    table: &str,
    column: &str,
    row: i64,
    value: &Value,
) -> Result<(), rusqlite::Error> {
    let sql = format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1");
    assert_eq!(known.database.execute(&sql, rusqlite::params![row, value])?, 1);
    Ok(())
}

/// Puts values back, whatever their order would break on the way.
fn restore(known: &Known, table: &str, columns: &[&str], rows: &[(i64, &[Value])]) {
    let all = self::columns(known, table);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let whole: Vec<(i64, Vec<Value>)> = rows
        .iter()
        .map(|(row, before)| {
            let mut whole = values(known, table, &all, *row);
            for (column, value) in columns.iter().zip(*before) {
                whole[all.iter().position(|name| name == column).unwrap()] = value.clone();
            }
            (*row, whole)
        })
        .collect();
    known.database.execute_batch("SAVEPOINT restoring").unwrap();
    for (row, _) in &whole {
        known.database.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [row]).unwrap();
    }
    for (row, mut values) in whole {
        values.push(Value::Integer(row));
        let marks = vec!["?"; values.len()].join(", ");
        let names = all.join(", ");
        let sql = format!("INSERT INTO {table} ({names}, rowid) VALUES ({marks})");
        known.database.execute(&sql, params_from_iter(values)).unwrap();
    }
    known.database.execute_batch("RELEASE restoring").unwrap();
}
