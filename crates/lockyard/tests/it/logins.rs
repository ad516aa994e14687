//! Every client with every kind of credential: each logs in by itself, over HTTPS, pushes something
//! of its own, pulls it back, and is a stranger again when it has logged out.
//!
//! The kinds are a service principal's secret, a person's password, and for a password a refresh
//! token or an access token.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::clients::Dockerd;
use crate::credentials::{Login, Owner, seed};
use crate::outside::{Need, Story, bad, go_program, good, program, script, stories};
use crate::push;
use crate::world::{Server, World};

const SKOPEO: Need = Need::Program("skopeo");
const PODMAN: Need = Need::Program("podman");
const DOCKERD: Need = Need::Program("dockerd");
const DOCKER: Need = Need::Program("docker");
const CRANE: Need = Need::Built("crane");
const HELM: Need = Need::Built("helm");
const ORAS: Need = Need::Built("oras");

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(CRANE)]
        crane_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(SKOPEO)]
        skopeo_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(DOCKERD, DOCKER, Need::Root)]
        docker_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(PODMAN, Need::Root)]
        podman_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(HELM)]
        helm_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(ORAS)]
        oras_pushes_and_pulls_with_every_kind_of_credential,
        #[needs(Need::Python)]
        oras_for_python_pushes_and_pulls_with_every_kind_of_credential,
    ]
}

/// A client that finds the server by its public name and keeps everything in the world's folder.
fn at_home(mut command: Command, world: &World, server: &Server) -> Command {
    command.env("HOME", world.folder()).env("TMPDIR", world.folder());
    command.env("HTTPS_PROXY", server.proxy());
    command
}

fn user_and_secret(login: &Login) -> [String; 2] {
    [format!("-u={}", login.name), format!("-p={}", login.secret)]
}

pub(crate) fn crane(world: &World, server: &Server) -> Command {
    let mut command = at_home(go_program("crane"), world, server);
    command.env("DOCKER_CONFIG", world.folder().join("crane"));
    command.env("SSL_CERT_FILE", world.owner().authority);
    command
}

pub(crate) fn crane_login(world: &World, server: &Server, login: &Login) {
    let mut command = crane(world, server);
    command.args(["auth", "login"]).args(user_and_secret(login));
    good(command.arg(server.public_name()));
}

fn crane_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let owner = Owner::new(&world, &server);
    for (number, login) in owner.logins("crane").iter().enumerate() {
        crane_login(&world, &server, login);
        let name = format!("{}/team/app:v1", server.public_name());
        let digest = good(crane(&world, &server).args(["digest", &name]));
        let copy = format!("{}/crane/app{number}:v1", server.public_name());
        good(crane(&world, &server).args(["copy", &name, &copy]));
        assert_eq!(good(crane(&world, &server).args(["digest", &copy])), digest);
        good(crane(&world, &server).args(["auth", "logout", &server.public_name()]));
        bad(crane(&world, &server).args(["digest", &copy]));
    }
}

/// A program of the containers family, logged in into a file of its own.
fn family(world: &World, server: &Server, name: &str) -> Command {
    let mut command = at_home(program(name), world, server);
    command.env("REGISTRY_AUTH_FILE", world.folder().join("auth.json"));
    command
}

/// A folder with the certificate to trust.
fn certificates(world: &World) -> String {
    let folder = world.subfolder("certificates");
    fs::copy(world.owner().authority, folder.join("ca.crt")).expect("the authority is published");
    format!("--cert-dir={}", folder.display())
}

fn policy(world: &World) -> String {
    let policy = world.folder().join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writable");
    policy.display().to_string()
}

fn skopeo_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let (owner, trust) = (Owner::new(&world, &server), certificates(&world));
    let (policy, host) = (policy(&world), server.public_name());
    for (number, login) in owner.logins("skopeo").iter().enumerate() {
        let skopeo = || family(&world, &server, "skopeo");
        good(skopeo().args(["login", &trust, &host]).args(user_and_secret(login)));
        let from = format!("docker://{host}/team/app:v1");
        let to = format!("docker://{host}/skopeo/app{number}:v1");
        let mut copy = skopeo();
        copy.args(["--policy", &policy, "copy", "--quiet", "--preserve-digests"]);
        copy.arg(trust.replace("--", "--src-")).arg(trust.replace("--", "--dest-"));
        good(copy.args([&from, &to]));
        good(skopeo().args(["inspect", "--raw", &trust, &to]));
        good(skopeo().args(["logout", &host]));
        bad(skopeo().args(["inspect", "--raw", &trust, &to]));
    }
}

/// An archive with one file, unlike that of any other number.
fn layer(world: &World, number: usize) -> PathBuf {
    let folder = world.subfolder(&format!("layer{number}"));
    let noise = push::noise(&format!("a file of number {number}"), 1 << 20);
    fs::write(folder.join("file"), noise).expect("writable");
    let archive = folder.with_extension("tar");
    good(program("tar").arg("-C").arg(&folder).arg("-cf").arg(&archive).arg("."));
    archive
}

fn docker_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let dockerd = Dockerd::start_for(&world, &server);
    let host = server.public_name();
    for (number, login) in owner.logins("docker").iter().enumerate() {
        let docker = || dockerd.docker();
        let said = good(docker().arg("login").args(user_and_secret(login)).arg(&host));
        assert!(said.contains("Login Succeeded"), "{said}");
        let name = format!("{host}/docker/app{number}:v1");
        good(docker().arg("import").arg(layer(&world, number)).arg(&name));
        let said = good(docker().args(["push", &name]));
        good(docker().args(["rmi", &name]));
        good(docker().args(["pull", "--quiet", &name]));
        let digests = ["image", "inspect", "--format={{index .RepoDigests 0}}", &name];
        let pulled = good(docker().args(digests));
        let digest = pulled.split_once('@').expect("a digest").1;
        assert!(said.contains(digest), "{digest} is not in:\n{said}");
        good(docker().args(["rmi", &name]));
        good(docker().args(["logout", &host]));
        bad(docker().args(["pull", "--quiet", &name]));
    }
    let refused = bad(dockerd.docker().args(["login", "-u=nobody", "-p=nothing", &host]));
    assert!(refused.to_lowercase().contains("unauthorized"), "{refused}");
}

fn podman_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let (owner, trust) = (Owner::new(&world, &server), certificates(&world));
    let host = server.public_name();
    let podman = || {
        let mut command = family(&world, &server, "podman");
        command.arg("--root").arg(world.folder().join("podman"));
        command.arg("--runroot").arg(world.folder().join("podman-run"));
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        command.args(["--events-backend=none"]);
        command
    };
    for (number, login) in owner.logins("podman").iter().enumerate() {
        good(podman().args(["login", &trust, &host]).args(user_and_secret(login)));
        let name = format!("{host}/podman/app{number}:v1");
        good(podman().args(["import", "--quiet"]).arg(layer(&world, number)).arg(&name));
        let digest_file = world.folder().join("digest");
        let mut push = podman();
        push.args(["push", "--quiet", &trust, "--digestfile"]).arg(&digest_file);
        good(push.arg(&name));
        good(podman().args(["rmi", &name]));
        good(podman().args(["pull", "--quiet", &trust, &name]));
        let pulled = good(podman().args(["image", "inspect", "--format={{.Digest}}", &name]));
        let pushed = fs::read_to_string(&digest_file).expect("podman says what it pushed");
        assert_eq!(pulled, pushed.trim());
        good(podman().args(["rmi", &name]));
        good(podman().args(["logout", &host]));
        bad(podman().args(["pull", "--quiet", &trust, &name]));
    }
    let stranger = ["login", &trust, "-u=nobody", "-p=nothing", &host];
    let refused = bad(podman().args(stranger));
    assert!(refused.contains("invalid username/password"), "{refused}");
}

fn helm_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let (owner, host) = (Owner::new(&world, &server), server.public_name());
    let trust = format!("--ca-file={}", world.owner().authority.display());
    let helm = || {
        let mut command = at_home(go_program("helm"), &world, &server);
        command.env("HELM_REGISTRY_CONFIG", world.folder().join("helm.json"));
        command
    };
    let (charts, back) = (world.subfolder("charts"), world.subfolder("back"));
    for (number, login) in owner.logins("helm").iter().enumerate() {
        let name = format!("app{number}");
        let chart = world.subfolder(&name);
        // Tags have no `+`: helm writes `_` there and reads it back.
        let words = format!("apiVersion: v2\nname: {name}\nversion: 1.0.{number}+build.5\n");
        fs::write(chart.join("Chart.yaml"), words).expect("writable");
        good(helm().arg("package").arg(&chart).arg("-d").arg(&charts));
        let archive = format!("{name}-1.0.{number}+build.5.tgz");
        let mut login_with = helm();
        login_with.args(["registry", "login", &host, &trust]).args(user_and_secret(login));
        good(&mut login_with);
        let to = format!("oci://{host}/helm");
        good(helm().arg("push").arg(charts.join(&archive)).args([&to, &trust]));
        let from = format!("{to}/{name}");
        let pull = || {
            let mut pull = helm();
            pull.args(["pull", &from, &trust]).arg(format!("--version=1.0.{number}+build.5"));
            pull.arg("-d").arg(&back);
            pull
        };
        good(&mut pull());
        let read = |folder: &PathBuf| fs::read(folder.join(&archive)).expect("the chart is there");
        assert!(read(&back) == read(&charts), "another chart came back");
        let shown = good(helm().args(["show", "chart", &from, &trust]));
        assert!(shown.contains(&format!("version: 1.0.{number}+build.5")), "{shown}");
        good(helm().args(["registry", "logout", &host]));
        bad(&mut pull());
    }
    let mut stranger = helm();
    stranger.args(["registry", "login", &host, &trust, "-u=nobody", "-p=nothing"]);
    let refused = bad(&mut stranger);
    assert!(refused.contains("unauthorized"), "{refused}");
}

fn oras_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let (owner, host) = (Owner::new(&world, &server), server.public_name());
    let oras = |verb: &[&str]| {
        let mut command = at_home(go_program("oras"), &world, &server);
        command.args(verb).arg("--ca-file").arg(world.owner().authority);
        command.arg("--registry-config").arg(world.folder().join("oras.json"));
        command.current_dir(world.folder());
        command
    };
    for (number, login) in owner.logins("oras").iter().enumerate() {
        let name = format!("{host}/oras/app{number}:v1");
        let file = format!("artifact{number}.bin");
        let content = push::noise(&file, 100_000);
        fs::write(world.folder().join(&file), &content).expect("writable");
        good(oras(&["login"]).args(user_and_secret(login)).arg(&host));
        let kinds = ["--artifact-type=application/vnd.example", "--annotation=a=b"];
        let typed = format!("{file}:application/octet-stream");
        good(oras(&["push"]).args(kinds).args([&name, &typed]));
        good(oras(&["attach"]).args(["--artifact-type=example/note", &name, &typed]));
        let told = good(oras(&["discover"]).args(["--format=json", &name]));
        assert!(told.contains("example/note"), "{told}");
        let back = world.subfolder(&format!("back{number}"));
        good(oras(&["pull"]).args([&name, "--output"]).arg(&back));
        assert!(fs::read(back.join(&file)).expect("it came") == content, "other bytes came back");
        assert_eq!(good(oras(&["repo", "tags"]).arg(name.trim_end_matches(":v1"))), "v1");
        let mut logout = at_home(go_program("oras"), &world, &server);
        logout.args(["logout", &host, "--registry-config"]).arg(world.folder().join("oras.json"));
        good(&mut logout);
        bad(oras(&["pull"]).args([&name, "--output"]).arg(&back));
    }
}

fn oras_for_python_pushes_and_pulls_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let oras = |login: &Login, repository: &str| {
        let mut oras = at_home(script("oras_artifact.py"), &world, &server);
        oras.args([&server.public_name(), repository]);
        oras.arg(world.subfolder(&repository.replace('/', "-")));
        oras.args([&login.name, &login.secret]);
        oras.env("REQUESTS_CA_BUNDLE", world.owner().authority);
        oras
    };
    for (number, login) in owner.logins("oras-py").iter().enumerate() {
        good(&mut oras(login, &format!("oras-py/app{number}")));
    }
}
