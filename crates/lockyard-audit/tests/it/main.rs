//! The audit trail as its users meet it: files that are changed behind its back, disks that fill
//! up, many who record at once.

#![expect(clippy::unwrap_used, reason = "this crate is a test")]

mod full;
mod life;
mod refusals;
mod support;
mod tamper;
