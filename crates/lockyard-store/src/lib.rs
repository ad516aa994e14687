//! Sealed rows in SQLite or PostgreSQL.
//!
//! All SQL of the registry lives here, once for both databases, and none elsewhere. This crate sees
//! random ids, blind indexes and ciphertext only: it has no keys, knows no names and no digests, and
//! cannot tell what a row is about beyond its kind.
//!
//! A caller hands a closure to [`Store::read`] or [`Store::write`]; inside, the rooms' functions
//! ([`repository`], [`blob`], [`manifest`], …) take the transaction first. Two habits hold
//! everywhere: a lookup returns `Option`, and a change to a sealed row is a compare-and-set on its
//! [`SealNo`] that returns whether it won; the loser reads again and seals again.
//!
//! Invariant: no statement here deletes a row because another one was deleted (no cascades).

mod error;
mod job;
mod postgres;
mod rooms;
mod schema;
mod sqlite;
mod store;
mod txn;
mod value;
mod word;

pub use error::{Cause, OpenError, Place, StoreError};
pub use rooms::{
    SealNo, blob, collection, edge, epoch, index_key, instance, link, manifest, part, registry,
    repository, tag, upload, walk, wrap,
};
pub use schema::VERSION as SCHEMA_VERSION;
pub use store::{CommitGuard, Durability, Engine, Store};
pub use txn::Txn;
