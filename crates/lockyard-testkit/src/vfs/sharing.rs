//! What the connections to one database share: its locks and its shared index.
//!
//! Both are in memory, and both are gone when the power is.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    collections::{HashMap, HashSet},
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::ffi;

use crate::disk::NodeId;

/// Who holds a lock: each open file has a number.
pub(super) type Holder = u64;

/// The state of all databases of a disk.
#[derive(Debug, Default)]
pub(crate) struct Sharing(Mutex<HashMap<NodeId, Shared>>);

/// The state of one database.
#[derive(Debug, Default)]
pub(super) struct Shared {
    levels: HashMap<Holder, i32>,
    slots: [Slot; SLOTS],
    regions: Vec<Region>,
    mapped: HashSet<Holder>,
}

const SLOTS: usize = 8;

#[derive(Debug, Default)]
struct Slot {
    shared: HashSet<Holder>,
    exclusive: Option<Holder>,
}

/// Somebody else has what was asked for.
#[derive(Debug)]
pub(super) struct Busy;

impl Sharing {
    pub(super) fn with<T>(&self, node: NodeId, work: impl FnOnce(&mut Shared) -> T) -> T {
        work(self.all().entry(node).or_default())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<NodeId, Shared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Raises a holder's lock on the file, by the rules of SQLite's rollback mode.
    pub(super) fn lock(&mut self, holder: Holder, wanted: i32) -> Result<(), Busy> {
        let own = self.levels.get(&holder).copied().unwrap_or(ffi::SQLITE_LOCK_NONE);
        if own >= wanted {
            return Ok(());
        }
        let others = self.levels.iter().filter(|(other, _)| **other != holder);
        let highest = others.map(|(_, level)| *level).max().unwrap_or(ffi::SQLITE_LOCK_NONE);
        let free = match wanted {
            ffi::SQLITE_LOCK_SHARED => highest < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => highest < ffi::SQLITE_LOCK_RESERVED,
            _ if highest >= ffi::SQLITE_LOCK_RESERVED => false,
            _ => {
                // Keeps new readers out while the present ones leave.
                self.levels.insert(holder, ffi::SQLITE_LOCK_PENDING);
                highest < ffi::SQLITE_LOCK_SHARED
            }
        };
        if free {
            self.levels.insert(holder, wanted);
            Ok(())
        } else {
            Err(Busy)
        }
    }

    pub(super) fn unlock(&mut self, holder: Holder, level: i32) {
        if level == ffi::SQLITE_LOCK_NONE {
            self.levels.remove(&holder);
        } else if let Some(own) = self.levels.get_mut(&holder) {
            *own = (*own).min(level);
        }
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.levels.values().any(|level| *level >= ffi::SQLITE_LOCK_RESERVED)
    }

    /// The `index`-th piece of the shared index; `None` if it is not there and need not be.
    pub(super) fn region(
        &mut self,
        holder: Holder,
        index: usize,
        size: usize,
        extend: bool,
    ) -> Option<NonNull<u8>> {
        self.mapped.insert(holder);
        while extend && self.regions.len() <= index {
            self.regions.push(Region::new(size));
        }
        self.regions.get(index).map(|region| region.0)
    }

    /// The last one to leave takes the shared index away.
    pub(super) fn unmap(&mut self, holder: Holder) {
        self.mapped.remove(&holder);
        for slot in &mut self.slots {
            slot.release(holder);
        }
        if self.mapped.is_empty() {
            self.regions.clear();
        }
    }

    /// Takes or gives back slots of the shared index.
    pub(super) fn slots(
        &mut self,
        holder: Holder,
        first: usize,
        count: usize,
        flags: i32,
    ) -> Result<(), Busy> {
        let slots = &mut self.slots[first..first + count];
        if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
            for slot in slots {
                slot.release(holder);
            }
            return Ok(());
        }
        let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
        if slots.iter().any(|slot| !slot.is_free_for(holder, exclusive)) {
            return Err(Busy);
        }
        for slot in slots {
            if exclusive {
                slot.exclusive = Some(holder);
            } else {
                slot.shared.insert(holder);
            }
        }
        Ok(())
    }
}

impl Slot {
    fn is_free_for(&self, holder: Holder, exclusive: bool) -> bool {
        self.exclusive.is_none_or(|other| other == holder)
            && !(exclusive && self.shared.iter().any(|other| *other != holder))
    }

    fn release(&mut self, holder: Holder) {
        self.shared.remove(&holder);
        if self.exclusive == Some(holder) {
            self.exclusive = None;
        }
    }
}

/// Memory that SQLite's connections share; no Rust code looks into it.
#[derive(Debug)]
struct Region(NonNull<u8>, Layout);

// SAFETY: the pointer is never followed by Rust code; SQLite orders its own accesses to what it
// points to by the slots' locks and by barriers, as it does for memory shared between processes.
unsafe impl Send for Region {}

impl Region {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 64).expect("SQLite asks for 32 KiB");
        // SAFETY: the size is not zero: SQLite asks for 32 KiB.
        let memory = unsafe { alloc_zeroed(layout) };
        match NonNull::new(memory) {
            Some(memory) => Self(memory, layout),
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and nobody maps it any more: each open file
        // unmaps before it closes and holds the disk until then.
        unsafe { dealloc(self.0.as_ptr(), self.1) }
    }
}
