//! A disk in memory that keeps apart what was written and what was synced.
//!
//! Its power can be cut before any call that changes something; what survives is a new disk, and the
//! old one answers nothing but errors from then on, so that whoever still runs on it can do no harm.
//! It promises no more than POSIX does: a synced file may still have no name, and a sync that failed
//! has forgotten what it did not write.

mod dice;
mod files;
mod node;
mod schedule;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use lockyard_blobs::Disk;

pub use self::{dice::Dice, node::Loss, schedule::Call};
pub(crate) use self::{files::SimFiles, schedule::Fate};
use self::{
    node::{Directory, File, Node},
    schedule::Schedule,
};
use crate::vfs::{self, Sharing};

/// The disk's directory that holds all others.
const ROOT: usize = 0;

/// All disks there are, for SQLite, which knows files by path only.
static DISKS: Mutex<BTreeMap<u64, Weak<SimDisk>>> = Mutex::new(BTreeMap::new());

/// A simulated disk.
pub struct SimDisk {
    number: u64,
    state: Mutex<State>,
    /// What connections to one database share; gone with the power.
    pub(crate) sharing: Sharing,
}

struct State {
    nodes: Vec<Node>,
    schedule: Schedule,
    dice: Dice,
    /// Which syncs only pretend.
    lie: Option<Call>,
}

/// An open file.
pub(crate) type NodeId = usize;

impl SimDisk {
    /// The name of the file system under which SQLite reaches simulated disks, by
    /// [`SimDisk::path`].
    pub const VFS: &str = vfs::NAME;

    /// An empty disk.
    pub fn new() -> Arc<Self> {
        Self::of(vec![Node::Directory(Directory::default())], 0)
    }

    fn of(nodes: Vec<Node>, seed: u64) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        vfs::register();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let state =
            State { nodes, schedule: Schedule::default(), dice: Dice::new(seed), lie: None };
        let disk = Arc::new(Self { number, state: Mutex::new(state), sharing: Sharing::default() });
        disks().insert(number, Arc::downgrade(&disk));
        disk
    }

    /// The path of a file of this disk, for whoever asks SQLite or `LocalParts` to use it.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/sim-{}", self.number)).join(name)
    }

    /// The disk that a path names, and the path on it.
    pub(crate) fn holding(path: &Path) -> Option<Arc<Self>> {
        let mut components = path.components().skip(1);
        let Some(Component::Normal(first)) = components.next() else { return None };
        let number = first.to_str()?.strip_prefix("sim-")?.parse().ok()?;
        disks().get(&number)?.upgrade()
    }

    /// The disk as parts and the audit trail see it.
    pub fn as_disk(self: &Arc<Self>) -> Arc<dyn Disk> {
        Arc::new(SimFiles(Arc::clone(self)))
    }

    /// How many calls there were that a power cut can come before.
    pub fn boundaries(&self) -> u64 {
        self.state().schedule.boundaries
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state().schedule.calls
    }

    /// Cuts the power at the `n`-th boundary from now, counted from 0.
    pub fn cut_at(&self, n: u64) {
        self.state().schedule.cut_at(n);
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.state().schedule.dead = true;
    }

    /// Whether the power was cut.
    pub fn is_dead(&self) -> bool {
        self.state().schedule.dead
    }

    /// Lets the `n`-th call from now fail, counted from 0, with this error number; a full disk
    /// (`ENOSPC`) fails only what needs room.
    pub fn fail(&self, n: u64, errno: i32) {
        self.state().schedule.fail(n, errno, false);
    }

    /// Lets every call from the `n`-th on fail until [`SimDisk::mend`].
    pub fn fail_from(&self, n: u64, errno: i32) {
        self.state().schedule.fail(n, errno, true);
    }

    /// Lets `act` happen in the middle of the `n`-th call from now, counted from 0: one that winds
    /// the clock makes the call answer late, one that blocks makes the disk stall.
    ///
    /// No other call gets through meanwhile; `act` must not use this disk.
    pub fn meanwhile(&self, n: u64, act: impl FnOnce() + Send + 'static) {
        self.state().schedule.meanwhile(n, Box::new(act));
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.state().schedule.mend();
    }

    /// Lets syncs of this kind do nothing and say that all is well.
    pub fn lie(&self, about: Option<Call>) {
        self.state().lie = about;
    }

    /// Which call failed first since a failure was armed.
    pub fn failed(&self) -> Option<Call> {
        self.state().schedule.failed
    }

    /// Begins to write down all calls.
    pub fn trace(&self) {
        self.state().schedule.trace = Some(Vec::new());
    }

    /// The calls since [`SimDisk::trace`].
    pub fn traced(&self) -> Vec<Call> {
        self.state().schedule.trace.take().unwrap_or_default()
    }

    /// The disk as a power cut at this moment would leave it; this one stays as it is.
    pub fn survivor(&self, loss: Loss) -> Arc<Self> {
        let state = self.state();
        let seed = match loss {
            Loss::Some(seed) => seed,
            Loss::Everything | Loss::Nothing => 0,
        };
        let mut dice = Dice::new(seed);
        let mut nodes = Vec::new();
        copy(&state.nodes, ROOT, loss, &mut dice, &mut nodes);
        Self::of(nodes, seed)
    }

    /// A number that differs if names or contents differ.
    pub fn fingerprint(&self) -> u64 {
        let state = self.state();
        let mut hasher = DefaultHasher::new();
        fingerprint(&state.nodes, ROOT, &mut hasher);
        hasher.finish()
    }

    /// The paths of all files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state();
        let mut found = Vec::new();
        walk(&state.nodes, ROOT, &PathBuf::new(), &mut found);
        found
    }

    /// Counts a call that is none of the disk's; it may fail all the same.
    pub(crate) fn note(&self, call: Call) -> io::Result<()> {
        answer(self.state().schedule.next(call))
    }

    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state();
        let fate = state.schedule.next(Call::MakeDirectory);
        let (parent, name) = state.parent(path)?;
        if state.directory(parent)?.current().contains_key(&name) {
            return answer(fate).map(|()| false);
        }
        if matches!(fate, Fate::Passes | Fate::Dies) {
            state.add(parent, name, Node::Directory(Directory::default()));
        }
        answer(fate).map(|()| true)
    }

    /// Creates a file, or opens it unless it must be new; tells whether it is new.
    pub(crate) fn create(&self, path: &Path, exclusive: bool) -> io::Result<(NodeId, bool)> {
        let mut state = self.state();
        let (parent, name) = state.parent(path)?;
        if let Some(node) = state.directory(parent)?.current().get(&name).copied() {
            answer(state.schedule.next(Call::Open))?;
            return if exclusive {
                Err(io::ErrorKind::AlreadyExists.into())
            } else {
                Ok((node, false))
            };
        }
        let fate = state.schedule.next(Call::Create);
        if matches!(fate, Fate::Passes | Fate::Dies) {
            let node = state.add(parent, name, Node::File(File::default()));
            answer(fate).map(|()| (node, true))
        } else {
            answer(fate).map(|()| (ROOT, false))
        }
    }

    /// Finds a file; `None` if there is none.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Option<NodeId>> {
        let mut state = self.state();
        answer(state.schedule.next(Call::Open))?;
        let (parent, name) = state.parent(path)?;
        Ok(state.directory(parent)?.current().get(&name).copied())
    }

    pub(crate) fn write(&self, node: NodeId, bytes: &[u8], offset: usize) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.schedule.next(Call::Write);
        let written = match fate {
            Fate::Passes | Fate::Dies => bytes.len(),
            Fate::Fails(_) => state.dice.index(bytes.len() + 1),
            Fate::Dead => 0,
        };
        if written > 0 {
            state.file_mut(node)?.write(offset, &bytes[..written]);
        }
        answer(fate)
    }

    /// Reads into `buffer` and returns how much there was.
    pub(crate) fn read(&self, node: NodeId, buffer: &mut [u8], offset: usize) -> io::Result<usize> {
        let mut state = self.state();
        answer(state.schedule.next(Call::Read))?;
        let content = state.file_mut(node)?.current();
        let rest = content.get(offset..).unwrap_or_default();
        let there = rest.len().min(buffer.len());
        buffer[..there].copy_from_slice(&rest[..there]);
        Ok(there)
    }

    pub(crate) fn truncate(&self, node: NodeId, length: usize) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.schedule.next(Call::Truncate);
        if matches!(fate, Fate::Passes | Fate::Dies) {
            state.file_mut(node)?.truncate(length);
        }
        answer(fate)
    }

    pub(crate) fn length(&self, node: NodeId) -> io::Result<usize> {
        let mut state = self.state();
        answer(state.schedule.next(Call::Length))?;
        Ok(state.file_mut(node)?.current().len())
    }

    pub(crate) fn sync(&self, node: NodeId) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.schedule.next(Call::Sync);
        match fate {
            Fate::Passes if state.lie == Some(Call::Sync) => {}
            Fate::Passes => state.file_mut(node)?.sync(),
            Fate::Fails(_) => {
                let mut dice = Dice::new(state.dice.word());
                state.file_mut(node)?.fail_to_sync(&mut dice);
            }
            Fate::Dies | Fate::Dead => {}
        }
        answer(fate)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let (parent, name) = state.parent(path)?;
        if !state.directory(parent)?.current().contains_key(&name) {
            answer(state.schedule.next(Call::Open))?;
            return Err(io::ErrorKind::NotFound.into());
        }
        let fate = state.schedule.next(Call::Remove);
        if matches!(fate, Fate::Passes | Fate::Dies) {
            state.directory_mut(parent)?.set(name, None);
        }
        answer(fate)
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.schedule.next(Call::SyncDirectory);
        let node = state.find(path)?;
        if fate == Fate::Passes && state.lie != Some(Call::SyncDirectory) {
            state.directory_mut(node)?.sync();
        }
        answer(fate)
    }

    /// The names in a directory; with each, whether it is a directory itself.
    pub(crate) fn entries(&self, path: &Path) -> io::Result<Vec<(OsString, bool)>> {
        let mut state = self.state();
        answer(state.schedule.next(Call::List))?;
        let node = state.find(path)?;
        let named = |(name, node): (&OsString, &usize)| {
            (name.clone(), matches!(state.nodes[*node], Node::Directory(_)))
        };
        Ok(state.directory(node)?.current().iter().map(named).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        disks().remove(&self.number);
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDisk({})", self.number)
    }
}

impl State {
    /// The directory that a path lies in, and its name there.
    fn parent(&self, path: &Path) -> io::Result<(usize, OsString)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(parent)?, name))
    }

    /// Finds a node; the path's first name is the disk's own.
    fn find(&self, path: &Path) -> io::Result<usize> {
        path.components().skip(2).try_fold(ROOT, |node, component| {
            let name: &OsStr = component.as_os_str();
            self.directory(node)?
                .current()
                .get(name)
                .copied()
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn add(&mut self, parent: usize, name: OsString, node: Node) -> usize {
        let id = self.nodes.len();
        self.nodes.push(node);
        if let Some(Node::Directory(parent)) = self.nodes.get_mut(parent) {
            parent.set(name, Some(id));
        }
        id
    }

    fn directory(&self, node: usize) -> io::Result<&Directory> {
        match &self.nodes[node] {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn directory_mut(&mut self, node: usize) -> io::Result<&mut Directory> {
        match &mut self.nodes[node] {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file_mut(&mut self, node: usize) -> io::Result<&mut File> {
        match &mut self.nodes[node] {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

fn answer(fate: Fate) -> io::Result<()> {
    match fate {
        Fate::Passes => Ok(()),
        Fate::Fails(errno) => Err(io::Error::from_raw_os_error(errno)),
        Fate::Dies | Fate::Dead => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// Copies what survives of `node` and of all below it; returns its new number.
fn copy(old: &[Node], node: usize, loss: Loss, dice: &mut Dice, new: &mut Vec<Node>) -> usize {
    let id = new.len();
    match &old[node] {
        Node::File(file) => new.push(Node::File(File::holding(file.survivor(loss, dice)))),
        Node::Directory(directory) => {
            new.push(Node::Directory(Directory::default()));
            let names = directory.survivor(loss, dice);
            let names =
                names.into_iter().map(|(name, child)| (name, copy(old, child, loss, dice, new)));
            let names = names.collect();
            new[id] = Node::Directory(Directory::holding(names));
        }
    }
    id
}

fn fingerprint(nodes: &[Node], node: usize, hasher: &mut DefaultHasher) {
    match &nodes[node] {
        Node::File(file) => file.current().hash(hasher),
        Node::Directory(directory) => {
            for (name, child) in directory.current() {
                name.hash(hasher);
                fingerprint(nodes, *child, hasher);
            }
        }
    }
}

fn walk(nodes: &[Node], node: usize, path: &Path, found: &mut Vec<PathBuf>) {
    match &nodes[node] {
        Node::File(_) => found.push(path.to_owned()),
        Node::Directory(directory) => {
            for (name, child) in directory.current() {
                walk(nodes, *child, &path.join(name), found);
            }
        }
    }
}

fn disks() -> MutexGuard<'static, BTreeMap<u64, Weak<SimDisk>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}
