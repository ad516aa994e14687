//! One throw-away authority and one certificate, shown by every server that speaks TLS.
//!
//! All sides get the same key, so that none of them signs faster than the other.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use crate::failure::{During as _, Outcome};

/// The files of a certificate, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// Whom clients must trust.
    pub(crate) authority: PathBuf,
    /// What servers show.
    pub(crate) shown: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for `names` in a folder.
    pub(crate) fn make(folder: &Path, names: &[&str]) -> Outcome<Self> {
        let what = "making a certificate";
        let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).during(what)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "bench");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&authority_key).during(what)?;
        let issuer = Issuer::new(params, authority_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).during(what)?;
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let leaf = CertificateParams::new(names).during(what)?;
        let leaf = leaf.signed_by(&key, &issuer).during(what)?;

        let files = Self {
            authority: folder.join("authority.pem"),
            shown: folder.join("certificate.pem"),
            key: folder.join("certificate.key"),
        };
        let write = |path: &Path, text: &str| {
            fs::write(path, text).during(format!("writing `{}`", path.display()))
        };
        write(&files.authority, &authority.pem())?;
        write(&files.shown, &leaf.pem())?;
        write(&files.key, &key.serialize_pem())?;
        Ok(files)
    }
}
