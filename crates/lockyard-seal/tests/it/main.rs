//! Tests of the crate's public surface: whole streams, everything that can be done to one, and the
//! published vectors.

mod keys;
mod published;
mod stream;
mod streams;
mod support;
mod tamper;
mod vectors;
