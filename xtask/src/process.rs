//! Running other programs: finding them, running them with a few retries, saying what happens.
//!
//! Standard input is always closed: a chore that asks a question would hang in continuous
//! integration.
#![expect(clippy::print_stdout, reason = "a chore talks to the person who started it")]
#![expect(clippy::disallowed_methods, reason = "a chore is measured by the wall clock")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Prints a line at once.
pub(crate) fn say(line: &str) {
    println!("{line}");
    // A closed pipe is the reader's choice.
    drop(std::io::stdout().flush());
}

/// Returns an environment variable, if it is set to something.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns where a program lies, looking also where a plain user's `PATH` does not.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = environment("PATH").unwrap_or_default();
    let extra = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(extra)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Says whether this process is root.
pub(crate) fn is_root() -> bool {
    capture(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0")
}

/// Runs a command to its end and returns whether it succeeded.
pub(crate) fn run(command: &mut Command) -> bool {
    let outcome = command.stdin(Stdio::null()).status();
    outcome.is_ok_and(|status| status.success())
}

/// Runs a command and returns what it printed, if it succeeded.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command up to three times, waiting a little longer each time: for what needs a network.
pub(crate) fn run_with_retries(what: &str, command: &mut Command) -> bool {
    for attempt in 1..=3_u64 {
        if run(command) {
            return true;
        }
        say(&format!("xtask: {what} failed, attempt {attempt} of 3"));
        std::thread::sleep(Duration::from_secs(5 * attempt));
    }
    false
}

/// Runs a command, passes its output on line by line, shows each line to `listener`, and returns
/// whether the command succeeded.
pub(crate) fn run_listening(command: &mut Command, mut listener: impl FnMut(&str)) -> bool {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        return false;
    };
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            say(&line);
            listener(&line);
        }
    }
    child.wait().is_ok_and(|status| status.success())
}

/// Runs `work`, says how long it took, and returns what it returned.
pub(crate) fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    say(&format!("xtask: {what}: {:.1} s", start.elapsed().as_secs_f64()));
    result
}

/// Returns whether `deadline` has not passed while `ready` still said no.
pub(crate) fn wait_until(deadline: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < deadline {
        if ready() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
