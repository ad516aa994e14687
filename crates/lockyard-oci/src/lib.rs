//! The words of OCI Distribution 1.1 and OCI Image 1.1 as parsed values.
//!
//! Everything a registry client sends is foreign text; this crate turns each piece into a type with
//! one fallible constructor, so that past the edge there are no `&str` names and no unchecked
//! manifests. It does no I/O, holds no keys, knows no HTTP framework, and never re-serializes a
//! manifest: what was pushed is kept byte for byte, and only what is needed is read from it.
//!
//! Our own error texts never repeat a name, a tag or a digest, because those are a customer's content
//! and texts end up in logs. A JSON error may quote the value it stumbled over: that is for the
//! client who sent it.

mod descriptor;
mod digest;
mod error;
mod hasher;
mod index;
mod manifest;
mod media_type;
mod object;
mod page;
mod range;
mod reference;
mod registry_name;
mod repository_name;
mod tag;
mod word;

pub use descriptor::{Descriptor, DescriptorError};
pub use digest::{Algorithm, Digest, DigestError};
pub use error::{ErrorBody, ErrorCode, ErrorEntry};
pub use hasher::{HASHED_BYTES_MAX, Hasher, RestoreError};
pub use index::ImageIndex;
pub use manifest::{
    Child, ChildKind, DESCRIPTORS_MAX, MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, Manifest,
    ManifestError, Place,
};
pub use media_type::{ManifestKind, MediaType, MediaTypeError};
pub use page::{PageSize, PageSizeError};
pub use range::{ByteRange, ContentRange, ContentRangeError, Unsatisfiable, content_range};
pub use reference::{Reference, ReferenceError};
pub use registry_name::{RegistryName, RegistryNameError};
pub use repository_name::{RepositoryName, RepositoryNameError};
pub use tag::{Tag, TagError};
