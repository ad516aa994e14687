//! Whether the file makes sense: what a start stands on, or the whole of it.
//!
//! A start must not take longer because there is more to keep, so it looks at a bounded number of
//! pages; the whole file is for the scrub, and for the first start after a crash, beside its work.
//! Both look at structure only. That a row is what was once written is proved by opening it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, InterruptHandle, OptionalExtension as _};

use crate::StoreError;

/// The tables that hold the instance and its registries: few rows, however much is pushed.
///
/// Records are not among them: there is one for each session. Those that a start stands on are
/// opened by it.
const FEW_ROWS: [&str; 7] =
    ["meta", "service_slot", "instance_key", "registry", "epoch", "wrap", "index_key"];

/// Reads the tables with few rows wholly, and every other tree at its two edges.
///
/// An edge leads through the root and one page of each level, so that the number of pages grows
/// with the logarithm of the rows.
pub(super) fn edges(connection: &Connection) -> Result<(), StoreError> {
    for table in FEW_ROWS {
        quick(connection, table)?;
    }
    for (table, indexes) in large_trees(connection)? {
        for direction in ["ASC", "DESC"] {
            let mut walks =
                vec![format!("SELECT rowid FROM {table} ORDER BY rowid {direction} LIMIT 1")];
            walks.extend(indexes.iter().map(|(index, column)| {
                format!(
                    "SELECT {column} FROM {table} INDEXED BY {index} \
                     ORDER BY {column} {direction} LIMIT 1"
                )
            }));
            for walk in walks {
                connection.query_row(&walk, [], |_| Ok(())).optional()?;
            }
        }
    }
    Ok(())
}

/// Reads every page of the file.
pub(super) fn whole(connection: &Connection) -> Result<(), StoreError> {
    quick(connection, "1")
}

/// `scope` is a table, or how many flaws to name at most when everything is read.
fn quick(connection: &Connection, scope: &str) -> Result<(), StoreError> {
    let sql = format!("PRAGMA quick_check({scope})");
    let verdict: String = connection.query_row(&sql, [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::damaged(verdict)) }
}

/// Each index with its first column, by table.
type Trees = BTreeMap<String, Vec<(String, String)>>;

/// The tables that grow with what is kept, with their indexes.
fn large_trees(connection: &Connection) -> Result<Trees, StoreError> {
    let mut statement = connection.prepare(
        "SELECT t.name, i.name, c.name FROM sqlite_schema t \
         LEFT JOIN sqlite_schema i ON i.type = 'index' AND i.tbl_name = t.name \
         LEFT JOIN pragma_index_info(i.name) c ON c.seqno = 0 \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'",
    )?;
    let mut rows = statement.query([])?;
    let mut trees = Trees::new();
    while let Some(row) = rows.next()? {
        let table: String = row.get(0)?;
        if FEW_ROWS.contains(&table.as_str()) {
            continue;
        }
        let indexes = trees.entry(table).or_default();
        if let (Some(index), Some(column)) = (row.get(1)?, row.get(2)?) {
            indexes.push((index, column));
        }
    }
    Ok(trees)
}

/// The check of the whole file that is under way; there is one at a time.
#[derive(Default)]
pub(super) struct Checks {
    turn: Mutex<()>,
    under_way: Mutex<Option<InterruptHandle>>,
}

impl Checks {
    /// Checks the whole file, unless `closed` says that there is no time for it any more.
    pub(super) fn run(
        &self,
        connection: &Connection,
        closed: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *self.under_way() = Some(connection.get_interrupt_handle());
        let outcome = if closed() { Err(StoreError::Closed) } else { whole(connection) };
        *self.under_way() = None;
        drop(turn);
        match outcome {
            Err(_) if closed() => Err(StoreError::Closed),
            outcome => outcome,
        }
    }

    /// Ends the check that is under way; it would keep the file open for as long as it takes.
    pub(super) fn interrupt(&self) {
        if let Some(check) = &*self.under_way() {
            check.interrupt();
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Option<InterruptHandle>> {
        // Nothing panics while it holds the handle.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks").finish_non_exhaustive()
    }
}
