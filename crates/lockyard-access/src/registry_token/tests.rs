//! Tokens as an attacker and a clock treat them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use lockyard_base::{HandClock, SeededEntropy};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const HOST: &str = "contoso.cr.yard.example";

struct World {
    tokens: RegistryTokens,
    records: Records,
    clock: Arc<HandClock>,
    holder: Holder,
    _directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let path = directory.path().join("lockyard.db");
        let store = Store::open(Engine::Sqlite { path }, Arc::clone(&clock) as _).unwrap();
        let service = ServiceKey::generate(&*entropy);
        let sealed = InstanceKeys::generate(&service, &*entropy);
        let keys = Arc::new(InstanceKeys::open(&service, &sealed).unwrap());
        let records = Records::new(store, keys, Arc::clone(&entropy));
        let open = (records.clone(), Arc::clone(&clock) as Arc<dyn Clock>, Arc::clone(&entropy));
        let tokens = RegistryTokens::open(open.0, open.1, open.2).unwrap();
        let guid = || Guid::random(&*entropy).to_string();
        let holder =
            Holder { principal: guid().parse().unwrap(), credential: guid().parse().unwrap() };
        Self { tokens, records, clock, holder, _directory: directory }
    }

    fn access(&self, scope: &str) -> String {
        let access = Access::parse([scope]).unwrap();
        self.tokens.issue_access(HOST, Some(self.holder), access, None).text.to_string()
    }

    fn refresh(&self) -> String {
        let verbs = [Verb::Pull].into_iter().collect();
        let refresh = self.tokens.issue_refresh(HOST, self.holder, verbs, REFRESH_LIFE, None);
        refresh.text.to_string()
    }

    fn again(&self) -> RegistryTokens {
        let entropy = Arc::new(SeededEntropy::new(2));
        RegistryTokens::open(self.records.clone(), Arc::clone(&self.clock) as _, entropy).unwrap()
    }
}

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).unwrap();
    serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap()
}

/// The token with another header or other claims, and the signature that it had.
fn altered(token: &str, at: usize, change: impl FnOnce(&mut Value)) -> String {
    let mut value = part(token, at);
    change(&mut value);
    let mut parts: Vec<String> = token.split('.').map(ToOwned::to_owned).collect();
    parts[at] = BASE64.encode(value.to_string());
    parts.join(".")
}

#[test]
fn tokens_read_back_as_issued() {
    let world = World::new();
    let text = world.access("repository:team/app:pull,push registry:catalog:*");
    let token = world.tokens.read_access(HOST, &text).unwrap();
    assert_eq!(token.holder, Some(world.holder));
    assert!(token.access.permits(Some("team/app"), Verb::Push) && token.access.catalog());
    assert!(!token.access.permits(Some("team/app"), Verb::Delete));
    let token = world.tokens.read_refresh(HOST, &world.refresh()).unwrap();
    assert_eq!((token.holder, token.issued), (world.holder, world.clock.wall()));
    let anonymous = world.tokens.issue_access(HOST, None, Access::default(), None);
    let token = world.tokens.read_access(HOST, &anonymous.text).unwrap();
    assert_eq!((token.holder, token.access), (None, Access::default()));
}

#[test]
fn claims_have_the_names_that_clients_know() {
    let world = World::new();
    let claims = part(&world.access("repository:a:pull,push registry:catalog:*"), 1);
    let expected = json!([
        { "type": "repository", "name": "a", "actions": ["pull", "push"] },
        { "type": "registry", "name": "catalog", "actions": ["*"] },
    ]);
    assert_eq!((&claims["access"], &claims["aud"]), (&expected, &json!(HOST)));
    let claims = part(&world.refresh(), 1);
    let now = world.clock.wall().as_secs();
    assert_eq!((&claims["iat"], &claims["exp"]), (&json!(now), &json!(now + 3 * 3600)));
    assert_eq!(claims["grant_type"], "refresh_token");
    assert_eq!(claims["permissions"], json!({ "actions": ["read"] }));
    assert_eq!(claims["jti"].as_str().map(str::len), Some(36));
}

#[test]
fn neither_kind_passes_for_the_other() {
    let world = World::new();
    let (access, refresh) = (world.access("repository:a:pull"), world.refresh());
    let foreign = Some(RegistryTokenError::Foreign);
    assert_eq!(world.tokens.read_refresh(HOST, &access).err(), foreign);
    assert_eq!(world.tokens.read_access(HOST, &refresh).err(), foreign);
    // Nor with the other's header, which the signature covers.
    let typ = part(&access, 0)["typ"].clone();
    let disguised = altered(&refresh, 0, |header| header["typ"] = typ);
    assert_eq!(world.tokens.read_access(HOST, &disguised).err(), foreign);
}

#[test]
fn a_token_of_one_registry_is_none_at_another() {
    let world = World::new();
    for other in ["fabrikam.cr.yard.example", "contoso.cr.yard.example:8443", ""] {
        let refused = Some(RegistryTokenError::Audience);
        assert_eq!(world.tokens.read_access(other, &world.access("")).err(), refused, "{other}");
        assert_eq!(world.tokens.read_refresh(other, &world.refresh()).err(), refused, "{other}");
    }
}

#[test]
fn a_token_ends_when_its_time_is_over() {
    let world = World::new();
    let (access, refresh) = (world.access("repository:a:pull"), world.refresh());
    world.clock.advance(ACCESS_LIFE.saturating_sub(Duration::from_secs(1)));
    assert!(world.tokens.read_access(HOST, &access).is_ok());
    world.clock.advance(Duration::from_secs(1));
    let expired = Some(RegistryTokenError::Expired);
    assert_eq!(world.tokens.read_access(HOST, &access).err(), expired);
    assert!(world.tokens.read_refresh(HOST, &refresh).is_ok());
    world.clock.advance(REFRESH_LIFE.saturating_sub(ACCESS_LIFE));
    assert_eq!(world.tokens.read_refresh(HOST, &refresh).err(), expired);
}

#[test]
fn what_is_made_of_a_token_does_not_outlive_it() {
    let world = World::new();
    let end = world.clock.wall() + Duration::from_secs(60);
    let issued = world.tokens.issue_access(HOST, None, Access::default(), Some(end));
    assert_eq!(issued.expires, end);
    let later = Some(end + OFFLINE_LIFE);
    let issued = world.tokens.issue_access(HOST, None, Access::default(), later);
    assert_eq!(issued.expires, world.clock.wall() + ACCESS_LIFE);
}

#[test]
fn a_token_from_a_time_to_come_is_refused() {
    let world = World::new();
    let ahead = Arc::new(HandClock::at(world.clock.wall() + Duration::from_secs(301)));
    let entropy = Arc::new(SeededEntropy::new(3));
    let tokens = RegistryTokens::open(world.records.clone(), ahead, entropy).unwrap();
    let text = tokens.issue_access(HOST, None, Access::default(), None).text;
    assert_eq!(world.tokens.read_access(HOST, &text).err(), Some(RegistryTokenError::Expired));
    world.clock.advance(Duration::from_secs(1));
    assert!(world.tokens.read_access(HOST, &text).is_ok());
}

#[test]
fn a_changed_token_is_refused_wherever_it_was_changed() {
    let world = World::new();
    let text = world.access("repository:a:pull");
    let foreign = Some(RegistryTokenError::Foreign);
    for changed in [
        altered(&text, 0, |header| header["alg"] = json!("none")),
        altered(&text, 0, |header| header["alg"] = json!("RS256")),
        altered(&text, 0, |header| header["alg"] = json!("HS512")),
        altered(&text, 0, |header| header["kid"] = json!("0011223344556677")),
        altered(&text, 0, |header| drop(header.as_object_mut().unwrap().remove("kid"))),
        altered(&text, 0, |header| header["typ"] = json!("JWT")),
        altered(&text, 1, |claims| claims["access"][0]["actions"] = json!(["*"])),
        altered(&text, 1, |claims| claims["exp"] = json!(i64::MAX)),
        altered(&text, 1, |claims| claims["sub"] = json!(Guid::from_bytes([1; 16]).to_string())),
        text.rsplit_once('.').unwrap().0.to_owned() + ".",
        text.rsplit_once('.').unwrap().0.to_owned(),
        text.clone() + ".a",
        format!(" {text}"),
        String::new(),
        "..".to_owned(),
    ] {
        assert_eq!(world.tokens.read_access(HOST, &changed).err(), foreign, "{changed}");
    }
    let mut bytes = text.clone().into_bytes();
    for at in 0..bytes.len() {
        let before = std::mem::replace(&mut bytes[at], b'A');
        let changed = std::str::from_utf8(&bytes).unwrap();
        let read = world.tokens.read_access(HOST, changed);
        assert!(read.is_err() || before == b'A', "{at}");
        bytes[at] = before;
    }
}

#[test]
fn keys_outlive_a_restart_and_sign_no_other_instances_tokens() {
    let world = World::new();
    let text = world.access("repository:a:pull");
    assert!(world.again().read_access(HOST, &text).is_ok());
    let other = World::new();
    // Made of other randomness, as another instance is.
    other.records.remove(KIND, NAME).unwrap();
    assert_eq!(other.again().read_access(HOST, &text).err(), Some(RegistryTokenError::Foreign));
}

#[test]
fn a_new_key_signs_after_a_while_and_old_tokens_live_on() {
    let world = World::new();
    let verbs = Verbs::default();
    let old = world.tokens.issue_refresh(HOST, world.holder, verbs, OFFLINE_LIFE, None).text;
    world.clock.advance(keys::SIGNING_TIME);
    world.tokens.rotate().unwrap();
    let new = world.refresh();
    assert_ne!(part(&old, 0)["kid"], part(&new, 0)["kid"]);
    assert!(world.tokens.read_refresh(HOST, &old).is_ok());
    assert!(world.again().read_refresh(HOST, &new).is_ok());
    world.tokens.rotate().unwrap();
    assert_eq!(part(&world.refresh(), 0)["kid"], part(&new, 0)["kid"]);
}

#[test]
fn the_largest_wish_makes_a_token_that_is_still_read() {
    let world = World::new();
    let name = "a".repeat(SCOPE_BYTES_MAX / SCOPES_MAX - "repository:00:* ".len());
    let scopes: Vec<String> =
        (10..10 + SCOPES_MAX).map(|n| format!("repository:{}{name}:*", n % 100)).collect();
    let text = world.access(&scopes.join(" "));
    assert!(text.len() <= TOKEN_BYTES_MAX, "{}", text.len());
    assert!(world.tokens.read_access(HOST, &text).is_ok());
    let longer = format!("{text}{}", "a".repeat(TOKEN_BYTES_MAX));
    let refused = Some(RegistryTokenError::Foreign);
    assert_eq!(world.tokens.read_access(HOST, &longer).err(), refused);
}

#[test]
fn a_damaged_record_is_not_taken_for_none() {
    let world = World::new();
    world.records.put(KIND, NAME, b"something else").unwrap();
    let opened = RegistryTokens::open(
        world.records.clone(),
        Arc::clone(&world.clock) as _,
        Arc::new(SeededEntropy::new(3)),
    );
    assert!(matches!(opened, Err(RecordError::Damaged)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), a in ".*", b in ".*", c in ".*") {
        let keys = TokenKeys::none();
        let now = Timestamp::from_micros(0);
        let joined = format!("{}.{}.{}", BASE64.encode(a), BASE64.encode(b), BASE64.encode(c));
        for text in [text, joined] {
            prop_assert!(token::read_access(&keys, now, HOST, &text).is_err());
        }
    }
}
