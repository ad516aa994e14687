//! The permission matrix of a vault's host: every operation of the data plane, by whoever may come
//! and in whatever state things are, with the status and the codes that clients see. One text that
//! a person can read; whoever changes who may do what sees it there.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_access::{
    ClientId, PrincipalId, RoleDefinitionId,
    decision::{built_in, role_id},
    directory::NewAssignment,
    issuer::ACCESS_TOKEN_LIFE,
};
use lockyard_base::{Clock as _, Guid};
use lockyard_keyring::{KeyName, KeyVersionName, VaultAddress};
use lockyard_vault::{
    AccessPolicy, Caller, CreateMode, Curve, EncryptionAlgorithm, KeyChange, KeyOperation,
    KeySettings, KeyShape, ModelChoice, NetworkRules, Operation, Permissions, Placement,
    PolicyEdit, Roles, RolesUnavailable, RsaSize, Source, Vault, VaultChange, VaultRequest,
};
use lockyard_web::FixedHost;
use serde_json::{Value, json};

use crate::{
    office::Visitor,
    support::{Reply, World},
};

const V: &str = "api-version=2025-07-01";

/// Every operation, as the SDKs ask for it; `live` and `gone` are keys, VERSION is one of `live`.
const OPERATIONS: [(&str, &str, &str); 26] = [
    ("list keys", "GET", "/keys"),
    ("list versions", "GET", "/keys/live/versions"),
    ("get key", "GET", "/keys/live"),
    ("get version", "GET", "/keys/live/VERSION"),
    ("create", "POST", "/keys/live/create"),
    ("import", "PUT", "/keys/live"),
    ("update", "PATCH", "/keys/live/VERSION"),
    ("delete", "DELETE", "/keys/live"),
    ("rotate", "POST", "/keys/live/rotate"),
    ("get policy", "GET", "/keys/live/rotationpolicy"),
    ("set policy", "PUT", "/keys/live/rotationpolicy"),
    ("backup", "POST", "/keys/live/backup"),
    ("restore", "POST", "/keys/restore"),
    ("encrypt", "POST", "/keys/live/VERSION/encrypt"),
    ("decrypt", "POST", "/keys/live/VERSION/decrypt"),
    ("wrap", "POST", "/keys/live/VERSION/wrapkey"),
    ("unwrap", "POST", "/keys/live/VERSION/unwrapkey"),
    ("sign", "POST", "/keys/live/VERSION/sign"),
    ("verify", "POST", "/keys/live/VERSION/verify"),
    ("release", "POST", "/keys/live/VERSION/release"),
    ("attest", "GET", "/keys/live/VERSION/attestation"),
    ("list deleted", "GET", "/deletedkeys"),
    ("get deleted", "GET", "/deletedkeys/gone"),
    ("recover", "POST", "/deletedkeys/gone/recover"),
    ("purge", "DELETE", "/deletedkeys/gone"),
    ("random", "POST", "/rng"),
];
/// What answers 400 to whoever may ask: it is never done here.
const NEVER: [&str; 2] = ["release", "attest"];

/// Has a policy with every permission.
const ANYBODY: Guid = Guid::from_bytes([1; 16]);

/// Every role for everybody: for undoing what was tried, whatever the model.
#[derive(Debug)]
struct Everything;

impl Roles for Everything {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(true)
    }
}

/// Somebody who tries everything, and what there is to try it on.
struct Stage {
    world: World,
    vault: Arc<Vault>,
    user: (ClientId, PrincipalId, String),
    version: KeyVersionName,
    wrapped: String,
    backup: String,
    text: String,
}

fn vault_name() -> VaultAddress {
    "kvone".parse().unwrap()
}

fn key(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// RFC 7517, appendix A.2: the elliptic curve key of the example.
fn jwk() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"
    })
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let vault = Arc::clone(&world.faces.vaults.vault);
        for name in ["kvone", "kvtwo"] {
            let founding = &world.office.founding;
            let place =
                Placement::new(founding.tenant.guid(), founding.subscription.guid(), "rg1", "east");
            let model = ModelChoice::Typed(false);
            let policies = Some(vec![policy(&world, ANYBODY, &["all"])]);
            let request = VaultRequest {
                place: place.unwrap(),
                mode: CreateMode::Default,
                change: VaultChange { model, policies, ..VaultChange::default() },
            };
            vault.put_vault(&name.parse().unwrap(), request).unwrap();
        }
        let user = world.office.stranger(world.now());
        let (rsa, ec) = (KeyShape::Rsa(RsaSize::R2048), KeyShape::Ec(Curve::P256));
        let plane = vault.data_plane(&vault_name(), anybody(&world), &Everything);
        for (name, shape) in [("live", rsa), ("gone", ec), ("lost", ec)] {
            plane.create_key(&key(name), shape, &KeySettings::default()).unwrap();
        }
        let oaep = EncryptionAlgorithm::RsaOaep256;
        let wrapped = plane.wrap_key(&key("live"), None, oaep, &[1; 32]).unwrap();
        let backup = base64(&plane.backup_key(&key("lost")).unwrap());
        for name in ["gone", "lost"] {
            plane.delete_key(&key(name)).unwrap();
        }
        plane.purge_key(&key("lost")).unwrap();
        let (version, wrapped) = (wrapped.id.version, base64(&wrapped.value));
        Self { world, vault, user, version, wrapped, backup, text: String::new() }
    }

    fn body(&self, operation: &str) -> Option<Value> {
        let (alg, digest) = ("PS256", base64(&[7; 32]));
        Some(match operation {
            "create" => json!({ "kty": "EC" }),
            "import" => json!({ "key": jwk() }),
            "restore" => json!({ "value": self.backup }),
            "encrypt" | "wrap" => json!({ "alg": "RSA-OAEP-256", "value": base64(b"key") }),
            "decrypt" | "unwrap" => json!({ "alg": "RSA-OAEP-256", "value": self.wrapped }),
            "sign" => json!({ "alg": alg, "value": digest }),
            "verify" => json!({ "alg": alg, "digest": digest, "value": digest }),
            "release" => json!({ "target": "token" }),
            "random" => json!({ "count": 1 }),
            "update" | "rotate" | "set policy" | "backup" | "recover" => json!({}),
            _ => return None,
        })
    }

    /// Tries an operation, undoes it if it was done, and returns what was told.
    async fn attempt(&self, visitor: &Visitor, place: usize) -> String {
        let (operation, method, path) = OPERATIONS[place];
        let path = path.replace("VERSION", self.version.as_str());
        let reply = visitor.send(method, &format!("{path}?{V}"), self.body(operation)).await;
        if reply.status.is_success() {
            self.undo(operation);
        }
        told(&reply)
    }

    fn undo(&self, operation: &str) {
        let plane = self.vault.data_plane(&vault_name(), anybody(&self.world), &Everything);
        match operation {
            "delete" => drop(plane.recover_key(&key("live")).unwrap()),
            "recover" => drop(plane.delete_key(&key("gone")).unwrap()),
            "purge" => {
                let shape = KeyShape::Ec(Curve::P256);
                plane.create_key(&key("gone"), shape, &KeySettings::default()).unwrap();
                plane.delete_key(&key("gone")).unwrap();
            }
            "restore" => {
                plane.delete_key(&key("lost")).unwrap();
                plane.purge_key(&key("lost")).unwrap();
            }
            _ => {}
        }
    }

    async fn token(&self) -> String {
        self.world.office.vault_token(self.user.0, &self.user.2).await
    }

    /// Somebody at a vault, with this token or none.
    fn at(&self, vault: &str, token: Option<String>) -> Visitor {
        let host = format!("{vault}.vault.yard.example:8443");
        self.world.visitor_of(&host, token).from("192.0.2.7")
    }

    async fn user(&self) -> Visitor {
        self.at("kvone", Some(self.token().await))
    }

    /// Writes what each operation is told, alike answers on one line, in order of occurrence.
    async fn row(&mut self, what: &str, visitor: &Visitor) {
        let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
        for (place, (operation, ..)) in OPERATIONS.iter().enumerate() {
            let told = self.attempt(visitor, place).await;
            match answers.iter_mut().find(|(answer, _)| *answer == told) {
                Some((_, operations)) => operations.push(operation),
                None => answers.push((told, vec![operation])),
            }
        }
        writeln!(self.text, "\n{what}").unwrap();
        for (answer, of) in &answers {
            let of = if answers.len() == 1 { "everything".to_owned() } else { of.join(", ") };
            writeln!(self.text, "    {answer}: {of}").unwrap();
        }
    }

    /// The operations that are not refused with `refusal`, each told as it must be.
    async fn allowed(&self, visitor: &Visitor, refusal: &str) -> Vec<&'static str> {
        let mut allowed = Vec::new();
        for (place, (operation, ..)) in OPERATIONS.iter().enumerate() {
            let told = self.attempt(visitor, place).await;
            match told.as_str() {
                "200" | "204" => allowed.push(*operation),
                "400 BadParameter" if NEVER.contains(operation) => allowed.push(*operation),
                _ => assert_eq!(told, refusal, "{operation}"),
            }
        }
        allowed
    }

    fn change(&self, change: VaultChange) {
        self.vault.patch_vault(&vault_name(), change).unwrap();
    }

    fn change_key(&self, change: &KeyChange) {
        let plane = self.vault.data_plane(&vault_name(), anybody(&self.world), &Everything);
        plane.update_key(&key("live"), Some(&self.version), change).unwrap();
    }

    fn grant(&self, vault: &str, keys: &[&str]) {
        let entry = policy(&self.world, self.user.1.guid(), keys);
        let name = vault.parse().unwrap();
        self.vault.edit_policies(&name, PolicyEdit::Replace, vec![entry]).unwrap();
    }

    fn assign(&self, role: RoleDefinitionId, scope: &str) -> Guid {
        let id = Guid::random(&*self.world.faces.entropy);
        let new = NewAssignment {
            id,
            principal: self.user.1,
            role,
            scope: scope.parse().unwrap(),
            description: None,
            created_by: None,
        };
        self.world.faces.directory.assign(new).unwrap().id
    }
}

fn policy(world: &World, object: Guid, keys: &[&str]) -> AccessPolicy {
    let keys = keys.iter().map(|word| (*word).to_owned()).collect();
    let permissions = Permissions { keys, ..Permissions::default() };
    let tenant = world.office.founding.tenant.guid();
    AccessPolicy { tenant, object, application: None, permissions }
}

/// A caller with every permission whom no firewall keeps out.
fn anybody(world: &World) -> Caller {
    Caller {
        tenant: world.office.founding.tenant.guid(),
        object: ANYBODY,
        application: None,
        groups: Vec::new(),
        resource: None,
        source: Source::TrustedService,
    }
}

/// Status, code and inner code; of an answer, its status.
fn told(reply: &Reply) -> String {
    if reply.status.is_success() {
        return reply.status.as_u16().to_string();
    }
    let inner = reply.json()["error"]["innererror"]["code"].as_str().map(|code| format!("/{code}"));
    format!("{}{}", reply.code(), inner.unwrap_or_default())
}

/// Who has shown no right to be here.
async fn strangers(stage: &mut Stage) {
    stage.text.push_str("# Who is nobody here\n");
    let management =
        stage.world.office.token(stage.user.0, &stage.user.2, FixedHost::Management).await;
    let good = stage.token().await;
    // Another signature of the right length.
    let (head, tail) = good.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", "A".repeat(tail.len()));
    for (what, token) in [
        ("no token", None),
        ("a token for Resource Manager", Some(management)),
        ("a token that nobody signed", Some(forged)),
        ("no token at all, but a word", Some("word".to_owned())),
    ] {
        stage.row(what, &stage.at("kvone", token)).await;
    }
    let (client, _, secret) = stage.world.office.stranger(stage.world.now());
    let orphan = stage.world.office.vault_token(client, &secret).await;
    stage.world.faces.directory.delete_application(client).unwrap();
    stage.row("a token of an application that was deleted", &stage.at("kvone", Some(orphan))).await;
    stage.world.clock.advance(ACCESS_TOKEN_LIFE);
    stage.row("a token that expired", &stage.at("kvone", Some(good))).await;
    // The secret lived no longer than the token.
    let until = stage.world.now() + ACCESS_TOKEN_LIFE;
    let (_, secret) = stage.world.faces.directory.add_secret(stage.user.0, None, until).unwrap();
    secret.dangerous_expose().clone_into(&mut stage.user.2);
}

/// Lines of `operation: permissions that allow it`.
async fn policies(stage: &mut Stage) {
    stage
        .text
        .push_str("\n# Operations, and the permissions of an access policy that allow them\n");
    stage.text.push_str("# (all else is 403 Forbidden/ForbiddenByPolicy)\n\n");
    let user = stage.user().await;
    let mut allowing = vec![Vec::new(); OPERATIONS.len()];
    for word in Operation::ALL.iter().map(|word| word.as_str()).chain(["all"]) {
        stage.grant("kvone", &[word]);
        for operation in stage.allowed(&user, "403 Forbidden/ForbiddenByPolicy").await {
            let place = OPERATIONS.iter().position(|(name, ..)| *name == operation).unwrap();
            allowing[place].push(word);
        }
    }
    for ((operation, ..), words) in OPERATIONS.iter().zip(allowing) {
        writeln!(stage.text, "{operation:15}{}", words.join(", ")).unwrap();
    }
    stage.grant("kvone", &["get"]);
}

fn listed(operations: &[&str]) -> String {
    match operations.len() {
        0 => "nothing".to_owned(),
        all if all == OPERATIONS.len() => "everything".to_owned(),
        _ => operations.join(", "),
    }
}

/// Lines of `role at a scope: what it allows`.
async fn roles(stage: &mut Stage) {
    stage.text.push_str("\n# Roles, and the operations that they allow\n");
    stage.text.push_str("# (all else is 403 Forbidden/ForbiddenByRbac)\n");
    stage.change(VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() });
    let user = stage.user().await;
    let vault = stage.vault.vault(&vault_name()).unwrap().unwrap().resource_id();
    let subscription = stage.world.office.subscription();
    for role in built_in() {
        let id = stage.assign(role.id, &vault);
        let allowed = stage.allowed(&user, "403 Forbidden/ForbiddenByRbac").await;
        stage.world.faces.directory.unassign(id).unwrap();
        writeln!(stage.text, "\n{}\n    {}", role.name, listed(&allowed)).unwrap();
    }
    stage.text.push_str("\n## The same roles elsewhere\n");
    let scopes = [
        ("at the subscription", subscription.clone()),
        ("at the group", format!("{subscription}/resourceGroups/rg1")),
        ("at the key `live`", format!("{vault}/keys/live")),
        ("at another key", format!("{vault}/keys/livelier")),
        (
            "at another vault",
            format!("{subscription}/resourceGroups/rg1/providers/Microsoft.KeyVault/vaults/kvtwo"),
        ),
    ];
    for (what, scope) in scopes {
        for role in
            [role_id::KEY_VAULT_CRYPTO_OFFICER, role_id::KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER]
        {
            let id = stage.assign(role, &scope);
            let allowed = stage.allowed(&user, "403 Forbidden/ForbiddenByRbac").await;
            stage.world.faces.directory.unassign(id).unwrap();
            let name = &built_in().iter().find(|known| known.id == role).unwrap().name;
            writeln!(stage.text, "\n{name} {what}\n    {}", listed(&allowed)).unwrap();
        }
    }
    stage.row("no role", &user).await;
    stage.change(VaultChange { model: ModelChoice::Typed(false), ..VaultChange::default() });
}

/// What the state of a key does to somebody who has every permission.
async fn keys(stage: &mut Stage) {
    stage.text.push_str("\n# The key's state, for somebody with every permission\n");
    stage.grant("kvone", &["all"]);
    let user = stage.user().await;
    stage.row("nothing is in the way", &user).await;
    stage.change_key(&KeyChange { enabled: Some(false), ..KeyChange::default() });
    stage.row("the version is disabled", &user).await;
    let (now, minute) = (stage.world.clock.wall(), Duration::from_mins(1));
    stage.change_key(&KeyChange {
        enabled: Some(true),
        not_before: Some(now + minute),
        expires: Some(now + minute + minute),
        ..KeyChange::default()
    });
    stage.row("the version is not yet valid", &user).await;
    stage.world.clock.advance(minute + minute);
    stage.row("the version has expired", &user).await;
    stage.change_key(&KeyChange {
        expires: Some(now + minute * 10_000),
        operations: Some([KeyOperation::Verify].into_iter().collect()),
        ..KeyChange::default()
    });
    stage.row("the version is for verifying only", &user).await;
    stage.change_key(&KeyChange {
        operations: Some(lockyard_vault::KeyOperations::all()),
        ..KeyChange::default()
    });
    let plane = stage.vault.data_plane(&vault_name(), anybody(&stage.world), &Everything);
    plane.delete_key(&key("live")).unwrap();
    drop(plane);
    stage.row("the key is deleted", &user).await;
    stage.grant("kvone", &[]);
    stage.row("the key is deleted, and there is no grant", &user).await;
    let plane = stage.vault.data_plane(&vault_name(), anybody(&stage.world), &Everything);
    plane.recover_key(&key("live")).unwrap();
}

/// What the state of the vault does, and which vault it is.
async fn vaults(stage: &mut Stage) {
    stage.text.push_str("\n# The vault's state, for somebody with every permission unless said\n");
    let user = stage.user().await;
    stage.row("no grant", &user).await;
    stage.grant("kvtwo", &["all"]);
    stage.row("every permission in another vault", &user).await;
    let token = Some(stage.token().await);
    stage.row("a vault that is nowhere", &stage.at("nosuch", token.clone())).await;
    stage.row("a name that no vault can have", &stage.at("a--b", token)).await;
    stage.grant("kvone", &["all"]);
    stage.world.audit.refuse(true);
    let state = "the audit trail cannot be written (what changes is done, and logged as missing)";
    stage.row(state, &user).await;
    stage.world.audit.refuse(false);
    let shut = NetworkRules { allow_by_default: false, ..NetworkRules::default() };
    stage.change(VaultChange { network: Some(shut.clone()), ..VaultChange::default() });
    stage.row("the firewall refuses the address", &user).await;
    stage.grant("kvone", &[]);
    stage.row("the firewall refuses the address, and there is no grant", &user).await;
    let open = NetworkRules { ranges: vec!["192.0.2.0/24".parse().unwrap()], ..shut };
    stage.change(VaultChange { network: Some(open), ..VaultChange::default() });
    stage.row("the firewall lets the address in, and there is no grant", &user).await;
    stage.grant("kvone", &["all"]);
    stage.change(VaultChange { purge_protection: Some(true), ..VaultChange::default() });
    // Whatever is deleted here stays: the key that a restore brings back cannot be undone.
    let purge = OPERATIONS.iter().position(|(name, ..)| *name == "purge").unwrap();
    let told = stage.attempt(&user, purge).await;
    writeln!(stage.text, "\nthe vault is purge protected\n    {told}: purge").unwrap();
    let _gone = stage.vault.delete_vault(&vault_name()).unwrap();
    stage.row("the vault is deleted", &user).await;
}

#[tokio::test]
async fn who_may_do_what_at_a_vaults_host() {
    let mut stage = Stage::new().await;
    strangers(&mut stage).await;
    policies(&mut stage).await;
    roles(&mut stage).await;
    keys(&mut stage).await;
    vaults(&mut stage).await;
    insta::assert_snapshot!(stage.text);
}
