//! Tests of the crate's public surface: whole streams, everything that can be done to one, and the
//! published vectors.

mod stream;
mod support;
mod tamper;
