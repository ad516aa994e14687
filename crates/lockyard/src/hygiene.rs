//! What a process that holds keys does to itself before it touches any.
//!
//! Not dumpable (no core file, no debugger of the same user, no `/proc/<pid>/mem`), core size 0 in
//! case something makes it dumpable again, and files that nobody else may read. And no huge pages:
//! what an allocator holds of them is resident whole, twice as much of a process that idles, and
//! what it gives back is not.

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit},
};

/// Open files that a busy registry may need: connections, parts, database.
const OPEN_FILES: u64 = 65_536;

/// Hardens the process; a refusal of the system is logged and not fatal.
pub(crate) fn harden() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let core = Rlimit { current: Some(0), maximum: Some(0) };
    let hidden = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| rustix::process::setrlimit(Resource::Core, core));
    if let Err(error) = hidden {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the process may get huge pages");
    }
    let files = rustix::process::getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if files.current.is_some_and(|now| now < most) {
        let raised = Rlimit { current: Some(most), ..files };
        if let Err(error) = rustix::process::setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardened_process_is_not_dumpable() {
        harden();
        assert_eq!(
            rustix::process::dumpable_behavior().expect("Linux"),
            DumpableBehavior::NotDumpable
        );
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        assert!(rustix::thread::transparent_huge_pages_are_disabled().expect("Linux"));
    }
}
