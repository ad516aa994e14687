//! Sealed parts: where the bytes of blobs lie, and the only way in and out of them.
//!
//! A [`PartStore`] keeps ciphertext under random ids and promises durability; [`PartWriter`] seals
//! plaintext into it and [`BlobStream`] opens it again, both only for the holder of an
//! [`UnlockedRegistry`](lockyard_keyring::UnlockedRegistry) and only until that registry locks.
//! What a row must remember about parts is a [`PartList`], which outer rooms pass on without
//! looking inside.
//!
//! Plaintext never leaves memory here, and no error names a path, a key or a byte of content.

mod disk;
mod export;
mod in_row;
mod list;
mod local;
mod opener;
mod pool;
mod store;
mod stream;
#[cfg(feature = "testing")]
mod testing;
mod writer;

pub use disk::{Disk, DiskEntry, DiskEntryKind, DiskFile, SystemDisk};
pub use export::{DangerousExport, ExportError, dangerous_export};
pub use in_row::with_row_part;
pub use list::{ListError, PARTS_PER_BLOB_MAX, PartList, SealedPart};
pub use local::LocalParts;
pub use opener::ReadError;
pub use pool::{BUFFER_BYTES_MIN, BufferPool};
pub use store::{Listed, PartError, PartSink, PartSource, PartStore};
pub use stream::BlobStream;
#[cfg(feature = "testing")]
pub use testing::{Call, FaultyParts};
pub use writer::{PartWriter, SHORT_BYTES_MAX, WriteError, seal_short};
