//! The issuer, the control plane and the directory of a test, and people with tokens.

use std::{net::IpAddr, sync::Arc};

use axum::Router;
use http_body_util::BodyExt as _;
use lockyard_access::{
    ClientId, Directory, PrincipalId, Records, RoleDefinitionId,
    directory::{Founding, NewApplication, NewAssignment},
    issuer::{self, Issuer, Origins, Parameters, TokenRequest, Version},
};
use lockyard_arm::{ResourceId, Scope};
use lockyard_audit::MemoryAudit;
use lockyard_base::{Clock, Guid, HandClock, SeededEntropy, Timestamp};
use lockyard_control::{Control, Objects, Setup};
use lockyard_egress::{Egress, Policy, Roots};
use lockyard_vault::Vault;
use lockyard_web::{Connection, FixedHost, Names};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::{HTTPS_PORT, Reply, World};

/// What stands behind the faces of the control plane.
pub(crate) struct Office {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) control: Arc<Control>,
    pub(crate) objects: Objects,
    pub(crate) directory: Arc<Directory>,
    pub(crate) founding: Founding,
}

impl Office {
    pub(crate) fn open(
        records: Records,
        directory: Arc<Directory>,
        clock: &Arc<dyn Clock>,
        names: &Names,
        founding: Founding,
        (vault, audit): (&Arc<Vault>, &Arc<MemoryAudit>),
    ) -> Self {
        let issuer = Issuer::open(issuer::Setup {
            records: records.clone(),
            directory: Arc::clone(&directory),
            egress: Arc::new(Egress::new(Policy::default(), Roots::only(Vec::new()))),
            clock: Arc::clone(clock),
            entropy: Arc::new(SeededEntropy::new(31)),
            origins: Origins {
                login: names.origin(FixedHost::Login),
                management: names.origin(FixedHost::Management),
                graph: names.origin(FixedHost::Graph),
                vault: format!("https://{}", names.suffix("vault")),
                domain: names.domain().to_owned(),
            },
        })
        .unwrap();
        let fixtures = vec![registry_id(founding.subscription.guid())];
        let control = Control::open(Setup {
            records,
            directory: Arc::clone(&directory),
            vault: Arc::clone(vault),
            vault_suffix: names.suffix("vault"),
            audit: Arc::clone(audit) as _,
            clock: Arc::clone(clock),
            fixtures,
        })
        .unwrap();
        let objects = Objects::new(Arc::clone(&directory));
        Self { issuer, control, objects, directory, founding }
    }

    /// `/subscriptions/{id}` of the one that there is.
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.founding.subscription)
    }

    /// The owner's token.
    pub(crate) async fn owner(&self, resource: FixedHost) -> String {
        let secret = self.founding.secret.dangerous_expose();
        self.token(self.founding.client, secret, resource).await
    }

    /// Makes an application without any role, and returns it with a secret.
    pub(crate) fn stranger(&self, now: Timestamp) -> (ClientId, PrincipalId, String) {
        let name = "app".to_owned();
        let new = NewApplication { display_name: name, ..NewApplication::default() };
        let client = self.directory.create_application(&new).unwrap();
        let principal = self.directory.create_service_principal(client).unwrap();
        let expires = Timestamp::from_micros(now.as_micros() + 3_600_000_000);
        let (_, secret) = self.directory.add_secret(client, None, expires).unwrap();
        (client, principal, secret.dangerous_expose().to_owned())
    }

    /// Gives somebody a role.
    pub(crate) fn assign(&self, principal: PrincipalId, role: RoleDefinitionId, scope: &str) {
        let _made = self
            .directory
            .assign(NewAssignment {
                id: Guid::random(&SeededEntropy::new(77)),
                principal,
                role,
                scope: scope.parse::<Scope>().unwrap(),
                description: None,
                created_by: None,
            })
            .unwrap();
    }

    pub(crate) async fn token(&self, client: ClientId, secret: &str, host: FixedHost) -> String {
        let resource = match host {
            FixedHost::Graph => &self.issuer.origins().graph,
            _ => &self.issuer.origins().management,
        };
        self.token_for(client, secret, resource).await
    }

    /// A token for the key vaults.
    pub(crate) async fn vault_token(&self, client: ClientId, secret: &str) -> String {
        self.token_for(client, secret, &self.issuer.origins().vault).await
    }

    async fn token_for(&self, client: ClientId, secret: &str, resource: &str) -> String {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &client.to_string())
            .append_pair("client_secret", secret)
            .append_pair("scope", &format!("{resource}/.default"))
            .finish();
        self.asked(&form).await
    }

    /// The first person's token.
    pub(crate) async fn person(&self, host: FixedHost) -> String {
        let resource = match host {
            FixedHost::Graph => &self.issuer.origins().graph,
            _ => &self.issuer.origins().management,
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "password")
            .append_pair("client_id", "04b07795-8ddb-461a-bbee-02f9e1bf7b46")
            .append_pair("username", &self.founding.upn)
            .append_pair("password", self.founding.password.dangerous_expose())
            .append_pair("scope", &format!("{resource}/.default"))
            .finish();
        self.asked(&form).await
    }

    async fn asked(&self, form: &str) -> String {
        let request = TokenRequest {
            tenant: self.issuer.tenant("common").unwrap(),
            version: Version::V2,
            parameters: Parameters::parse(form.as_bytes()).unwrap(),
            basic: None,
        };
        self.issuer.token(request).await.unwrap().access_token.to_string()
    }
}

/// The id of the default registry.
pub(crate) fn registry_id(subscription: Guid) -> ResourceId {
    let group = format!("/subscriptions/{subscription}/resourceGroups/lockyard");
    let id = format!("{group}/providers/Microsoft.ContainerRegistry/registries/lockyard");
    id.parse().unwrap()
}

/// Somebody at the door of one of the fixed hosts.
#[derive(Clone)]
pub(crate) struct Visitor {
    router: Router,
    host: String,
    token: Option<String>,
    peer: Option<IpAddr>,
    headers: Vec<(&'static str, &'static str)>,
}

impl World {
    /// A visitor of a host, with a token or without.
    pub(crate) fn visitor(&self, host: FixedHost, token: Option<String>) -> Visitor {
        let host = self.faces.names.origin(host).replace("https://", "");
        self.visitor_of(&host, token)
    }

    /// A visitor of any host, with a token or without.
    pub(crate) fn visitor_of(&self, host: &str, token: Option<String>) -> Visitor {
        let (router, host) = (self.faces.https(HTTPS_PORT), host.to_owned());
        Visitor { router, host, token, peer: None, headers: Vec::new() }
    }

    /// The owner at a host.
    pub(crate) async fn owner_at(&self, host: FixedHost) -> Visitor {
        self.visitor(host, Some(self.office.owner(host).await))
    }

    pub(crate) fn now(&self) -> Timestamp {
        HandClock::wall(&self.clock)
    }
}

impl Visitor {
    /// The same from an address.
    pub(crate) fn from(&self, peer: &str) -> Self {
        Self { peer: Some(peer.parse().unwrap()), ..self.clone() }
    }

    /// The same with one more header.
    pub(crate) fn with(&self, name: &'static str, value: &'static str) -> Self {
        let mut with = self.clone();
        with.headers.push((name, value));
        with
    }

    pub(crate) async fn send(&self, method: &str, target: &str, body: Option<Value>) -> Reply {
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        self.send_bytes(method, target, body).await
    }

    pub(crate) async fn send_bytes(&self, method: &str, target: &str, body: Vec<u8>) -> Reply {
        let target = target.replace(' ', "%20").replace('\'', "%27");
        let mut request =
            http::Request::builder().method(method).uri(target).header("host", &self.host);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(axum::body::Body::from(body)).unwrap();
        if let Some(peer) = self.peer {
            let _none = request.extensions_mut().insert(Connection::from_peer(Some(peer)));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, None).await
    }

    pub(crate) async fn put(&self, target: &str, body: Value) -> Reply {
        self.send("PUT", target, Some(body)).await
    }
}

impl Reply {
    /// The code of an error in ARM's and Graph's envelope, after its status.
    pub(crate) fn code(&self) -> String {
        let body = if self.body.is_empty() { Value::Null } else { self.json() };
        let error = &body["error"];
        assert_eq!(self.header("content-type"), "application/json; charset=utf-8");
        assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{body}");
        format!("{} {}", self.status.as_u16(), error["code"].as_str().unwrap())
    }
}
