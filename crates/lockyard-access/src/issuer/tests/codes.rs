//! Authorization codes with PKCE, and the ways to misuse them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::Clock as _;

use super::super::*;
use super::world::*;
use crate::directory::Presented;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The challenge of that verifier, from RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://localhost:51234";
const SCOPE: &str = "https://management.lock.test:8443/.default openid profile offline_access";

const REQUEST: [(&str, &str); 8] = [
    ("client_id", AZ),
    ("response_type", "code"),
    ("redirect_uri", BACK),
    ("scope", SCOPE),
    ("state", "the state"),
    ("nonce", "the nonce"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// The request with one parameter changed, or without it.
fn with<'a>(name: &str, value: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let kept = REQUEST.iter().filter(|(other, _)| *other != name).copied();
    let name = REQUEST.iter().map(|(name, _)| *name).find(|other| *other == name);
    kept.chain(value.map(|value| (name.unwrap(), value))).collect()
}

fn ask(world: &World, form: &[(&str, &str)]) -> Result<Authorize, AuthorizeRefusal> {
    world.issuer.authorize(&world.request(Version::V2, form).parameters, Version::V2)
}

/// Signs in and returns the code.
async fn code(world: &World) -> String {
    let request = ask(world, &REQUEST).unwrap();
    let password = Presented::from(world.password());
    let proof = world.issuer.sign_in(&world.founding.upn, password).await.unwrap();
    let back = world.issuer.grant_code(&request, proof).await.unwrap();
    assert_eq!((back.uri.as_str(), back.mode), (BACK, ResponseMode::Query));
    assert_eq!(back.parameters[1], ("state", "the state".to_owned()));
    assert_eq!(back.parameters[0].0, "code");
    back.parameters[0].1.clone()
}

fn redemption(code: &str) -> [(&str, &str); 6] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", AZ),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("scope", SCOPE),
    ]
}

#[tokio::test]
async fn a_code_becomes_tokens() {
    let world = World::new();
    let code = code(&world).await;
    let reply = world.token(&redemption(&code)).await.unwrap();
    assert!(world.verify(&reply.access_token).unwrap().is_person());
    assert_eq!(claims(reply.id_token.as_ref().unwrap())["nonce"], "the nonce");
    assert!(world.refresh(reply.refresh_token.as_ref().unwrap()).await.is_ok());
}

#[tokio::test]
async fn a_code_that_comes_again_ends_the_session_that_it_began() {
    let world = World::new();
    let code = code(&world).await;
    let reply = world.token(&redemption(&code)).await.unwrap();
    assert_eq!(number(world.token(&redemption(&code)).await), 54_005);
    assert_eq!(world.verify(&reply.access_token), Err(TokenError::Revoked));
    let refreshed = world.refresh(reply.refresh_token.as_ref().unwrap()).await;
    assert_eq!(word(refreshed), "invalid_grant");
}

#[tokio::test]
async fn a_code_needs_the_verifier_the_client_and_the_way_back_that_it_was_made_for() {
    let world = World::new();
    let other = world.application(&[], true).to_string();
    for (name, value) in [
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX"),
        ("code_verifier", CHALLENGE),
        ("client_id", other.as_str()),
        ("redirect_uri", "http://localhost:51235"),
        ("redirect_uri", ""),
    ] {
        let code = code(&world).await;
        let wrong = redemption(&code).map(|pair| if pair.0 == name { (name, value) } else { pair });
        assert_eq!(number(world.token(&wrong).await), 501_481, "{name}");
        // It is used up: guessing has one try.
        assert!(world.token(&redemption(&code)).await.is_err(), "{name}");
    }
    let code = code(&world).await;
    let without =
        redemption(&code).map(|pair| if pair.0 == "code_verifier" { ("x", "y") } else { pair });
    assert_eq!(word(world.token(&without).await), "invalid_request");
}

#[tokio::test]
async fn a_code_is_over_soon() {
    let world = World::new();
    let late = code(&world).await;
    world.wind(CODE_LIFE.as_secs());
    assert_eq!(number(world.token(&redemption(&late)).await), 70_008);
    let timely = code(&world).await;
    world.wind(CODE_LIFE.as_secs() - 1);
    assert!(world.token(&redemption(&timely)).await.is_ok());
}

#[tokio::test]
async fn without_a_challenge_nobody_signs_in() {
    let world = World::new();
    for form in [
        with("code_challenge", None),
        with("code_challenge_method", None),
        with("code_challenge_method", Some("plain")),
        with("code_challenge", Some("short")),
        with("code_challenge", Some(&"+".repeat(43))),
        with("response_type", Some("token")),
        with("response_type", Some("code id_token")),
        with("scope", Some("https://evil.test/.default")),
    ] {
        let Err(AuthorizeRefusal::Back(back)) = ask(&world, &form) else { panic!("{form:?}") };
        assert_eq!(back.uri, BACK);
        let names: Vec<&str> = back.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["error", "error_description", "state"]);
    }
    let form = [&REQUEST[..], &[("prompt", "none")]].concat();
    let Err(AuthorizeRefusal::Back(back)) = ask(&world, &form) else { panic!() };
    assert_eq!(back.parameters[0].1, "login_required");
}

#[tokio::test]
async fn nobody_is_led_to_where_nothing_is_registered() {
    let world = World::new();
    let web = world.application(&["https://app.test/back"], false).to_string();
    for form in [
        with("redirect_uri", None),
        with("redirect_uri", Some("https://evil.test/")),
        with("redirect_uri", Some("http://localhost.evil.test:1/")),
        with("redirect_uri", Some("//evil.test")),
        with("redirect_uri", Some("https://app.test/back")),
        with("client_id", Some(&web)),
        with("client_id", Some("7f951dda-4ed3-4680-a7ca-43fe172d538d")),
        with("client_id", None),
        with("response_mode", None).into_iter().chain([("response_mode", "web_message")]).collect(),
    ] {
        assert!(matches!(ask(&world, &form), Err(AuthorizeRefusal::Page(_))), "{form:?}");
    }
    let mut form = with("client_id", Some(&web));
    form.retain(|(name, _)| *name != "redirect_uri");
    form.push(("redirect_uri", "https://app.test/back"));
    let request = ask(&world, &form).unwrap();
    assert_eq!(request.client_name, "app");
    assert_eq!(request.decline().parameters[0].1, "access_denied");
}

/// A program that can keep a secret has to show it, even with a code.
#[tokio::test]
async fn a_confidential_program_proves_itself_with_its_code() {
    let world = World::new();
    let client = world.application(&["https://app.test/back"], false);
    let later = world.clock.wall() + Duration::from_secs(1000);
    let (_, secret) = world.directory.add_secret(client, None, later).unwrap();
    let id = client.to_string();
    let form: Vec<(&str, &str)> = REQUEST
        .iter()
        .map(|(name, value)| match *name {
            "client_id" => ("client_id", id.as_str()),
            "redirect_uri" => ("redirect_uri", "https://app.test/back"),
            name => (name, *value),
        })
        .collect();
    let request = ask(&world, &form).unwrap();
    let password = Presented::from(world.password());
    let proof = world.issuer.sign_in(&world.founding.upn, password).await.unwrap();
    let back = world.issuer.grant_code(&request, proof).await.unwrap();
    let bare = [
        ("grant_type", "authorization_code"),
        ("client_id", &id),
        ("code", &back.parameters[0].1),
        ("redirect_uri", "https://app.test/back"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(number(world.token(&bare).await), 7_000_218);
    let proved = [&bare[..], &[("client_secret", secret.dangerous_expose())]].concat();
    let reply = world.token(&proved).await.unwrap();
    assert_eq!(claims(&reply.access_token)["azpacr"], "1");
}

#[test]
fn the_challenge_is_the_specifications() {
    let challenge = URL_SAFE_NO_PAD.encode(session::sha256(VERIFIER.as_bytes()));
    assert_eq!(challenge, CHALLENGE);
}
