//! Tokens of other issuers, good and hostile, over real TLS on this machine.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::{rsa::KeySize, signature::KeyPair as _, signature::RsaKeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_egress::Roots;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::super::*;
use super::world::*;
use crate::directory::{ClientId, NewFederated};

const SUBJECT: &str = "repo:lock/yard:ref:refs/heads/main";
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// Another issuer, and what it answers.
struct Foreign {
    issuer: String,
    key: RsaKeyPair,
    answers: Arc<Answers>,
    roots: Roots,
}

#[derive(Default)]
struct Answers {
    discovery: Mutex<String>,
    keys: Mutex<String>,
    asked: AtomicUsize,
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn json_key(key: &RsaKeyPair, kid: &str) -> Value {
    let public = key.public_key();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    })
}

impl Foreign {
    async fn start() -> Self {
        let certified = rcgen::generate_simple_self_signed(["keys.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://keys.test:{}", listener.local_addr().unwrap().port());
        let answers = Arc::new(Answers::default());
        let told = Arc::clone(&answers);
        let _task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                told.asked.fetch_add(1, Ordering::SeqCst);
                let discovery =
                    request[..read].starts_with(b"GET /.well-known/openid-configuration ");
                let answer = if discovery { &told.discovery } else { &told.keys };
                let answer = answer.lock().unwrap().clone();
                let _sent = stream.write_all(answer.as_bytes()).await;
                let _closed = stream.shutdown().await;
            }
        });
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let roots = Roots::only(vec![certified.cert.der().clone()]);
        let this = Self { issuer, key, answers, roots };
        this.discover(&json!({
            "issuer": this.issuer, "jwks_uri": format!("{}/keys", this.issuer),
        }));
        this.publish(&json!({"keys": [json_key(&this.key, "one")]}));
        this
    }

    fn discover(&self, document: &Value) {
        *self.answers.discovery.lock().unwrap() = ok(&document.to_string());
    }

    fn publish(&self, keys: &Value) {
        *self.answers.keys.lock().unwrap() = ok(&keys.to_string());
    }

    fn asked(&self) -> usize {
        self.answers.asked.load(Ordering::SeqCst)
    }

    fn world(&self) -> (World, ClientId) {
        let host = self.issuer.strip_prefix("https://").unwrap();
        let world = World::allowing(&[host], self.roots.clone());
        let client = self.trust(&world);
        (world, client)
    }

    /// Makes a client for which this issuer speaks.
    fn trust(&self, world: &World) -> ClientId {
        let client = world.application(&[], false);
        let federated = NewFederated {
            name: "ci".to_owned(),
            issuer: self.issuer.clone(),
            subject: SUBJECT.to_owned(),
            audiences: vec![EXCHANGE.to_owned()],
            description: String::new(),
        };
        world.directory.add_federated(client, federated).unwrap();
        client
    }

    fn claims(&self, world: &World) -> Value {
        let now = world.now();
        json!({
            "iss": self.issuer, "sub": SUBJECT, "aud": EXCHANGE, "exp": now + 600, "nbf": now,
        })
    }

    fn token(&self, claims: &Value) -> String {
        signed(&json!({"alg": "RS256", "kid": "one"}), claims, &self.key)
    }
}

async fn show(world: &World, client: ClientId, token: &str) -> Result<TokenReply, OAuthError> {
    let client = client.to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", token),
        ("scope", MANAGEMENT),
    ];
    world.token(&form).await
}

#[tokio::test]
async fn a_token_of_a_configured_issuer_stands_for_its_client() {
    let foreign = Foreign::start().await;
    let (world, client) = foreign.world();
    let token = foreign.token(&foreign.claims(&world));
    let reply = show(&world, client, &token).await.unwrap();
    assert_eq!(world.verify(&reply.access_token).unwrap().client, client);
    // Such tokens are shown again and again; the keys are asked for once.
    assert!(show(&world, client, &token).await.is_ok());
    assert_eq!(foreign.asked(), 2);
}

#[tokio::test]
async fn issuer_subject_and_audience_match_exactly_or_nobody_is_asked() {
    let foreign = Foreign::start().await;
    let (world, client) = foreign.world();
    let other = world.application(&[], false);
    let good = foreign.claims(&world);
    assert_eq!(number(show(&world, other, &foreign.token(&good)).await), 70_021);
    for (claim, value) in [
        ("iss", json!(format!("{}/", foreign.issuer))),
        ("iss", json!("https://evil.test")),
        ("sub", json!("repo:lock/yard:ref:refs/heads/mainx")),
        ("sub", json!("REPO:lock/yard:ref:refs/heads/main")),
        ("sub", json!("repo:lock/yard:*")),
        ("aud", json!("api://azureadtokenexchange")),
        ("aud", json!(["x", "y"])),
        ("aud", json!([])),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        let refused = show(&world, client, &foreign.token(&claims)).await;
        assert_eq!(number(refused), 70_021, "{claim}: {value}");
    }
    assert_eq!(foreign.asked(), 0);
    let mut several = good.clone();
    several["aud"] = json!(["x", EXCHANGE]);
    assert!(show(&world, client, &foreign.token(&several)).await.is_ok());
}

#[tokio::test]
async fn a_federated_token_has_its_time_and_its_signature() {
    let foreign = Foreign::start().await;
    let (world, client) = foreign.world();
    let good = foreign.claims(&world);
    let skew = i64::try_from(CLOCK_SKEW_MAX.as_secs()).unwrap();
    for (claim, value) in
        [("exp", json!(world.now() - skew)), ("nbf", json!(world.now() + skew + 1))]
    {
        let mut claims = good.clone();
        claims[claim] = value;
        assert_eq!(number(show(&world, client, &foreign.token(&claims)).await), 700_024, "{claim}");
    }
    let own = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let forged = signed(&json!({"alg": "RS256", "kid": "one"}), &good, &own);
    assert_eq!(number(show(&world, client, &forged).await), 700_027);
    for header in [json!({"alg": "none"}), json!({"alg": "HS256", "kid": "one"})] {
        let forged = signed(&header, &good, &foreign.key);
        assert_eq!(number(show(&world, client, &forged).await), 5_002_738, "{header}");
    }
}

#[tokio::test]
async fn a_new_key_is_learned_and_an_unknown_one_asks_once_a_minute() {
    let foreign = Foreign::start().await;
    let (world, client) = foreign.world();
    assert!(show(&world, client, &foreign.token(&foreign.claims(&world))).await.is_ok());
    let next = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let token = signed(&json!({"alg": "RS256", "kid": "two"}), &foreign.claims(&world), &next);
    for _ in 0..5 {
        assert_eq!(number(show(&world, client, &token).await), 700_211);
    }
    assert_eq!(foreign.asked(), 2);
    foreign.publish(&json!({"keys": [json_key(&next, "two")]}));
    world.wind(60);
    assert!(show(&world, client, &token).await.is_ok());
    assert_eq!(foreign.asked(), 4);
    // The old key is not published any more.
    let old = foreign.token(&foreign.claims(&world));
    assert_eq!(number(show(&world, client, &old).await), 700_211);
}

#[tokio::test]
async fn known_keys_serve_a_day_when_their_issuer_is_gone() {
    let foreign = Foreign::start().await;
    let (world, client) = foreign.world();
    assert!(show(&world, client, &foreign.token(&foreign.claims(&world))).await.is_ok());
    *foreign.answers.discovery.lock().unwrap() = "HTTP/1.1 500 Oh\r\n\r\n".to_owned();
    world.wind(24 * 60 * 60 - 1);
    assert!(show(&world, client, &foreign.token(&foreign.claims(&world))).await.is_ok());
    world.wind(1);
    assert_eq!(number(show(&world, client, &foreign.token(&foreign.claims(&world))).await), 50_008);
}

#[tokio::test]
async fn a_hostile_issuer_gets_nowhere() {
    let huge = format!("\"{}\"", "x".repeat(KEY_SET_BYTES_MAX));
    let redirect = "HTTP/1.1 302 Go\r\nlocation: https://169.254.169.254/\r\n\r\n".to_owned();
    let elsewhere =
        |uri: &str, issuer: &str| ok(&json!({"issuer": issuer, "jwks_uri": uri}).to_string());
    let many = |key: &RsaKeyPair| {
        let keys = vec![json_key(key, "one"); KEY_SET_KEYS_MAX + 1];
        ok(&json!({ "keys": keys }).to_string())
    };
    let foreign = Foreign::start().await;
    let (own, key) = (foreign.issuer.clone(), &foreign.key);
    let good = |what: &Mutex<String>| what.lock().unwrap().clone();
    let (discovery, keys) = (good(&foreign.answers.discovery), good(&foreign.answers.keys));
    let mut symmetric = json_key(key, "one");
    symmetric["kty"] = json!("oct");
    symmetric["k"] = symmetric["n"].clone();
    for (name, discovery, keys) in [
        ("redirected discovery", redirect.clone(), keys.clone()),
        ("huge discovery", ok(&huge), keys.clone()),
        (
            "another issuer's discovery",
            elsewhere(&format!("{own}/keys"), "https://evil.test"),
            keys.clone(),
        ),
        ("keys inside", elsewhere("https://169.254.169.254/latest/meta-data", &own), keys.clone()),
        ("keys on another host", elsewhere("https://127.0.0.1:1/keys", &own), keys.clone()),
        ("keys without TLS", elsewhere("http://keys.test/keys", &own), keys.clone()),
        ("keys in a file", elsewhere("file:///etc/passwd", &own), keys.clone()),
        ("no document", ok("<html>"), keys.clone()),
        ("redirected keys", discovery.clone(), redirect.clone()),
        ("huge keys", discovery.clone(), ok(&huge)),
        ("too many keys", discovery.clone(), many(key)),
        ("no keys", discovery.clone(), "HTTP/1.1 404 No\r\n\r\n".to_owned()),
        ("nothing", discovery.clone(), String::new()),
    ] {
        *foreign.answers.discovery.lock().unwrap() = discovery;
        *foreign.answers.keys.lock().unwrap() = keys;
        let (world, client) = foreign.world();
        let token = foreign.token(&foreign.claims(&world));
        assert_eq!(number(show(&world, client, &token).await), 50_008, "{name}");
    }
    *foreign.answers.discovery.lock().unwrap() = discovery;
    foreign.publish(&json!({"keys": [symmetric]}));
    let (world, client) = foreign.world();
    let token = foreign.token(&foreign.claims(&world));
    assert_eq!(number(show(&world, client, &token).await), 700_211);
}

#[tokio::test]
async fn an_issuer_inside_is_not_asked_unless_the_operator_allows_it() {
    let foreign = Foreign::start().await;
    let world = World::allowing(&["other.test"], foreign.roots.clone());
    let client = foreign.trust(&world);
    let token = foreign.token(&foreign.claims(&world));
    assert_eq!(number(show(&world, client, &token).await), 50_008);
    assert_eq!(foreign.asked(), 0);
}
