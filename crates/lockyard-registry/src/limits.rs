//! The registry's limits, each with its reason. Tests may set smaller ones.

use std::time::Duration;

/// How much of everything a registry takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest blob, in bytes of plaintext: 200 GiB, what the imitated service takes for a layer.
    pub blob_bytes_max: u64,
    /// Parts of one upload session: each non-empty PATCH is one.
    pub parts_per_upload_max: usize,
    /// Upload sessions that may be open at once in one registry.
    pub uploads_max: u64,
    /// Tags that one manifest PUT may set.
    pub tags_per_put_max: usize,
    /// An upload session that nobody touches for this long is dropped.
    pub upload_idle_max: Duration,
    /// A part that is being written must be renewed within this time.
    pub writing_lease: Duration,
    /// A blob's first part of at most so many bytes lies in its row: below this, a file and its syncs
    /// cost more than everything else. At most [`SHORT_BYTES_MAX`](lockyard_blobs::SHORT_BYTES_MAX).
    pub row_part_bytes_max: usize,
    /// Parts that are announced ahead of need at once, at most.
    pub parts_ahead_max: usize,
    /// What a client was told is there stays for this long, whatever a collection thinks of it.
    pub grace: Duration,
    /// Bytes of a dead part stay for readers that opened it before.
    pub read_grace: Duration,
    /// A blob with fewer parts than this is never compacted.
    pub compact_parts_min: u64,
    /// A blob whose parts have this many bytes each, on average, is not compacted.
    pub compact_part_bytes: u64,
    /// Descriptors on one page of referrers.
    pub referrers_page_max: usize,
    /// Plaintext bytes of names that one registry's listings may keep in memory.
    pub listing_bytes_max: usize,
    /// Bytes of opened rows and manifests that one registry may keep in memory.
    pub opened_bytes_max: usize,
    /// Plaintext that all pulls together may hold in buffers.
    pub read_buffer_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob_bytes_max: 200 << 30,
            parts_per_upload_max: 10_000,
            uploads_max: 10_000,
            tags_per_put_max: 10,
            upload_idle_max: Duration::from_secs(24 * 60 * 60),
            writing_lease: Duration::from_secs(60 * 60),
            row_part_bytes_max: 16 << 10,
            parts_ahead_max: 64,
            grace: Duration::from_secs(60 * 60),
            read_grace: Duration::from_secs(10 * 60),
            compact_parts_min: 16,
            compact_part_bytes: 4 << 20,
            referrers_page_max: 100,
            listing_bytes_max: 256 << 20,
            opened_bytes_max: 24 << 20,
            read_buffer_bytes_max: 256 << 20,
        }
    }
}
