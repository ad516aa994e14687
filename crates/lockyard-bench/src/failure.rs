//! Why a measurement could not be made: one sentence, since only a person reads it.
//!
//! A tool that stops at the first trouble needs no kinds to branch on.

use std::fmt::Display;

use thiserror::Error;

/// Why the bench stopped.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

/// What comes of a step.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with its sentence.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// Says what was being done when something failed.
pub(crate) trait During<T> {
    /// Puts `what` in front of the error.
    fn during(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {error}")))
    }
}
