//! The log: structured lines on standard error.
//!
//! Only our own rooms log below the level of warnings, because what libraries say at finer levels
//! (hosts, paths, headers) may hold what a customer put in. Our own lines hold route templates and
//! row ids, never names.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, LogLevel};

/// Starts logging; a second call in the same process changes nothing.
pub(crate) fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let targets =
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("lockyard", level);
    let registry = tracing_subscriber::registry().with(targets);
    let started = match format {
        LogFormat::Human => registry
            .with(fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(io::stderr))
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
}
