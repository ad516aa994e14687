//! Prints an error with all its causes, once, where it is handled.

use std::{error::Error, fmt};

/// Displays `error` followed by each of its sources, separated by `: `.
///
/// Errors of this project never repeat their source in their own `Display`, so the line reads
/// without doubles.
pub fn chain<'e>(error: &'e (dyn Error + 'e)) -> Chain<'e> {
    Chain(error)
}

/// The `Display` of an error and its causes; made by [`chain`].
#[derive(Debug)]
pub struct Chain<'e>(&'e (dyn Error + 'e));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
