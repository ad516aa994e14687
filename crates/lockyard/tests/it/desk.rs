//! Whoever speaks with the issuer, Resource Manager and Graph over HTTPS: one request a connection,
//! trusting the certificate authority that the first start made and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;

use crate::http::{Reply, parse};
use crate::world::{Server, World};

/// The client id of the command line tool that people sign in with.
const TOOL: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// How long an answer may take: a password is stretched on a busy machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A running server's doors for people and programs.
#[derive(Debug)]
pub(crate) struct Desk {
    address: String,
    tls: Arc<ClientConfig>,
}

impl Desk {
    pub(crate) fn new(world: &World, server: &Server) -> Self {
        let authority = CertificateDer::from_pem_file(world.data().join("ca.pem"));
        let mut roots = RootCertStore::empty();
        roots.add(authority.expect("the first start wrote it")).expect("it is an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address: server.https(), tls: Arc::new(tls) }
    }

    /// What clients put before a path of this house.
    pub(crate) fn origin(&self, house: &str) -> String {
        let port = self.address.rsplit(':').next().expect("an address has a port");
        format!("https://{house}.localhost:{port}")
    }

    /// Sends a request to a house and reads its answer.
    #[track_caller]
    pub(crate) fn ask(
        &self,
        house: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let origin = self.origin(house);
        let host = origin.strip_prefix("https://").expect("it begins so");
        let name = ServerName::try_from(format!("{house}.localhost")).expect("a name");
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).expect("a connection");
        let socket = TcpStream::connect(&self.address).expect("the server listens");
        socket.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
        let mut stream = StreamOwned::new(connection, socket);
        let mut head = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
        stream.write_all(head.as_bytes()).expect("the server reads");
        stream.write_all(body).expect("the server reads");
        let mut answer = Vec::new();
        // What was read counts, however the connection ended.
        drop(stream.read_to_end(&mut answer));
        parse(&answer).unwrap_or_else(|| panic!("{line} at {host}: {} bytes", answer.len()))
    }

    /// Asks for a token.
    #[track_caller]
    pub(crate) fn token(&self, form: &[(&str, &str)]) -> Reply {
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let line = "POST /organizations/oauth2/v2.0/token";
        self.ask("login", line, &headers, form.join("&").as_bytes())
    }

    /// Asks for a program's token at a house.
    #[track_caller]
    pub(crate) fn program(&self, client: &str, secret: &str, house: &str) -> Reply {
        self.token(&[
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("scope", &format!("{}/.default", self.origin(house))),
        ])
    }

    /// Signs a person in with a password, for a session that can be gone on with.
    #[track_caller]
    pub(crate) fn person(&self, name: &str, password: &str) -> Reply {
        self.token(&[
            ("grant_type", "password"),
            ("client_id", TOOL),
            ("username", name),
            ("password", password),
            ("scope", &format!("{}/.default offline_access", self.origin("management"))),
        ])
    }

    /// Goes on with a session.
    #[track_caller]
    pub(crate) fn refresh(&self, token: &str) -> Reply {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("client_id", TOOL),
            ("refresh_token", token),
            ("scope", &format!("{}/.default offline_access", self.origin("management"))),
        ])
    }

    /// Sends a request with a token, and a body of JSON if there is one.
    #[track_caller]
    pub(crate) fn with(&self, token: &str, house: &str, line: &str, body: Option<&Value>) -> Reply {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        let mut bytes = Vec::new();
        if let Some(body) = body {
            headers.push(("content-type", "application/json"));
            bytes = serde_json::to_vec(body).expect("JSON is written");
        }
        self.ask(house, line, &headers, &bytes)
    }

    /// What a token is answered that lists the subscriptions.
    #[track_caller]
    pub(crate) fn subscriptions(&self, token: &str) -> u16 {
        let line = "GET /subscriptions?api-version=2022-12-01";
        self.with(token, "management", line, None).status
    }
}

/// Returns a word of a JSON answer.
#[track_caller]
pub(crate) fn word(reply: &Reply, name: &str) -> String {
    let json = reply.json();
    json[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {json}")).to_owned()
}

fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}
