//! A bounded load of several clients at once, and a ledger of what the server told them.
//!
//! Each client has a repository of its own, so that the order in which a tag moved is known. What a
//! client was told goes into the ledger when it was told; what it only asked for counts as possible.
//! The ledger then says of a server that was killed what must be there, and what may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::outside::{go_program, program};
use crate::push;
use crate::world::World;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Tags of each repository; they move all the time.
const TAGS: u64 = 4;

/// Numbers that look random and are the same for the same seed.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end` (SplitMix64).
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// An image in memory: its manifest and all its blobs, the config first.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Picture {
    /// Makes an image; layers come from a bounded number of different ones.
    fn new(dice: &mut Dice, layers: u64) -> Self {
        let mut blobs: Vec<Vec<u8>> = (0..=dice.below(2))
            .map(|_| {
                let number = dice.below(layers);
                let size = Dice::new(number).below(150_000) + 1;
                push::noise(&format!("layer {number}"), usize::try_from(size).expect("small"))
            })
            .collect();
        let diffs: Vec<String> = blobs.iter().map(|blob| push::digest(blob)).collect();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": diffs},
            "author": dice.below(u64::MAX).to_string()});
        blobs.insert(0, serde_json::to_vec(&config).expect("JSON is written"));
        let mut parts = blobs.iter().enumerate().map(|(at, blob)| {
            let kind = if at == 0 { CONFIG } else { LAYER };
            json!({"mediaType": kind, "digest": push::digest(blob), "size": blob.len()})
        });
        let config = parts.next();
        let layers: Vec<Value> = parts.collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": layers});
        Self { manifest: serde_json::to_vec(&manifest).expect("JSON is written"), blobs }
    }

    fn digest(&self) -> String {
        push::digest(&self.manifest)
    }

    /// Writes the image as an OCI layout with one name.
    fn lay_out(&self, folder: &Path) {
        drop(fs::remove_dir_all(folder));
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("the world is writable");
        for blob in self.blobs.iter().chain([&self.manifest]) {
            let name = push::digest(blob).replace("sha256:", "");
            fs::write(blobs.join(name), blob).expect("the world is writable");
        }
        let entry = json!({"mediaType": MANIFEST, "digest": self.digest(),
            "size": self.manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "image"}});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(folder.join("index.json"), index.to_string()).expect("writable");
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("w");
    }
}

/// Where a tag may point.
#[derive(Debug, Default, Clone)]
struct Pointer {
    /// What a client was last told.
    told: Option<String>,
    /// What was asked for since.
    asked: BTreeSet<String>,
}

/// What the clients were told, over all servers of a world.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Manifests that must be there, by repository, and in which round they were acknowledged.
    manifests: BTreeMap<(String, String), u64>,
    tags: BTreeMap<(String, String), Pointer>,
    round: u64,
}

impl Ledger {
    /// Begins the next round: checks may then look at the newest manifests only.
    pub(crate) fn next_round(&mut self) {
        self.round += 1;
    }

    /// How many manifests were acknowledged, by repository.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (repository, _) in self.manifests.keys() {
            *counts.entry(repository.clone()).or_default() += 1;
        }
        counts
    }

    fn asks(&mut self, repository: &str, tag: &str, digest: String) {
        let pointer = self.tags.entry((repository.to_owned(), tag.to_owned())).or_default();
        pointer.asked.insert(digest);
    }

    fn told(&mut self, repository: &str, tag: &str, digest: String) {
        let (repository, round) = (repository.to_owned(), self.round);
        self.manifests.insert((repository.clone(), digest.clone()), round);
        let told = Pointer { told: Some(digest), asked: BTreeSet::new() };
        self.tags.insert((repository, tag.to_owned()), told);
    }

    /// Fails unless a server has what clients were told: every tag where it may be, and every
    /// manifest that it shows, or that was acknowledged since `round`, complete to the last byte.
    #[track_caller]
    pub(crate) fn check(&self, address: &str, since: u64) {
        let mut seen = BTreeSet::new();
        for ((repository, tag), pointer) in &self.tags {
            let path = format!("/v2/{repository}/manifests/{tag}");
            let reply = get(address, &path);
            if reply.status == 404 && pointer.told.is_none() {
                continue;
            }
            assert_eq!(reply.status, 200, "{repository}:{tag}: {pointer:?}\n{}", reply.text());
            let digest = push::digest(&reply.body);
            let may = pointer.told.iter().chain(&pointer.asked).any(|known| *known == digest);
            assert!(may, "{repository}:{tag} is {digest}, not {pointer:?}");
            complete(address, repository, &digest, &mut seen);
        }
        for ((repository, digest), round) in &self.manifests {
            if *round >= since {
                complete(address, repository, digest, &mut seen);
            }
        }
    }

    /// The round that is under way.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }
}

#[track_caller]
fn get(address: &str, path: &str) -> http::Reply {
    http::request(address, &format!("GET {path}"), &[("accept", MANIFEST)], b"")
}

/// Fails unless a manifest and everything that it names comes back with the right digest.
#[track_caller]
fn complete(address: &str, repository: &str, digest: &str, seen: &mut BTreeSet<String>) {
    if !seen.insert(format!("{repository}@{digest}")) {
        return;
    }
    let reply = get(address, &format!("/v2/{repository}/manifests/{digest}"));
    assert_eq!(reply.status, 200, "{repository}@{digest} is lost: {}", reply.text());
    assert_eq!(push::digest(&reply.body), digest, "another manifest");
    let manifest = reply.json();
    let layers = manifest["layers"].as_array().expect("a list of layers");
    for blob in layers.iter().chain([&manifest["config"]]) {
        let digest = blob["digest"].as_str().expect("a digest");
        if !seen.insert(format!("{repository}/{digest}")) {
            continue;
        }
        let reply = get(address, &format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!(reply.status, 200, "{repository}: blob {digest} is lost: {}", reply.text());
        assert_eq!(push::digest(&reply.body), digest, "other bytes");
    }
}

/// A load on one server.
#[derive(Debug)]
pub(crate) struct Load<'w> {
    world: &'w World,
    /// The plain listener as `localhost:port`.
    address: String,
    ledger: &'w Mutex<Ledger>,
    /// From now on, whatever fails has an excuse.
    ending: AtomicBool,
    /// What failed without one.
    failures: Mutex<Vec<String>>,
    pushes: AtomicU64,
    pulls: AtomicU64,
    /// How many different layers there are.
    layers: u64,
    /// How long a client rests after each step.
    rest: Duration,
}

/// Who loads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Client {
    /// Requests of our own: pieces, mounts, moves.
    Raw(u8),
    Skopeo,
    Crane,
}

impl<'w> Load<'w> {
    pub(crate) fn new(
        world: &'w World,
        ledger: &'w Mutex<Ledger>,
        address: String,
        layers: u64,
        rest: Duration,
    ) -> Self {
        Self {
            world,
            address,
            ledger,
            ending: AtomicBool::new(false),
            failures: Mutex::default(),
            pushes: AtomicU64::new(0),
            pulls: AtomicU64::new(0),
            layers,
            rest,
        }
    }

    /// Gives everybody an excuse; called just before the server is killed or the load ends.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Ends the load when it is dropped, so that a test that fails does not wait for ever.
    pub(crate) fn ends_with_me(&self) -> EndsWithMe<'_> {
        EndsWithMe(&self.ending)
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// How many pushes and pulls were done.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.pushes.load(Ordering::SeqCst), self.pulls.load(Ordering::SeqCst))
    }

    /// Fails if something failed without excuse.
    #[track_caller]
    pub(crate) fn check(&self) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes and pulls until the end.
    pub(crate) fn run(&self, client: Client, seed: u64) {
        let mut dice = Dice::new(seed);
        while !self.is_ending() {
            let step = match client {
                Client::Raw(number) => self.raw(&format!("load/raw-{number}"), &mut dice),
                Client::Skopeo => self.foreign(Foreign::Skopeo, &mut dice),
                Client::Crane => self.foreign(Foreign::Crane, &mut dice),
            };
            if let Err(why) = step {
                if !self.is_ending() {
                    let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push(format!("{client:?}: {why}"));
                }
                return;
            }
            std::thread::sleep(self.rest);
        }
    }

    /// Sends a request that must be answered with this status.
    fn ask(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        status: u16,
    ) -> Result<http::Reply, String> {
        let reply = http::try_request(&self.address, line, headers, body)
            .map_err(|error| format!("{line}: {error}"))?;
        if reply.status == status {
            Ok(reply)
        } else {
            Err(format!("{line}: {} instead of {status}: {}", reply.status, reply.text()))
        }
    }

    fn raw(&self, repository: &str, dice: &mut Dice) -> Result<(), String> {
        let picture = Picture::new(dice, self.layers);
        for blob in &picture.blobs {
            self.raw_blob(repository, blob, dice)?;
        }
        let tag = format!("t{}", dice.below(TAGS));
        self.ledger().asks(repository, &tag, picture.digest());
        let put = format!("PUT /v2/{repository}/manifests/{tag}");
        self.ask(&put, &[("content-type", MANIFEST)], &picture.manifest, 201)?;
        self.ledger().told(repository, &tag, picture.digest());
        self.pushes.fetch_add(1, Ordering::SeqCst);
        let get = format!("GET /v2/{repository}/manifests/{tag}");
        let back = self.ask(&get, &[("accept", MANIFEST)], b"", 200)?;
        if back.body != picture.manifest {
            return Err(format!("{get}: another manifest"));
        }
        for blob in &picture.blobs {
            let get = format!("GET /v2/{repository}/blobs/{}", push::digest(blob));
            if self.ask(&get, &[], b"", 200)?.body != *blob && !self.is_ending() {
                return Err(format!("{get}: other bytes"));
            }
        }
        self.pulls.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Pushes a blob in one of the ways there are.
    fn raw_blob(&self, repository: &str, blob: &[u8], dice: &mut Dice) -> Result<(), String> {
        let digest = push::digest(blob);
        let begin = format!("POST /v2/{repository}/blobs/uploads/");
        if dice.below(3) == 0 {
            return self.ask(&format!("{begin}?digest={digest}"), &[], blob, 201).map(drop);
        }
        let location = |reply: &http::Reply| {
            let location = reply.header("location").map(push::path_of);
            location.ok_or_else(|| "an upload without a location".to_owned())
        };
        let mut at = location(&self.ask(&begin, &[], b"", 202)?)?;
        let (pieces, last) =
            blob.split_at(usize::try_from(dice.below(1 + blob.len() as u64)).unwrap_or(0));
        for piece in pieces.chunks(40_000) {
            at = location(&self.ask(&format!("PATCH {at}"), &[], piece, 202)?)?;
        }
        let put = format!("PUT {}", push::with_digest(&at, &digest));
        self.ask(&put, &[], last, 201).map(drop)
    }

    fn foreign(&self, foreign: Foreign, dice: &mut Dice) -> Result<(), String> {
        let repository = foreign.repository();
        let picture = Picture::new(dice, self.layers);
        let layout = self.world.folder().join(foreign.name());
        picture.lay_out(&layout);
        let tag = format!("t{}", dice.below(TAGS));
        let name = format!("{}/{repository}:{tag}", self.address);
        self.ledger().asks(repository, &tag, picture.digest());
        self.finish(foreign.push(self.world, &layout, &name))?;
        self.ledger().told(repository, &tag, picture.digest());
        self.pushes.fetch_add(1, Ordering::SeqCst);
        // A second tag goes where this one went, then one of them is pulled.
        let other = format!("t{}", dice.below(TAGS));
        if let Some(moving) = foreign.tag(&name, &other) {
            self.ledger().asks(repository, &other, picture.digest());
            self.finish(moving)?;
            self.ledger().told(repository, &other, picture.digest());
        }
        self.finish(foreign.pull(self.world, &name))?;
        self.pulls.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Runs a program to its end, which comes soon when the server is killed.
    fn finish(&self, mut command: Command) -> Result<(), String> {
        let told = self.world.folder().join(format!("{:?}.told", std::thread::current().id()));
        let file = || fs::File::create(&told).expect("the world is writable");
        let child = command.stdin(Stdio::null()).stdout(file()).stderr(file()).spawn();
        let mut child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let mut asked = false;
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                let told = fs::read_to_string(&told).unwrap_or_default();
                let well = status.success();
                return if well { Ok(()) } else { Err(format!("{command:?}: {status}\n{told}")) };
            }
            if self.is_ending() && !asked {
                // Clients try again and again; the wrapper with the time limit passes this on.
                let id = child.id().to_string();
                drop(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status());
                asked = true;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }
}

/// Ends a load when it is dropped.
#[derive(Debug)]
pub(crate) struct EndsWithMe<'l>(&'l AtomicBool);

impl Drop for EndsWithMe<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone, Copy)]
enum Foreign {
    Skopeo,
    Crane,
}

impl Foreign {
    fn name(self) -> &'static str {
        match self {
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
        }
    }

    fn repository(self) -> &'static str {
        match self {
            Self::Skopeo => "load/skopeo",
            Self::Crane => "load/crane",
        }
    }

    fn program(self, world: &World) -> Command {
        let mut command = match self {
            Self::Skopeo => program("skopeo"),
            Self::Crane => go_program("crane"),
        };
        command.env("HOME", world.folder());
        if matches!(self, Self::Skopeo) {
            let policy = world.folder().join("policy.json");
            let anything = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
            fs::write(&policy, anything).expect("the world is writable");
            command.arg("--policy").arg(policy).arg("--tmpdir").arg(world.folder());
        }
        command
    }

    fn push(self, world: &World, layout: &Path, name: &str) -> Command {
        let mut command = self.program(world);
        match self {
            Self::Skopeo => {
                command.args(["copy", "--preserve-digests", "--dest-tls-verify=false"]);
                command.arg(format!("oci:{}:image", layout.display()));
                command.arg(format!("docker://{name}"));
            }
            Self::Crane => {
                command.arg("push").arg(layout).arg(name);
            }
        }
        command
    }

    fn tag(self, name: &str, other: &str) -> Option<Command> {
        if matches!(self, Self::Skopeo) {
            return None;
        }
        let mut command = go_program("crane");
        command.args(["tag", name, other]);
        Some(command)
    }

    fn pull(self, world: &World, name: &str) -> Command {
        let mut command = self.program(world);
        let to: PathBuf = world.folder().join(format!("{}-pulled", self.name()));
        drop(fs::remove_dir_all(&to));
        match self {
            Self::Skopeo => {
                command.args(["copy", "--preserve-digests", "--src-tls-verify=false"]);
                command.arg(format!("docker://{name}"));
                command.arg(format!("oci:{}:image", to.display()));
            }
            Self::Crane => {
                command.args(["pull", "--format=oci", name]).arg(to);
            }
        }
        command
    }
}
