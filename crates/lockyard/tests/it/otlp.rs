//! The audit trail as a collector of OpenTelemetry logs gets it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use crate::lockout::vault_key;
use crate::outside::{Story, bounded, good, stories};
use crate::push;
use crate::world::{LOCKYARD, World, eventually, refusal};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_collector_that_was_away_gets_every_event_and_none_twice,
        an_event_that_is_never_taken_keeps_no_other_away,
        headers_that_others_can_read_are_refused
    ]
}

const HEADER: &str = "authorization: Bearer of-the-collector";

/// A collector: what it took, by record number, and how it answers.
struct Collector {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_here: bool,
    /// More than so many events at once are too much.
    at_most: Option<usize>,
    /// This one it will never take.
    never: Option<i64>,
    asked: usize,
    taken: Vec<(i64, String)>,
}

impl Collector {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let url = format!("http://{}/v1/logs", listener.local_addr().expect("it is bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let answering = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(&stream.expect("a connection"), &answering);
            }
        });
        Self { url, state }
    }

    fn asked(&self) -> usize {
        self.state.lock().expect("whole").asked
    }

    fn come_back(&self) {
        self.state.lock().expect("whole").is_here = true;
    }

    /// What was taken, by number; fails if anything came twice.
    fn taken(&self) -> BTreeMap<i64, String> {
        let taken = self.state.lock().expect("whole").taken.clone();
        let count = taken.len();
        let taken: BTreeMap<i64, String> = taken.into_iter().collect();
        assert_eq!(taken.len(), count, "something came twice");
        taken
    }
}

/// Reads one request and answers it; all that it carries is looked at.
fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    assert_eq!(head[0], "POST /v1/logs HTTP/1.1");
    for header in [HEADER, "content-type: application/x-protobuf"] {
        assert!(head.iter().any(|line| line == header), "{header} is not in {head:?}");
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("it has one").parse().expect("a number")];
    reader.read_exact(&mut body).expect("the whole body");
    let mut state = state.lock().expect("whole");
    state.asked += 1;
    let events = events(&body);
    let status = if !state.is_here {
        "503 Away"
    } else if state.at_most.is_some_and(|most| events.len() > most) {
        "413 Too Much"
    } else if events.iter().any(|(number, _)| Some(*number) == state.never) {
        "400 Never"
    } else {
        state.taken.extend(events);
        "200 OK"
    };
    drop(state);
    let mut stream = stream;
    // Whoever asked may have been killed.
    drop(stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()));
}

/// The events of a request: number and line.
fn events(body: &[u8]) -> Vec<(i64, String)> {
    let request = ExportLogsServiceRequest::decode(body).expect("OTLP");
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|logs| &logs.log_records);
    let event = |record: &LogRecord| {
        let number = record.attributes[0].value.as_ref().and_then(|any| any.value.clone());
        let body = record.body.as_ref().and_then(|any| any.value.clone());
        match (number, body) {
            (Some(Value::IntValue(number)), Some(Value::StringValue(line))) => (number, line),
            other => panic!("no event: {other:?}"),
        }
    };
    records.map(event).collect()
}

/// The trail's lines by record number.
fn trail(world: &World) -> BTreeMap<i64, String> {
    let mut tail = bounded(LOCKYARD);
    let lines = good(tail.args(["audit", "tail", "-n", "10000", "--data-dir"]).arg(world.data()));
    let number = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["sequence"].as_i64().expect("a number")
    };
    lines.lines().map(|line| (number(line), line.to_owned())).collect()
}

fn sending(world: &World, verb: &str, collector: &Collector, mode: u32) -> Command {
    let headers = world.folder().join("headers");
    fs::write(&headers, format!("# theirs\n{HEADER}\n")).expect("written");
    fs::set_permissions(&headers, fs::Permissions::from_mode(mode)).expect("set");
    let mut command = world.command(verb);
    command.args(["--audit-otlp", &collector.url, "--audit-otlp-headers"]).arg(headers);
    command
}

fn a_collector_that_was_away_gets_every_event_and_none_twice() {
    let (world, collector) = (World::new(), Collector::new());
    let server = world.start(sending(&world, "quickstart", &collector, 0o600));
    eventually("it is asked", || collector.asked() > 0);
    // An absent collector holds up nobody.
    push::small_image(&server, "team/app", "v1").check(&server);
    assert_eq!(collector.taken().len(), 0);
    collector.come_back();
    good(&mut vault_key(&world, "disable"));
    good(&mut vault_key(&world, "enable"));
    eventually("everything has arrived", || collector.taken() == trail(&world));
    let before = collector.taken();
    assert!(before.values().any(|line| line.contains("KeyUnwrap")), "{before:?}");
    // A process that ends before it has noted an answer asks once more.
    let (newest, _) = before.last_key_value().expect("there are events");
    let noted = || fs::read_to_string(world.data().join("audit-otlp.sent")).unwrap_or_default();
    eventually("it is noted", || noted().trim_end().ends_with(&format!(" {newest}")));
    server.stop();
    // What was recorded while nobody sent it is sent by the next process.
    let server = world.serve();
    good(&mut vault_key(&world, "disable"));
    good(&mut vault_key(&world, "enable"));
    server.kill();
    assert_eq!(collector.taken(), before);
    let server = world.start(sending(&world, "serve", &collector, 0o600));
    eventually("everything has arrived", || collector.taken() == trail(&world));
    assert!(collector.taken().len() > before.len() + 3);
    assert!(!server.log().contains("of-the-collector"));
    server.stop();
}

fn an_event_that_is_never_taken_keeps_no_other_away() {
    let (world, collector) = (World::new(), Collector::new());
    world.quickstart().stop();
    let (number, _) = trail(&world).into_iter().nth(3).expect("there are events");
    *collector.state.lock().expect("whole") =
        State { is_here: true, at_most: Some(2), never: Some(number), ..State::default() };
    let server = world.start(sending(&world, "serve", &collector, 0o600));
    let all_but_one = || {
        let mut wanted = trail(&world);
        assert!(wanted.remove(&number).is_some());
        collector.taken() == wanted
    };
    eventually("all others have arrived", all_but_one);
    let log = server.log();
    assert!(log.contains("the collector refuses an audit event"), "{log}");
    server.stop();
}

fn headers_that_others_can_read_are_refused() {
    let (world, collector) = (World::new(), Collector::new());
    let told = refusal(sending(&world, "serve", &collector, 0o644));
    assert!(told.contains("chmod 600") && told.contains("headers"), "{told}");
}
