//! The vault through its public face: every test owns a directory, a clock and its randomness.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what tests call may fail as tests do")]

mod access;
mod audited;
mod keys;
mod life;
mod lifecycle;
mod migration;
mod permissions;
mod rotation;
mod support;
mod tampering;
mod uses;
mod vaults;
