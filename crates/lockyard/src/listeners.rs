//! The sockets of a server, bound before anything is made, so that a busy port changes nothing.

use std::{io, net::SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;

use crate::{config::ServeConfig, run_file::Addresses};

/// All listeners of a server.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// HTTPS.
    pub(crate) https: TcpListener,
    /// Plain HTTP on loopback.
    pub(crate) http: TcpListener,
    /// Health and metrics.
    pub(crate) ops: TcpListener,
    /// The CONNECT listener, if wanted.
    pub(crate) connect_proxy: Option<TcpListener>,
    /// The managed identities' listener, if wanted.
    pub(crate) identities: Option<TcpListener>,
}

/// An address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for {purpose}")]
pub(crate) struct ListenError {
    address: SocketAddr,
    purpose: &'static str,
    flag: &'static str,
    #[source]
    source: io::Error,
}

impl ListenError {
    /// What to do about it.
    pub(crate) fn cure(&self) -> String {
        let flag = self.flag;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "another program listens there: stop it, or choose another port with `{flag}`"
            ),
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address: choose another one with `{flag}`")
            }
            io::ErrorKind::PermissionDenied => format!(
                "ports below 1024 need a privilege: choose a higher one with `{flag}`, or grant \
                 CAP_NET_BIND_SERVICE"
            ),
            _ => format!("choose another address with `{flag}`"),
        }
    }
}

impl Listeners {
    /// Binds all of them.
    pub(crate) async fn bind(config: &ServeConfig) -> Result<Self, ListenError> {
        let connect_proxy = match config.connect_proxy {
            Some(address) => Some(bind(address.get(), "CONNECT", "--connect-proxy ADDR").await?),
            None => None,
        };
        let identities = match config.identity_endpoint {
            Some(address) => {
                let flag = "--identity-endpoint ADDR";
                Some(bind(address.get(), "managed identities", flag).await?)
            }
            None => None,
        };
        Ok(Self {
            identities,
            https: bind(config.https, "HTTPS", "--https ADDR").await?,
            http: bind(config.http.get(), "plain HTTP", "--http ADDR").await?,
            ops: bind(config.ops, "health and metrics", "--ops ADDR").await?,
            connect_proxy,
        })
    }

    /// Where they listen, with the ports that the system chose.
    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        Ok(Addresses {
            https: self.https.local_addr()?,
            http: self.http.local_addr()?,
            ops: self.ops.local_addr()?,
            connect_proxy: self.connect_proxy.as_ref().map(TcpListener::local_addr).transpose()?,
            identity_endpoint: self.identities.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

async fn bind(
    address: SocketAddr,
    purpose: &'static str,
    flag: &'static str,
) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError {
        address,
        purpose,
        flag,
        source,
    })
}
