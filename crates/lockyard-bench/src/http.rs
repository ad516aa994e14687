//! HTTP/1.1 for a lean client: one connection, one buffer, bodies counted instead of kept.
//!
//! It speaks just enough for a registry: lengths and chunks, keep-alive, Basic credentials. The
//! parsing of heads is httparse's. It blocks; every stream of a scenario has a thread.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use crate::{
    content::Content,
    failure::{During as _, Failure, Outcome},
    tls::TlsStream,
};

/// How long a server may be silent before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many bytes are read at once; they stay in the second-level cache.
const BUFFER_BYTES: usize = 256 << 10;
/// The longest body that is kept.
const KEPT_BYTES_MAX: u64 = 256 << 20;
const HEADERS_MAX: usize = 48;

/// Where a server listens and how to greet it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The address.
    pub(crate) address: SocketAddr,
    /// What the `Host` header says.
    pub(crate) host: String,
    /// For HTTPS: whom to trust.
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// The `Authorization` header's value.
    pub(crate) authorization: Option<String>,
}

/// A server's answer without its body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The status code.
    pub(crate) status: u16,
    /// `Location`.
    pub(crate) location: Option<String>,
    /// `Link`.
    pub(crate) link: Option<String>,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

/// One connection to a server.
pub(crate) struct Connection {
    stream: Stream,
    /// Everything of a request's head that never changes.
    greeting: String,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Endpoint {
    /// Returns the headers that every request to this server carries.
    pub(crate) fn greeting(&self) -> String {
        let login = self.authorization.as_ref();
        let login = login.map_or(String::new(), |login| format!("authorization: {login}\r\n"));
        format!("host: {}\r\nuser-agent: lockyard-bench\r\n{login}", self.host)
    }

    /// Opens a socket.
    pub(crate) fn socket(&self) -> Outcome<TcpStream> {
        let what = || format!("connecting to {}", self.address);
        let socket = TcpStream::connect(self.address).during(what())?;
        socket.set_nodelay(true).during(what())?;
        socket.set_read_timeout(Some(PATIENCE)).during(what())?;
        socket.set_write_timeout(Some(PATIENCE)).during(what())?;
        Ok(socket)
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Outcome<Connection> {
        let socket = self.socket()?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let name = self.host.split(':').next().unwrap_or_default();
                let session = TlsStream::new(socket, Arc::clone(config), name);
                Stream::Tls(Box::new(session.during(format!("TLS with {}", self.host))?))
            }
        };
        let buffer = vec![0; BUFFER_BYTES];
        Ok(Connection { stream, greeting: self.greeting(), buffer, start: 0, end: 0 })
    }
}

impl Connection {
    /// Sends a request without a body and reads the answer's head; the body comes next.
    pub(crate) fn ask(&mut self, method: &str, target: &str) -> Outcome<Head> {
        self.ask_with(method, target, "", b"")
    }

    /// Sends a request with more headers, each with its line end, and a short body.
    pub(crate) fn ask_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &[u8],
    ) -> Outcome<Head> {
        let length = match (method, body.len()) {
            ("GET" | "HEAD" | "DELETE", 0) => String::new(),
            (_, length) => format!("content-length: {length}\r\n"),
        };
        let greeting = &self.greeting;
        let mut request =
            format!("{method} {target} HTTP/1.1\r\n{greeting}{headers}{length}\r\n").into_bytes();
        request.extend_from_slice(body);
        let what = || format!("{method} {target}");
        self.stream.write_all(&request).during(what())?;
        self.head().during(what())
    }

    /// Sends a request whose body is `content` and reads the answer's head.
    pub(crate) fn send(&mut self, method: &str, target: &str, content: &Content) -> Outcome<Head> {
        let (greeting, length) = (&self.greeting, content.len());
        let request = format!(
            "{method} {target} HTTP/1.1\r\n{greeting}content-type: application/octet-stream\r\n\
             content-length: {length}\r\n\r\n"
        );
        let what = || format!("{method} {target}");
        self.stream.write_all(request.as_bytes()).during(what())?;
        for piece in content.pieces() {
            self.stream.write_all(piece).during(what())?;
        }
        self.head().during(what())
    }

    /// Reads a body, gives it piece by piece to `each`, and returns its length.
    pub(crate) fn body(&mut self, head: &Head, mut each: impl FnMut(&[u8])) -> Outcome<u64> {
        if head.chunked {
            return self.chunks(&mut each).during("reading a chunked body");
        }
        let length = head.length.ok_or_else(|| Failure::new("an answer without a length"))?;
        self.exactly(length, &mut each).during("reading a body")?;
        Ok(length)
    }

    /// Reads a body and forgets it.
    pub(crate) fn discard(&mut self, head: &Head) -> Outcome<u64> {
        self.body(head, |_| {})
    }

    /// Reads a body and keeps it.
    pub(crate) fn keep(&mut self, head: &Head) -> Outcome<Vec<u8>> {
        if head.length.is_some_and(|length| length > KEPT_BYTES_MAX) {
            return Err(Failure::new("a body that should be short is long"));
        }
        let mut kept = Vec::new();
        self.body(head, |piece| kept.extend_from_slice(piece))?;
        Ok(kept)
    }

    /// Reads a body and fails with it unless the status is the expected one.
    pub(crate) fn expect(&mut self, head: Head, status: u16, what: &str) -> Outcome<Head> {
        if head.status == status && (head.length == Some(0) || head.status == 204) {
            return Ok(head);
        }
        let body = self.keep(&head)?;
        if head.status == status {
            return Ok(head);
        }
        let shown = String::from_utf8_lossy(&body);
        let shown: String = shown.chars().take(300).collect();
        Err(Failure::new(format!("{what}: status {} instead of {status}: {shown}", head.status)))
    }

    /// Reads the answer's head.
    fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some((head, len)) = Head::parse(&self.buffer[self.start..self.end])? {
                self.start += len;
                // "100 Continue" and its like come before the answer.
                if head.status >= 200 {
                    return Ok(head);
                }
            } else {
                self.fill()?;
            }
        }
    }

    fn exactly(&mut self, length: u64, each: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let here = self.end - self.start;
            let now = usize::try_from(left).map_or(here, |left| left.min(here));
            each(&self.buffer[self.start..self.start + now]);
            self.start += now;
            left -= now as u64;
        }
        Ok(())
    }

    fn chunks(&mut self, each: &mut impl FnMut(&[u8])) -> io::Result<u64> {
        let mut total = 0;
        loop {
            let size = httparse::parse_chunk_size(&self.buffer[self.start..self.end]);
            match size.map_err(|_| io::Error::other("a malformed chunk"))? {
                httparse::Status::Partial => self.fill()?,
                httparse::Status::Complete((line, size)) => {
                    self.start += line;
                    self.exactly(size, each)?;
                    // The line end behind the chunk; no server here sends trailers.
                    self.exactly(2, &mut |_| {})?;
                    total += size;
                    if size == 0 {
                        return Ok(total);
                    }
                }
            }
        }
    }

    /// Reads what has come.
    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(io::Error::other("an answer's head that never ends"));
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let len = self.stream.read(&mut self.buffer[self.end..])?;
        if len == 0 {
            return Err(io::Error::other("the server closed the connection"));
        }
        self.end += len;
        Ok(())
    }
}

impl Head {
    /// Reads a head and returns it with its length; `None` if it is not whole yet.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let status = response.parse(bytes).map_err(io::Error::other)?;
        let httparse::Status::Complete(len) = status else { return Ok(None) };
        let mut head = Self { status: response.code.unwrap_or_default(), ..Self::default() };
        for header in response.headers.iter() {
            let Ok(value) = std::str::from_utf8(header.value) else { continue };
            if header.name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().ok();
            } else if header.name.eq_ignore_ascii_case("location") {
                head.location = Some(value.to_owned());
            } else if header.name.eq_ignore_ascii_case("link") {
                head.link = Some(value.to_owned());
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            }
        }
        Ok(Some((head, len)))
    }
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Serves `answer` in small pieces to one connection and returns what a client makes of it.
    fn read(answer: &'static str) -> Outcome<(Head, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").during("binding")?;
        let address = listener.local_addr().during("binding")?;
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _request = socket.read(&mut [0; 4096]).unwrap();
            for piece in answer.as_bytes().chunks(7) {
                socket.write_all(piece).unwrap();
            }
        });
        let endpoint =
            Endpoint { address, host: "localhost".into(), tls: None, authorization: None };
        let mut connection = endpoint.connect()?;
        let head = connection.ask("GET", "/v2/")?;
        let body = connection.keep(&head)?;
        assert!(server.join().is_ok(), "the server does not panic");
        Ok((head, body))
    }

    #[test]
    fn a_body_with_a_length_is_read() {
        let (head, body) =
            read("HTTP/1.1 200 OK\r\nContent-Length: 11\r\nLocation: /a\r\n\r\nhello world")
                .unwrap();
        assert_eq!((head.status, head.location.as_deref()), (200, Some("/a")));
        assert_eq!(body, b"hello world");
    }

    #[test]
    fn a_body_in_chunks_is_read() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        assert_eq!(read(answer).unwrap().1, b"hello world");
    }

    #[test]
    fn a_body_that_is_cut_off_is_a_failure() {
        let cut = read("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello world");
        assert!(cut.unwrap_err().to_string().contains("closed the connection"));
    }

    #[test]
    fn an_interim_answer_is_passed_over() {
        let answer =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(answer).unwrap().0.status, 201);
    }
}
