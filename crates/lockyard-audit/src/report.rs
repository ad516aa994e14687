//! What a verification has to say: findings, notices and figures.

use std::fmt;

use lockyard_base::NodeId;

use crate::keys::PublicKey;

/// Something about the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: What,
    /// The segment's number; 0 where no segment can be named.
    pub segment: u64,
    /// Where in the segment, in bytes.
    pub offset: u64,
    /// The first record that it is about; 0 where none can be named.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Records were changed.
    Changed,
    /// Records were taken away.
    Missing,
    /// A record stands where it does not belong: it was moved, or put here a second time.
    OutOfPlace,
    /// A record is whole and was not sealed here with the log's key: somebody else wrote it.
    Forged,
    /// A checkpoint in the log is not signed by the log's key, or does not say what is there.
    Checkpoint,
    /// A segment's header was changed, or does not continue the segment before.
    Header,
    /// Bytes behind the last record belong to none.
    Tail,
    /// The log went on without a segment that has records.
    SetAside,
    /// Something lies in the directory that is none of the log's files.
    Stranger,
    /// A trusted checkpoint covers records that are not there any more: the log was rolled back.
    RolledBack,
    /// A trusted checkpoint saw another record in this place: the log was written anew.
    Rewritten,
    /// A trusted checkpoint belongs to another log.
    AnotherLog,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, segment, offset, first, last } = self;
        let records = match last.saturating_sub(*first) {
            0 => format!("record {first}"),
            _ => format!("records {first} to {last}"),
        };
        let text = match what {
            What::Changed => format!("{records}: changed"),
            What::Missing => format!("{records}: missing"),
            What::OutOfPlace => format!("{records}: stands where it does not belong"),
            What::Forged => format!("{records}: not written with this log's key"),
            What::Checkpoint => format!("{records}: a checkpoint that is not true"),
            What::Header => format!("the header before record {first} is damaged"),
            What::Tail => format!("bytes behind record {} belong to no record", first - 1),
            What::SetAside => format!("the log went on without this segment, from {records}"),
            What::Stranger => "a file that is none of the log's".to_owned(),
            What::RolledBack => format!("{records}: taken back, a trusted checkpoint covers them"),
            What::Rewritten => format!("{records}: not the one that a trusted checkpoint saw"),
            What::AnotherLog => "a trusted checkpoint belongs to another log".to_owned(),
        };
        if *segment == 0 {
            write!(f, "{text}")
        } else {
            write!(f, "{text} (segment {segment}, byte {offset})")
        }
    }
}

/// Something that is in order, and that somebody may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A write was cut off by a crash; what it left behind is accounted for.
    Torn {
        /// The segment.
        segment: u64,
        /// The last record before it.
        after: u64,
        /// How many bytes it left.
        bytes: u64,
    },
    /// The log ends with bytes that belong to no record: a write under way, or one that a crash has
    /// just cut off.
    Unfinished {
        /// The segment.
        segment: u64,
        /// The last record before it.
        after: u64,
        /// How many bytes there are.
        bytes: u64,
    },
    /// A segment could not be written to any more; the log went on in another one.
    AfterFailure {
        /// The segment.
        segment: u64,
        /// Its last record.
        after: u64,
    },
    /// A segment was never begun in full: the disk was full, or a crash cut it off.
    NeverBegun {
        /// The segment.
        segment: u64,
    },
    /// A trusted checkpoint covers only records that are no longer kept.
    BeforeOldest {
        /// The record.
        sequence: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { segment, after, bytes } => write!(
                f,
                "a write was cut off after record {after} and left {bytes} bytes (segment {segment})"
            ),
            Self::Unfinished { segment, after, bytes } => write!(
                f,
                "{bytes} bytes behind record {after} are a write under way, or one that was cut \
                 off (segment {segment})"
            ),
            Self::AfterFailure { segment, after } => write!(
                f,
                "the disk refused a write after record {after}; the log went on in another \
                 segment (segment {segment})"
            ),
            Self::NeverBegun { segment } => {
                write!(f, "a segment was never begun (segment {segment})")
            }
            Self::BeforeOldest { sequence } => write!(
                f,
                "the trusted checkpoint at record {sequence} covers only what is no longer kept"
            ),
        }
    }
}

/// What a verification came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose log it is.
    pub node: NodeId,
    /// The key that its checkpoints are signed with, as the log itself says.
    pub public_key: PublicKey,
    /// The first record that is there; one more than `last` if there are none.
    pub first: u64,
    /// The last record that is there; 0 if there never was one.
    pub last: u64,
    /// How many events are among them.
    pub events: u64,
    /// How many signed checkpoints are among them.
    pub checkpoints: u64,
    /// How many segments there are.
    pub segments: u64,
    /// Whether every event was opened with the log's key; without it only the chain was checked.
    pub opened: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is in order and worth knowing.
    pub notices: Vec<Notice>,
}
