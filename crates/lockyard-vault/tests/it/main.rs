//! The vault through its public face: every test owns a directory, a clock and its randomness.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what tests call may fail as tests do")]

mod life;
mod migration;
mod support;
mod tampering;
mod uses;
