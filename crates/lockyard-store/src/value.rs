//! Values as they go into a statement and rows as they come out, the same for both drivers.
//!
//! Ids travel as 32 hexadecimal digits, indexes and sealed values as bytes, everything else as
//! 64-bit integers or short words. Lists travel as one parameter (an array on PostgreSQL, a JSON
//! text on SQLite), so that a statement's text never depends on how many things it is about.

use std::{error::Error, fmt::Write as _, str::FromStr};

use bytes::BytesMut;
use lockyard_base::{
    BlindIndex, BlobId, Epoch, IdHex, LinkId, ManifestId, PartId, RegistryId, RepositoryId, RowId,
    TagId, Timestamp, UploadId, WrapId,
};
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::{SealNo, StoreError};

/// A statement's parameter.
#[derive(Debug)]
pub(crate) enum Value<'v> {
    Null,
    Int(i64),
    Text(&'v str),
    Id(IdHex),
    Blob(&'v [u8]),
    /// A list of ids; its place in the text is written by `Dialect::ids`.
    Ids(Vec<IdHex>),
    /// A list of indexes; its place in the text is written by `Dialect::indexes`.
    Indexes(&'v [BlindIndex]),
}

macro_rules! ids {
    ($($id:ident)*) => {$(
        impl From<$id> for Value<'_> {
            fn from(id: $id) -> Self {
                Self::Id(id.hex())
            }
        }

        impl From<&[$id]> for Value<'_> {
            fn from(ids: &[$id]) -> Self {
                Self::Ids(ids.iter().map(|id| id.hex()).collect())
            }
        }
    )*};
}

ids! { RegistryId RepositoryId BlobId LinkId ManifestId TagId UploadId PartId WrapId RowId }

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).expect("no counter of ours reaches 2^63"))
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Int(truth.into())
    }
}

impl From<SealNo> for Value<'_> {
    fn from(number: SealNo) -> Self {
        number.0.into()
    }
}

impl From<Epoch> for Value<'_> {
    fn from(epoch: Epoch) -> Self {
        epoch.number().into()
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(time.as_micros())
    }
}

impl<'v> From<&'v BlindIndex> for Value<'v> {
    fn from(index: &'v BlindIndex) -> Self {
        Self::Blob(index.as_bytes())
    }
}

impl<'v> From<&'v [BlindIndex]> for Value<'v> {
    fn from(indexes: &'v [BlindIndex]) -> Self {
        Self::Indexes(indexes)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<T> From<Option<T>> for Value<'_>
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(number) => ToSqlOutput::Borrowed(ValueRef::Integer(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Id(id) => ToSqlOutput::Borrowed(ValueRef::Text(id.as_bytes())),
            Self::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Ids(ids) => {
                ToSqlOutput::from(json_list(ids.iter().map(|id| id.as_bytes().as_slice())))
            }
            Self::Indexes(indexes) => {
                let hex: Vec<String> = indexes.iter().map(|index| hex(index.as_bytes())).collect();
                ToSqlOutput::from(json_list(hex.iter().map(String::as_bytes)))
            }
        })
    }
}

/// A JSON array of texts that need no escaping.
fn json_list<'t>(texts: impl Iterator<Item = &'t [u8]>) -> String {
    let mut list = String::from("[");
    for text in texts {
        let comma = if list.len() > 1 { "," } else { "" };
        let text = std::str::from_utf8(text).expect("hexadecimal digits are ASCII");
        write!(list, "{comma}\"{text}\"").expect("a string takes every text");
    }
    list.push(']');
    list
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql_checked(ty, out),
            Self::Text(text) => text.to_sql_checked(ty, out),
            Self::Id(id) => id.as_str().to_sql_checked(ty, out),
            Self::Blob(bytes) => bytes.to_sql_checked(ty, out),
            Self::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(IdHex::as_str).collect();
                ids.to_sql_checked(ty, out)
            }
            Self::Indexes(indexes) => {
                let indexes: Vec<&[u8]> =
                    indexes.iter().map(|index| index.as_bytes().as_slice()).collect();
                indexes.to_sql_checked(ty, out)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true // each value checks for itself
    }

    to_sql_checked!();
}

/// One row of an answer; columns by position, beginning with 0.
#[derive(Debug)]
pub(crate) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

impl Row<'_> {
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.maybe_int(column)?.ok_or_else(|| missing(column))
    }

    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?)
            .map_err(|_| StoreError::damaged(format!("column {column} is negative")))
    }

    pub(crate) fn is(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_micros)
    }

    pub(crate) fn epoch(&self, column: usize) -> Result<Epoch, StoreError> {
        self.count(column).map(Epoch::new)
    }

    pub(crate) fn seal_no(&self, column: usize) -> Result<SealNo, StoreError> {
        self.count(column).map(SealNo)
    }

    pub(crate) fn id<I: FromStr>(&self, column: usize) -> Result<I, StoreError> {
        self.maybe_id(column)?.ok_or_else(|| missing(column))
    }

    pub(crate) fn row_id(&self, column: usize) -> Result<RowId, StoreError> {
        self.id::<LinkId>(column).map(RowId::from) // any kind of id reads the same text
    }

    pub(crate) fn maybe_id<I: FromStr>(&self, column: usize) -> Result<Option<I>, StoreError> {
        self.with_text(column, |text| {
            text.map(|text| {
                text.parse()
                    .map_err(|_| StoreError::damaged(format!("column {column} is not an id")))
            })
            .transpose()
        })
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.with_text(column, |text| text.map(str::to_owned).ok_or_else(|| missing(column)))
    }

    /// Reads a word of a fixed vocabulary.
    pub(crate) fn word<W>(
        &self,
        column: usize,
        parse: impl FnOnce(&str) -> Option<W>,
    ) -> Result<W, StoreError> {
        self.with_text(column, |text| {
            text.and_then(parse)
                .ok_or_else(|| StoreError::damaged(format!("column {column} has no known word")))
        })
    }

    pub(crate) fn blob(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        self.maybe_blob(column)?.ok_or_else(|| missing(column))
    }

    pub(crate) fn index(&self, column: usize) -> Result<BlindIndex, StoreError> {
        self.bytes(column).map(BlindIndex::from_bytes)
    }

    /// Reads exactly `N` bytes.
    pub(crate) fn bytes<const N: usize>(&self, column: usize) -> Result<[u8; N], StoreError> {
        self.with_blob(column, |bytes| bytes.and_then(|bytes| bytes.try_into().ok()))?
            .ok_or_else(|| StoreError::damaged(format!("column {column} is not {N} bytes")))
    }

    pub(crate) fn maybe_blob(&self, column: usize) -> Result<Option<Vec<u8>>, StoreError> {
        self.with_blob(column, |bytes| bytes.map(<[u8]>::to_vec))
    }

    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// Whether a text column holds anything.
    pub(crate) fn has_text(&self, column: usize) -> Result<bool, StoreError> {
        self.with_text(column, |text| Ok(text.is_some()))
    }

    fn with_text<T>(
        &self,
        column: usize,
        read: impl FnOnce(Option<&str>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(row) => {
                match row.get_ref(column)? {
                    ValueRef::Null => read(None),
                    value => read(Some(value.as_str().map_err(|_| {
                        StoreError::damaged(format!("column {column} is no text"))
                    })?)),
                }
            }
            Self::Postgres(row) => read(row.try_get(column)?),
        }
    }

    fn with_blob<T>(
        &self,
        column: usize,
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError> {
        match self {
            Self::Sqlite(row) => {
                match row.get_ref(column)? {
                    ValueRef::Null => Ok(read(None)),
                    value => Ok(read(Some(value.as_blob().map_err(|_| {
                        StoreError::damaged(format!("column {column} is no blob"))
                    })?))),
                }
            }
            Self::Postgres(row) => Ok(read(row.try_get(column)?)),
        }
    }
}

fn missing(column: usize) -> StoreError {
    StoreError::damaged(format!("column {column} is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_json_text() {
        assert_eq!(json_list([].into_iter()), "[]");
        assert_eq!(json_list([b"aa".as_slice(), b"bb"].into_iter()), r#"["aa","bb"]"#);
    }
}
