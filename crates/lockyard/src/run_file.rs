//! `run.json`: where the running server listens, for tools and tests.
//!
//! Written when everything answers, removed at a clean stop. A stale one means that the server was
//! killed; the lock, not this file, says whether one runs.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::private_file;

const NAME: &str = "run.json";

/// Where a server listens.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Addresses {
    /// HTTPS.
    pub(crate) https: SocketAddr,
    /// Plain HTTP on loopback.
    pub(crate) http: SocketAddr,
    /// Health and metrics.
    pub(crate) ops: SocketAddr,
    /// The CONNECT listener.
    pub(crate) connect_proxy: Option<SocketAddr>,
    /// The managed identities' listener.
    pub(crate) identity_endpoint: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Contents {
    #[serde(flatten)]
    addresses: Addresses,
    pid: u32,
}

/// The file, for as long as the server runs.
#[derive(Debug)]
pub(crate) struct RunFile(PathBuf);

impl RunFile {
    /// Whether the last server here was killed, or lost its power.
    pub(crate) fn is_stale(data_dir: &Path) -> bool {
        data_dir.join(NAME).exists()
    }

    /// Writes the file.
    pub(crate) fn write(data_dir: &Path, addresses: Addresses) -> io::Result<Self> {
        let path = data_dir.join(NAME);
        let contents = Contents { addresses, pid: std::process::id() };
        let mut text = serde_json::to_vec(&contents)?;
        text.push(b'\n');
        private_file::replace(&path, &text)?;
        Ok(Self(path))
    }

    /// Removes the file.
    pub(crate) fn remove(self) -> io::Result<()> {
        private_file::remove(&self.0)
    }
}
