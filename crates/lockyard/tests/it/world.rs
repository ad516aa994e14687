//! A world of one test: a data directory, and the real server that runs on it.
//!
//! Every port is chosen by the system; the server says which in `run.json`. Only processes that a
//! world started are ended, by their id.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http;

/// How long a start or an orderly end may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) const LOCKYARD: &str = env!("CARGO_BIN_EXE_lockyard");

/// A data directory and what else a test writes; removed when dropped.
#[derive(Debug)]
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        // Short, because sockets lie in it and their paths are limited to 107 bytes.
        let folder = tempfile::Builder::new().prefix("lockyard-").tempdir();
        Self { folder: folder.expect("the temporary directory is writable") }
    }

    /// Returns the folder that the world may fill.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the server's data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Makes a folder in the world and returns its path.
    pub(crate) fn subfolder(&self, name: &str) -> PathBuf {
        let folder = self.folder().join(name);
        fs::create_dir_all(&folder).expect("the world's folder is writable");
        folder
    }

    /// Returns the owner's credentials.
    pub(crate) fn owner(&self) -> Owner {
        let bootstrap = crate::image::read_json(&self.data().join("bootstrap.json"));
        let word = |name: &str| bootstrap[name].as_str().expect("the file has it").to_owned();
        let (user, password) = (word("clientId"), word("clientSecret"));
        Owner { user, password, authority: word("caFile").into() }
    }

    /// Starts a server whose default registry has no customer key, and waits until it is ready.
    pub(crate) fn serve(&self) -> Server {
        self.start(self.command("serve"))
    }

    /// Starts a server whose default registry has a customer key, and waits until it is ready.
    pub(crate) fn quickstart(&self) -> Server {
        self.start(self.command("quickstart"))
    }

    /// Returns a command that serves this world's data directory on ports of the system's choice.
    pub(crate) fn command(&self, verb: &str) -> Command {
        serving(LOCKYARD, verb, &self.data())
    }

    /// Starts a server and waits until it is ready.
    pub(crate) fn start(&self, command: Command) -> Server {
        self.try_start(command, &self.data()).unwrap_or_else(|told| panic!("no start:\n{told}"))
    }

    /// Starts a server on a data directory; returns what it said if it ends instead of serving.
    pub(crate) fn try_start(&self, mut command: Command, data: &Path) -> Result<Server, String> {
        let log = self.folder().join("server.log");
        let append = || open_log(&log);
        let before = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let child = command.stdin(Stdio::null()).stdout(append()).stderr(append()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let addresses = serde_json::Value::Null;
        let mut server = Server { child, log, addresses };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if !server.runs() {
                return Err(server.told_since(before));
            }
            if server.is_ready(data) {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("not ready after {PATIENCE:?}:\n{}", server.told_since(before));
    }
}

/// Runs a server that must refuse to start, and returns what it said on standard error.
pub(crate) fn refusal(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = output.spawn().expect("the program under test starts");
    let status = wait(&mut child, PATIENCE);
    let mut told = String::new();
    let mut stderr = child.stderr.take().expect("standard error is piped");
    std::io::Read::read_to_string(&mut stderr, &mut told).expect("what it says is text");
    assert!(!status.success(), "it ended well instead of refusing:\n{told}");
    assert!(status.code().is_some(), "it was ended by a signal:\n{told}");
    assert!(!told.contains("panicked"), "{told}");
    told
}

fn open_log(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("the world is writable")
}

/// Who may do everything, as the first start wrote it down.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) user: String,
    pub(crate) password: String,
    /// The file with the certificate authority that clients must trust.
    pub(crate) authority: PathBuf,
}

/// Returns a command of a program that serves a data directory on ports of the system's choice.
pub(crate) fn serving(program: impl AsRef<Path>, verb: &str, data: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command.arg(verb).arg("--data-dir").arg(data);
    for listener in ["--https", "--http", "--ops", "--connect-proxy"] {
        command.args([listener, "127.0.0.1:0"]);
    }
    command
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    addresses: serde_json::Value,
}

impl Server {
    /// Returns the address of the plain listener for the default registry.
    pub(crate) fn http(&self) -> String {
        self.address("http")
    }

    /// Returns the address of the plain listener as `localhost`.
    pub(crate) fn localhost(&self) -> String {
        self.http().replace("127.0.0.1", "localhost")
    }

    /// Returns the address of HTTPS.
    pub(crate) fn https(&self) -> String {
        self.address("https")
    }

    /// Returns the default registry's public name with its port.
    pub(crate) fn public_name(&self) -> String {
        self.address("https").replace("127.0.0.1", "lockyard.cr.localhost")
    }

    /// Returns the URL of the proxy that knows our public names.
    pub(crate) fn proxy(&self) -> String {
        format!("http://{}", self.address("connectProxy"))
    }

    /// Returns the address of the managed identities' listener.
    pub(crate) fn identities(&self) -> String {
        self.address("identityEndpoint")
    }

    /// Returns the address of health and metrics.
    pub(crate) fn ops(&self) -> String {
        self.address("ops")
    }

    fn address(&self, listener: &str) -> String {
        let address = self.addresses[listener].as_str();
        address.unwrap_or_else(|| panic!("`{listener}` not in {}", self.addresses)).to_owned()
    }

    /// Returns all that every server of this world has said so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends the server the hard way, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our child can be killed");
        self.child.wait().expect("our child can be waited for");
    }

    /// Asks the server to end and waits until it has, in good order.
    pub(crate) fn stop(self) {
        self.signal();
        self.ended_well();
    }

    /// Asks the server to end, without waiting for it.
    pub(crate) fn signal(&self) {
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.id()]).status();
        assert!(asked.is_ok_and(|status| status.success()));
    }

    /// Waits until the server has ended, in good order, and returns all that it said.
    pub(crate) fn ended_well(mut self) -> String {
        let status = wait(&mut self.child, PATIENCE);
        assert!(status.success(), "{status}\n{}", self.log());
        self.log()
    }

    /// Returns the number of the server's process.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Says whether the server still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the child can be asked").is_none()
    }

    /// Sends a request to the default registry's plain listener.
    #[track_caller]
    pub(crate) fn ask(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> http::Reply {
        http::request(&self.http(), line, headers, body)
    }

    /// Sends a request without headers or body.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> http::Reply {
        self.ask(&format!("GET {path}"), &[], b"")
    }

    fn is_ready(&mut self, data: &Path) -> bool {
        let run = fs::read(data.join("run.json")).unwrap_or_default();
        let Ok(addresses) = serde_json::from_slice::<serde_json::Value>(&run) else {
            return false;
        };
        // The file of a server that was killed lies there still.
        if addresses["pid"] != self.child.id() {
            return false;
        }
        self.addresses = addresses;
        let ready = http::try_request(&self.ops(), "GET /readyz", &[], b"");
        ready.is_ok_and(|reply| reply.status == 200)
    }

    fn told_since(&self, offset: u64) -> String {
        let all = fs::read(&self.log).unwrap_or_default();
        let since = usize::try_from(offset).ok().and_then(|offset| all.get(offset..));
        String::from_utf8_lossy(since.unwrap_or(&all)).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runs() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.len().saturating_sub(4000);
            let tail = log.get(tail..).unwrap_or(&log).to_owned();
            // The harness shows what a failed test said.
            std::io::Write::write_all(&mut std::io::stderr(), tail.as_bytes()).ok();
        }
    }
}

/// Waits for a child's end, and kills it if that takes too long.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> ExitStatus {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait().expect("our child can be asked") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(child.kill());
    child.wait().expect("our child can be waited for")
}

/// Waits until something is so, and fails with a sentence if it takes too long.
#[track_caller]
pub(crate) fn eventually(sentence: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("after {PATIENCE:?} still not: {sentence}");
}
