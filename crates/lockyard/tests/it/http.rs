//! The smallest HTTP/1.1 client that can do what a test needs: one request a connection, exact
//! bytes, and connections that stop in the middle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns a header's first value; the name is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// Returns the code and the message of the first error in OCI's envelope.
    pub(crate) fn oci_error(&self) -> (String, String) {
        let json = self.json();
        let error = &json["errors"][0];
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (word("code"), word("message"))
    }

    /// Fails unless the status is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}\n{}", self.headers, self.text());
        self
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Call {
    stream: TcpStream,
}

impl Call {
    /// Connects and sends a request's head; `body_len` is what it promises.
    pub(crate) fn begin(
        address: &str,
        line: &str,
        headers: &[(&str, &str)],
        body_len: usize,
    ) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        let mut head = format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if body_len > 0 || !(line.starts_with("GET") || line.starts_with("HEAD")) {
            head.extend(["content-length: ", &body_len.to_string(), "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        Ok(Self { stream })
    }

    /// Sends some of the body.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads a little of the answer.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Reads what is left of the answer and returns how many bytes came before the connection
    /// ended, in whichever way it did.
    pub(crate) fn drain(mut self) -> usize {
        let mut rest = Vec::new();
        drop(self.stream.read_to_end(&mut rest));
        rest.len()
    }

    /// Reads the answer to its end.
    pub(crate) fn finish(mut self) -> std::io::Result<Reply> {
        let mut all = Vec::new();
        // A server may answer and close while a body is still on its way: what was read counts.
        let read = self.stream.read_to_end(&mut all);
        if all.is_empty() {
            read?;
        }
        parse(&all).ok_or_else(|| std::io::Error::other(format!("{} bytes, no answer", all.len())))
    }
}

/// Sends one request and reads its answer, or says why that was not possible.
pub(crate) fn try_request(
    address: &str,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Reply> {
    let mut call = Call::begin(address, line, headers, body.len())?;
    // An early refusal closes the connection under the body; the answer says more than the error.
    let sent = call.send(body);
    call.finish().or_else(|error| sent.and(Err(error)))
}

/// Sends one request and returns its answer.
#[track_caller]
pub(crate) fn request(address: &str, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    try_request(address, line, headers, body)
        .unwrap_or_else(|error| panic!("{line} at {address}: {error}"))
}

/// Reads a whole answer.
pub(crate) fn parse(all: &[u8]) -> Option<Reply> {
    let split = all.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(all.get(..split)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = all.get(split + 4..)?;
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if is_chunked { dechunk(rest)? } else { rest.to_vec() };
    Some(Reply { status, headers, body })
}

/// Joins a chunked body.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}
