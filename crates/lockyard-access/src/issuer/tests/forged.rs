//! Tokens that are not what they say.

use aws_lc_rs::{
    encoding::AsDer as _, hmac, rsa::KeySize, signature::KeyPair as _, signature::RsaKeyPair,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::Clock as _;
use serde_json::{Value, json};

use super::super::*;
use super::world::*;

/// A good token's header and claims, to be changed.
async fn good(world: &World) -> (String, Value, Value) {
    let token = world.owners_token().await;
    let (header, claims) = (piece(&token, 0), claims(&token));
    (token, header, claims)
}

/// Signs changed claims with the issuer's own key, as a fault of ours might.
fn resigned(world: &World, claims: &Value) -> String {
    let ring = world.issuer.ring();
    jwt::write(ring.signer(world.clock.wall()).unwrap(), claims).unwrap()
}

#[tokio::test]
async fn a_token_without_a_signature_is_worth_nothing() {
    let world = World::new();
    let (token, mut header, claims) = good(&world).await;
    let signature = token.rsplit('.').next().unwrap().to_owned();
    for alg in ["none", "None", "NONE", "", "RS384", "PS256", "ES256", "HS256"] {
        header["alg"] = json!(alg);
        let unsigned = message(&header, &claims);
        for forged in [format!("{unsigned}."), unsigned.clone(), format!("{unsigned}.{signature}")]
        {
            assert!(matches!(world.verify(&forged), Err(TokenError::Invalid(_))), "{alg}");
        }
    }
}

#[tokio::test]
async fn our_public_key_is_no_shared_secret() {
    let world = World::new();
    let (_, mut header, claims) = good(&world).await;
    header["alg"] = json!("HS256");
    let message = message(&header, &claims);
    let ring = world.issuer.ring();
    let key = ring.signer(world.clock.wall()).unwrap();
    let jwks = world.issuer.key_set();
    let n = jwks["keys"][0]["n"].as_str().unwrap().to_owned();
    for secret in [key.modulus.clone(), n.into_bytes(), jwks.to_string().into_bytes()] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        assert_eq!(world.verify(&forged), Err(TokenError::Invalid(JwtError::Algorithm)));
    }
}

#[tokio::test]
async fn a_key_of_the_tokens_own_choice_is_not_used() {
    let world = World::new();
    let (_, mut header, claims) = good(&world).await;
    let own = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let forged = signed(&header, &claims, &own);
    assert_eq!(world.verify(&forged), Err(TokenError::Invalid(JwtError::Signature)));
    let n = own.public_key().modulus().big_endian_without_leading_zero().to_vec();
    header["jwk"] = json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(n), "e": "AQAB"});
    header["jku"] = json!("https://evil.test/keys");
    header["x5c"] = json!([URL_SAFE_NO_PAD.encode(own.public_key().as_der().unwrap().as_ref())]);
    assert!(world.verify(&signed(&header, &claims, &own)).is_err());
    header["kid"] = json!("../../dev/null");
    assert_eq!(world.verify(&signed(&header, &claims, &own)), Err(TokenError::Key));
    header.as_object_mut().unwrap().remove("kid");
    assert_eq!(world.verify(&signed(&header, &claims, &own)), Err(TokenError::Key));
}

#[tokio::test]
async fn each_claim_must_be_right() {
    let world = World::new();
    let (_, _, good) = good(&world).await;
    let now = world.now();
    assert!(world.verify(&resigned(&world, &good)).is_ok());
    let other = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
    let tenant = world.tenant();
    for (claim, value, expected) in [
        ("exp", json!(now), TokenError::Expired),
        ("exp", json!(i64::MIN), TokenError::Expired),
        ("nbf", json!(now + 1), TokenError::NotYetValid),
        ("aud", json!("https://graph.lock.test:8443"), TokenError::Audience),
        ("aud", json!("https://management.lock.test:8443/"), TokenError::Audience),
        ("iss", json!(format!("https://evil.test/{tenant}/v2.0")), TokenError::Issuer),
        ("iss", json!(format!("https://login.lock.test:8443/{other}/v2.0")), TokenError::Issuer),
        ("tid", json!(other), TokenError::Tenant),
        ("oid", json!(other), TokenError::Revoked),
        ("lockyard_credential", json!(other), TokenError::Revoked),
        ("exp", json!("soon"), TokenError::Invalid(JwtError::Malformed)),
        (
            "aud",
            json!(["https://management.lock.test:8443"]),
            TokenError::Invalid(JwtError::Malformed),
        ),
        ("oid", json!("me"), TokenError::Invalid(JwtError::Malformed)),
        ("azp", json!(null), TokenError::Invalid(JwtError::Malformed)),
        ("sid", json!("x"), TokenError::Invalid(JwtError::Malformed)),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        assert_eq!(world.verify(&resigned(&world, &claims)), Err(expected), "{claim}: {value}");
        claims.as_object_mut().unwrap().remove(claim);
        if claim != "sid" {
            let gone = world.verify(&resigned(&world, &claims));
            assert!(matches!(gone, Err(TokenError::Invalid(_))), "{claim}: {gone:?}");
        }
    }
    world.wind(3600);
    assert_eq!(world.verify(&resigned(&world, &good)), Err(TokenError::Expired));
}

#[tokio::test]
async fn a_token_is_for_one_audience() {
    let world = World::new();
    let token = world.owners_token().await;
    for audience in [Audience::Graph, Audience::Vault, Audience::Registry] {
        assert_eq!(world.issuer.verify(&token, audience), Err(TokenError::Audience));
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::new();
    let token = world.owners_token().await;
    let mut critical = piece(&token, 0);
    critical["crit"] = json!(["exp"]);
    let critical = message(&critical, &claims(&token));
    let long = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        token.split_at(1).1,
        &format!("{token}="),
        &format!("{token}.x"),
        &token.replace('.', ".."),
        &format!("{critical}.AA"),
        &long,
    ] {
        assert!(world.verify(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}", pieces in "[A-Za-z0-9_.-]{0,300}") {
        for text in [text, pieces] {
            let _read = jwt::header(&text);
            let _read = jwt::dangerous_claims::<Value>(&text);
        }
    }
}
