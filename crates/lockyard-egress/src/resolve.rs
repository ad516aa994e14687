//! From names to addresses.

use std::{fmt, io, net::IpAddr};

use async_trait::async_trait;

/// Finds the addresses of a name; a seam, so that tests can say what a hostile name server says.
#[async_trait]
pub trait Resolve: Send + Sync + fmt::Debug {
    /// Every address of `host`.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // The port is part of the interface and of no interest.
        Ok(tokio::net::lookup_host((host, 443)).await?.map(|found| found.ip()).collect())
    }
}
