//! A world for one test: a data directory, a key vault with a switch, two registries, both doors.
//!
//! `lockyard` is the default registry and has no customer key; `contoso` has one, in a vault that
//! the test can make refuse.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lockyard_access::{
    ClientId, Directory, PrincipalId, Records, RoleDefinitionId,
    directory::{Cost, Founding, NewApplication, NewAssignment, NewUser, Presented},
    registry_token::RegistryTokens,
};
use lockyard_audit::MemoryAudit;
use lockyard_base::{Clock, Entropy, Guid, HandClock, SeededEntropy};
use lockyard_blobs::LocalParts;
use lockyard_control::DirectoryRoles;
use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyId, KeyProvider, KeyVersion, Keyring, LeasePolicy,
    ProviderError, Providers, SlotKind, SlotSecret, VaultAddress, VersionedKeyId, WrappedShare,
};
use lockyard_oci::{Algorithm, Digest, RegistryName};
use lockyard_registry::{CustomerKey, Ground, KeySource, Limits, Registries, instance::initialise};
use lockyard_store::{Engine, Store};
use lockyard_vault::VaultRootKey;
use lockyard_web::{Faces, KeyCalls, KeyVaults, Metrics, Names, Workers};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::office::Office;

pub(crate) const KEY: &str = "myvault/my-key/0123456789abcdef0123456789abcdef";
pub(crate) const PORT: u16 = 5000;
pub(crate) const HTTPS_PORT: u16 = 8443;
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Everything one test needs.
pub(crate) struct World {
    pub(crate) faces: Faces,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) audit: Arc<MemoryAudit>,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) login: String,
    pub(crate) office: Office,
    pub(crate) default: lockyard_base::RegistryId,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hand = Arc::new(HandClock::default());
        let clock = Arc::clone(&hand) as Arc<dyn Clock>;
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(1));
        let path = folder.path().join("lockyard.db");
        let store = Store::open(Engine::Sqlite { path }, Arc::clone(&clock)).unwrap();
        let secret = SlotSecret::generate(&*entropy);
        let opened = initialise(&store, &*entropy, SlotKind::File, &secret).unwrap();
        let instance = opened.keys;
        let records = Records::new(store.clone(), Arc::clone(&instance), Arc::clone(&entropy));
        let founding = Founding::generate(&*entropy, "yard.example");
        let directory = Directory::found(
            records.clone(),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            &founding,
            Cost::NEGLIGIBLE,
        )
        .unwrap();
        let tokens =
            RegistryTokens::open(records.clone(), Arc::clone(&clock), Arc::clone(&entropy));
        let login = basic(&founding.client.to_string(), founding.secret.dangerous_expose());
        let names = Names::new("yard.example", HTTPS_PORT);
        let audit = Arc::new(MemoryAudit::default());
        let key_vault = Arc::new(key_vault(folder.path(), &clock, &entropy));
        let office = Office::open(
            records,
            Arc::clone(&directory),
            &clock,
            &names,
            founding,
            (&key_vault, &audit),
        );
        let vault = Arc::new(Vault::new());
        let keyring = Arc::new(Keyring::new(
            opened.service,
            Arc::new(KeySource::new(store.clone(), Arc::clone(&instance))),
            Arc::new(OneVault(Arc::clone(&vault))),
            Arc::clone(&clock),
            LeasePolicy::default(),
        ));
        let registries = Registries::new(Ground {
            store,
            parts: Arc::new(LocalParts::open(&folder.path().join("parts")).unwrap()),
            keyring: Arc::clone(&keyring),
            instance,
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
            limits: Limits::default(),
        });
        let default_registry = RegistryName::default();
        let default = registries.create(&default_registry, None).await.unwrap();
        let customer = CustomerKey {
            provider: Arc::clone(&vault) as Arc<dyn KeyProvider>,
            key: KEY.parse().unwrap(),
            identity: Identity::from_bytes([1; 16]),
        };
        let _id = registries.create(&"contoso".parse().unwrap(), Some(customer)).await.unwrap();
        let vaults = KeyVaults {
            vault: key_vault,
            audit: Arc::clone(&audit) as _,
            roles: Arc::new(DirectoryRoles::new(Arc::clone(&directory))),
            workers: Arc::new(Workers::new().unwrap()),
        };
        let faces = Faces {
            registries,
            directory,
            issuer: Arc::clone(&office.issuer),
            registry_tokens: Arc::new(tokens.unwrap()),
            control: Arc::clone(&office.control),
            objects: office.objects.clone(),
            vaults,
            names,
            default_registry,
            http_login: false,
            clock,
            entropy,
            metrics: Metrics::new(&KeyCalls::default()),
        };
        Self { faces, keyring, vault, audit, clock: hand, login, office, default, _folder: folder }
    }

    /// The plain door, as tools on this machine use it.
    pub(crate) fn http(&self) -> Client {
        let host = format!("localhost:{PORT}");
        Client { router: self.faces.http(PORT), host, login: None }
    }

    /// The HTTPS door of a registry, logged in.
    pub(crate) fn https(&self, host: &str) -> Client {
        Client {
            router: self.faces.https(HTTPS_PORT),
            host: host.to_owned(),
            login: Some(self.login.clone()),
        }
    }
}

/// Somebody with credentials and no role yet.
pub(crate) struct Person {
    pub(crate) id: PrincipalId,
    /// The client id of a service principal; nothing of a user.
    pub(crate) client: Option<ClientId>,
    pub(crate) name: String,
    pub(crate) secret: String,
}

impl Person {
    pub(crate) fn basic(&self) -> String {
        basic(&self.name, &self.secret)
    }
}

impl World {
    /// A service principal with a secret.
    pub(crate) fn service_principal(&self) -> Person {
        let directory = &self.faces.directory;
        let new = NewApplication { display_name: "build".to_owned(), ..NewApplication::default() };
        let client = directory.create_application(&new).unwrap();
        let id = directory.create_service_principal(client).unwrap();
        let until = self.clock.wall() + std::time::Duration::from_secs(1 << 25);
        let (_, secret) = directory.add_secret(client, None, until).unwrap();
        let secret = secret.dangerous_expose().to_owned();
        Person { id, client: Some(client), name: client.to_string(), secret }
    }

    /// A user with a password.
    pub(crate) fn user(&self, name: &str) -> Person {
        let upn = format!("{name}@yard.example");
        let password = Presented::from(PASSWORD);
        let new = NewUser { display_name: name, upn: &upn, password: Some(&password) };
        let id = self.faces.directory.create_user(&new).unwrap();
        Person { id, client: None, name: upn, secret: PASSWORD.to_owned() }
    }

    /// Gives somebody a role on a registry.
    pub(crate) async fn give(
        &self,
        to: PrincipalId,
        role: RoleDefinitionId,
        registry: &str,
    ) -> Guid {
        let directory = &self.faces.directory;
        let found = self.faces.registries.find(&registry.parse().unwrap()).await.unwrap();
        let scope = found.unwrap().scope(directory.snapshot().subscription().id.guid());
        let id = Guid::random(&*self.faces.entropy);
        let new =
            NewAssignment { id, principal: to, role, scope, description: None, created_by: None };
        directory.assign(new).unwrap().id
    }

    /// The HTTPS door of a registry, with this `Authorization` header.
    pub(crate) fn asking(&self, host: &str, authorization: &str) -> Client {
        Client { login: Some(authorization.to_owned()), ..self.https(host) }
    }

    /// The HTTPS door of a registry, without a login.
    pub(crate) fn stranger(&self, host: &str) -> Client {
        Client { login: None, ..self.https(host) }
    }
}

pub(crate) fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

/// The embedded key vault, empty.
fn key_vault(
    folder: &std::path::Path,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> lockyard_vault::Vault {
    let (directory, key) = (folder.join("vault"), folder.join("vault.key"));
    let key = VaultRootKey::read_or_create(&key, &directory, &**entropy).unwrap();
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    lockyard_vault::Vault::open(&directory, &key, clock, entropy).unwrap()
}

/// Sends requests to one host through one door.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) host: String,
    pub(crate) login: Option<String>,
}

impl Client {
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method.parse::<Method>().unwrap())
            .uri(target)
            .header(header::HOST, &self.host);
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], Body::empty()).await
    }

    pub(crate) async fn head(&self, target: &str) -> Reply {
        self.send("HEAD", target, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, target: &str) -> Reply {
        self.send("POST", target, &[], Body::empty()).await
    }

    /// Sends a form.
    pub(crate) async fn form(&self, target: &str, fields: &[(&str, &str)]) -> Reply {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let body = body.finish();
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", target, &kind, body).await
    }

    /// Pushes a blob in one request and returns its digest.
    pub(crate) async fn push(&self, name: &str, content: &[u8]) -> Digest {
        let digest = sha256(content);
        let target = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let reply = self.send("POST", &target, &[], content.to_vec()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        digest
    }

    /// Pushes an image without layers and returns its digest.
    pub(crate) async fn push_image(&self, name: &str, reference: &str, more: &str) -> Digest {
        let manifest = self.image(name, more).await;
        let target = format!("/v2/{name}/manifests/{reference}");
        let kind = [("content-type", MANIFEST)];
        let reply = self.send("PUT", &target, &kind, manifest.clone()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        sha256(manifest.as_bytes())
    }

    /// Pushes the config of an image and returns its manifest, with `more` fields at its end.
    pub(crate) async fn image(&self, name: &str, more: &str) -> String {
        let config = self.push(name, b"{}").await;
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[]{more}}}"#
        )
    }
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and body of an error, in the one line that snapshots hold.
    pub(crate) fn error(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(self.header("x-correlation-id").len(), 32);
        format!("{} {}", self.status.as_u16(), self.text())
    }
}

pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// A vault that wraps by reversing, and that a switch makes refuse.
#[derive(Debug)]
pub(crate) struct Vault {
    disabled: AtomicBool,
    unreachable: AtomicBool,
    changes: watch::Sender<u64>,
}

impl Vault {
    fn new() -> Self {
        let (changes, _) = watch::channel(0);
        Self { disabled: AtomicBool::new(false), unreachable: AtomicBool::new(false), changes }
    }

    pub(crate) fn disable(&self) {
        self.disabled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn enable(&self) {
        self.disabled.store(false, Ordering::SeqCst);
        self.unreachable.store(false, Ordering::SeqCst);
    }

    pub(crate) fn vanish(&self) {
        self.unreachable.store(true, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<(), ProviderError> {
        if self.unreachable.load(Ordering::SeqCst) {
            return Err(ProviderError::Unreachable("connection refused".to_owned()));
        }
        if self.disabled.load(Ordering::SeqCst) {
            let text = format!("key `{KEY}` is disabled, enable it in its vault");
            return Err(ProviderError::Denied(Denial::KeyDisabled, text));
        }
        Ok(())
    }
}

#[async_trait]
impl KeyProvider for Vault {
    async fn wrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        self.answer()?;
        let mut bytes = share.dangerous_expose().to_vec();
        bytes.reverse();
        Ok(WrappedShare::from_bytes(bytes))
    }

    async fn unwrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        self.answer()?;
        let mut bytes: [u8; 32] = wrapped.as_bytes().try_into().unwrap();
        bytes.reverse();
        Ok(CustomerShare::from_bytes(&bytes))
    }

    async fn versions(
        &self,
        _caller: &Identity,
        _key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.answer()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[derive(Debug)]
struct OneVault(Arc<Vault>);

impl Providers for OneVault {
    fn provider(&self, _vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        Some(Arc::clone(&self.0) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.0) as Arc<dyn KeyProvider>]
    }
}
