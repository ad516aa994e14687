//! What a server did to its files and its clients, in order: strace's record, read into events.
//!
//! Events of all threads stand in one order, that of strace's lines. An event that was interrupted
//! by another thread's has two of them; whoever compares must compare the end of the one with the
//! beginning of the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::outside::Need;
use crate::world::{Server, World, eventually};

/// What tracing needs: the program, and root, since the server lets nobody else look.
pub(crate) const STRACE: [Need; 2] = [Need::Program("strace"), Need::Root];

/// The calls that write, sync, name files or answer clients.
const CALLS: &str = "trace=openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,fsync,\
                     fdatasync,sync_file_range,pread64,pwrite64,write,writev,sendto,sendmsg,\
                     ftruncate,unlink,unlinkat";

/// Something that the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Made a file or a directory.
    Made(PathBuf),
    /// Gave a file this name.
    Renamed(PathBuf),
    /// Wrote into a file.
    Wrote(PathBuf),
    /// Read this many bytes of a file.
    Read(PathBuf, u64),
    /// Synced a file or a directory.
    Synced(PathBuf),
    /// Began an answer with this status.
    Answered(u16),
}

/// A deed that succeeded, and when.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) deed: Deed,
    /// The line on which the call begins.
    pub(crate) begun: usize,
    /// The line on which it ends.
    pub(crate) ended: usize,
}

/// Starts a server under strace; the record is read when it has ended.
pub(crate) fn serve(world: &World, verb: &str) -> (Server, PathBuf) {
    let record = world.folder().join("trace");
    let inner = world.command(verb);
    let mut command = Command::new("strace");
    // The tracer as a grandchild: the server stays our child, which we can end by its id.
    command.args(["-D", "-f", "-y", "-s", "32", "--seccomp-bpf", "-e", CALLS, "-o"]);
    command.arg(&record).arg(inner.get_program()).args(inner.get_args());
    (world.start(command), record)
}

/// Reads the record of a server that has ended.
pub(crate) fn read(record: &Path) -> Vec<Event> {
    let text = || fs::read_to_string(record).unwrap_or_default();
    eventually("strace has written its record to the end", || {
        // The main thread is told last, with nothing behind it.
        let text = text();
        text.lines().last().is_some_and(|line| line.contains("+++ exited"))
    });
    parse(&text())
}

/// Reads strace's lines.
pub(crate) fn parse(text: &str) -> Vec<Event> {
    let mut open: Vec<(&str, String, usize)> = Vec::new();
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            open.push((thread, begin.to_owned(), number));
            continue;
        }
        let (call, begun) = if rest.starts_with("<... ") {
            let Some(at) = open.iter().position(|(other, ..)| *other == thread) else { continue };
            let (_, begin, begun) = open.remove(at);
            let Some((_, end)) = rest.split_once("resumed>") else { continue };
            (format!("{begin}{end}"), begun)
        } else {
            (rest.to_owned(), number)
        };
        events.extend(deed(&call).map(|deed| Event { deed, begun, ended: number }));
    }
    // An answer that is still under way when the record ends has been begun all the same.
    events.extend(open.iter().filter_map(|(_, begin, begun)| {
        let deed = deed(&format!("{begin}) = 0"))?;
        matches!(deed, Deed::Answered(_)).then_some(Event { deed, begun: *begun, ended: *begun })
    }));
    events.sort_by_key(|event| event.begun);
    events
}

/// Reads one call; `None` if it failed or does not matter.
fn deed(call: &str) -> Option<Deed> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.trim_start().starts_with('-') {
        return None;
    }
    let written = || described(arguments).map(Deed::Wrote);
    match name {
        "fsync" | "fdatasync" => described(arguments).map(Deed::Synced),
        "open" | "openat" | "creat" => {
            arguments.contains("O_CREAT").then(|| quoted(arguments).map(Deed::Made))?
        }
        "mkdir" | "mkdirat" => quoted(arguments).map(Deed::Made),
        "rename" | "renameat" | "renameat2" => last_quoted(arguments).map(Deed::Renamed),
        "pread64" => {
            let bytes = result.split_whitespace().next()?.parse().ok()?;
            described(arguments).map(|path| Deed::Read(path, bytes))
        }
        "pwrite64" | "ftruncate" => written(),
        "write" | "writev" | "sendto" | "sendmsg" => status(arguments).or_else(written),
        _ => None,
    }
}

/// The status of an answer that begins here.
fn status(arguments: &str) -> Option<Deed> {
    let (_, after) = arguments.split_once("\"HTTP/1.1 ")?;
    after.get(..3)?.parse().ok().map(Deed::Answered)
}

/// The path that strace puts behind a descriptor, if it is a file's.
fn described(arguments: &str) -> Option<PathBuf> {
    let (number, rest) = arguments.split_once('<')?;
    number.parse::<u32>().ok()?;
    let (path, _) = rest.split_once('>')?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

fn quoted(arguments: &str) -> Option<PathBuf> {
    arguments.split('"').nth(1).map(PathBuf::from)
}

fn last_quoted(arguments: &str) -> Option<PathBuf> {
    arguments.rsplit('"').nth(1).map(PathBuf::from)
}
