//! The certificate of this start: issued anew each time, its key never stored.

use lockyard_base::{Clock, Entropy};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::Duration;

use super::{
    Authority, TlsError,
    authority::{date, serial},
};
use crate::config::Domain;

/// Clients accept at most 825 days; a server is restarted more often than that.
const VALID_DAYS: i64 = 820;

/// The fixed names before the domain.
const FIXED: [&str; 5] = ["management", "login", "graph", "portal", "blob"];
/// The names before the domain that stand for one label each.
const WILDCARDS: [&str; 2] = ["*.vault", "*.cr"];

impl Authority {
    /// Issues a certificate for all names under the domain and for loopback.
    pub(crate) fn issue(
        &self,
        domain: &Domain,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<CertifiedKey, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Issue)?;
        let mut params = CertificateParams::default();
        let name = format!("Lockyard on {domain}");
        // A common name has at most 64 characters (X.520); clients read the names below.
        params
            .distinguished_name
            .push(DnType::CommonName, name.chars().take(64).collect::<String>());
        params.subject_alt_names = names(domain)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(entropy));
        let now = date(clock.wall());
        params.not_before = now - Duration::days(1);
        params.not_after = now + Duration::days(VALID_DAYS);
        let leaf = params.signed_by(&key, self.issuer()).map_err(TlsError::Issue)?;
        let chain = vec![leaf.der().clone(), self.certificate()?];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(chain, key, &super::provider()).map_err(TlsError::Use)
    }
}

fn names(domain: &Domain) -> Result<Vec<SanType>, TlsError> {
    let mut names = FIXED
        .iter()
        .chain(&WILDCARDS)
        .map(|name| dns(&format!("{name}.{domain}")))
        .collect::<Result<Vec<_>, _>>()?;
    names.push(dns("localhost")?);
    names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
    Ok(names)
}

fn dns(name: &str) -> Result<SanType, TlsError> {
    name.try_into().map(SanType::DnsName).map_err(TlsError::Issue)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockyard_base::{HandClock, SeededEntropy, Timestamp};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

    use zeroize::Zeroizing;

    use super::*;

    /// Whether a client that trusts `trusted` accepts what `shown` issues for `issued`, under
    /// `name`.
    fn accepted(trusted: &Authority, shown: &Authority, issued: &str, name: &str) -> bool {
        let (clock, entropy) = (today(), SeededEntropy::new(2));
        let domain: Domain = issued.parse().expect("valid");
        let leaf = shown.issue(&domain, &clock, &entropy).expect("issued");
        let server = super::super::server(leaf).expect("usable");
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(trusted.pem().as_bytes()).expect("PEM");
        roots.add(root).expect("an authority");
        let client = ClientConfig::builder_with_provider(super::super::provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("client");
        let mut server = ServerConnection::new(server).expect("server");
        for _ in 0..8 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            server.read_tls(&mut wire.as_slice()).expect("memory");
            server.process_new_packets().ok();
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            client.read_tls(&mut wire.as_slice()).expect("memory");
            if client.process_new_packets().is_err() {
                return false;
            }
        }
        !client.is_handshaking()
    }

    /// Verification reads the machine's clock, so certificates are made on its day.
    fn today() -> HandClock {
        let now = lockyard_base::SystemClock.wall().as_micros();
        HandClock::at(Timestamp::from_micros(now))
    }

    fn authority(domain: &str) -> (Authority, Zeroizing<Vec<u8>>) {
        Authority::generate(&domain.parse().expect("valid"), &today(), &SeededEntropy::new(1))
            .expect("made")
    }

    #[test]
    fn a_client_that_trusts_the_authority_accepts_every_name_of_the_instance() {
        let (authority, _) = authority("yard.example");
        for name in [
            "management.yard.example",
            "login.yard.example",
            "contoso.cr.yard.example",
            "keys.vault.yard.example",
            "localhost",
            "127.0.0.1",
            "::1",
        ] {
            assert!(accepted(&authority, &authority, "yard.example", name), "{name}");
        }
        assert!(!accepted(&authority, &authority, "yard.example", "a.b.cr.yard.example"));
        assert!(!accepted(&authority, &authority, "yard.example", "yard.example.org"));
    }

    #[test]
    fn a_stolen_authority_cannot_speak_for_other_domains() {
        let (authority, _) = authority("yard.example");
        assert!(!accepted(&authority, &authority, "bank.example", "login.bank.example"));
    }

    #[test]
    fn a_stored_authority_issues_what_its_first_certificate_vouches_for() {
        let (first, stored) = authority("localhost");
        let again = Authority::load(&stored).expect("its own");
        assert_eq!(again.pem(), first.pem());
        assert!(accepted(&first, &again, "localhost", "lockyard.cr.localhost"));
        assert!(matches!(Authority::load(b"{}"), Err(TlsError::StoredAuthority)));
    }
}
