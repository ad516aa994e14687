//! The same small request over and over on many connections, driven by one thread.
//!
//! A thread for each of 64 connections would spend more on switching than the server on answering;
//! with epoll the client stays out of the way. Each connection asks again as soon as it has its
//! answer, and the time in between is what percentiles are made of.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    time::Timespec,
};

use crate::{
    clock,
    failure::{During as _, Failure, Outcome},
    http::{Endpoint, Head},
};

/// How long all connections may be silent.
const SILENCE_MAX: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };
const READ_BYTES: usize = 64 << 10;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    /// The media type that is accepted.
    pub(crate) accept: &'static str,
}

/// One connection and what it waits for.
struct Asker {
    socket: TcpStream,
    asked: Instant,
    received: Vec<u8>,
}

/// Asks on `connections` connections until `duration` is over, and returns how long each answer
/// took, sorted.
pub(crate) fn storm(
    endpoint: &Endpoint,
    request: &Request,
    connections: usize,
    duration: Duration,
) -> Outcome<Vec<Duration>> {
    let Request { method, target, accept } = *request;
    let greeting = endpoint.greeting();
    let request = format!("{method} {target} HTTP/1.1\r\n{greeting}accept: {accept}\r\n\r\n");
    let bodiless = method == "HEAD";
    let mut askers = connect(endpoint, connections)?;
    let poll = epoll::create(CreateFlags::CLOEXEC).during("making an epoll instance")?;
    for (index, asker) in askers.iter().enumerate() {
        let data = EventData::new_u64(index as u64);
        epoll::add(&poll, &asker.socket, data, EventFlags::IN).during("watching a socket")?;
    }
    let mut latencies = Vec::with_capacity(1 << 20);
    let mut events = Vec::with_capacity(connections);
    let mut scratch = vec![0; READ_BYTES];
    let begun = clock::now();
    for asker in &mut askers {
        asker.ask(request.as_bytes())?;
    }
    let mut waiting = connections;
    while waiting > 0 {
        events.clear();
        let count = epoll::wait(&poll, spare_capacity(&mut events), Some(&SILENCE_MAX));
        if count.during("waiting for answers")? == 0 {
            return Err(Failure::new(format!("{method} {target}: no answer for a minute")));
        }
        for event in &events {
            let index = usize::try_from(event.data.u64()).unwrap_or_default();
            let asker = &mut askers[index];
            if !asker.receive(&mut scratch, bodiless)? {
                continue;
            }
            let now = clock::now();
            latencies.push(now - asker.asked);
            if now - begun < duration {
                asker.ask(request.as_bytes())?;
            } else {
                waiting -= 1;
            }
        }
    }
    latencies.sort_unstable();
    Ok(latencies)
}

fn connect(endpoint: &Endpoint, connections: usize) -> Outcome<Vec<Asker>> {
    if endpoint.tls.is_some() {
        return Err(Failure::new("many connections are measured on plain HTTP only"));
    }
    let connect = |_| {
        let socket = endpoint.socket()?;
        socket.set_nonblocking(true).during("preparing a socket")?;
        Ok(Asker { socket, asked: clock::now(), received: Vec::new() })
    };
    (0..connections).map(connect).collect()
}

impl Asker {
    fn ask(&mut self, request: &[u8]) -> Outcome {
        self.asked = clock::now();
        // A request is far shorter than an empty send buffer.
        self.socket.write_all(request).during("asking")
    }

    /// Takes what has come and returns whether the answer is whole.
    fn receive(&mut self, scratch: &mut [u8], bodiless: bool) -> Outcome<bool> {
        let len = match self.socket.read(scratch) {
            Ok(0) => return Err(Failure::new("the server closed a connection")),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).during("reading an answer"),
        };
        // Most answers come whole and are never copied.
        if self.received.is_empty() && is_whole(&scratch[..len], bodiless)? {
            return Ok(true);
        }
        self.received.extend_from_slice(&scratch[..len]);
        let whole = is_whole(&self.received, bodiless)?;
        if whole {
            self.received.clear();
        }
        Ok(whole)
    }
}

fn is_whole(bytes: &[u8], bodiless: bool) -> Outcome<bool> {
    let Some((head, len)) = Head::parse(bytes).during("reading an answer")? else {
        return Ok(false);
    };
    if head.status != 200 {
        let shown = String::from_utf8_lossy(bytes);
        return Err(Failure::new(format!("an answer that is not 200: {shown}")));
    }
    let body = if bodiless { Some(0) } else { head.length };
    let body = body.ok_or_else(|| Failure::new("an answer without a length"))?;
    Ok(bytes.len() as u64 >= len as u64 + body)
}
