//! The records inside one transaction: the verbs that can be combined.
//!
//! A record that is over is treated as one that is not there. What "over" means is the database's
//! clock's to say, so that it is the same for every node.

use lockyard_base::{RowId, Timestamp};
use lockyard_store::{
    Txn,
    instance::{self, RecordRow},
};

use super::{Record, RecordError, Records, Seal};

/// The sealed records as one transaction sees and changes them.
#[derive(Debug)]
pub struct RecordTxn<'t, 'c> {
    records: &'t Records,
    txn: &'t mut Txn<'c>,
}

impl<'t, 'c> RecordTxn<'t, 'c> {
    pub(super) fn new(records: &'t Records, txn: &'t mut Txn<'c>) -> Self {
        Self { records, txn }
    }

    /// When this transaction began, by the database's clock.
    pub fn now(&self) -> Timestamp {
        self.txn.now()
    }

    /// The record of this kind and name.
    pub fn get(&mut self, kind: &str, name: &[u8]) -> Result<Option<Record>, RecordError> {
        match self.row(kind, name)? {
            Some(row) => Ok(self.unless_over(&row, self.records.open(&row)?)),
            None => Ok(None),
        }
    }

    /// All records of a kind.
    pub fn list(&mut self, kind: &str) -> Result<Vec<Record>, RecordError> {
        let mut list = Vec::new();
        for row in instance::records(self.txn, kind)? {
            let opened = self.records.open_listed(&row)?;
            list.extend(self.unless_over(&row, opened));
        }
        Ok(list)
    }

    /// How many records of a kind there are.
    pub fn count(&mut self, kind: &str) -> Result<u64, RecordError> {
        Ok(instance::count_records(self.txn, kind)?)
    }

    /// Stores a record that never expires in place of any other of its kind and name.
    pub fn put(&mut self, kind: &str, name: &[u8], value: &[u8]) -> Result<(), RecordError> {
        let old = self.row(kind, name)?;
        self.store(old.as_ref(), kind, name, None, value)
    }

    /// Stores a record that is over at `expires` in place of any other of its kind and name.
    pub fn put_until(
        &mut self,
        kind: &str,
        name: &[u8],
        value: &[u8],
        expires: Timestamp,
    ) -> Result<(), RecordError> {
        let old = self.row(kind, name)?;
        self.store(old.as_ref(), kind, name, Some(expires), value)
    }

    /// Stores a record unless there is one of its kind and name; returns whether it did.
    ///
    /// This is how something is used once: whoever inserts its name is the first.
    pub fn insert(
        &mut self,
        kind: &str,
        name: &[u8],
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<bool, RecordError> {
        let old = self.row(kind, name)?;
        if old.as_ref().is_some_and(|row| !self.is_over(row)) {
            return Ok(false);
        }
        match self.store(old.as_ref(), kind, name, expires, value) {
            Err(RecordError::Overtaken) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Replaces the value of a record that is still as it was `seen`, and keeps its expiry; returns
    /// whether it won. One that is over or gone is not replaced.
    pub fn replace_if(
        &mut self,
        kind: &str,
        name: &[u8],
        seen: Seal,
        value: &[u8],
    ) -> Result<bool, RecordError> {
        let Some(row) = self.row(kind, name)? else { return Ok(false) };
        let present = Seal { row: row.row_id, number: row.seal_no };
        if present != seen || self.is_over(&row) {
            return Ok(false);
        }
        match self.store(Some(&row), kind, name, row.expires_at, value) {
            Err(RecordError::Overtaken) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Consumes a record: of all that ask, one gets it.
    pub fn take(&mut self, kind: &str, name: &[u8]) -> Result<Option<Record>, RecordError> {
        let Some(row) = self.row(kind, name)? else { return Ok(None) };
        let record = self.records.open(&row)?;
        if instance::take_record(self.txn, row.row_id, row.seal_no)? {
            Ok(self.unless_over(&row, record))
        } else {
            Ok(None)
        }
    }

    /// Forgets a record; returns whether it was there.
    pub fn remove(&mut self, kind: &str, name: &[u8]) -> Result<bool, RecordError> {
        match self.row(kind, name)? {
            Some(row) => {
                let there = !self.is_over(&row);
                Ok(instance::delete_record(self.txn, row.row_id)? && there)
            }
            None => Ok(false),
        }
    }

    fn row(&mut self, kind: &str, name: &[u8]) -> Result<Option<RecordRow>, RecordError> {
        let index = self.records.index(kind, name);
        Ok(instance::record(self.txn, kind, &index)?)
    }

    fn store(
        &mut self,
        old: Option<&RecordRow>,
        kind: &str,
        name: &[u8],
        expires: Option<Timestamp>,
        value: &[u8],
    ) -> Result<(), RecordError> {
        let index = self.records.index(kind, name);
        let id = old.map_or_else(|| RowId::random(&*self.records.entropy), |row| row.row_id);
        let sealed = self.records.seal(id, kind, &index, expires, value);
        let stored = match old {
            Some(row) => instance::update_record(self.txn, id, row.seal_no, expires, &sealed)?,
            None => instance::insert_record(self.txn, id, kind, &index, expires, &sealed)?,
        };
        if stored { Ok(()) } else { Err(RecordError::Overtaken) }
    }

    fn is_over(&self, row: &RecordRow) -> bool {
        row.expires_at.is_some_and(|expires| expires <= self.now())
    }

    fn unless_over(&self, row: &RecordRow, record: Record) -> Option<Record> {
        (!self.is_over(row)).then_some(record)
    }
}
