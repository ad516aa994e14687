//! The local certificate authority: made once, able to speak for this instance's names alone.
//!
//! People add its certificate to what their tools trust, so it must not be worth stealing: it is
//! name-constrained to the domain and to loopback (RFC 5280, 4.2.1.10), and its key is kept sealed.

use lockyard_base::{Clock, Entropy, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::TlsError;
use crate::config::Domain;

/// How long an authority is valid.
const VALID_DAYS: i64 = 3650;

/// A certificate authority with its key.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// An authority as it is stored; only ever inside a sealed record.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    version: u8,
    /// Hexadecimal random digits that tell two authorities of one domain apart in trust stores.
    mark: String,
    certificate_pem: String,
    key_pem: String,
}

const STORED_VERSION: u8 = 1;

impl Authority {
    /// Makes an authority for the domain; the second value is what is to be stored, sealed.
    pub(crate) fn generate(
        domain: &Domain,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Issue)?;
        let mark = hex::encode(entropy.bytes::<4>());
        let mut params = subject(&mark);
        let now = date(clock.wall());
        params.not_before = now - Duration::days(1);
        params.not_after = now + Duration::days(VALID_DAYS);
        params.serial_number = Some(serial(entropy));
        params.name_constraints = Some(constraints(domain));
        let certificate_pem = params.self_signed(&key).map_err(TlsError::Issue)?.pem();
        let stored = Stored {
            version: STORED_VERSION,
            certificate_pem: certificate_pem.clone(),
            key_pem: key.serialize_pem(),
            mark,
        };
        let bytes =
            Zeroizing::new(serde_json::to_vec(&stored).map_err(|_| TlsError::StoredAuthority)?);
        let issuer = Issuer::new(params, key);
        Ok((Self { pem: certificate_pem, issuer }, bytes))
    }

    /// Reads a stored authority.
    pub(crate) fn load(stored: &[u8]) -> Result<Self, TlsError> {
        let stored: Stored =
            serde_json::from_slice(stored).map_err(|_| TlsError::StoredAuthority)?;
        if stored.version != STORED_VERSION {
            return Err(TlsError::StoredAuthority);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(stored.key_pem.as_bytes())
            .map_err(|_| TlsError::StoredAuthority)?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| TlsError::StoredAuthority)?;
        Ok(Self {
            pem: stored.certificate_pem.clone(),
            issuer: Issuer::new(subject(&stored.mark), key),
        })
    }

    /// The certificate in PEM; public.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) const fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(super) fn certificate(&self) -> Result<CertificateDer<'static>, TlsError> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).map_err(|_| TlsError::StoredAuthority)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

/// What a leaf's issuer and its signer must agree on.
fn subject(mark: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Lockyard");
    params.distinguished_name.push(DnType::CommonName, format!("Lockyard local CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn constraints(domain: &Domain) -> NameConstraints {
    let mut names = vec![domain.as_str()];
    if domain.as_str() != "localhost" {
        names.push("localhost");
    }
    let mut permitted: Vec<_> =
        names.into_iter().map(|name| GeneralSubtree::DnsName(name.to_owned())).collect();
    let mut v6 = [0; 16];
    v6[15] = 1;
    permitted.push(GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])));
    permitted.push(GeneralSubtree::IpAddress(CidrSubnet::V6(v6, [255; 16])));
    NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() }
}

/// A positive serial number of 16 bytes (RFC 5280, 4.1.2.2).
pub(super) fn serial(entropy: &dyn Entropy) -> SerialNumber {
    let mut bytes = entropy.bytes::<16>();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// A certificate's time; far-off clocks are clamped to what certificates can say.
pub(super) fn date(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.as_secs()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
