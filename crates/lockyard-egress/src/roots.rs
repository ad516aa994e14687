//! Whose certificates are believed: the machine's own store and what the operator adds.
//!
//! The machine's store rather than a list inside the binary, because an issuer on premises has a
//! certificate of the house's own authority, which the machine knows already, and because a store
//! that the system keeps is up to date when the binary is not. A machine without a store needs a
//! file.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use thiserror::Error;

/// Where the certificates come from that are believed.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    added: Vec<CertificateDer<'static>>,
    without_system: bool,
}

/// A file with certificates cannot be used.
#[derive(Debug, Error)]
#[error("`{}` holds no certificates that can be used", path.display())]
pub struct RootsError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Roots {
    /// The machine's own store.
    pub fn system() -> Self {
        Self::default()
    }

    /// Only these certificates.
    pub fn only(added: Vec<CertificateDer<'static>>) -> Self {
        Self { added, without_system: true }
    }

    /// Believes the certificates of a PEM file too.
    pub fn and_file(mut self, path: &Path) -> Result<Self, RootsError> {
        let failed = |source| RootsError { path: path.to_owned(), source };
        let before = self.added.len();
        let found = CertificateDer::pem_file_iter(path)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        for certificate in found {
            let certificate =
                certificate.map_err(|error| failed(io::Error::other(error.to_string())))?;
            // A certificate that TLS cannot use is found here and not at the first request.
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|error| failed(io::Error::other(error.to_string())))?;
            self.added.push(certificate);
        }
        if self.added.len() == before {
            return Err(failed(io::Error::other("there is no certificate in it")));
        }
        Ok(self)
    }

    /// Reads the machine's store and adds the rest. Takes milliseconds, so it waits for a need.
    pub(crate) fn gather(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        if !self.without_system {
            // A store with some odd certificates serves with the others.
            let found = rustls_native_certs::load_native_certs();
            let (_taken, _odd) = store.add_parsable_certificates(found.certs);
        }
        let (_taken, _odd) = store.add_parsable_certificates(self.added.iter().cloned());
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(Roots::system().and_file(Path::new("/dev/null")).is_err());
        assert!(Roots::system().and_file(Path::new("/does/not/exist")).is_err());
    }
}
