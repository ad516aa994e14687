//! Operator commands: through the admin socket while a server runs, under the lock otherwise.
//!
//! A command is a [`Request`]; whoever has the rooms open performs it and answers in lines of
//! text. Both ways run the same code, so that a command does the same whether a server runs or
//! not.

mod client;
mod keys;
mod protocol;
mod registries;
mod server;

pub(crate) use client::ask;
pub(crate) use keys::perform as perform_on_vault;
pub(crate) use protocol::{KeyRequest, RegistryRequest, Request};
pub(crate) use registries::perform as perform_on_registries;
pub(crate) use server::AdminSocket;

/// The socket's name in the data directory.
const SOCKET: &str = "admin.sock";
