//! Events as lines of JSON in a file, for whatever collects logs.
//!
//! A convenience beside the log, never instead of it: the lines are in clear because the operator
//! asked for that, they are not synced, and a file that can't be written holds up nobody. What is
//! missing there is read out of the log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// The file.
#[derive(Debug)]
pub(crate) struct Sink {
    path: PathBuf,
    file: Option<File>,
    /// Whether the last write failed, so that it is told once.
    failing: bool,
}

impl Sink {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, failing: false }
    }

    /// Appends lines; a failure is logged, and the file is opened anew with the next lines.
    pub(crate) fn write(&mut self, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let mut text = lines.join("\n");
        text.push('\n');
        match self.append(&text) {
            Ok(()) => self.failing = false,
            Err(error) => {
                self.file = None;
                if !self.failing {
                    tracing::warn!(%error, "the audit events' JSON lines cannot be written");
                }
                self.failing = true;
            }
        }
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                none.insert(options.append(true).create(true).mode(0o600).open(&self.path)?)
            }
        };
        file.write_all(text.as_bytes())
    }
}
