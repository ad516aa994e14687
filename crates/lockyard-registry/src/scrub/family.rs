//! Walks a table whose rows can be judged within one transaction.
//!
//! A row that looks wrong is read again in a transaction of its own before it is reported: it may
//! have been changed or deleted since, and a page is one moment of a database that goes on.

use lockyard_base::{RegistryId, RowId};
use lockyard_store::{StoreError, Txn};

use super::{
    Scrub, Stop,
    report::{FindingKind, ScrubTable},
};
use crate::{Registry, RegistryError, rows::Rows};

/// Something that is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) kind: FindingKind,
    pub(super) sentence: String,
}

impl Flaw {
    pub(super) fn new(kind: FindingKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }

    /// A row that does not open; `what` begins the sentence.
    pub(super) fn row(what: &str) -> Self {
        Self::new(FindingKind::RowDamaged, format!("{what} does not open or is not its row's own"))
    }
}

/// A kind of row.
pub(super) trait Family: 'static {
    /// One row as it is read.
    type Row: Send;
    /// Its table.
    const TABLE: ScrubTable;
    /// How many rows one transaction opens.
    const PAGE: u32;

    /// Lists rows by id, after the one given.
    fn page(
        txn: &mut Txn<'_>,
        registry: RegistryId,
        after: Option<RowId>,
    ) -> Result<Vec<Self::Row>, StoreError>;

    /// Reads one row again.
    fn again(txn: &mut Txn<'_>, id: RowId) -> Result<Option<Self::Row>, StoreError>;

    /// Its id.
    fn id(row: &Self::Row) -> RowId;

    /// How many sealed bytes it has.
    fn bytes(row: &Self::Row) -> u64;

    /// What is wrong with it.
    fn check(txn: &mut Txn<'_>, rows: &Rows, row: &Self::Row) -> Result<Vec<Flaw>, RegistryError>;

    /// Puts right what can be put right of flaws of this kind.
    fn mends(_kind: FindingKind) -> bool {
        false
    }

    /// Does so.
    fn mend(_txn: &mut Txn<'_>, _rows: &Rows, _id: RowId) -> Result<(), RegistryError> {
        Ok(())
    }
}

/// Sorts out what a damaged row answers from what stops a scrub.
pub(super) fn opened<T>(outcome: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(RegistryError::Damaged(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Scrub<'_> {
    /// Walks the family's table from where the scrub stands.
    pub(super) async fn family<F: Family>(&mut self, registry: &Registry) -> Result<(), Stop> {
        loop {
            let after = self.position.after;
            let page = registry
                .read_aside(move |txn, rows| {
                    let page = F::page(txn, rows.registry(), after)?;
                    let mut looked = Vec::with_capacity(page.len());
                    for row in &page {
                        looked.push((F::id(row), F::bytes(row), F::check(txn, rows, row)?));
                    }
                    Ok(looked)
                })
                .await;
            let Some(page) = self.readable(page)? else { return Ok(()) };
            let full = page.len() == F::PAGE as usize;
            for (id, bytes, flaws) in page {
                self.opened_bytes(bytes).await?;
                // Nothing stops between a finding and the note that its row was read: another
                // scrub would find it again.
                if !flaws.is_empty() {
                    self.look_again::<F>(registry, id).await?;
                }
                self.passed(id).await?;
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Reads a row that looked wrong once more, reports what is still wrong and mends what it can.
    async fn look_again<F: Family>(&mut self, registry: &Registry, id: RowId) -> Result<(), Stop> {
        let flaws = registry
            .read_aside(move |txn, rows| match F::again(txn, id)? {
                Some(row) => F::check(txn, rows, &row),
                None => Ok(Vec::new()),
            })
            .await;
        let Some(flaws) = self.readable(flaws)? else { return Ok(()) };
        let mut mended = false;
        if flaws.iter().any(|flaw| F::mends(flaw.kind)) {
            match registry.write(move |txn, rows, _| F::mend(txn, rows, id)).await {
                Ok(()) => mended = true,
                Err(error @ (RegistryError::Locked(_) | RegistryError::LockedMeanwhile)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    let error = lockyard_base::chain(&error);
                    tracing::warn!(table = F::TABLE.word(), row = %id, %error, "not mended");
                }
            }
        }
        for flaw in flaws {
            let repaired = mended && F::mends(flaw.kind);
            self.found(Some(id), flaw, repaired);
        }
        Ok(())
    }

    /// A page that was read, or `None` after noting that the rest of the table cannot be: a clear
    /// column holds what no code of ours writes.
    pub(super) fn readable<T>(
        &mut self,
        outcome: Result<T, RegistryError>,
    ) -> Result<Option<T>, Stop> {
        let read = opened(outcome)?;
        if read.is_none() {
            let sentence = "a column holds what it cannot hold; the rest of the table was left out";
            self.found(None, Flaw::new(FindingKind::TableUnreadable, sentence), false);
        }
        Ok(read)
    }
}
