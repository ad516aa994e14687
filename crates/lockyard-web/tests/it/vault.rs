//! The key vaults' face: the keys data plane.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_audit::{Audit, AuditError, Event, Recorded, Sequence};
use lockyard_keyring::VaultAddress;
use lockyard_vault::{
    AccessPolicy, Caller, CreateMode, ModelChoice, NetworkRules, Permissions, Placement, Roles,
    RolesUnavailable, Vault, VaultChange, VaultRequest,
};
use lockyard_web::{FixedHost, limit::VAULT_BODY_BYTES_MAX};
use serde_json::{Value, json};
use tokio::{
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::timeout,
};

use crate::{
    office::Visitor,
    support::{Reply, World},
};

/// How long something may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(60);
const V: &str = "api-version=2025-07-01";
const HOST: &str = "kvone.vault.yard.example:8443";

fn name() -> VaultAddress {
    "kvone".parse().unwrap()
}

/// Makes the vault `kvone`, which goes by roles or by policies.
fn make(world: &World, roles: bool, change: VaultChange) -> Arc<Vault> {
    let founding = &world.office.founding;
    let (tenant, subscription) = (founding.tenant.guid(), founding.subscription.guid());
    let request = VaultRequest {
        place: Placement::new(tenant, subscription, "rg1", "eastus").unwrap(),
        mode: CreateMode::Default,
        change: VaultChange { model: ModelChoice::Typed(roles), ..change },
    };
    let vault = Arc::clone(&world.faces.vaults.vault);
    let _made = vault.put_vault(&name(), request).unwrap();
    vault
}

/// The owner at `kvone`, where it is an administrator by its role at the subscription.
async fn owner(world: &World) -> Visitor {
    let founding = &world.office.founding;
    let secret = founding.secret.dangerous_expose();
    let token = world.office.vault_token(founding.client, secret).await;
    world.visitor_of(HOST, Some(token)).from("192.0.2.7")
}

/// Somebody without any role at `kvone`, and their object id.
async fn stranger(world: &World) -> (Visitor, String) {
    let (client, principal, secret) = world.office.stranger(world.now());
    let token = world.office.vault_token(client, &secret).await;
    (world.visitor_of(HOST, Some(token)).from("192.0.2.7"), principal.to_string())
}

async fn post(visitor: &Visitor, path: &str, body: Value) -> Reply {
    visitor.send("POST", &format!("{path}?{V}"), Some(body)).await
}

async fn get(visitor: &Visitor, path: &str) -> Reply {
    visitor.get(&format!("{path}?{V}")).await
}

/// The answer, which must be a good one, as JSON.
#[track_caller]
fn good(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Status, code and inner code of a refusal.
#[track_caller]
fn told(reply: &Reply) -> String {
    let inner = reply.json()["error"]["innererror"]["code"].as_str().map(|code| format!(" {code}"));
    format!("{}{}", reply.code(), inner.unwrap_or_default())
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn make_key(owner: &Visitor, name: &str, body: Value) -> Value {
    good(&post(owner, &format!("/keys/{name}/create"), body).await)
}

#[tokio::test]
async fn whoever_has_no_token_is_told_where_to_get_one_and_nothing_else() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let tenant = world.office.founding.tenant;
    let challenge = format!(
        "Bearer authorization=\"https://login.yard.example:8443/{tenant}\", \
         resource=\"https://vault.yard.example:8443\""
    );
    let nobody = world.visitor_of(HOST, None).from("192.0.2.9");
    let elsewhere = world.visitor_of("nosuch.vault.yard.example:8443", None);
    for (visitor, path) in [(&nobody, "/keys/k/create"), (&nobody, "/x"), (&elsewhere, "/keys")] {
        let reply = visitor.send_bytes("POST", path, b"{no json".to_vec()).await;
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(reply.header("www-authenticate"), challenge);
        assert_eq!(
            reply.json(),
            json!({"error": {
                "code": "Unauthorized",
                "message": "AKV10000: Request is missing a Bearer or PoP token."
            }})
        );
    }
    // A token for Resource Manager is none for a vault.
    let other = world.office.owner(FixedHost::Management).await;
    let reply = get(&world.visitor_of(HOST, Some(other)), "/keys").await;
    assert_eq!(
        (told(&reply).as_str(), reply.header("www-authenticate")),
        ("401 Unauthorized", &*challenge)
    );
    let counted: Vec<&str> = world.audit.unauthenticated().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(counted, ["NoToken", "NoToken", "NoToken", "WrongAudience"]);
    assert_eq!(world.audit.unauthenticated()[0].1, "192.0.2.9".parse().ok());
    assert_eq!(world.audit.events(), []);
}

#[tokio::test]
async fn a_key_lives_and_dies_as_clients_know_it() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let owner = owner(&world).await;
    let made =
        make_key(&owner, "Key1", json!({"kty": "RSA", "attributes": {"enabled": true}})).await;
    let kid = made["key"]["kid"].as_str().unwrap().to_owned();
    let base = format!("https://{HOST}/keys/Key1/");
    let version = kid.strip_prefix(&base).unwrap();
    assert_eq!(version.len(), 32);
    let operations = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
    assert_eq!(made["key"]["key_ops"], json!(operations));
    assert_eq!((&made["key"]["kty"], &made["key"]["e"]), (&json!("RSA"), &json!("AQAB")));
    let now = world.now().as_secs();
    assert_eq!(
        made["attributes"],
        json!({
            "enabled": true, "created": now, "updated": now, "exportable": false,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90, "hsmPlatform": "0"
        })
    );
    assert_eq!(good(&get(&owner, "/keys/Key1/").await), made);
    assert_eq!(good(&get(&owner, &format!("/Keys/Key1/{}", version.to_uppercase())).await), made);

    let change = json!({"attributes": {"enabled": false, "exp": now + 9}, "tags": {"a": "b"}});
    let patch = owner.with("x-http-method", "PATCH");
    let changed = good(&post(&patch, "/keys/Key1", change).await);
    assert_eq!(changed["attributes"]["exp"], now + 9);
    assert_eq!(
        (&changed["attributes"]["enabled"], &changed["tags"]),
        (&json!(false), &json!({"a": "b"}))
    );
    let value = json!({"alg": "RSA-OAEP-256", "value": "AAAA"});
    let reply = post(&owner, "/keys/Key1/wrapkey", value).await;
    assert_eq!(told(&reply), "403 Forbidden KeyDisabled");

    let policy = json!({
        "lifetimeActions": [
            {"trigger": {"timeAfterCreate": "P90D"}, "action": {"type": "rotate"}}
        ],
        "attributes": {"expiryTime": "P2Y"}
    });
    let set = owner.send("PUT", &format!("/keys/Key1/rotationpolicy?{V}"), Some(policy)).await;
    let set = good(&set);
    assert_eq!(set["lifetimeActions"][0]["action"]["type"], "Rotate");
    assert_eq!(set["id"], format!("{base}rotationpolicy"));
    assert_eq!(good(&get(&owner, "/keys/Key1/rotationpolicy").await), set);
    let rotated = good(&post(&owner, "/keys/Key1/rotate", json!({})).await);
    assert_ne!(rotated["key"]["kid"], made["key"]["kid"]);
    let versions = good(&get(&owner, "/keys/Key1/versions").await);
    assert_eq!(versions["value"].as_array().map(Vec::len), Some(2));
    assert_eq!(versions["nextLink"], Value::Null);

    let backup = good(&post(&owner, "/keys/Key1/backup", json!({})).await);
    let gone = good(&owner.send("DELETE", &format!("/keys/Key1?{V}"), None).await);
    assert_eq!(gone["recoveryId"], format!("https://{HOST}/deletedkeys/Key1"));
    assert_eq!(gone["deletedDate"], now);
    assert_eq!(gone["scheduledPurgeDate"], now + 90 * 86_400);
    assert_eq!(told(&get(&owner, "/keys/Key1").await), "404 KeyNotFound");
    let again = post(&owner, "/keys/Key1/create", json!({"kty": "RSA"})).await;
    assert_eq!(told(&again), "409 Conflict ObjectIsDeletedButRecoverable");
    assert_eq!(good(&get(&owner, "/deletedkeys/Key1").await), gone);
    let all = good(&get(&owner, "/deletedkeys").await);
    assert_eq!(all["value"][0]["recoveryId"], gone["recoveryId"]);
    let back = good(&post(&owner, "/deletedkeys/Key1/recover", json!({})).await);
    assert_eq!(back["key"]["kid"], rotated["key"]["kid"]);
    let _gone = owner.send("DELETE", &format!("/keys/Key1?{V}"), None).await;
    let purged = owner.send("DELETE", &format!("/deletedkeys/Key1?{V}"), None).await;
    assert_eq!((purged.status.as_u16(), purged.text()), (204, ""));
    assert_eq!(told(&get(&owner, "/deletedkeys/Key1").await), "404 KeyNotFound");
    let restored = good(&post(&owner, "/keys/restore", backup).await);
    assert_eq!(restored["key"]["kid"], rotated["key"]["kid"]);
}

#[tokio::test]
async fn a_listing_goes_on_where_its_link_says() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let owner = owner(&world).await;
    for n in 0..5 {
        let _made = make_key(&owner, &format!("k{n}"), json!({"kty": "EC"})).await;
    }
    let mut target = format!("/keys?maxresults=2&{V}");
    let mut found = Vec::new();
    for left in [3, 1, 0] {
        let page = good(&owner.get(&target).await);
        for item in page["value"].as_array().unwrap() {
            assert_eq!(item["attributes"]["enabled"], true);
            found.push(item["kid"].as_str().unwrap().to_owned());
        }
        match page["nextLink"].as_str() {
            Some(next) => {
                target = next.strip_prefix(&format!("https://{HOST}")).unwrap().to_owned();
            }
            None => assert_eq!(left, 0),
        }
    }
    let expected: Vec<String> = (0..5).map(|n| format!("https://{HOST}/keys/k{n}")).collect();
    assert_eq!(found, expected);
    for wrong in ["maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=%00"] {
        let reply = owner.get(&format!("/keys?{wrong}&{V}")).await;
        assert_eq!(told(&reply), "400 BadParameter", "{wrong}");
    }
}

#[tokio::test]
async fn every_use_gives_back_what_went_in_and_is_recorded_before_that() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let owner = owner(&world).await;
    let made = make_key(&owner, "k", json!({"kty": "RSA"})).await;
    let kid = made["key"]["kid"].as_str().unwrap();
    let path = kid.strip_prefix(&format!("https://{HOST}")).unwrap();
    for (close, open) in [("wrapkey", "unwrapkey"), ("encrypt", "decrypt")] {
        let plain = base64(b"a key to wrap");
        let body = json!({"alg": "RSA-OAEP-256", "value": plain});
        let closed = good(&post(&owner, &format!("/keys/k/{close}"), body).await);
        assert_eq!(closed["kid"], kid);
        // Clients pad base64 or not.
        let padded = format!("{}==", closed["value"].as_str().unwrap());
        let body = json!({"alg": "rsa-oaep-256", "value": padded});
        let opened = good(&post(&owner, &format!("{path}/{open}"), body).await);
        assert_eq!(opened, json!({"kid": kid, "value": plain}));
    }
    let digest = base64(&[7; 32]);
    let body = json!({"alg": "PS256", "value": digest});
    let signature = good(&post(&owner, &format!("{path}/sign"), body).await)["value"].clone();
    for (digest, right) in [(digest, true), (base64(&[8; 32]), false)] {
        let body = json!({"alg": "PS256", "digest": digest, "value": signature});
        let verified = good(&post(&owner, &format!("{path}/verify"), body).await);
        assert_eq!(verified, json!({"value": right}));
    }
    let random = good(&post(&owner, "/rng", json!({"count": 32})).await);
    assert_eq!(random["value"].as_str().map(str::len), Some(43));

    let events = world.audit.events();
    let names: Vec<&str> = events.iter().map(|event| event.operation.as_str()).collect();
    let uses = ["KeyCreate", "KeyWrap", "KeyUnwrap", "KeyEncrypt", "KeyDecrypt", "KeySign"];
    assert_eq!(names, [&uses[..], &["KeyVerify", "KeyVerify", "RandomBytesGet"]].concat());
    let unwrap = &events[2];
    let version = path.rsplit('/').next().unwrap();
    assert_eq!(unwrap.request.id, format!("kvone/k/{version}"));
    assert_eq!(unwrap.request.uri, format!("{kid}/unwrapkey?{V}"));
    assert_eq!(unwrap.operation_version, "2025-07-01");
    assert_eq!(unwrap.caller.address, "192.0.2.7".parse().ok());
    assert_eq!(unwrap.caller.application_id, world.office.founding.client.to_string());
    assert!(
        unwrap.resource.ends_with("/resourceGroups/rg1/providers/Microsoft.KeyVault/vaults/kvone")
    );
    assert_eq!((unwrap.outcome.status, unwrap.done, events[0].done), (200, false, true));
}

#[tokio::test]
async fn what_cannot_be_recorded_gives_nothing_away() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let (owner, (stranger, _)) = (owner(&world).await, stranger(&world).await);
    let _made = make_key(&owner, "k", json!({"kty": "EC"})).await;
    world.audit.refuse(true);
    let body = json!({"alg": "ES256", "value": base64(&[7; 32])});
    let reply = post(&owner, "/keys/k/sign", body.clone()).await;
    assert_eq!(told(&reply), "503 ServiceUnavailable");
    assert_eq!((reply.header("retry-after"), reply.json()["value"].is_null()), ("10", true));
    // A refusal stays one, and a right that is taken away is gone.
    assert_eq!(told(&post(&stranger, "/keys/k/sign", body).await), "403 Forbidden ForbiddenByRbac");
    let _gone = good(&owner.send("DELETE", &format!("/keys/k?{V}"), None).await);
}

#[tokio::test]
async fn who_may_not_is_told_who_they_are_and_what_is_missing() {
    let world = World::new().await;
    let vault = make(&world, true, VaultChange::default());
    let (stranger, object) = stranger(&world).await;
    let reply = post(&stranger, "/keys/k/wrapkey", json!({"alg": "RSA1_5", "value": "AA"})).await;
    assert_eq!(told(&reply), "403 Forbidden ForbiddenByRbac");
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&format!(";oid={object};iss=https://sts.windows.net/")), "{message}");
    assert!(message.contains("\r\nAction: 'Microsoft.KeyVault/vaults/keys/wrap/action'\r\n"));
    assert!(
        message.contains("/vaults/kvone/keys/k'\r\n") && message.contains("kvone;location=eastus")
    );

    let by_policies = VaultChange { model: ModelChoice::Typed(false), ..VaultChange::default() };
    let _vault = vault.patch_vault(&name(), by_policies).unwrap();
    let reply = get(&stranger, "/keys").await;
    assert_eq!(told(&reply), "403 Forbidden ForbiddenByPolicy");
    assert!(reply.text().contains("does not have keys list permission on key vault 'kvone;loc"));
    let policy = AccessPolicy {
        tenant: world.office.founding.tenant.guid(),
        object: object.parse().unwrap(),
        application: None,
        permissions: Permissions { keys: vec!["LIST".to_owned()], ..Permissions::default() },
    };
    let policies = VaultChange { policies: Some(vec![policy]), ..VaultChange::default() };
    let _vault = vault.patch_vault(&name(), policies).unwrap();
    assert_eq!(good(&get(&stranger, "/keys").await)["value"], json!([]));

    let shut = NetworkRules {
        allow_by_default: false,
        ranges: vec!["192.0.2.0/30".parse().unwrap()],
        ..NetworkRules::default()
    };
    let shut = VaultChange { network: Some(shut), ..VaultChange::default() };
    let _vault = vault.patch_vault(&name(), shut).unwrap();
    let reply = get(&stranger, "/keys").await;
    assert_eq!(told(&reply), "403 Forbidden ForbiddenByFirewall");
    assert!(reply.text().contains("Client address: 192.0.2.7"));
    for (address, status) in [("192.0.2.3", 200), ("::ffff:192.0.2.3", 200), ("192.0.2.4", 403)] {
        // What a header claims about an address is nobody's word.
        let visitor = stranger.from(address).with("x-forwarded-for", "192.0.2.1");
        assert_eq!(get(&visitor, "/keys").await.status, status, "{address}");
    }
}

#[tokio::test]
async fn a_vault_that_is_not_there_or_deleted_is_not_found() {
    let world = World::new().await;
    let vault = make(&world, true, VaultChange::default());
    let here = owner(&world).await;
    let _made = make_key(&here, "k", json!({"kty": "EC"})).await;
    let founding = &world.office.founding;
    let token = world.office.vault_token(founding.client, founding.secret.dangerous_expose()).await;
    for label in ["nosuch", "x", "a--b"] {
        let there = world.visitor_of(&format!("{label}.vault.yard.example"), Some(token.clone()));
        assert_eq!(told(&get(&there, "/keys").await), "404 ResourceNotFound", "{label}");
    }
    let _gone = vault.delete_vault(&name()).unwrap();
    assert_eq!(told(&get(&here, "/keys/k").await), "404 ResourceNotFound");
    let _back = vault.recover_vault(&name()).unwrap();
    let _there = good(&get(&here, "/keys/k").await);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_sentence() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let owner = owner(&world).await;
    for body in [
        json!({}),
        json!({"kty": "oct"}),
        json!({"kty": "oct-HSM"}),
        json!({"kty": "RSA", "key_size": 1024}),
        json!({"kty": "RSA", "key_size": "2048"}),
        json!({"kty": "RSA", "public_exponent": 3}),
        json!({"kty": "RSA", "key_ops": ["export"]}),
        json!({"kty": "EC", "crv": "P-192"}),
        json!({"kty": "EC", "key_ops": ["wrapKey"]}),
        json!({"kty": "EC", "attributes": {"exportable": true}}),
        json!({"kty": "EC", "attributes": {"exp": -1}}),
        json!({"kty": "EC", "attributes": {"exp": 253_402_300_800_i64}}),
        json!({"kty": "EC", "attributes": {"nbf": 9, "exp": 9}}),
        json!({"kty": "EC", "release_policy": {"data": "AA"}}),
        json!({"kty": "EC", "tags": {"": "x"}}),
        json!([]),
    ] {
        let reply = post(&owner, "/keys/k/create", body.clone()).await;
        assert_eq!(told(&reply), "400 BadParameter", "{body}");
    }
    let _made = make_key(&owner, "k", json!({"kty": "EC-HSM", "crv": "SECP256K1"})).await;
    for (path, body) in [
        ("/keys/k/release", json!({"target": "x"})),
        ("/keys/k/sign", json!({"alg": "ES256"})),
        ("/keys/k/sign", json!({"alg": "none", "value": "AA"})),
        ("/keys/k/sign", json!({"alg": "ES256K", "value": "not base64!"})),
        ("/keys/k/sign", json!({"alg": "ES256K", "value": "AAAA"})),
        ("/keys/restore", json!({"value": "AAAA"})),
        ("/rng", json!({})),
        ("/rng", json!({"count": 129})),
        ("/keys/a_b/create", json!({"kty": "EC"})),
    ] {
        let reply = post(&owner, path, body.clone()).await;
        assert_eq!(told(&reply), "400 BadParameter", "{path} {body}");
    }
    assert_eq!(told(&owner.get("/keys").await), "400 BadParameter");
    assert_eq!(told(&owner.get("/keys?api-version=").await), "400 BadParameter");
    for version in ["7.6-preview.2", "2199-12-31"] {
        assert_eq!(owner.get(&format!("/keys?api-version={version}")).await.status, 200);
    }
    assert_eq!(told(&get(&owner, "/secrets").await), "404 NotFound");
    let reply = owner.send("PUT", &format!("/keys?{V}"), None).await;
    assert_eq!((told(&reply).as_str(), reply.header("allow")), ("405 MethodNotAllowed", "GET"));
    let create = format!("/keys/k2/create?{V}");
    for (length, status) in [(VAULT_BODY_BYTES_MAX, 200), (VAULT_BODY_BYTES_MAX + 1, 413)] {
        let mut body = br#"{"kty":"EC"}"#.to_vec();
        body.resize(length, b' ');
        assert_eq!(owner.send_bytes("POST", &create, body).await.status, status, "{length}");
    }
}

#[tokio::test]
async fn an_imported_key_is_used_and_never_shown() {
    let world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    let owner = owner(&world).await;
    // RFC 7517, appendix A.2: the elliptic curve key of the example.
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "key_ops": ["sign", "verify"],
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
    });
    let body = json!({"key": jwk, "Hsm": true, "tags": {"from": "outside"}});
    let made = good(&owner.send("PUT", &format!("/keys/in?{V}"), Some(body)).await);
    assert_eq!((&made["key"]["kty"], &made["key"]["x"]), (&json!("EC-HSM"), &jwk["x"]));
    assert_eq!(made["key"]["key_ops"], json!(["sign", "verify"]));
    assert!(!made.to_string().contains("870MB6gfuTJ4"), "the private half is nowhere");
    let body = json!({"alg": "ES256", "value": base64(&[1; 32])});
    let _signed = good(&post(&owner, "/keys/in/sign", body).await);
    let wrong = json!({"key": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"}});
    let reply = owner.send("PUT", &format!("/keys/in2?{V}"), Some(wrong)).await;
    assert_eq!(told(&reply), "400 BadParameter");
}

/// Roles that answer one question only after they were told to go on.
#[derive(Debug)]
struct Slow {
    roles: Arc<dyn Roles>,
    next: Mutex<Option<Gate>>,
}

/// Says that it was reached, and waits.
type Gate = (oneshot::Sender<()>, std::sync::mpsc::Receiver<()>);

impl Slow {
    fn wait(&self) {
        if let Some((reached, go_on)) = self.next.lock().unwrap().take() {
            reached.send(()).unwrap();
            go_on.recv().unwrap();
        }
    }
}

impl Roles for Slow {
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable> {
        self.wait();
        self.roles.allow(caller, action, scope)
    }
}

/// A trail that tells what it was given.
#[derive(Debug)]
struct Told(UnboundedSender<Event>);

#[async_trait]
impl Audit for Told {
    async fn append(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append_blocking(event)
    }

    fn append_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        self.0.send(event).map_err(|_| AuditError::Closed)?;
        Ok(Recorded::As(Sequence::new(1)))
    }

    fn note_unauthenticated(&self, _kind: &'static str, _address: Option<IpAddr>) {}
}

#[tokio::test]
async fn what_a_client_has_begun_is_recorded_though_it_went_away() {
    let mut world = World::new().await;
    let _vault = make(&world, true, VaultChange::default());
    good(&post(&owner(&world).await, "/keys/k/create", json!({ "kty": "EC" })).await);
    let (told, mut events) = unbounded_channel();
    let slow =
        Arc::new(Slow { roles: Arc::clone(&world.faces.vaults.roles), next: Mutex::default() });
    world.faces.vaults.roles = Arc::clone(&slow) as _;
    world.faces.vaults.audit = Arc::new(Told(told));
    // One verb that is done and recorded as one, and one that waits for its record without a thread.
    for (method, operation) in [("PATCH", "KeyUpdate"), ("GET", "KeyGet")] {
        let (reached, wait) = oneshot::channel();
        let (go_on, gate) = std::sync::mpsc::channel();
        *slow.next.lock().expect("whole") = Some((reached, gate));
        let visitor = owner(&world).await;
        let asking = tokio::spawn(async move {
            visitor.send(method, &format!("/keys/k?{V}"), Some(json!({}))).await.status
        });
        wait.await.expect("it asks for its roles");
        asking.abort();
        assert!(asking.await.expect_err("nobody waits for it").is_cancelled());
        go_on.send(()).expect("it waits");
        let event = timeout(PATIENCE, events.recv()).await.expect("in time").expect("a trail");
        assert_eq!((event.operation.as_str(), event.outcome.status), (operation, 200));
    }
}
