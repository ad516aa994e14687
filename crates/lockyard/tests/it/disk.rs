//! A disk that is small enough to be full.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::outside::{good, program};

/// A small file system in memory, mounted by root; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(folder: PathBuf, megabytes: u32) -> Self {
        let options = format!("size={megabytes}m,mode=0700");
        good(program("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder));
        Self(folder)
    }

    pub(crate) fn resize(&self, megabytes: u32) {
        let options = format!("remount,size={megabytes}m");
        good(program("mount").args(["-o", &options]).arg(&self.0));
    }

    /// Fills the disk to its last byte.
    pub(crate) fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let of = format!("of={}", file.display());
        drop(program("dd").args(["if=/dev/zero", &of, "bs=4096"]).output());
        file
    }

    /// Fills the disk but for its last bytes.
    pub(crate) fn fill_but(&self, bytes: u64) -> PathBuf {
        let file = self.fill();
        let open = fs::File::options().write(true).open(&file).expect("it was just written");
        let filled = open.metadata().expect("it is there").len();
        open.set_len(filled.saturating_sub(bytes)).expect("it can be cut");
        file
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}
