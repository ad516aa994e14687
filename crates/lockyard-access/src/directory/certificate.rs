//! Certificates: public keys by which an application signs its assertions.
//!
//! Only the key, the time of validity and the thumbprints count. Who issued a certificate does not:
//! it is known because somebody put it here.

use std::fmt;

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use lockyard_base::Timestamp;
use thiserror::Error;
use x509_parser::{pem::Pem, prelude::X509Certificate, public_key::PublicKey};
use x509_parser::{prelude::FromDer as _, time::ASN1Time};

use super::{CredentialId, limit::CERTIFICATE_BYTES_MAX};

/// The fewest bits of an RSA key.
const RSA_BITS_MIN: usize = 2048;
/// The most bits of an RSA key: a larger one only costs time to verify.
const RSA_BITS_MAX: usize = 8192;

/// What is not a certificate that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// It is too large.
    #[error("a certificate has at most {CERTIFICATE_BYTES_MAX} bytes")]
    TooLarge,
    /// It cannot be read.
    #[error("this is no X.509 certificate in PEM or DER")]
    Form,
    /// Its key is of another kind.
    #[error("a certificate has an RSA key of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")]
    Key,
    /// Its time of validity is none.
    #[error("the certificate's time of validity is none")]
    Validity,
}

/// A certificate of an application.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate's id.
    pub id: CredentialId,
    /// What people call it.
    pub display_name: Option<String>,
    /// SHA-1 of the DER: the `x5t` of an assertion.
    pub sha1: [u8; 20],
    /// SHA-256 of the DER: the `x5t#S256` of an assertion.
    pub sha256: [u8; 32],
    /// From when it is valid.
    pub starts: Timestamp,
    /// Until when it is valid.
    pub expires: Timestamp,
    /// The RSA key's modulus, big-endian, without leading zeros.
    pub modulus: Vec<u8>,
    /// The RSA key's public exponent, big-endian, without leading zeros.
    pub exponent: Vec<u8>,
    /// The whole certificate as DER.
    pub der: Vec<u8>,
}

impl ClientCertificate {
    /// Reads a certificate from PEM or DER; of several in PEM, the first.
    pub(super) fn parse(
        id: CredentialId,
        display_name: Option<String>,
        bytes: &[u8],
    ) -> Result<Self, CertificateError> {
        // Base64 and the lines around it take less than twice the room.
        if bytes.len() > 2 * CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        if bytes.starts_with(&[0x30]) {
            return Self::from_der(id, display_name, bytes);
        }
        let pem = Pem::iter_from_buffer(bytes)
            .filter_map(Result::ok)
            .find(|pem| pem.label == "CERTIFICATE")
            .ok_or(CertificateError::Form)?;
        Self::from_der(id, display_name, &pem.contents)
    }

    fn from_der(
        id: CredentialId,
        display_name: Option<String>,
        der: &[u8],
    ) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLarge);
        }
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| CertificateError::Form)?;
        if !rest.is_empty() {
            return Err(CertificateError::Form);
        }
        let key = certificate.public_key().parsed().map_err(|_| CertificateError::Key)?;
        let PublicKey::RSA(key) = key else { return Err(CertificateError::Key) };
        let (modulus, exponent) = (stripped(key.modulus), stripped(key.exponent));
        let bits = modulus.len() * 8 - modulus.first().map_or(8, |b| b.leading_zeros() as usize);
        let odd = |number: &[u8]| number.last().is_some_and(|b| b % 2 == 1);
        let sound = odd(&modulus) && odd(&exponent) && exponent != [1] && exponent.len() <= 8;
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !sound {
            return Err(CertificateError::Key);
        }
        let validity = certificate.validity();
        let (starts, expires) = (moment(validity.not_before), moment(validity.not_after));
        if starts >= expires {
            return Err(CertificateError::Validity);
        }
        Ok(Self {
            id,
            display_name,
            sha1: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY, der),
            sha256: thumbprint(&SHA256, der),
            starts,
            expires,
            modulus,
            exponent,
            der: der.to_vec(),
        })
    }

    /// Whether the certificate is valid at `now`.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.expires
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.id)
    }
}

fn thumbprint<const N: usize>(algorithm: &'static Algorithm, der: &[u8]) -> [u8; N] {
    digest(algorithm, der).as_ref().try_into().expect("the algorithm has this length")
}

fn stripped(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|b| *b == 0).collect()
}

fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use lockyard_base::Guid;
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<ClientCertificate, CertificateError> {
        ClientCertificate::parse(CredentialId::new(Guid::from_bytes([1; 16])), None, bytes)
    }

    fn issued(algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::Certificate {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["app".to_owned()]).unwrap();
        params.self_signed(&key).unwrap()
    }

    #[test]
    fn pem_and_der_are_the_same_certificate() {
        let certificate = issued(&rcgen::PKCS_RSA_SHA256);
        let der = parse(certificate.der()).unwrap();
        let pem = parse(certificate.pem().as_bytes()).unwrap();
        assert_eq!(der, pem);
        assert_eq!((der.modulus.len(), der.exponent.as_slice()), (256, [1, 0, 1].as_slice()));
        assert!(der.starts < der.expires);
        assert_eq!(der.sha256.as_slice(), digest(&SHA256, certificate.der()).as_ref());
        let crlf = certificate.pem().replace('\n', "\r\n");
        assert_eq!(parse(format!("Bag Attributes\n{crlf}").as_bytes()).unwrap(), der);
    }

    #[test]
    fn what_is_no_certificate_with_an_rsa_key_is_refused() {
        let elliptic = issued(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(parse(elliptic.der()), Err(CertificateError::Key));
        let mut longer = issued(&rcgen::PKCS_RSA_SHA256).der().to_vec();
        longer.push(0);
        assert_eq!(parse(&longer), Err(CertificateError::Form));
        assert_eq!(parse(b""), Err(CertificateError::Form));
        assert_eq!(parse(b"-----BEGIN CERTIFICATE-----"), Err(CertificateError::Form));
        let other = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode([0x30, 0])
        );
        assert_eq!(parse(other.as_bytes()), Err(CertificateError::Form));
        let huge = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
        assert_eq!(parse(&huge), Err(CertificateError::TooLarge));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
            let _refused = parse(&bytes);
            let mut certificate = vec![0x30];
            certificate.extend_from_slice(&bytes);
            let _refused = parse(&certificate);
        }
    }
}
