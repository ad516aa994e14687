//! Other people's programs: which a story needs, where they are, and how they are run.
//!
//! Each run has a time limit, no standard input, and no proxy or home of the person who runs the
//! tests.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use libtest_mimic::Trial;

/// How long one run of a foreign program may take.
const SECONDS_MAX: &str = "300";

/// What a story can't do without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// The rights of root: mounting, becoming another user, running dockerd.
    Root,
    /// A program that Debian packages; only used where the test command allows it.
    Program(&'static str),
    /// A Go program that the test command builds.
    Built(&'static str),
    /// The Python environment that the test command makes.
    Python,
    /// The Azure CLI that the test command installs.
    Az,
    /// Microsoft's packages for Node, which the test command installs where Node is new enough.
    Node,
    /// The Azure SDK for Python with its own tests, which the test command installs.
    Sdk,
}

impl Need {
    /// Returns what is missing, in a few words.
    fn missing(self) -> Option<String> {
        let (there, name) = match self {
            Self::Root => (is_root(), "root"),
            Self::Program(name) => (interop_folder().is_some() && find(name).is_some(), name),
            Self::Built(name) => (built(name).is_some_and(|path| path.is_file()), name),
            Self::Az => (az().is_some_and(|path| path.is_file()), "az"),
            Self::Node => (node_modules().is_some_and(|path| path.is_dir()), "node packages"),
            Self::Sdk => {
                (sdk_tests().is_some_and(|path| path.join("stamp").is_file()), "azure sdk")
            }
            Self::Python => (python().is_some_and(|path| path.is_file()), "python"),
        };
        (!there).then(|| name.to_owned())
    }
}

/// A test with a name that is a sentence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) tell: fn(),
}

impl Story {
    /// Returns the story as the harness takes it: ignored, and saying why, if a need is missing.
    pub(crate) fn trial(self, room: &str) -> Trial {
        let missing: Vec<String> = self.needs.iter().filter_map(|need| need.missing()).collect();
        let trial = Trial::test(format!("{room}::{}", self.name), move || {
            (self.tell)();
            Ok(())
        });
        if missing.is_empty() {
            return trial;
        }
        trial.with_kind(format!("needs {}", missing.join(", "))).with_ignored_flag(true)
    }
}

/// Returns a list of stories whose names are their functions' names.
macro_rules! stories {
    ($($(#[needs($($need:expr),*)])? $name:ident),* $(,)?) => {
        vec![$($crate::outside::Story {
            name: stringify!($name),
            needs: &[$($($need),*)?],
            tell: $name,
        }),*]
    };
}
pub(crate) use stories;

/// Returns the folder in which the test command keeps its programs.
pub(crate) fn interop_folder() -> Option<PathBuf> {
    std::env::var_os("LOCKYARD_INTEROP").map(PathBuf::from)
}

/// Returns where a Go program of the test command would lie.
fn built(name: &str) -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("bin").join(name))
}

/// Returns where the Python of the test command would lie.
fn python() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("venv/bin/python"))
}

/// Returns where the Azure CLI of the test command would lie.
pub(crate) fn az() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("venv-az/bin/az"))
}

/// Returns the Python beside the Azure CLI, which has MSAL.
pub(crate) fn az_python() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("venv-az/bin/python"))
}

/// Returns where the Python with the Azure SDK would lie.
pub(crate) fn sdk_python() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("venv-sdk/bin/python"))
}

/// Returns where the Azure SDK's own tests would lie.
pub(crate) fn sdk_tests() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("sdk-tests"))
}

/// Returns where Microsoft's packages for Node would lie.
pub(crate) fn node_modules() -> Option<PathBuf> {
    interop_folder().map(|folder| folder.join("node/node_modules"))
}

/// Returns the folder of the scripts that Python runs.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop")
}

/// Says whether this process is root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Returns where a program lies, looking also where a plain user's `PATH` does not.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).chain(extra);
    folders.map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Returns a Debian program, ready for arguments.
pub(crate) fn program(name: &str) -> Command {
    bounded(find(name).unwrap_or_else(|| panic!("`{name}` is not installed")))
}

/// Returns a Go program of the test command, ready for arguments.
pub(crate) fn go_program(name: &str) -> Command {
    bounded(built(name).unwrap_or_else(|| panic!("`{name}` is not built")))
}

/// Returns a Python script of `tests/interop`, ready for arguments.
pub(crate) fn script(name: &str) -> Command {
    let mut command = bounded(python().expect("stories with scripts need Python"));
    command.arg(scripts().join(name));
    command
}

/// Returns a command that is ended when it takes too long.
pub(crate) fn bounded(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10", SECONDS_MAX]).arg(path).stdin(Stdio::null());
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// Runs a command that must succeed and returns its standard output.
pub(crate) fn good(command: &mut Command) -> String {
    let output = finished(command);
    assert!(output.status.success(), "{command:?}\n{}", told(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command that must fail and returns all that it said.
pub(crate) fn bad(command: &mut Command) -> String {
    let output = finished(command);
    assert!(!output.status.success(), "succeeded: {command:?}\n{}", told(&output));
    told(&output)
}

fn finished(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"))
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
