//! An issuer with a directory, and the words in which the tests ask it.

use std::{io, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::{rand::SystemRandom, signature::RSA_PKCS1_SHA256, signature::RsaKeyPair};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{Clock, Entropy, HandClock, SeededEntropy};
use lockyard_egress::{Egress, Policy, Resolve, Roots};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};
use serde_json::Value;

use super::super::{origin::tests::origins, *};
use crate::{
    Caller,
    directory::{ClientId, Cost, Founding, NewApplication},
};

/// A public client that everybody has.
pub(super) const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
pub(super) const MANAGEMENT: &str = "https://management.lock.test:8443/.default";

pub(super) struct World {
    pub(super) issuer: Arc<Issuer>,
    pub(super) directory: Arc<Directory>,
    pub(super) records: Records,
    pub(super) clock: Arc<HandClock>,
    pub(super) founding: Founding,
    pub(super) file: PathBuf,
    egress: Arc<Egress>,
    _dir: tempfile::TempDir,
}

/// Every name is on this machine.
#[derive(Debug)]
struct Here;

#[async_trait::async_trait]
impl Resolve for Here {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with_egress(Egress::new(Policy::default(), Roots::only(Vec::new())))
    }

    /// A world that may ask these hosts, which show this certificate.
    pub(super) fn allowing(hosts: &[&str], roots: Roots) -> Self {
        let allowances = hosts.iter().map(|host| host.parse().unwrap()).collect();
        Self::with_egress(Egress::with_resolver(Policy::new(allowances), roots, Arc::new(Here)))
    }

    fn with_egress(egress: Egress) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(HandClock::default()));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(11));
        let service = ServiceKey::generate(&*entropy);
        let keys = InstanceKeys::generate(&service, &*entropy);
        let keys = Arc::new(InstanceKeys::open(&service, &keys).unwrap());
        let file = dir.path().join("store.db");
        let engine = Engine::Sqlite { path: file.clone() };
        let store = Store::open(engine, Arc::clone(&clock) as _).unwrap();
        let records = Records::new(store, keys, Arc::clone(&entropy));
        let founding = Founding::generate(&*entropy, "lock.test");
        let directory = Directory::found(
            records.clone(),
            Arc::clone(&clock) as _,
            entropy,
            &founding,
            Cost::NEGLIGIBLE,
        )
        .unwrap();
        let egress = Arc::new(egress);
        let issuer = open(&records, &directory, &egress, &clock);
        Self { issuer, directory, records, clock, founding, file, egress, _dir: dir }
    }

    /// Opens the issuer again, as a restart does.
    pub(super) fn restart(&mut self) {
        self.issuer = open(&self.records, &self.directory, &self.egress, &self.clock);
    }

    pub(super) fn wind(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.wall().as_secs()
    }

    pub(super) fn tenant(&self) -> String {
        self.founding.tenant.to_string()
    }

    pub(super) fn password(&self) -> &str {
        self.founding.password.dangerous_expose()
    }

    /// Asks version 2 of the token endpoint.
    pub(super) async fn token(&self, form: &[(&str, &str)]) -> Result<TokenReply, OAuthError> {
        self.issuer.token(self.request(Version::V2, form)).await
    }

    pub(super) fn request(&self, version: Version, form: &[(&str, &str)]) -> TokenRequest {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(form);
        TokenRequest {
            tenant: self.issuer.tenant("common").unwrap(),
            version,
            parameters: Parameters::parse(encoded.finish().as_bytes()).unwrap(),
            basic: None,
        }
    }

    /// The owner's token for Resource Manager, by the secret.
    pub(super) async fn owners_token(&self) -> String {
        let client = self.founding.client.to_string();
        let reply = self
            .token(&[
                ("grant_type", "client_credentials"),
                ("client_id", &client),
                ("client_secret", self.founding.secret.dangerous_expose()),
                ("scope", MANAGEMENT),
            ])
            .await
            .unwrap();
        reply.access_token.to_string()
    }

    /// The first person's tokens, by the password, with this scope.
    pub(super) async fn persons_tokens(&self, scope: &str) -> TokenReply {
        let form = [
            ("grant_type", "password"),
            ("client_id", AZ),
            ("username", &self.founding.upn),
            ("password", self.password()),
            ("scope", scope),
        ];
        self.token(&form).await.unwrap()
    }

    pub(super) async fn refresh(&self, token: &str) -> Result<TokenReply, OAuthError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", AZ),
            ("refresh_token", token),
            ("scope", MANAGEMENT),
        ];
        self.token(&form).await
    }

    pub(super) fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        self.issuer.verify(token, Audience::Management)
    }

    /// Makes an application with a service principal.
    pub(super) fn application(&self, redirect_uris: &[&str], public: bool) -> ClientId {
        let new = NewApplication {
            display_name: "app".to_owned(),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            identifier_uris: Vec::new(),
            public,
        };
        let client = self.directory.create_application(&new).unwrap();
        let _principal = self.directory.create_service_principal(client).unwrap();
        client
    }
}

fn open(
    records: &Records,
    directory: &Arc<Directory>,
    egress: &Arc<Egress>,
    clock: &Arc<HandClock>,
) -> Arc<Issuer> {
    Issuer::open(Setup {
        records: records.clone(),
        directory: Arc::clone(directory),
        egress: Arc::clone(egress),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(SeededEntropy::new(12)),
        origins: origins(),
    })
    .unwrap()
}

/// The number of a refusal; panics if there is none.
#[track_caller]
pub(super) fn number(result: Result<TokenReply, OAuthError>) -> u32 {
    match result {
        Err(OAuthError::Refused { number, .. }) => number,
        other => panic!("not refused: {other:?}"),
    }
}

/// The word of a refusal.
#[track_caller]
pub(super) fn word(result: Result<TokenReply, OAuthError>) -> &'static str {
    match result {
        Err(OAuthError::Refused { word, .. }) => word.as_str(),
        other => panic!("not refused: {other:?}"),
    }
}

/// What a token says, unproved.
pub(super) fn claims(token: &str) -> Value {
    piece(token, 1)
}

/// One of the first two pieces of a token.
pub(super) fn piece(token: &str, at: usize) -> Value {
    let piece = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(piece).unwrap()).unwrap()
}

/// The first two pieces of a token, to be signed.
pub(super) fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// A token signed by RS256.
pub(super) fn signed(header: &Value, claims: &Value, key: &RsaKeyPair) -> String {
    let message = message(header, claims);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
