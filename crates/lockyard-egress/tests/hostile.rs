//! The egress client before servers and name servers that mean no good.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::HeaderMap;
use lockyard_egress::{
    Allowance, Egress, EgressError, Limits, Policy, REQUESTS_AT_ONCE_MAX, Resolve, Roots,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

const LIMITS: Limits = Limits { body_bytes_max: 1000, time_max: Duration::from_secs(20) };

/// A name server that gives one answer after the other, and says how often it was asked.
#[derive(Debug, Default)]
struct Names {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
}

impl Names {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().map(|a| a.to_vec()).collect()) })
    }

    fn left(&self) -> usize {
        self.answers.lock().unwrap().len()
    }
}

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let answer = self.answers.lock().unwrap().pop_front();
        let answer = answer.ok_or_else(|| io::Error::other("asked once too often"))?;
        Ok(answer.iter().map(|address| address.parse().unwrap()).collect())
    }
}

/// A client that may ask what the allowances say.
fn egress(allowances: &[&str], names: Arc<Names>, roots: Roots) -> Egress {
    let allowances = allowances.iter().map(|text| text.parse::<Allowance>().unwrap()).collect();
    Egress::with_resolver(Policy::new(allowances), roots, names)
}

/// A server that says `reply` to every connection; with `hold`, it never closes one.
async fn server(reply: impl Into<Vec<u8>>, hold: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reply: Vec<u8> = reply.into();
    let _task = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await;
            let _sent = stream.write_all(&reply).await;
            if hold {
                held.push(stream);
            }
        }
    });
    port
}

/// Asks a server on this machine in plain text, as an operator may allow.
async fn plain(reply: impl Into<Vec<u8>>) -> Result<lockyard_egress::Answer, EgressError> {
    let port = server(reply, false).await;
    let egress = egress(&["http://keys.test"], Names::new(&[&["127.0.0.1"]]), none());
    egress.get(&format!("http://keys.test:{port}/x"), "*/*", LIMITS).await
}

fn none() -> Roots {
    Roots::only(Vec::new())
}

#[tokio::test]
async fn an_allowed_host_is_asked_and_its_answer_is_read() {
    let answer = plain("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]));
    let answer = plain("HTTP/1.1 404 No\r\nconnection: close\r\n\r\nto the end").await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (404, &b"to the end"[..]));
    assert!(!format!("{answer:?}").contains("to the end"));
}

#[tokio::test]
async fn what_is_posted_arrives_with_its_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let collector = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"a body") {
            assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "it ended too early");
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    let egress =
        egress(&[&format!("http://sink.corp:{port}")], Names::new(&[&["127.0.0.1"]]), none());
    let headers =
        [("content-type", "text/plain"), ("authorization", "Bearer t"), ("host", "other")];
    let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    let url = format!("http://sink.corp:{port}/v1/logs?a=b");
    let sent = egress.post(&url, HeaderMap::from_iter(headers), "a body".into(), LIMITS);
    let answer = sent.await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (202, &b"ok"[..]));
    let heard = collector.await.unwrap();
    assert!(heard.starts_with("POST /v1/logs?a=b HTTP/1.1\r\n"), "{heard}");
    for line in [
        "content-type: text/plain",
        "authorization: Bearer t",
        &format!("host: sink.corp:{port}"),
        "content-length: 6",
    ] {
        assert!(heard.contains(&format!("\r\n{line}\r\n")), "{line} is not in {heard}");
    }
    assert!(!heard.contains("other"), "{heard}");
}

#[tokio::test]
async fn a_body_has_an_end_whether_or_not_its_length_is_told() {
    let exact = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; 1000]].concat();
    assert_eq!(plain(exact).await.unwrap().body.len(), 1000);
    let over = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; 1001]].concat();
    assert!(matches!(plain(over).await, Err(EgressError::TooLong(1000))));
    let told = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\na";
    assert!(matches!(plain(told).await, Err(EgressError::TooLong(1000))));
    let chunks = b"100\r\n".iter().copied().chain(vec![b'a'; 256]).chain(*b"\r\n");
    let chunks: Vec<u8> = chunks.collect::<Vec<_>>().repeat(5);
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    assert!(matches!(plain([head, chunks].concat()).await, Err(EgressError::TooLong(1000))));
}

#[tokio::test]
async fn headers_have_an_end() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(64 << 10));
    assert!(matches!(plain(long).await, Err(EgressError::Http)));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(65));
    assert!(matches!(plain(many).await, Err(EgressError::Http)));
}

#[tokio::test]
async fn what_is_no_http_is_told_without_its_words() {
    for reply in ["SSH-2.0-secret\r\n", "HTTP/1.1 secret\r\n\r\n", ""] {
        let error = plain(reply).await.unwrap_err();
        assert!(matches!(error, EgressError::Http), "{reply}");
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let reply = format!("HTTP/1.1 {status} Go\r\nlocation: http://169.254.169.254/\r\n\r\n");
        assert!(matches!(plain(reply).await, Err(EgressError::Redirected)), "{status}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_refused() {
    let reply = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nbomb";
    assert!(matches!(plain(reply).await, Err(EgressError::Encoded)));
}

#[tokio::test]
async fn a_host_that_drips_is_left() {
    let limits = Limits { time_max: Duration::from_millis(50), ..LIMITS };
    for reply in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na"] {
        let port = server(reply, true).await;
        let egress = egress(&["http://keys.test"], Names::new(&[&["127.0.0.1"]]), none());
        let error = egress.get(&format!("http://keys.test:{port}"), "*/*", limits).await;
        assert!(matches!(error, Err(EgressError::TooSlow(_))), "{reply}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    for inside in [
        &["127.0.0.1"][..],
        &["169.254.169.254"],
        &["10.0.0.1"],
        &["::1"],
        &["::ffff:10.0.0.1"],
        &["fd00::1"],
        &["0.0.0.0"],
        &["1.1.1.1", "192.168.0.1"],
    ] {
        let egress = egress(&["other.test", "172.16.0.0/12"], Names::new(&[inside]), none());
        let error = egress.get("https://keys.test/", "*/*", LIMITS).await;
        assert!(matches!(error, Err(EgressError::NotPublic)), "{inside:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_address_in_the_url_is_looked_at_too() {
    let egress = egress(&[], Names::new(&[]), none());
    for url in [
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:7f00:1]:8443/",
        "https://169.254.169.254/metadata",
    ] {
        let error = egress.get(url, "*/*", LIMITS).await;
        assert!(matches!(error, Err(EgressError::NotPublic)), "{url}: {error:?}");
    }
}

/// Octal, decimal and short forms are names to us: they are resolved, and what comes is looked at.
#[tokio::test]
async fn an_odd_form_of_an_address_is_no_way_around() {
    for host in ["0177.0.0.1", "2130706433", "127.1", "0x7f.1"] {
        let egress = egress(&[], Names::new(&[&["127.0.0.1"]]), none());
        let error = egress.get(&format!("https://{host}/"), "*/*", LIMITS).await;
        assert!(matches!(error, Err(EgressError::NotPublic)), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_address_is_kept() {
    let port = server("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false).await;
    let names = Names::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let egress = egress(&["http://keys.test", "127.0.0.0/8"], Arc::clone(&names), none());
    let answer = egress.get(&format!("http://keys.test:{port}/"), "*/*", LIMITS).await;
    assert_eq!(&answer.unwrap().body[..], b"ok");
    assert_eq!(names.left(), 1);
}

#[tokio::test]
async fn only_https_is_asked_unless_the_host_is_allowed_without() {
    let egress = egress(&["keys.test", "127.0.0.0/8"], Names::new(&[]), none());
    let error = egress.get("http://keys.test/", "*/*", LIMITS).await;
    assert!(matches!(error, Err(EgressError::Plain)), "{error:?}");
    for url in ["", "keys.test", "/x", "ftp://keys.test/", "https://u:p@keys.test/", "file:///x"] {
        let error = egress.get(url, "*/*", LIMITS).await;
        assert!(matches!(error, Err(EgressError::Url)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn no_more_than_so_many_requests_are_under_way() {
    let port = server("", true).await;
    let answers = vec![&["127.0.0.1"][..]; REQUESTS_AT_ONCE_MAX];
    let egress = Arc::new(egress(&["http://keys.test"], Names::new(&answers), none()));
    let url = format!("http://keys.test:{port}");
    let mut under_way = Vec::new();
    for _ in 0..REQUESTS_AT_ONCE_MAX {
        let mut request = Box::pin(egress.get(&url, "*/*", LIMITS));
        assert!(futures_poll_once(&mut request).await);
        under_way.push(request);
    }
    assert!(matches!(egress.get(&url, "*/*", LIMITS).await, Err(EgressError::Busy)));
    drop(under_way);
    let limits = Limits { time_max: Duration::from_millis(1), ..LIMITS };
    let error = egress.get(&url, "*/*", limits).await.unwrap_err();
    assert!(!matches!(error, EgressError::Busy), "{error:?}");
}

/// Starts a future and says whether it is still under way.
async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
    })
    .await
}

#[tokio::test]
async fn a_certificate_must_be_known_and_of_the_host() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["keys.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let done = Arc::new(Notify::new());
    let ended = Arc::clone(&done);
    let _task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await;
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _closed = stream.shutdown().await;
            ended.notify_one();
        }
    });
    let ask = async |host: &str, roots| {
        let egress = egress(&[host], Names::new(&[&["127.0.0.1"]]), roots);
        egress.get(&format!("https://{host}:{port}/"), "*/*", LIMITS).await
    };
    let known = || Roots::only(vec![cert.der().clone()]);
    assert_eq!(&ask("keys.test", known()).await.unwrap().body[..], b"ok");
    done.notified().await;
    assert!(matches!(ask("keys.test", none()).await, Err(EgressError::Tls(_))));
    assert!(matches!(ask("other.test", known()).await, Err(EgressError::Tls(_))));
}
