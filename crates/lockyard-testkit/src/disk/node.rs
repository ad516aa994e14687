//! A file and a directory, each as it is now and as it would be after a power cut.

use std::{collections::BTreeMap, ffi::OsString};

use super::Dice;

/// What the hardware writes in one piece or not at all.
const SECTOR: usize = 512;

/// What a power cut takes of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it: nothing was written early.
    Everything,
    /// None of it: only the process died.
    Nothing,
    /// Some sectors and some names, as this seed has it, in no order; writes are torn.
    Some(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(File),
    Directory(Directory),
}

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What a reader sees.
    current: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// What was done since the last sync.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl File {
    pub(super) fn holding(content: Vec<u8>) -> Self {
        Self { current: content.clone(), durable: content, pending: Vec::new() }
    }

    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.change(Change::Length(length));
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.current, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    /// A sync that fails: some of it arrived, and the system forgets that the rest did not (the
    /// pages count as clean), so that no later sync writes it.
    pub(super) fn fail_to_sync(&mut self, dice: &mut Dice) {
        self.durable = self.survivor(Loss::Some(dice.word()), dice);
        self.pending.clear();
    }

    /// What is there after a power cut.
    pub(super) fn survivor(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        match loss {
            Loss::Everything => self.durable.clone(),
            Loss::Nothing => self.current.clone(),
            Loss::Some(_) => {
                let mut content = self.durable.clone();
                let eighths = [1, 4, 7][dice.index(3)];
                let in_order = dice.chance(1, 4);
                let reached = dice.index(self.pending.len() + 1);
                for (number, change) in self.pending.iter().enumerate() {
                    if in_order && number < reached {
                        apply(&mut content, change);
                    } else if !in_order || number == reached {
                        tear(&mut content, change, eighths, dice);
                    }
                }
                content
            }
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
        Change::Length(length) => content.resize(*length, 0),
    }
}

/// Applies each sector of a write, or a change of length, with a chance of `eighths`.
fn tear(content: &mut Vec<u8>, change: &Change, eighths: u64, dice: &mut Dice) {
    match change {
        Change::Write { offset, bytes } => {
            let mut at = *offset;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (sector, later) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                if dice.chance(eighths, 8) {
                    apply(content, &Change::Write { offset: at, bytes: sector.to_vec() });
                }
                at += sector.len();
                rest = later;
            }
        }
        Change::Length(_) if dice.chance(eighths, 8) => apply(content, change),
        Change::Length(_) => {}
    }
}

/// A directory's names.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    current: BTreeMap<OsString, usize>,
    durable: BTreeMap<OsString, usize>,
    pending: Vec<(OsString, Option<usize>)>,
}

impl Directory {
    pub(super) fn holding(names: BTreeMap<OsString, usize>) -> Self {
        Self { current: names.clone(), durable: names, pending: Vec::new() }
    }

    pub(super) fn current(&self) -> &BTreeMap<OsString, usize> {
        &self.current
    }

    pub(super) fn set(&mut self, name: OsString, node: Option<usize>) {
        enter(&mut self.current, &name, node);
        self.pending.push((name, node));
    }

    pub(super) fn sync(&mut self) {
        for (name, node) in self.pending.drain(..) {
            enter(&mut self.durable, &name, node);
        }
    }

    pub(super) fn survivor(&self, loss: Loss, dice: &mut Dice) -> BTreeMap<OsString, usize> {
        match loss {
            Loss::Everything => self.durable.clone(),
            Loss::Nothing => self.current.clone(),
            Loss::Some(_) => {
                let mut names = self.durable.clone();
                // What happened to one name happens in order; names know nothing of each other.
                let mut stopped = BTreeMap::new();
                for (name, node) in &self.pending {
                    let stopped = stopped.entry(name).or_insert(false);
                    *stopped = *stopped || dice.chance(1, 2);
                    if !*stopped {
                        enter(&mut names, name, *node);
                    }
                }
                names
            }
        }
    }
}

fn enter(names: &mut BTreeMap<OsString, usize>, name: &OsString, node: Option<usize>) {
    match node {
        Some(node) => names.insert(name.clone(), node),
        None => names.remove(name),
    };
}
