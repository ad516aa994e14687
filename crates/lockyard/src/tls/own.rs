//! The operator's own certificate, from PEM files.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use thiserror::Error;
use zeroize::Zeroizing;

/// The operator's certificate cannot be used.
#[derive(Debug, Error)]
pub(crate) enum OwnCertificateError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate file holds no certificate.
    #[error("`{}` holds no certificate in PEM", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file holds no private key.
    #[error("`{}` holds no private key in PEM", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// They do not fit, or rustls does not know their kind.
    #[error("the certificate in `{}` and the key in `{}` cannot be used together", certificate.display(), key.display())]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}

/// Reads a certificate with its intermediates, and its key.
pub(crate) fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey, OwnCertificateError> {
    let load = |path: &Path| {
        std::fs::read(path)
            .map(Zeroizing::new)
            .map_err(|source| OwnCertificateError::Read { path: path.to_owned(), source })
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&load(certificate)?)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|chain: &Vec<_>| !chain.is_empty())
        .ok_or_else(|| OwnCertificateError::Certificate { path: certificate.to_owned() })?;
    let private = PrivateKeyDer::from_pem_slice(&load(key)?)
        .map_err(|_| OwnCertificateError::Key { path: key.to_owned() })?;
    CertifiedKey::from_der(chain, private, &super::provider()).map_err(|source| {
        OwnCertificateError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        }
    })
}
