//! What only sockets show: connections that are cut, refused bodies, tunnels, and the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use lockyard_web::{Proxy, Served, bind_loopback, serve_led, serve_proxy};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer},
};
use tokio_util::sync::CancellationToken;

use crate::support::{World, sha256};

/// No test waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    /// Takes connections that came by another listener.
    led: mpsc::Sender<lockyard_web::Led>,
}

impl Running {
    async fn start(world: &World) -> Self {
        Self::start_with(world, None).await
    }

    async fn start_with(world: &World, tls: Option<TlsAcceptor>) -> Self {
        let listener = bind_loopback("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = Served {
            listener,
            tls,
            router: world.faces.https(crate::support::HTTPS_PORT),
            metrics: world.faces.metrics.clone(),
        };
        let (led, arriving) = mpsc::channel(1);
        let task = tokio::spawn(serve_led(served, arriving, stop.clone()));
        Self { address, stop, task, led }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

async fn ask(stream: &mut (impl AsyncWrite + Unpin), request: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until the answer's head and `text` are there.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).await.unwrap();
            seen.extend_from_slice(&buffer[..read]);
            let so_far = String::from_utf8_lossy(&seen).into_owned();
            if read == 0 || so_far.contains(text) {
                return so_far;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the answer comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_served_over_tls_and_http2_is_offered() {
    let world = World::new().await;
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let running = Running::start_with(&world, Some(Arc::new(server).into())).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    for (offered, begins) in [(&b"http/1.1"[..], "HTTP/1.1 200"), (b"h2", "\0")] {
        client.alpn_protocols = vec![offered.to_vec()];
        let connector = TlsConnector::from(Arc::new(client.clone()));
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, running.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(offered));
        let request = if offered == b"h2" {
            // The preface and empty settings (RFC 9113, section 3.4), which are answered alike.
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned()
        } else {
            let login = &world.login;
            format!("GET /v2/ HTTP/1.1\r\nhost: localhost\r\nauthorization: {login}\r\n\r\n")
        };
        ask(&mut stream, &request).await;
        let answer = read_until(&mut stream, begins).await;
        assert!(answer.starts_with(begins), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_when_its_registry_is_locked() {
    let world = World::new().await;
    let running = Running::start(&world).await;
    // More than the sockets' buffers hold, so that the download stalls.
    let content = vec![7; 32 << 20];
    let digest = world.https("contoso.cr.yard.example").push("app", &content).await;
    let mut stream = running.connect().await;
    let request = format!(
        "GET /v2/app/blobs/{digest} HTTP/1.1\r\nhost: contoso.cr.yard.example\r\n\
         authorization: {}\r\n\r\n",
        world.login
    );
    ask(&mut stream, &request).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    world.vault.disable();
    world.keyring.changed().await;
    // The cut is a reset: what the kernel had not sent is gone, and the whole never arrives.
    let mut received = head.len();
    let reading = async {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(read) => received += read,
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("the connection ends");
    assert!(received < content.len() / 2, "{received}");
    assert_eq!(world.keyring.live_ciphers(world.default), 0);
    let mut other = running.connect().await;
    let request =
        format!("GET /v2/ HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n", world.login);
    ask(&mut other, &request).await;
    assert!(read_until(&mut other, "{}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_everything_before_it_reads_still_learns_why_it_was_refused() {
    let world = World::new().await;
    let running = Running::start(&world).await;
    let mut stream = running.connect().await;
    let length = 2 << 20;
    let request = format!(
        "PATCH /v2/app/blobs/uploads/0123456789abcdef0123456789abcdef HTTP/1.1\r\n\
         host: contoso.cr.yard.example\r\ncontent-length: {length}\r\n\r\n"
    );
    ask(&mut stream, &request).await;
    stream.write_all(&vec![0; length]).await.unwrap();
    let answer = read_until(&mut stream, "UNAUTHORIZED").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_first_is_refused_without_a_go_ahead() {
    let world = World::new().await;
    let running = Running::start(&world).await;
    let mut stream = running.connect().await;
    ask(
        &mut stream,
        "PUT /v2/app/manifests/v1 HTTP/1.1\r\nhost: contoso.cr.yard.example\r\n\
         expect: 100-continue\r\ncontent-length: 1000\r\n\r\n",
    )
    .await;
    let answer = read_until(&mut stream, "UNAUTHORIZED").await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_an_open_request_end() {
    let world = World::new().await;
    let running = Running::start(&world).await;
    let content = b"the whole content";
    let digest = sha256(content);
    let mut stream = running.connect().await;
    let request = format!(
        "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        world.login,
        content.len()
    );
    ask(&mut stream, &request).await;
    // The go-ahead shows that the request is under way.
    let _go_ahead = read_until(&mut stream, "100 Continue").await;
    running.stop.cancel();
    stream.write_all(content).await.unwrap();
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    timeout(PATIENCE, running.task).await.expect("serving ends").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_leads_to_our_own_listener_and_nowhere_else() {
    let world = World::new().await;
    let running = Running::start(&world).await;
    let listener = bind_loopback("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let names = world.faces.names.clone();
    let stop = CancellationToken::new();
    let proxying = Proxy { listener, target: running.led.clone(), names };
    let task = tokio::spawn(serve_proxy(proxying, stop.clone()));
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    ask(&mut stream, "CONNECT contoso.cr.yard.example:8443 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let opened = read_until(&mut stream, "\r\n\r\n").await;
    assert!(opened.starts_with("HTTP/1.1 200"), "{opened}");
    let request = format!(
        "GET /v2/ HTTP/1.1\r\nhost: contoso.cr.yard.example:8443\r\nauthorization: {}\r\n\r\n",
        world.login
    );
    ask(&mut stream, &request).await;
    assert!(read_until(&mut stream, "{}").await.contains("HTTP/1.1 200"));
    // The tunnel has the client's own address, and nothing is lost that came right behind its head.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = socket.connect(proxy).await.unwrap();
    let connect = "CONNECT contoso.cr.yard.example:8443 HTTP/1.1\r\nhost: x\r\n\r\n";
    let liar = "GET /v2/ HTTP/1.1\r\nhost: contoso.cr.yard.example:8443\r\n\
                authorization: Basic bWU6d3Jvbmc=\r\n\r\n";
    ask(&mut stream, &format!("{connect}{liar}")).await;
    assert!(read_until(&mut stream, "UNAUTHORIZED").await.contains("HTTP/1.1 401"));
    assert_eq!(world.audit.unauthenticated(), [("WrongPassword", "127.0.0.2".parse().ok())]);
    for (request, status) in [
        ("CONNECT example.org:8443 HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 403"),
        ("CONNECT contoso.cr.yard.example:22 HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 403"),
        ("GET http://contoso.cr.yard.example:8443/ HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 405"),
    ] {
        let mut stream = TcpStream::connect(proxy).await.unwrap();
        ask(&mut stream, request).await;
        let answer = read_until(&mut stream, "this proxy").await;
        assert!(answer.starts_with(status), "{answer}");
    }
    stop.cancel();
    timeout(PATIENCE, task).await.expect("the proxy ends").unwrap();
}

#[tokio::test]
async fn a_loopback_listener_is_bound_to_loopback_addresses_only() {
    let error = bind_loopback("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
