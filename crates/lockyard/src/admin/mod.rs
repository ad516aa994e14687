//! Operator commands: through the admin socket while a server runs, under the lock otherwise.
//!
//! A command is a [`Request`]; whoever has the rooms open performs it and answers in lines of
//! text; what takes long tells how far it is. Both ways run the same code, so that a command does the same whether a server runs or
//! not.

mod client;
mod identities;
mod keys;
mod protocol;
mod registries;
mod server;
mod upkeep;

pub(crate) use client::{ask, ask_for_upkeep};
pub(crate) use identities::perform as perform_on_identities;
pub(crate) use keys::perform as perform_on_vault;
pub(crate) use protocol::{
    IdentityRequest, KeyRequest, RegistryRequest, Report, Request, UpkeepRequest, Verdict,
};
pub(crate) use registries::perform as perform_on_registries;
pub(crate) use server::AdminSocket;
pub(crate) use upkeep::{SHOW_EVERY, perform as perform_upkeep};

/// The socket's name in the data directory.
const SOCKET: &str = "admin.sock";
