//! Words for the person at the terminal; logs go through `tracing`, not here.
//!
//! Writing fails when nobody listens any more (a closed pipe). There is nobody left to tell then,
//! and no reason for a server to stop, so such failures are dropped.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

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
