//! Sealed records of the instance: the directory, the issuer's keys and sessions, the certificate
//! authority's key, and the like.
//!
//! They belong to no registry and open while registries are locked. A record has a kind, which
//! stands in the clear, and a name, which does not. It may expire: from then on it is as if it were
//! not there, and a sweep deletes it some time later. Nothing here knows what a record says.
//!
//! Whoever changes several records at once does it in one closure ([`Records::write`]); the short
//! verbs beside it are for start-up and for operators, and block.

mod txn;

use std::sync::Arc;

use lockyard_base::{BlindIndex, Entropy, RowId, Timestamp};
use lockyard_keyring::{InstanceKeys, Place};
use lockyard_seal::IndexKind;
use lockyard_store::{SealNo, Store, StoreError, Txn, instance};
use thiserror::Error;
use zeroize::Zeroizing;

pub use txn::RecordTxn;

/// How many records one transaction of a sweep deletes: nobody waits long behind it.
pub const SWEPT_AT_ONCE: u32 = 500;

/// A record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The record is not what was sealed in its place.
    #[error("a record of the instance is damaged")]
    Damaged,
    /// Somebody else wrote the record at the same time; reading it again and repeating helps.
    #[error("a record of the instance was changed by somebody else meanwhile")]
    Overtaken,
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A record, opened.
#[derive(Debug)]
pub struct Record {
    /// What it says; wiped on drop.
    pub value: Zeroizing<Vec<u8>>,
    /// What to name when replacing exactly this.
    pub seal: Seal,
    /// When it is over, if ever.
    pub expires: Option<Timestamp>,
}

/// Which sealing of which record somebody has read; a compare-and-set names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    row: RowId,
    number: SealNo,
}

/// The sealed records of an instance.
#[derive(Clone, Debug)]
pub struct Records {
    store: Store,
    keys: Arc<InstanceKeys>,
    entropy: Arc<dyn Entropy>,
}

impl Records {
    /// The records in `store`, sealed under `keys`.
    pub fn new(store: Store, keys: Arc<InstanceKeys>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, keys, entropy }
    }

    /// Runs `work` in one transaction: everything that it changes is committed, or nothing.
    ///
    /// `work` may run more than once, as [`Store::write`] says; only its last run counts.
    pub async fn write<T, E>(
        &self,
        mut work: impl FnMut(&mut RecordTxn<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RecordError> + Send + 'static,
    {
        let this = self.clone();
        let run = move |txn: &mut Txn<'_>| work(&mut RecordTxn::new(&this, txn)).map_err(Carried);
        self.store.write(None, run).await.map_err(|Carried(error)| error)
    }

    /// Does what [`Records::write`] does and blocks the thread.
    pub fn write_blocking<T, E>(
        &self,
        mut work: impl FnMut(&mut RecordTxn<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RecordError> + Send + 'static,
    {
        let this = self.clone();
        let run = move |txn: &mut Txn<'_>| work(&mut RecordTxn::new(&this, txn)).map_err(Carried);
        self.store.write_blocking(None, run).map_err(|Carried(error)| error)
    }

    /// Runs `work` on one state of the records; it cannot change them.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut RecordTxn<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<RecordError> + Send + 'static,
    {
        let this = self.clone();
        let run = move |txn: &mut Txn<'_>| work(&mut RecordTxn::new(&this, txn)).map_err(Carried);
        self.store.read(run).await.map_err(|Carried(error)| error)
    }

    /// Does what [`Records::read`] does and blocks the thread.
    pub fn read_blocking<T: Send, E: From<RecordError> + Send>(
        &self,
        work: impl FnOnce(&mut RecordTxn<'_, '_>) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let run = |txn: &mut Txn<'_>| work(&mut RecordTxn::new(self, txn)).map_err(Carried);
        self.store.read_blocking(run).map_err(|Carried(error)| error)
    }

    /// The record of this kind and name, opened; blocks.
    pub fn get(&self, kind: &str, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, RecordError> {
        self.read_blocking(|txn| Ok(txn.get(kind, name)?.map(|record| record.value)))
    }

    /// All records of this kind, opened, in no order that means anything; blocks.
    pub fn list(&self, kind: &str) -> Result<Vec<Record>, RecordError> {
        self.read_blocking(|txn| txn.list(kind))
    }

    /// Stores a record in place of any other of its kind and name; blocks.
    pub fn put(&self, kind: &str, name: &[u8], value: &[u8]) -> Result<(), RecordError> {
        self.put_record(kind, name, value, None)
    }

    /// Stores a record that is over at `expires` in place of any other; blocks.
    pub fn put_until(
        &self,
        kind: &str,
        name: &[u8],
        value: &[u8],
        expires: Timestamp,
    ) -> Result<(), RecordError> {
        self.put_record(kind, name, value, Some(expires))
    }

    fn put_record(
        &self,
        kind: &str,
        name: &[u8],
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<(), RecordError> {
        let (kind, name, value) = owned(kind, name, value);
        self.write_blocking(move |txn| match expires {
            None => txn.put(&kind, &name, &value),
            Some(expires) => txn.put_until(&kind, &name, &value, expires),
        })
    }

    /// Replaces the value of a record that is still as it was `seen`, and keeps its expiry; returns
    /// whether it won. Blocks.
    pub fn replace_if(
        &self,
        kind: &str,
        name: &[u8],
        seen: Seal,
        value: &[u8],
    ) -> Result<bool, RecordError> {
        let (kind, name, value) = owned(kind, name, value);
        self.write_blocking(move |txn| txn.replace_if(&kind, &name, seen, &value))
    }

    /// Consumes a record: of all that ask, one gets it. Blocks.
    pub fn take(&self, kind: &str, name: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, RecordError> {
        let (kind, name, _) = owned(kind, name, b"");
        self.write_blocking(move |txn| Ok(txn.take(&kind, &name)?.map(|record| record.value)))
    }

    /// Forgets a record; one that is not there is no error. Blocks.
    pub fn remove(&self, kind: &str, name: &[u8]) -> Result<(), RecordError> {
        let (kind, name, _) = owned(kind, name, b"");
        self.write_blocking(move |txn| txn.remove(&kind, &name).map(drop))
    }

    /// Deletes every record that is over, in transactions of [`SWEPT_AT_ONCE`]; returns how many
    /// there were.
    pub async fn sweep_expired(&self) -> Result<u64, RecordError> {
        let mut swept = 0;
        loop {
            let write = self.store.write(None, |txn| instance::sweep_records(txn, SWEPT_AT_ONCE));
            let gone = write.await?;
            swept += gone;
            if gone < u64::from(SWEPT_AT_ONCE) {
                return Ok(swept);
            }
        }
    }

    /// Whether a row is what was sealed in its place.
    pub fn opens(&self, row: &instance::RecordRow) -> bool {
        self.open(row).is_ok()
    }

    fn open(&self, row: &instance::RecordRow) -> Result<Record, RecordError> {
        let bound = Bound { kind: &row.kind, expires: row.expires_at.map(bytes) };
        let place = place(row.row_id, &row.name_index);
        let opened = self.keys.open_row(&Place { clear: &bound.clear(), ..place }, &row.sealed);
        let value = match opened {
            Ok(value) => value,
            // Version 1 of the tables bound neither; the index was made from the kind.
            Err(_) if row.expires_at.is_none() => {
                self.keys.open_row(&place, &row.sealed).map_err(|_| RecordError::Damaged)?
            }
            Err(_) => return Err(RecordError::Damaged),
        };
        let seal = Seal { row: row.row_id, number: row.seal_no };
        Ok(Record { value, seal, expires: row.expires_at })
    }

    /// Opens a row that was found by its kind alone: it must be bound to that kind.
    fn open_listed(&self, row: &instance::RecordRow) -> Result<Record, RecordError> {
        let bound = Bound { kind: &row.kind, expires: row.expires_at.map(bytes) };
        let place = Place { clear: &bound.clear(), ..place(row.row_id, &row.name_index) };
        let value = self.keys.open_row(&place, &row.sealed).map_err(|_| RecordError::Damaged)?;
        let seal = Seal { row: row.row_id, number: row.seal_no };
        Ok(Record { value, seal, expires: row.expires_at })
    }

    fn seal(
        &self,
        row: RowId,
        kind: &str,
        index: &BlindIndex,
        expires: Option<Timestamp>,
        value: &[u8],
    ) -> Vec<u8> {
        let bound = Bound { kind, expires: expires.map(bytes) };
        let place = Place { clear: &bound.clear(), ..place(row, index) };
        self.keys.seal_row(&*self.entropy, &place, value)
    }

    fn index(&self, kind: &str, name: &[u8]) -> BlindIndex {
        self.keys.blind(IndexKind::Record, &lockyard_seal::pae(&[kind.as_bytes(), name]))
    }
}

/// The clear columns that a record is bound to.
struct Bound<'k> {
    kind: &'k str,
    expires: Option<[u8; 8]>,
}

impl Bound<'_> {
    fn clear(&self) -> [&[u8]; 2] {
        [self.kind.as_bytes(), self.expires.as_ref().map_or(&[], <[u8; 8]>::as_slice)]
    }
}

fn bytes(time: Timestamp) -> [u8; 8] {
    time.as_micros().to_be_bytes()
}

fn place(row: RowId, index: &BlindIndex) -> Place<'_> {
    Place { table: "instance_record", column: "sealed", row, index: index.as_bytes(), clear: &[] }
}

fn owned(kind: &str, name: &[u8], value: &[u8]) -> (String, Vec<u8>, Zeroizing<Vec<u8>>) {
    (kind.to_owned(), name.to_vec(), Zeroizing::new(value.to_vec()))
}

/// Carries the error of a closure through the store, which adds its own.
struct Carried<E>(E);

impl<E: From<RecordError>> From<StoreError> for Carried<E> {
    fn from(error: StoreError) -> Self {
        Self(RecordError::from(error).into())
    }
}

#[cfg(test)]
mod tests;
