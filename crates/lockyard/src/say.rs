//! Words for the person at the terminal; logs go through `tracing`, not here.
//!
//! Writing fails when nobody listens any more (a closed pipe). There is nobody left to tell then,
//! and no reason for a server to stop, so such failures are dropped.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
};

/// Where nobody watches, only every so many reports of progress are written.
const PROGRESS_EVERY: u32 = 10;

/// Writes one line to standard output.
pub(crate) fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Writes one line that asks for attention to standard output.
pub(crate) fn warn(line: impl Display) {
    say(format_args!("warning: {line}"));
}

/// Writes why the program ends to standard error.
pub(crate) fn complain(line: impl Display) {
    drop(writeln!(io::stderr().lock(), "lockyard: {line}"));
}

/// Shows how far something is on standard error: in place on a terminal, now and then in a file.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    shown: String,
    reports: u32,
}

impl Progress {
    /// Shows a report, which comes about once in a second.
    pub(crate) fn show(&mut self, text: &str) {
        self.reports += 1;
        if self.shown == text {
            return;
        }
        let mut out = io::stderr().lock();
        if out.is_terminal() {
            drop(write!(out, "\r{text}\x1b[K").and_then(|()| out.flush()));
        } else if self.reports % PROGRESS_EVERY == 1 {
            drop(writeln!(out, "{text}"));
        } else {
            return;
        }
        text.clone_into(&mut self.shown);
    }

    /// Leaves the terminal's line as it was before.
    pub(crate) fn end(self) {
        let mut out = io::stderr().lock();
        if out.is_terminal() && !self.shown.is_empty() {
            drop(write!(out, "\r\x1b[K").and_then(|()| out.flush()));
        }
    }
}
