//! How the plaintext of a sealed row is laid out: a version byte, then length-prefixed fields.
//!
//! Each field is a big-endian `u32` length and that many bytes, in the order that `docs/spec/keys.md`
//! gives for each row. Rows are sealed, so nobody but us writes them; reading still refuses
//! everything that was not written by this code.

use zeroize::Zeroizing;

use crate::RegistryError;

const VERSION: u8 = 1;

/// Lays fields out one after the other; wiped on drop, since a row may hold keys.
#[derive(Debug)]
pub(crate) struct FieldWriter(Zeroizing<Vec<u8>>);

impl FieldWriter {
    /// Room for `capacity` bytes, so that no half-written copy is left behind by growing.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 64);
        bytes.push(VERSION);
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).expect("no field of a row reaches 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// Reads fields in the order in which they were written.
#[derive(Debug)]
pub(crate) struct FieldReader<'b>(&'b [u8]);

impl<'b> FieldReader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, RegistryError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            _ => Err(DAMAGED),
        }
    }

    pub(crate) fn field(&mut self) -> Result<&'b [u8], RegistryError> {
        let (length, rest) = self.0.split_first_chunk::<4>().ok_or(DAMAGED)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| DAMAGED)?;
        let (field, rest) = rest.split_at_checked(length).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(field)
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, RegistryError> {
        std::str::from_utf8(self.field()?).map_err(|_| DAMAGED)
    }

    pub(crate) fn number(&mut self) -> Result<u64, RegistryError> {
        Ok(u64::from_be_bytes(self.field()?.try_into().map_err(|_| DAMAGED)?))
    }

    /// Whether nothing comes any more: rows of older versions end earlier.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn end(self) -> Result<(), RegistryError> {
        if self.0.is_empty() { Ok(()) } else { Err(DAMAGED) }
    }
}

const DAMAGED: RegistryError = RegistryError::Damaged("the layout of a sealed row");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fields_read_back_as_written(fields: Vec<Vec<u8>>) {
            let mut writer = FieldWriter::with_capacity(0);
            for field in &fields {
                writer = writer.field(field);
            }
            let mut reader = FieldReader::new(writer.as_slice()).expect("our version");
            for field in &fields {
                prop_assert_eq!(reader.field().expect("a field"), field.as_slice());
            }
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(mut reader) = FieldReader::new(&bytes) {
                while reader.field().is_ok() {}
            }
        }
    }
}
