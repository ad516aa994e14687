//! A PostgreSQL cluster that lives as long as one test run.
//!
//! It listens on a Unix socket in a private folder and nowhere else, so it needs no port and no
//! password. PostgreSQL refuses to run as root, so root runs it as the user `postgres`; its folder
//! is therefore in the temporary directory and not in `target`, which that user may not reach.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process;

/// A running cluster; dropping it stops the server and removes its files.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    server: Child,
}

impl Cluster {
    /// Makes and starts a cluster; the error is a sentence.
    pub(crate) fn start() -> Result<Self, String> {
        let programs =
            programs().ok_or("PostgreSQL's `initdb` and `postgres` are not installed")?;
        let as_root = process::is_root();
        let folder = private_folder(as_root)?;
        let data = folder.join("data");
        let mut initdb = user_command(as_root, &programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]);
        initdb.args(["--no-sync", "-D"]).arg(&data);
        if process::capture(&mut initdb).is_none() {
            return Err(format!("`initdb` failed in `{}`", folder.display()));
        }
        let log = fs::File::create(folder.join("log")).map_err(|error| error.to_string())?;
        let mut postgres = user_command(as_root, &programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(&folder);
        // Nothing in it outlives the run, and the suite cuts connections, not the power.
        postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200"]);
        let server = postgres
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("PostgreSQL does not start: {error}"))?;
        let cluster = Self { folder, server };
        let ready = || {
            let mut probe = Command::new(programs.join("pg_isready"));
            process::capture(probe.arg("-q").arg("-h").arg(&cluster.folder)).is_some()
        };
        if process::wait_until(Duration::from_secs(30), ready) {
            Ok(cluster)
        } else {
            let log = fs::read_to_string(cluster.folder.join("log")).unwrap_or_default();
            Err(format!("PostgreSQL is not ready after 30 s; its log says:\n{log}"))
        }
    }

    /// Returns the URL of the cluster's superuser.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://postgres@{host}/postgres")
    }

    /// Returns the folder that holds the cluster's files.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown; what would be saved is thrown away anyway.
        let id = self.server.id().to_string();
        // The shell has its own `kill`; a minimal system has no other.
        if process::run(Command::new("sh").args(["-c", "kill -QUIT \"$0\"", &id])) {
            drop(self.server.wait());
        } else {
            drop(self.server.kill());
        }
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Returns the folder with the server's programs; Debian keeps them off the `PATH`.
fn programs() -> Option<PathBuf> {
    // The link on the `PATH` may lie in a folder that links only some of them.
    let on_path = process::find("postgres").and_then(|link| link.canonicalize().ok());
    let folder = on_path.as_deref().and_then(Path::parent);
    if let Some(folder) = folder.filter(|folder| folder.join("pg_isready").is_file()) {
        return Some(folder.to_path_buf());
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> =
        versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders.pop()
}

/// Says whether a cluster could be started here.
pub(crate) fn installed() -> bool {
    programs().is_some()
}

/// Makes a folder that only the server's user can enter.
fn private_folder(as_root: bool) -> Result<PathBuf, String> {
    let template = std::env::temp_dir().join("lockyard-pg-XXXXXXXX");
    let made = process::capture(Command::new("mktemp").arg("-d").arg(&template));
    let folder = PathBuf::from(made.ok_or("`mktemp` failed")?.trim());
    if as_root && !process::run(Command::new("chown").arg("postgres:").arg(&folder)) {
        return Err("there is no user `postgres` to run PostgreSQL as".to_owned());
    }
    Ok(folder)
}

/// Returns a command that runs as the server's user and dies with this process.
fn user_command(as_root: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if as_root {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]);
    }
    command.arg(OsStr::new("--")).arg(program).current_dir("/");
    command
}
