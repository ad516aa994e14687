//! Assertions that a client signs itself with its certificate's key.

use aws_lc_rs::signature::RsaKeyPair;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::super::{session::sha256, *};
use super::world::*;
use crate::directory::ClientId;

struct Certified {
    world: World,
    client: ClientId,
    key: RsaKeyPair,
    header: Value,
}

/// A client whose certificate is good for the present of the hand clock.
fn certified() -> Certified {
    let world = World::new();
    let client = world.application(&[], false);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["app".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2023, 1, 1);
    params.not_after = rcgen::date_time_ymd(2024, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    world.directory.add_certificate(client, None, certificate.der()).unwrap();
    let thumbprint = URL_SAFE_NO_PAD.encode(sha256(certificate.der()));
    let header = json!({"alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint});
    let key = RsaKeyPair::from_pkcs8(&key.serialize_der()).unwrap();
    Certified { world, client, key, header }
}

impl Certified {
    fn claims(&self, jti: &str) -> Value {
        let (client, now) = (self.client.to_string(), self.world.now());
        json!({
            "aud": format!("https://login.lock.test:8443/{}/oauth2/v2.0/token", self.world.tenant()),
            "iss": client, "sub": client, "jti": jti, "exp": now + 600, "iat": now, "nbf": now,
        })
    }

    async fn show(&self, assertion: &str, scope: &str) -> Result<TokenReply, OAuthError> {
        let client = self.client.to_string();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client.as_str()),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", scope),
        ];
        self.world.token(&form).await
    }

    async fn try_claims(&self, claims: &Value) -> Result<TokenReply, OAuthError> {
        self.show(&signed(&self.header, claims, &self.key), MANAGEMENT).await
    }
}

#[tokio::test]
async fn a_client_proves_itself_by_its_certificate() {
    let this = certified();
    let reply = this.try_claims(&this.claims("one")).await.unwrap();
    let caller = this.world.verify(&reply.access_token).unwrap();
    assert_eq!(caller.client, this.client);
    assert_eq!(claims(&reply.access_token)["azpacr"], "2");
    this.world.directory.remove_credential(this.client, caller.credential).unwrap();
    assert_eq!(this.world.verify(&reply.access_token), Err(TokenError::Revoked));
    assert_eq!(number(this.try_claims(&this.claims("two")).await), 700_027);
}

#[tokio::test]
async fn every_name_of_the_token_endpoint_is_its_audience() {
    let this = certified();
    let (login, tenant) = ("https://login.lock.test:8443", this.world.tenant());
    for (place, audience) in [
        format!("{login}/{tenant}/oauth2/token"),
        format!("{login}/common/oauth2/v2.0/token"),
        format!("{login}/organizations/oauth2/v2.0/token"),
        format!("{login}/lock.test/oauth2/v2.0/token"),
        format!("{login}/{tenant}/v2.0"),
        format!("{login}/{tenant}/"),
    ]
    .iter()
    .enumerate()
    {
        let mut claims = this.claims(&place.to_string());
        claims["aud"] = json!([audience]);
        assert!(this.try_claims(&claims).await.is_ok(), "{audience}");
    }
}

#[tokio::test]
async fn an_assertion_is_shown_once_for_each_thing() {
    let mut this = certified();
    let assertion = signed(&this.header, &this.claims("one"), &this.key);
    assert!(this.show(&assertion, MANAGEMENT).await.is_ok());
    assert_eq!(number(this.show(&assertion, MANAGEMENT).await), 700_024);
    // MSAL shows the same one for every resource that it wants within ten minutes.
    let vault = "https://vault.lock.test:8443/.default";
    assert!(this.show(&assertion, vault).await.is_ok());
    this.world.restart();
    assert_eq!(number(this.show(&assertion, vault).await), 700_024);
    // Signing the same name again makes no other assertion.
    let mut again = this.claims("one");
    again["exp"] = json!(this.world.now() + 700);
    assert_eq!(number(this.try_claims(&again).await), 700_024);
    this.world.wind(600 + CLOCK_SKEW_MAX.as_secs());
    assert_eq!(number(this.show(&assertion, MANAGEMENT).await), 700_024);
}

#[tokio::test]
async fn each_claim_of_an_assertion_must_be_right() {
    let this = certified();
    let now = this.world.now();
    let skew = i64::try_from(CLOCK_SKEW_MAX.as_secs()).unwrap();
    let life = i64::try_from(ASSERTION_LIFE_MAX.as_secs()).unwrap();
    let (tenant, owner) = (this.world.tenant(), this.world.founding.client.to_string());
    let endpoint = format!("https://login.lock.test:8443/{tenant}/oauth2/v2.0/token");
    for (claim, value, expected) in [
        ("aud", json!("https://login.microsoftonline.com/common/oauth2/v2.0/token"), 700_023),
        ("aud", json!("https://login.lock.test:8443"), 700_023),
        ("aud", json!([endpoint, "https://evil.test"]), 700_023),
        ("aud", json!([]), 700_023),
        ("iss", json!(owner), 70_021),
        ("sub", json!(owner), 700_021),
        ("exp", json!(now - skew), 700_024),
        ("exp", json!(now + life + skew + 1), 700_024),
        ("exp", json!(1e300), 700_024),
        ("exp", json!(-1e300), 700_024),
        ("nbf", json!(now + skew + 1), 700_024),
        ("jti", json!(null), 700_025),
        ("jti", json!(""), 700_025),
        ("jti", json!("x".repeat(257)), 700_025),
        ("exp", json!("soon"), 50_027),
        ("exp", json!(null), 50_027),
    ] {
        let mut claims = this.claims("x");
        claims[claim] = value.clone();
        assert_eq!(number(this.try_claims(&claims).await), expected, "{claim}: {value}");
    }
    // At the edge.
    let mut claims = this.claims("edge");
    claims["exp"] = json!(now + life + skew);
    claims["nbf"] = json!(now + skew);
    assert!(this.try_claims(&claims).await.is_ok());
}

#[tokio::test]
async fn an_assertion_is_signed_by_the_key_that_it_names() {
    let this = certified();
    let other = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let claims = this.claims("x");
    let forged = signed(&this.header, &claims, &other);
    assert_eq!(number(this.show(&forged, MANAGEMENT).await), 700_027);
    for (name, value) in
        [("x5t#S256", json!("AAAA")), ("x5t#S256", json!(null)), ("kid", json!("x"))]
    {
        let mut header = this.header.clone();
        header.as_object_mut().unwrap().remove("x5t#S256");
        header[name] = value;
        let forged = signed(&header, &claims, &this.key);
        assert_eq!(number(this.show(&forged, MANAGEMENT).await), 700_027, "{header}");
    }
    for alg in ["none", "HS256", "RS512"] {
        let mut header = this.header.clone();
        header["alg"] = json!(alg);
        let forged = signed(&header, &claims, &this.key);
        assert_eq!(number(this.show(&forged, MANAGEMENT).await), 5_002_738, "{alg}");
    }
    for text in ["", "x", "a.b", "a.b.c", &"A".repeat(TOKEN_BYTES_MAX + 1)] {
        let refused = this.show(text, MANAGEMENT).await;
        assert!(["invalid_client"].contains(&word(refused)), "{text:.20}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_over_signs_nothing() {
    let this = certified();
    // The hand clock stands in November 2023; the certificate ends with the year.
    this.world.wind(60 * 24 * 60 * 60);
    assert_eq!(number(this.try_claims(&this.claims("x")).await), 700_027);
}

#[tokio::test]
async fn a_disabled_client_proves_nothing() {
    let this = certified();
    let principal = this.world.directory.snapshot().by_client(this.client).unwrap().id;
    this.world.directory.set_enabled(principal, false).unwrap();
    assert_eq!(number(this.try_claims(&this.claims("x")).await), 7_000_112);
}
