//! Which segments make up the chain: the newest one, what it continues, and so on to the oldest.
//!
//! A segment that could not be begun, or that the log went on without, is not on the chain; its
//! successor says so by naming another one as the segment that it continues.

use std::{collections::BTreeMap, io, path::Path};

use lockyard_base::NodeId;
use lockyard_blobs::Disk;

use crate::{
    files,
    format::{HEADER_LEN, Header},
    walk::{Extent, Place},
};

/// The segments of a log.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// The headers of the segments on the chain, from the oldest to the newest.
    pub(crate) headers: Vec<Header>,
    /// Segments with a good header that the chain passes by.
    pub(crate) passed: Vec<Header>,
    /// Segments without a good header.
    pub(crate) headless: Vec<u64>,
    /// The highest number there is; 0 if there is no segment.
    pub(crate) highest: u64,
}

impl Chain {
    /// Reads the headers of these segments and follows the chain.
    pub(crate) fn read(
        disk: &dyn Disk,
        directory: &Path,
        node: NodeId,
        segments: &[u64],
    ) -> io::Result<Self> {
        let mut chain = Self { highest: segments.last().copied().unwrap_or(0), ..Self::default() };
        let mut good = BTreeMap::new();
        for ordinal in segments {
            match header(disk, directory, *ordinal)? {
                Some(header) if header.ordinal == *ordinal && header.node == node => {
                    good.insert(*ordinal, header);
                }
                _ => chain.headless.push(*ordinal),
            }
        }
        let mut wanted = u64::MAX;
        while let Some((ordinal, header)) = good.range(..=wanted).next_back() {
            let ordinal = *ordinal;
            // A segment never continues a later one; whoever says so is passed by.
            wanted = header.previous.min(ordinal - 1);
            chain.headers.extend(good.remove(&ordinal));
        }
        chain.headers.reverse();
        chain.passed = good.into_values().collect();
        Ok(chain)
    }

    /// The segment after the `index`-th, if it continues that one.
    pub(crate) fn successor(&self, index: usize) -> Option<&Header> {
        let here = self.headers.get(index)?;
        self.headers.get(index + 1).filter(|next| next.previous == here.ordinal)
    }

    /// Where records of the `index`-th segment can be.
    pub(crate) fn extent<'b>(&self, index: usize, bytes: &'b [u8]) -> Extent<'b> {
        let ordinal = self.headers[index].ordinal;
        let Some(next) = self.successor(index) else {
            return Extent { ordinal, bytes, settled: false };
        };
        let end = usize::try_from(next.previous_end).unwrap_or(usize::MAX);
        Extent { ordinal, bytes: bytes.get(..end).unwrap_or(bytes), settled: true }
    }
}

/// Where the first record of a segment begins.
pub(crate) fn start(header: &Header) -> Place {
    Place { offset: HEADER_LEN, head: header.hash(), sequence: header.first.saturating_sub(1) }
}

/// Reads a segment's header; `None` if there is no whole one.
pub(crate) fn header(
    disk: &dyn Disk,
    directory: &Path,
    ordinal: u64,
) -> io::Result<Option<Header>> {
    let file = disk.open(&files::segment_path(directory, ordinal))?;
    let mut bytes = [0; HEADER_LEN];
    match file.read(&mut bytes, 0) {
        Ok(()) => Ok(Header::decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
