//! How a log behaves, and its limits.

use std::{path::PathBuf, time::Duration};

/// No segment is longer, whatever is set, in bytes: a reader takes one into memory.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// No segment is shorter: a batch and the reserve have to fit.
pub const SEGMENT_BYTES_MIN: u64 = 512 << 10;
/// Events that share one write to the disk at most.
pub const BATCH_EVENTS_MAX: usize = 256;
/// A batch that has so many bytes takes no more events.
pub(crate) const BATCH_BYTES_FULL: usize = 128 << 10;
/// What a write that was cut off can leave behind at most: a batch, its last event and what the log
/// itself adds.
pub(crate) const TORN_BYTES_MAX: usize = BATCH_BYTES_FULL + 3 * crate::format::BODY_BYTES_MAX;
/// Events that wait for the disk at most; those beyond wait for a place.
pub const QUEUE_MAX: usize = 4096;

/// How a log behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When a segment is this long, in bytes, another is begun; from 512 KiB to 64 MiB.
    pub segment_bytes: u64,
    /// By how much a segment grows at a time, in bytes: room that later writes find allocated.
    pub extent_bytes: u64,
    /// Room that is kept allocated for recording that nothing more can be recorded, in bytes.
    pub reserve_bytes: u64,
    /// A checkpoint is signed after so many records.
    pub checkpoint_records: u64,
    /// A checkpoint is signed after this time, if anything was recorded.
    pub checkpoint_after: Duration,
    /// How long failures that need no key are counted before the count is recorded.
    pub window: Duration,
    /// How long a segment is kept after the next was begun; `None` keeps all.
    pub keep: Option<Duration>,
    /// What becomes of an operation that can't be recorded.
    pub unwritable: Unwritable,
    /// A file to which every event is written as a line of JSON, in clear.
    pub json_lines: Option<PathBuf>,
}

/// What becomes of an operation that can't be recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unwritable {
    /// It is refused.
    #[default]
    Refuse,
    /// It is done all the same; the log tells later how many it missed.
    Allow,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            extent_bytes: 256 << 10,
            reserve_bytes: 128 << 10,
            checkpoint_records: 1000,
            checkpoint_after: Duration::from_secs(60),
            window: Duration::from_secs(60),
            keep: Some(Duration::from_secs(400 * 24 * 60 * 60)),
            unwritable: Unwritable::Refuse,
            json_lines: None,
        }
    }
}

impl Settings {
    /// The settings with every number within its limits.
    pub(crate) fn within_limits(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        self.extent_bytes = self.extent_bytes.clamp(4 << 10, self.segment_bytes / 4);
        self.reserve_bytes = self.reserve_bytes.clamp(4 << 10, self.segment_bytes / 4);
        self.checkpoint_records = self.checkpoint_records.max(1);
        self
    }
}
