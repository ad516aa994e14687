//! TLS for a client that must not be the bottleneck: rustls without its buffers.
//!
//! Records are opened in one large reused buffer that a single read fills; the usual wrapper reads
//! four kibibytes at a time and would measure itself.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    client::UnbufferedClientConnection,
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::failure::{During as _, Outcome};

/// How many bytes of records are read at once.
const INCOMING_BYTES: usize = 256 << 10;
/// The most that a piece of a few kibibytes needs to be sent; larger pieces are split.
const OUTGOING_BYTES: usize = 20 << 10;
const PIECE_BYTES: usize = 16 << 10;

/// Returns a client's configuration that trusts the authorities in a PEM file.
pub(crate) fn trusting(authorities: &Path) -> Outcome<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let what = || format!("reading `{}`", authorities.display());
    for certificate in CertificateDer::pem_file_iter(authorities).during(what())? {
        roots.add(certificate.during(what())?).during(what())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .during("choosing TLS versions")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A TLS connection of a client.
pub(crate) struct TlsStream {
    socket: TcpStream,
    session: UnbufferedClientConnection,
    incoming: Vec<u8>,
    /// Where the records lie that were read and not yet opened.
    start: usize,
    end: usize,
    outgoing: Vec<u8>,
    /// Plaintext that did not fit where the caller wanted it.
    surplus: Vec<u8>,
    ended: bool,
}

/// What a step of the session asks for.
enum Step {
    /// More records are needed.
    Starved,
    /// Go on.
    Again,
    /// The handshake is over and records may be sent.
    Ready,
    /// The server has said that it will send no more.
    Ended,
}

impl TlsStream {
    /// Shakes hands.
    pub(crate) fn new(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let session = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        let (incoming, outgoing) = (vec![0; INCOMING_BYTES], vec![0; OUTGOING_BYTES]);
        let (start, end, surplus, ended) = (0, 0, Vec::new(), false);
        let mut stream = Self { socket, session, incoming, start, end, outgoing, surplus, ended };
        loop {
            match stream.step(&mut [])?.1 {
                Step::Again => {}
                Step::Starved => stream.fill()?,
                Step::Ready => return Ok(stream),
                Step::Ended => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Reads plaintext; 0 is the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.surplus.is_empty() {
            let now = self.surplus.len().min(into.len());
            into[..now].copy_from_slice(&self.surplus[..now]);
            self.surplus.drain(..now);
            return Ok(now);
        }
        let mut filled = 0;
        while !self.ended && self.surplus.is_empty() && filled < into.len() {
            let (len, step) = self.step(&mut into[filled..])?;
            filled += len;
            match step {
                Step::Again => {}
                Step::Ended => self.ended = true,
                Step::Starved | Step::Ready if filled > 0 => break,
                Step::Starved | Step::Ready => self.fill()?,
            }
        }
        Ok(filled)
    }

    /// Writes plaintext.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let records = &mut self.incoming[self.start..self.start];
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(records);
            let ConnectionState::WriteTraffic(mut traffic) = state.map_err(io::Error::other)?
            else {
                return Err(io::Error::other("the TLS session is not ready to send"));
            };
            let len = traffic.encrypt(piece, &mut self.outgoing).map_err(io::Error::other)?;
            self.socket.write_all(&self.outgoing[..len])?;
        }
        Ok(())
    }

    /// Does what the session wants next and returns how much plaintext came of it.
    fn step(&mut self, into: &mut [u8]) -> io::Result<(usize, Step)> {
        let records = &mut self.incoming[self.start..self.end];
        let UnbufferedStatus { discard, state } = self.session.process_tls_records(records);
        let mut len = 0;
        let step = match state.map_err(io::Error::other)? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let plaintext = record.map_err(io::Error::other)?.payload;
                    let now = plaintext.len().min(into.len() - len);
                    into[len..len + now].copy_from_slice(&plaintext[..now]);
                    self.surplus.extend_from_slice(&plaintext[now..]);
                    len += now;
                }
                Step::Again
            }
            ConnectionState::EncodeTlsData(mut data) => {
                match data.encode(&mut self.outgoing) {
                    Ok(len) => self.socket.write_all(&self.outgoing[..len])?,
                    Err(EncodeError::InsufficientSize(size)) => {
                        self.outgoing.resize(size.required_size, 0);
                        let len = data.encode(&mut self.outgoing).map_err(io::Error::other)?;
                        self.socket.write_all(&self.outgoing[..len])?;
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
                Step::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                // It was sent as it was encoded.
                data.done();
                Step::Again
            }
            ConnectionState::BlockedHandshake => Step::Starved,
            ConnectionState::WriteTraffic(_) => Step::Ready,
            _ => Step::Ended,
        };
        self.start += discard;
        Ok((len, step))
    }

    /// Reads more records.
    fn fill(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.incoming.len() - self.end < 2 * PIECE_BYTES {
            self.incoming.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let len = self.socket.read(&mut self.incoming[self.end..])?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end += len;
        Ok(())
    }
}
