//! Real clients with a realistic image: what one pushes, another pulls, to the last digest.
//!
//! Over plain HTTP on loopback, and over HTTPS through the CONNECT listener with nothing but
//! `HTTPS_PROXY`, the authority's certificate and the owner's credentials. Every client keeps its
//! state in the story's own folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::image::{Image, MMDEBSTRAP, read_json, sha256_of};
use crate::lockout::vault_key;
use crate::outside::{Need, Story, bad, bounded, go_program, good, program, script, stories};
use crate::push;
use crate::search::{self, Mark};
use crate::world::{Server, World, eventually};

const SKOPEO: Need = Need::Program("skopeo");
const PODMAN: Need = Need::Program("podman");
const DOCKERD: Need = Need::Program("dockerd");
const DOCKER: Need = Need::Program("docker");
const CRANE: Need = Need::Built("crane");

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(SKOPEO, PODMAN, MMDEBSTRAP, Need::Root)]
        podman_pulls_what_skopeo_pushed_and_skopeo_what_podman_pushed,
        #[needs(SKOPEO, DOCKERD, DOCKER, MMDEBSTRAP, Need::Root)]
        docker_pulls_what_skopeo_pushed_and_skopeo_what_docker_pushed,
        #[needs(SKOPEO, CRANE, MMDEBSTRAP)]
        an_index_of_two_platforms_travels_whole_over_https,
        #[needs(CRANE)]
        crane_pushes_lists_and_pulls,
        #[needs(Need::Python)]
        oras_pushes_and_pulls_an_artifact,
        #[needs(SKOPEO)]
        a_client_is_told_why_the_registry_is_closed,
        #[needs(SKOPEO, MMDEBSTRAP)]
        the_commands_that_quickstart_prints_do_what_it_says,
    ]
}

/// skopeo with a policy of its own, since a machine may have none.
fn skopeo(world: &World) -> Command {
    let policy = world.folder().join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writable");
    let mut command = program("skopeo");
    command.arg("--policy").arg(policy).env("HOME", world.folder());
    command.arg("--tmpdir").arg(world.folder());
    command
}

/// Pushes a name of the image's layout with skopeo, over plain HTTP.
fn skopeo_push(world: &World, server: &Server, image: &Image, name: &str, to: &str) {
    let mut copy = skopeo(world);
    copy.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]);
    copy.arg(image.skopeo_name(name)).arg(format!("docker://{}/{to}", server.localhost()));
    good(&mut copy);
}

/// Returns the digest of the manifest at a name, as skopeo receives it.
fn skopeo_digest(world: &World, server: &Server, name: &str) -> String {
    let mut inspect = skopeo(world);
    inspect.args(["inspect", "--raw", "--tls-verify=false"]);
    let raw = inspect.arg(format!("docker://{}/{name}", server.localhost())).output();
    let raw = raw.expect("skopeo runs");
    assert!(raw.status.success(), "{}", String::from_utf8_lossy(&raw.stderr));
    push::digest(&raw.stdout)
}

/// Pulls a name with skopeo into a new layout, whose blobs skopeo checks, and returns the layout.
fn skopeo_pull(world: &World, server: &Server, name: &str) -> PathBuf {
    let layout = world.folder().join("pulled");
    drop(fs::remove_dir_all(&layout));
    let mut copy = skopeo(world);
    copy.args(["copy", "--quiet", "--all", "--preserve-digests", "--src-tls-verify=false"]);
    copy.arg(format!("docker://{}/{name}", server.localhost()));
    good(copy.arg(format!("oci:{}:pulled", layout.display())));
    layout
}

/// Fails unless a layout holds every blob of an image with its right bytes.
#[track_caller]
fn holds(layout: &Path, image: &Image, digest: &str) {
    for digest in image.reachable(digest) {
        let path = layout.join("blobs").join(digest.replace(':', "/"));
        assert_eq!(sha256_of(&path), digest);
    }
}

fn podman_pulls_what_skopeo_pushed_and_skopeo_what_podman_pushed() {
    let world = World::new();
    let server = world.quickstart();
    let image = Image::debian();
    skopeo_push(&world, &server, &image, "amd64", "debian/amd64:v1");
    assert_eq!(skopeo_digest(&world, &server, "debian/amd64:v1"), image.amd64);

    let podman = || {
        let mut command = program("podman");
        command.arg("--root").arg(world.folder().join("podman"));
        command.arg("--runroot").arg(world.folder().join("podman-run"));
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        command.args(["--events-backend=none"]);
        command.env("HOME", world.folder()).env("TMPDIR", world.folder());
        command
    };
    let name = format!("{}/debian/amd64:v1", server.localhost());
    good(podman().args(["pull", "--quiet", "--tls-verify=false", &name]));
    let digest = good(podman().args(["image", "inspect", "--format={{.Digest}}", &name]));
    assert_eq!(digest, image.amd64);

    // To a server that has none of its blobs, so that every one is uploaded.
    let other_world = World::new();
    let other = other_world.serve();
    let to = format!("{}/from-podman/debian:v1", other.localhost());
    let digest_file = world.folder().join("digest");
    let mut push = podman();
    push.args(["push", "--quiet", "--tls-verify=false", "--format=oci"]);
    good(push.arg("--digestfile").arg(&digest_file).args([&name, &to]));
    let pushed = fs::read_to_string(&digest_file).expect("podman says what it pushed");
    assert_eq!(skopeo_digest(&world, &other, "from-podman/debian:v1"), pushed.trim());
    same_config(&image, &skopeo_pull(&world, &other, "from-podman/debian:v1"));
}

/// Fails unless a pulled image has the same config, and so the same unpacked layers, as ours.
#[track_caller]
fn same_config(image: &Image, layout: &Path) {
    let named = read_json(&layout.join("index.json"));
    let manifest = named["manifests"][0]["digest"].as_str().expect("a digest").replace(':', "/");
    let pulled = read_json(&layout.join("blobs").join(manifest));
    let ours = read_json(&image.blob(&image.amd64));
    assert_eq!(pulled["config"]["digest"], ours["config"]["digest"]);
}

/// A docker daemon that one story starts and ends.
pub(crate) struct Dockerd {
    daemon: Child,
    socket: String,
    home: PathBuf,
}

impl Dockerd {
    pub(crate) fn start(world: &World) -> Self {
        Self::start_in(world, &[])
    }

    /// Starts a daemon that reaches a server by its public name over HTTPS.
    ///
    /// The daemon takes its certificates from `/etc/docker/certs.d`, which is the machine's; the
    /// authority comes to it by the environment instead.
    pub(crate) fn start_for(world: &World, server: &Server) -> Self {
        let authority = world.owner().authority.display().to_string();
        Self::start_in(world, &[("HTTPS_PROXY", server.proxy()), ("SSL_CERT_FILE", authority)])
    }

    fn start_in(world: &World, environment: &[(&str, String)]) -> Self {
        let home = world.subfolder("docker");
        let socket = format!("unix://{}", home.join("docker.sock").display());
        let log = fs::File::create(world.folder().join("dockerd.log")).expect("writable");
        let path = program("dockerd");
        // Not `timeout`, which would stand between us and the daemon's id.
        let path = path.get_args().last().expect("the bounded program").to_owned();
        let mut command = Command::new(path);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]
        {
            command.arg(flag).arg(home.join(name));
        }
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        // Not the machine's configuration.
        let config = home.join("daemon.json");
        fs::write(&config, "{}").expect("writable");
        command.args(["--storage-driver=vfs", "--host", &socket, "--config-file"]).arg(config);
        command.env_remove("HTTP_PROXY").env_remove("HTTPS_PROXY");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let output = log.try_clone().expect("a file can be shared");
        let daemon = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn();
        let dockerd = Self { daemon: daemon.expect("dockerd starts"), socket, home };
        let log = world.folder().join("dockerd.log");
        eventually("dockerd answers", || {
            let asked = dockerd.docker().args(["version", "--format=x"]).output();
            let answers = asked.is_ok_and(|output| output.status.success());
            assert!(answers || dockerd.runs(), "{:?}", fs::read_to_string(&log));
            answers
        });
        dockerd
    }

    fn runs(&self) -> bool {
        Path::new("/proc").join(self.daemon.id().to_string()).join("exe").exists()
    }

    pub(crate) fn docker(&self) -> Command {
        let mut command = program("docker");
        command.args(["--host", &self.socket]).env("HOME", &self.home);
        command.arg("--config").arg(self.home.join("config"));
        command
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let id = self.daemon.id().to_string();
        drop(Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status());
        crate::world::wait(&mut self.daemon, std::time::Duration::from_secs(30));
    }
}

fn docker_pulls_what_skopeo_pushed_and_skopeo_what_docker_pushed() {
    let world = World::new();
    let server = world.quickstart();
    let image = Image::debian();
    skopeo_push(&world, &server, &image, "amd64", "debian/amd64:v1");
    let dockerd = Dockerd::start(&world);
    let name = format!("{}/debian/amd64:v1", server.localhost());
    good(dockerd.docker().args(["pull", "--quiet", &name]));
    let digests = ["image", "inspect", "--format={{index .RepoDigests 0}}", &name];
    let digest = good(dockerd.docker().args(digests));
    assert!(digest.ends_with(&image.amd64), "{digest}");

    let other_world = World::new();
    let other = other_world.serve();
    let to = format!("{}/from-docker/debian:v1", other.localhost());
    good(dockerd.docker().args(["tag", &name, &to]));
    let said = good(dockerd.docker().args(["push", &to]));
    let pushed = skopeo_digest(&world, &other, "from-docker/debian:v1");
    assert!(said.contains(&pushed), "{pushed} is not in:\n{said}");
    same_config(&image, &skopeo_pull(&world, &other, "from-docker/debian:v1"));
}

fn an_index_of_two_platforms_travels_whole_over_https() {
    let world = World::new();
    let server = world.quickstart();
    let image = Image::debian();
    let owner = world.owner();
    let certificates = world.subfolder("certificates");
    fs::copy(&owner.authority, certificates.join("ca.crt")).expect("the authority is published");
    let name = format!("docker://{}/debian:both", server.public_name());
    let login = format!("{}:{}", owner.user, owner.password);
    let copy = |from: &str, to: &str, side: &str| {
        let mut copy = skopeo(&world);
        copy.args(["copy", "--quiet", "--all", "--preserve-digests"]);
        copy.arg(format!("--{side}-creds={login}"));
        copy.arg(format!("--{side}-cert-dir={}", certificates.display()));
        good(copy.env("HTTPS_PROXY", server.proxy()).args([from, to]));
    };
    copy(&image.skopeo_name("both"), &name, "dest");
    nothing_of(&image, &world);
    let back = world.folder().join("back");
    copy(&name, &format!("oci:{}:both", back.display()), "src");
    holds(&back, &image, &image.index);

    let crane = || {
        let mut crane = crane(&world);
        crane.env("HTTPS_PROXY", server.proxy()).env("SSL_CERT_FILE", &owner.authority);
        crane
    };
    let bare = format!("{}/debian:both", server.public_name());
    let refused = bad(crane().args(["digest", &bare]));
    assert!(refused.to_uppercase().contains("UNAUTHORIZED"), "{refused}");
    let (user, password) = (format!("--username={}", owner.user), owner.password.clone());
    let name = server.public_name();
    good(crane().args(["auth", "login", &user, &format!("--password={password}"), &name]));
    assert_eq!(good(crane().args(["digest", &bare])), image.index);
    let platform = ["digest", "--platform=linux/amd64", &bare];
    assert_eq!(good(crane().args(platform)), image.amd64);
}

/// Fails if a digest of the image, or bytes of a blob, are found in the data directory.
#[track_caller]
fn nothing_of(image: &Image, world: &World) {
    let blobs = image.reachable(&image.index);
    let mut marks: Vec<Mark> = blobs.iter().map(|digest| Mark::digest(digest)).collect();
    for digest in &blobs {
        let bytes = fs::read(image.blob(digest)).expect("the image is readable");
        let middle = bytes.get(bytes.len() / 2..).and_then(|rest| rest.get(..32));
        let middle = middle.expect("every blob has 64 bytes");
        // A run of zeros is no mark of anything.
        if middle.windows(2).all(|pair| pair[0] == pair[1]) {
            continue;
        }
        marks.push(Mark::bytes(&format!("the middle of {digest}"), middle));
    }
    let found = search::found_in(&world.data(), &marks);
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
}

fn crane(world: &World) -> Command {
    let mut command = go_program("crane");
    command.env("DOCKER_CONFIG", world.folder().join("crane"));
    command.env("HOME", world.folder()).env("TMPDIR", world.folder());
    command
}

fn crane_pushes_lists_and_pulls() {
    let world = World::new();
    let server = world.serve();
    let registry = server.localhost();
    let folder = world.subfolder("layer");
    fs::write(folder.join("file"), push::noise("a file", 3 << 20)).expect("writable");
    let tar = world.folder().join("layer.tar");
    good(program("tar").arg("-C").arg(&folder).arg("-cf").arg(&tar).arg("."));
    let name = format!("{registry}/crane/app:v1");
    good(crane(&world).args(["append", "--oci-empty-base", "-t", &name, "-f"]).arg(&tar));
    let digest = good(crane(&world).args(["digest", &name]));
    good(crane(&world).args(["tag", &name, "v2"]));
    let listed = good(crane(&world).args(["ls", &format!("{registry}/crane/app")]));
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["v1", "v2"]);
    assert_eq!(good(crane(&world).args(["catalog", &registry])), "crane/app");

    let layout = world.folder().join("pulled");
    good(crane(&world).args(["pull", "--format=oci", &name]).arg(&layout));
    let again = format!("{registry}/crane/again:v1");
    good(crane(&world).arg("push").arg(&layout).arg(&again));
    assert_eq!(good(crane(&world).args(["digest", &again])), digest);
    // A copy within the registry mounts its blobs.
    let copy = format!("{registry}/crane/copy:v1");
    good(crane(&world).args(["copy", &name, &copy]));
    assert_eq!(good(crane(&world).args(["digest", &copy])), digest);
    good(crane(&world).args(["validate", "--remote", &copy]));
    good(crane(&world).args(["delete", &format!("{registry}/crane/copy@{digest}")]));
    bad(crane(&world).args(["digest", &copy]));
}

fn oras_pushes_and_pulls_an_artifact() {
    let world = World::new();
    let server = world.quickstart();
    let mut oras = script("oras_artifact.py");
    oras.args([&server.localhost(), "team/artifact"]).arg(world.subfolder("oras"));
    good(oras.env("HOME", world.folder()));
}

fn a_client_is_told_why_the_registry_is_closed() {
    let world = World::new();
    let server = world.quickstart();
    push::small_image(&server, "team/app", "v1");
    let pull = || {
        let mut copy = skopeo(&world);
        copy.args(["inspect", "--raw", "--tls-verify=false"]);
        copy.arg(format!("docker://{}/team/app:v1", server.localhost()));
        copy
    };
    good(&mut pull());
    good(&mut vault_key(&world, "disable"));
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    let told = bad(&mut pull()).to_lowercase();
    assert!(told.contains("disabled") && told.contains("enable"), "{told}");
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    good(&mut pull());
}

fn the_commands_that_quickstart_prints_do_what_it_says() {
    let world = World::new();
    let server = world.quickstart();
    skopeo_push(&world, &server, &Image::debian(), "amd64", "hello:1");
    let log = server.log();
    let recipe: Vec<&str> = log
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.contains("vault key disable"))
        .filter(|line| line.contains("vault key") || line.starts_with("skopeo"))
        .take(4)
        .collect();
    let [disable, refused, enable, again] = recipe.as_slice() else { panic!("{recipe:?}") };
    let shell = |line: &str| {
        let mut shell = bounded("sh");
        shell.args(["-c", line]).env("HOME", world.folder());
        shell
    };
    good(&mut shell(again));
    good(&mut shell(disable));
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    let told = bad(&mut shell(refused)).to_lowercase();
    assert!(told.contains("disabled") && told.contains("enable"), "{told}");
    good(&mut shell(enable));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    good(&mut shell(again));
}
