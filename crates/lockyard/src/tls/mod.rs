//! What the HTTPS listener shows: a certificate of the local authority, or the operator's own.
//!
//! rustls with aws-lc-rs is the only TLS of this program. Nothing here decides who may connect.

mod authority;
mod leaf;
mod own;

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    sign::CertifiedKey,
};
use thiserror::Error;

pub(crate) use authority::Authority;
pub(crate) use own::read;

/// A certificate could not be made or used.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// rcgen refuses.
    #[error("a certificate for this domain cannot be made")]
    Issue(#[source] rcgen::Error),
    /// A stored authority makes no sense.
    #[error("the stored certificate authority is damaged; restore the database from a backup")]
    StoredAuthority,
    /// rustls refuses the certificate or its key.
    #[error("the certificate and its key cannot be used")]
    Use(#[source] rustls::Error),
}

/// Turns a certificate into what a listener needs: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
pub(crate) fn server(certificate: CertifiedKey) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Use)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
