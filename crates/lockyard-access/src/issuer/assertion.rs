//! Assertions: a client that signs who it is, or shows what another issuer says of it (RFC 7523).
//!
//! One that the client signs itself names one of its certificates by thumbprint, is for us, is
//! short-lived, and is used up by what it was shown for. It may be shown for something else: MSAL
//! makes one for ten minutes and shows it for each resource. A token of another issuer is matched
//! against what was configured for this client, word for word.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use lockyard_base::Timestamp;
use serde::Deserialize;

use super::{
    Issuer, OAuthError, TenantPath, Version,
    jwt::{self, Header, JwtError, OneOrMany},
    session::sha256,
};
use crate::{
    RecordError,
    directory::{
        Application, ClientCertificate, ClientId, CredentialId, Method, Principal, PrincipalKind,
        Proof, Snapshot,
    },
};

/// How long an assertion may be good that a client signs itself. MSAL says ten minutes.
pub const ASSERTION_LIFE_MAX: Duration = Duration::from_secs(60 * 60);
/// How far a client's clock may be from ours.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest `jti` in bytes.
const JTI_BYTES_MAX: usize = 256;

/// The kind of the records of assertions that were used.
const USED: &str = "issuer-assertion";

/// What assertions are signed with.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::RS256, Algorithm::PS256];

/// The claims of an assertion that are looked at.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Assertion {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: OneOrMany,
    pub(crate) exp: f64,
    #[serde(default)]
    pub(crate) nbf: Option<f64>,
    #[serde(default)]
    pub(crate) iat: Option<f64>,
    #[serde(default)]
    jti: Option<String>,
}

impl Assertion {
    /// Whether the assertion is good at `now`, clocks being what they are.
    pub(crate) fn is_timely(&self, now: Timestamp) -> bool {
        let begins = self.nbf.or(self.iat).map(moment);
        now.saturating_sub(CLOCK_SKEW_MAX) < moment(self.exp)
            && begins.is_none_or(|begins| begins <= now + CLOCK_SKEW_MAX)
    }
}

impl Issuer {
    /// Proves a client by an assertion.
    pub(crate) async fn prove_assertion(
        &self,
        client: ClientId,
        assertion: &str,
        used_for: &str,
    ) -> Result<Proof, OAuthError> {
        let header = jwt::header(assertion).map_err(malformed)?;
        let unproved: Assertion = jwt::dangerous_claims(assertion).map_err(malformed)?;
        let snapshot = self.directory.snapshot();
        let application = snapshot.application(client);
        let own = client.to_string();
        let proof = if unproved.iss.eq_ignore_ascii_case(&own) {
            let found = application.and_then(|application| certificate(application, &header));
            let (certificate, claims) = checked(assertion, found)?;
            self.check_own(client, &claims)?;
            let now = self.clock.wall();
            if !certificate.is_valid_at(now) {
                return Err(OAuthError::client(
                    700_027,
                    "the certificate of the assertion is not valid now",
                ));
            }
            let (id, principal) = (certificate.id, acting(&snapshot, client)?);
            let proof = Proof::new(principal.id, id, Method::Certificate, now);
            self.use_up(id, &claims, used_for).await?;
            proof
        } else {
            let credential = self.check_foreign(application, assertion, &unproved).await?;
            let principal = acting(&snapshot, client)?;
            Proof::new(principal.id, credential, Method::Federated, self.clock.wall())
        };
        Ok(proof)
    }

    /// Holds what a client says of itself against what it may say.
    fn check_own(&self, client: ClientId, claims: &Assertion) -> Result<(), OAuthError> {
        let own = client.to_string();
        if !claims.iss.eq_ignore_ascii_case(&own) || !claims.sub.eq_ignore_ascii_case(&own) {
            return Err(OAuthError::client(
                700_021,
                "`iss` and `sub` of the assertion must be the client id",
            ));
        }
        let [audience] = claims.aud.as_slice() else { return Err(wrong_audience()) };
        if !self.is_our_endpoint(audience) {
            return Err(wrong_audience());
        }
        let now = self.clock.wall();
        if !claims.is_timely(now) {
            return Err(OAuthError::client(
                700_024,
                "the assertion is not valid now: its time is over or has not come",
            ));
        }
        if moment(claims.exp) > now + ASSERTION_LIFE_MAX + CLOCK_SKEW_MAX {
            return Err(OAuthError::client(
                700_024,
                format!(
                    "the assertion is good for too long, at most {} minutes are",
                    ASSERTION_LIFE_MAX.as_secs() / 60
                ),
            ));
        }
        Ok(())
    }

    /// Whether an audience is this issuer, by any name that it has in its documents.
    fn is_our_endpoint(&self, audience: &str) -> bool {
        let (origins, tenant) = (&self.origins, self.directory.snapshot().tenant());
        let versions = [Version::V1, Version::V2];
        if versions.iter().any(|version| version.issuer(tenant, origins) == audience) {
            return true;
        }
        let Some(path) = audience.strip_prefix(&origins.login) else { return false };
        TenantPath::spellings(tenant, origins).iter().any(|spelling| {
            versions.iter().any(|version| path == format!("/{spelling}/{}/token", version.path()))
        })
    }

    /// Lets an assertion be shown once for each thing.
    async fn use_up(
        &self,
        credential: CredentialId,
        claims: &Assertion,
        used_for: &str,
    ) -> Result<(), OAuthError> {
        let jti = claims.jti.as_deref().filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()));
        let Some(jti) = jti else {
            return Err(OAuthError::client(
                700_025,
                format!("the assertion must have a `jti` of at most {JTI_BYTES_MAX} bytes"),
            ));
        };
        let credential = credential.to_string();
        let name =
            lockyard_seal::pae(&[credential.as_bytes(), jti.as_bytes(), used_for.as_bytes()]);
        let (name, until) = (sha256(&name), moment(claims.exp) + CLOCK_SKEW_MAX);
        let first = self.records.write(move |txn| txn.insert(USED, &name, b"", Some(until)));
        let first = first.await.map_err(|error: RecordError| OAuthError::from(error))?;
        if first {
            return Ok(());
        }
        tracing::warn!("an assertion came a second time");
        Err(OAuthError::client(700_024, "the assertion was used already, sign another one"))
    }

    /// Holds another issuer's token against what is configured for this client, and returns the
    /// credential that it is.
    async fn check_foreign(
        &self,
        application: Option<&Application>,
        assertion: &str,
        unproved: &Assertion,
    ) -> Result<CredentialId, OAuthError> {
        let configured = application.into_iter().flat_map(|application| &application.federated);
        let credential = configured
            .clone()
            .find(|one| one.issuer == unproved.iss && one.subject == unproved.sub)
            .filter(|one| {
                unproved.aud.as_slice().iter().any(|audience| one.audiences.contains(audience))
            });
        let Some(credential) = credential else {
            return Err(OAuthError::client(
                70_021,
                "no federated credential of the client has this issuer, subject and audience",
            ));
        };
        // Only now is anybody asked, and only who was configured.
        let claims: Assertion = self.external.read(&credential.issuer, assertion).await?;
        let same = claims.iss == unproved.iss && claims.sub == unproved.sub;
        if !same || !claims.is_timely(self.clock.wall()) {
            return Err(OAuthError::client(
                700_024,
                "the federated token is not valid now: its time is over or has not come",
            ));
        }
        Ok(credential.id)
    }
}

/// Who acts when a client proves itself.
fn acting(snapshot: &Snapshot, client: ClientId) -> Result<&Principal, OAuthError> {
    let principal = snapshot
        .by_client(client)
        .filter(|principal| principal.kind == PrincipalKind::ServicePrincipal)
        .ok_or_else(unknown_key)?;
    if principal.enabled {
        Ok(principal)
    } else {
        Err(OAuthError::client(7_000_112, "the client is disabled"))
    }
}

/// The certificate that an assertion names by its thumbprint.
fn certificate<'a>(application: &'a Application, header: &Header) -> Option<&'a ClientCertificate> {
    let thumbprint = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let all = &application.certificates;
    match (&header.x5t_sha256, &header.x5t) {
        (Some(sha256), _) => {
            let sha256 = thumbprint(sha256)?;
            all.iter().find(|certificate| certificate.sha256.as_slice() == sha256)
        }
        (None, Some(sha1)) => {
            let sha1 = thumbprint(sha1)?;
            all.iter().find(|certificate| certificate.sha1.as_slice() == sha1)
        }
        (None, None) => None,
    }
}

/// The claims of an assertion that a certificate's key signed.
fn checked<'c>(
    assertion: &str,
    certificate: Option<&'c ClientCertificate>,
) -> Result<(&'c ClientCertificate, Assertion), OAuthError> {
    let certificate = certificate.ok_or_else(unknown_key)?;
    let ClientCertificate { modulus, exponent, .. } = certificate;
    let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
    let claims = jwt::read(assertion, &key, &ALGORITHMS).map_err(malformed)?;
    Ok((certificate, claims))
}

/// Times in tokens are seconds, with or without a fraction (RFC 7519 section 2).
fn moment(seconds: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "it saturates")]
    let seconds = seconds as i64;
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

pub(crate) fn malformed(error: JwtError) -> OAuthError {
    match error {
        JwtError::Malformed => OAuthError::client(50_027, "the assertion is no JWT that is read"),
        JwtError::Algorithm => {
            OAuthError::client(5_002_738, "an assertion is signed with RS256 or PS256")
        }
        JwtError::Signature => unknown_key(),
    }
}

fn unknown_key() -> OAuthError {
    OAuthError::client(
        700_027,
        "the assertion is not signed by a certificate of the client that its `x5t` names",
    )
}

fn wrong_audience() -> OAuthError {
    OAuthError::client(700_023, "`aud` of the assertion must be the token endpoint alone")
}
