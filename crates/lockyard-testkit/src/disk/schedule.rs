//! The clock of calls: counts them, and knows which one is to fail or to lose its power.

/// What was asked of the disk or of the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// A directory is made.
    MakeDirectory,
    /// A file is created.
    Create,
    /// Bytes are written to a file.
    Write,
    /// A file is cut to a length.
    Truncate,
    /// A file is synced.
    Sync,
    /// A directory is synced.
    SyncDirectory,
    /// A file's name is removed.
    Remove,
    /// A file is opened or looked for.
    Open,
    /// A file is read.
    Read,
    /// A file's length is asked for.
    Length,
    /// A directory is listed.
    List,
    /// SQLite locks a file or a slot of its shared index.
    Lock,
    /// SQLite asks for a piece of its shared index.
    Map,
    /// The vault wraps or unwraps.
    Vault,
}

impl Call {
    /// Whether a power cut before this call and one after it can leave different disks.
    pub fn is_boundary(self) -> bool {
        use Call::{
            Create, Length, List, Lock, MakeDirectory, Map, Open, Read, Remove, Sync,
            SyncDirectory, Truncate, Vault, Write,
        };
        match self {
            MakeDirectory | Create | Write | Truncate | Sync | SyncDirectory | Remove => true,
            Open | Read | Length | List | Lock | Map | Vault => false,
        }
    }
}

impl Call {
    /// Whether this can fail with such a number: a full disk still reads.
    fn can_fail_with(self, errno: i32) -> bool {
        use Call::{Create, MakeDirectory, Map, Sync, Write};
        errno != libc::ENOSPC || matches!(self, MakeDirectory | Create | Write | Sync | Map)
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does what it says.
    Passes,
    /// It fails with this number; a write may have written some.
    Fails(i32),
    /// The power is cut in the middle of it: it is under way, and nobody hears an answer.
    Dies,
    /// The power was cut before: nothing happens at all.
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    at: u64,
    errno: i32,
    /// Whether every call from there on fails, until it is mended.
    lasting: bool,
}

/// Something that happens while a call is under way.
pub(super) struct Meanwhile(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// Counts and arms.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) calls: u64,
    pub(super) boundaries: u64,
    pub(super) dead: bool,
    cut_at: Option<u64>,
    failing: Option<Failing>,
    meanwhile: Option<(u64, Meanwhile)>,
    /// What failed first since it was armed.
    pub(super) failed: Option<Call>,
    pub(super) trace: Option<Vec<Call>>,
}

impl Schedule {
    pub(super) fn cut_at(&mut self, boundary: u64) {
        self.cut_at = Some(self.boundaries + boundary);
    }

    pub(super) fn fail(&mut self, call: u64, errno: i32, lasting: bool) {
        self.failed = None;
        self.failing = Some(Failing { at: self.calls + call, errno, lasting });
    }

    pub(super) fn meanwhile(&mut self, call: u64, act: Box<dyn FnOnce() + Send>) {
        self.meanwhile = Some((self.calls + call, Meanwhile(act)));
    }

    pub(super) fn mend(&mut self) {
        self.failing = None;
        self.meanwhile = None;
        self.cut_at = None;
    }

    pub(super) fn next(&mut self, call: Call) -> Fate {
        if self.dead {
            return Fate::Dead;
        }
        let number = self.calls;
        self.calls += 1;
        if self.meanwhile.as_ref().is_some_and(|(at, _)| *at == number)
            && let Some((_, Meanwhile(act))) = self.meanwhile.take()
        {
            act();
        }
        if let Some(trace) = &mut self.trace {
            trace.push(call);
        }
        if call.is_boundary() {
            let boundary = self.boundaries;
            self.boundaries += 1;
            if self.cut_at == Some(boundary) {
                self.dead = true;
                return Fate::Dies;
            }
        }
        match self.failing {
            Some(Failing { at, errno, lasting })
                if (number == at || lasting && number > at) && call.can_fail_with(errno) =>
            {
                self.failed.get_or_insert(call);
                Fate::Fails(errno)
            }
            _ => Fate::Passes,
        }
    }
}
