//! Walks over the records of one segment and says where the chain holds and where it does not.
//!
//! A crash can tear the last write and nothing before it, because each batch is durable before the
//! next is written. So damage with a later batch behind it was done to the file; damage with none
//! behind it may be a write that was cut off, and stays in doubt until somebody knows better: a
//! following segment, a closing checkpoint, or a checkpoint that was kept elsewhere.

use std::cmp::Ordering;

use crate::{
    format::{FRAME_HEAD_LEN, FRAME_LEN, Frame, HASH_LEN, Hash, Kind},
    report::{Finding, What},
};

/// A place between two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset in the segment.
    pub(crate) offset: usize,
    /// The hash of the record before.
    pub(crate) head: Hash,
    /// The sequence number of the record before.
    pub(crate) sequence: u64,
}

/// A record that the walk came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'b> {
    pub(crate) offset: usize,
    pub(crate) kind: Kind,
    pub(crate) sequence: u64,
    pub(crate) body: &'b [u8],
    /// The hash before it; `None` if what it follows is gone, so that it proves nothing.
    pub(crate) previous: Option<Hash>,
    pub(crate) hash: Hash,
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) struct Walk<'b> {
    /// What is wrong for sure.
    pub(crate) findings: Vec<Finding>,
    /// What is wrong at the end, and may be a write that was cut off.
    pub(crate) doubtful: Vec<Finding>,
    /// The records that are not in doubt.
    pub(crate) steps: Vec<Step<'b>>,
    /// Where they end.
    pub(crate) end: Place,
}

/// Where records can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent<'b> {
    /// The segment's number.
    pub(crate) ordinal: u64,
    /// Its bytes, up to where its records end if that is known.
    pub(crate) bytes: &'b [u8],
    /// Whether that is known: then nothing in it can be a write that was cut off.
    pub(crate) settled: bool,
}

/// Walks from `start` to the end.
pub(crate) fn walk(extent: Extent<'_>, start: Place) -> Walk<'_> {
    let mut walker = Walker {
        extent,
        at: start,
        held: Vec::new(),
        walk: Walk { findings: Vec::new(), doubtful: Vec::new(), steps: Vec::new(), end: start },
    };
    while walker.step() {}
    walker.walk
}

struct Walker<'b> {
    extent: Extent<'b>,
    at: Place,
    /// Records behind something doubtful.
    held: Vec<Step<'b>>,
    walk: Walk<'b>,
}

impl<'b> Walker<'b> {
    /// Takes one step; answers whether there is another.
    fn step(&mut self) -> bool {
        let Place { offset, head, sequence } = self.at;
        let found = Frame::at(self.extent.bytes, offset);
        if let Some(frame) = found
            && frame.sequence == sequence + 1
            && frame.follows(&head)
        {
            if frame.first_of_batch {
                self.settle();
            }
            self.pass(&frame, sequence + 1, Some(head), frame.hash);
            return true;
        }
        let nothing_follows =
            self.extent.bytes.get(offset..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0));
        !nothing_follows && self.diagnose(found)
    }

    /// What was in doubt was durable before this: it is damage.
    fn settle(&mut self) {
        self.walk.findings.append(&mut self.walk.doubtful);
        self.walk.steps.append(&mut self.held);
    }

    fn pass(&mut self, frame: &Frame<'b>, sequence: u64, previous: Option<Hash>, hash: Hash) {
        let Frame { kind, body, .. } = *frame;
        self.held.push(Step { offset: self.at.offset, kind, sequence, body, previous, hash });
        self.at = Place { offset: frame.next, head: hash, sequence };
        self.commit();
    }

    fn commit(&mut self) {
        if self.extent.settled {
            self.settle();
        }
        if self.walk.doubtful.is_empty() {
            self.walk.steps.append(&mut self.held);
            self.walk.end = self.at;
        }
    }

    fn find(&mut self, what: What, first: u64, last: u64) {
        let (segment, offset) = (self.extent.ordinal, self.at.offset as u64);
        self.walk.doubtful.push(Finding { what, segment, offset, first, last });
    }

    /// Finds out what stands here instead of the next record, and where to go on.
    fn diagnose(&mut self, found: Option<Frame<'b>>) -> bool {
        let expected = self.at.sequence + 1;
        if let Some(frame) = found {
            let next = Frame::at(self.extent.bytes, frame.next);
            // The next record as it should be, behind something that was put in front of it.
            if next.is_some_and(|next| next.sequence == expected && next.follows(&self.at.head)) {
                self.find(What::OutOfPlace, frame.sequence, frame.sequence);
                self.at.offset = frame.next;
                return true;
            }
            // Whoever follows a record's hash knows that record's true number.
            if let Some(next) = next.filter(|next| next.follows(&frame.hash)) {
                let truth = next.sequence - 1;
                match truth.cmp(&expected) {
                    Ordering::Less => {
                        self.find(What::OutOfPlace, truth, truth);
                        self.at.offset = frame.next;
                        return true;
                    }
                    Ordering::Equal => self.find(What::Changed, expected, expected),
                    Ordering::Greater => self.find(What::Missing, expected, truth - 1),
                }
                self.pass(&frame, truth, None, frame.hash);
                return true;
            }
            let computed = frame.expected_hash(&self.at.head);
            if frame.sequence == expected && next.is_some_and(|next| next.follows(&computed)) {
                self.find(What::Changed, expected, expected);
                self.pass(&frame, expected, None, computed);
                return true;
            }
        }
        self.resume(expected)
    }

    /// Looks for the next record that follows the hash in front of it.
    fn resume(&mut self, expected: u64) -> bool {
        let bytes = self.extent.bytes;
        let most = (bytes.len() / FRAME_LEN) as u64;
        for offset in self.at.offset + 1..bytes.len().saturating_sub(FRAME_LEN) {
            // A cheap look first: hashing at every byte would take for ever.
            let number = bytes.get(offset + 5..offset + FRAME_HEAD_LEN);
            let number = number.and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
            if !number.is_some_and(|number| number > expected && number - expected <= most) {
                continue;
            }
            let Some(frame) = Frame::at(bytes, offset) else { continue };
            let before = &bytes[..offset];
            let Some(head) = before.last_chunk::<HASH_LEN>().filter(|head| frame.follows(head))
            else {
                continue;
            };
            self.find(What::Changed, expected, frame.sequence - 1);
            self.at = Place { offset, head: *head, sequence: frame.sequence - 1 };
            return true;
        }
        self.find(What::Tail, expected, expected);
        false
    }
}
