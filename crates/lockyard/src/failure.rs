//! How the program ends when it cannot do what it was asked: one sentence for a person.
//!
//! Every error of the composition root ends here. It says what, why (the chain of causes) and,
//! where there is one, what to do. It never shows a backtrace and never a secret, because no error
//! type of this project holds one.

use std::{
    error::Error,
    fmt, io,
    process::{ExitCode, Termination},
};

use lockyard_base::chain;
use lockyard_registry::RegistryError;
use lockyard_store::StoreError;
use lockyard_vault::DatabaseError;

/// A reason to end the process, told on standard error.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cure: Option<String>,
    usage: bool,
}

/// What commands end in.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Something went wrong that nobody typed.
    pub(crate) fn new(error: &(dyn Error + 'static)) -> Self {
        let cure = is_full(error).then(|| {
            "nothing is lost: free some space on that disk and run the command again".to_owned()
        });
        Self { what: chain(error).to_string(), cure, usage: false }
    }

    /// A sentence of our own.
    pub(crate) fn text(what: impl Into<String>) -> Self {
        Self { what: what.into(), cure: None, usage: false }
    }

    /// The command line or the configuration file makes no sense.
    pub(crate) fn usage(error: &(dyn Error + 'static)) -> Self {
        Self { usage: true, ..Self::new(error) }
    }

    /// Adds what to do, unless something more urgent is already said.
    #[must_use]
    pub(crate) fn advise(mut self, cure: impl Into<String>) -> Self {
        self.cure.get_or_insert_with(|| cure.into());
        self
    }

    /// Says in front what was being done.
    #[must_use]
    pub(crate) fn context(mut self, doing: &str) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    /// The sentence without its cure, and the cure.
    pub(crate) fn into_parts(self) -> (String, Option<String>) {
        (self.what, self.cure)
    }

    /// Tells the person and gives the exit code: 2 for usage, 1 for everything else.
    pub(crate) fn report(self) -> ExitCode {
        let code = if self.usage { ExitCode::from(2) } else { ExitCode::from(1) };
        crate::say::complain(&self);
        code.report()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        match &self.cure {
            Some(cure) => write!(f, "\n  to do: {cure}"),
            None => Ok(()),
        }
    }
}

/// Whether the disk is full, wherever in the chain that is said.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut link = Some(error);
    while let Some(error) = link {
        let full_file = error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        let full_store = matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Full(_)));
        let full_registry =
            matches!(error.downcast_ref::<RegistryError>(), Some(RegistryError::Full));
        let full_vault = error.downcast_ref::<DatabaseError>().is_some_and(DatabaseError::is_full);
        if full_file || full_store || full_registry || full_vault {
            return true;
        }
        link = error.source();
    }
    false
}

/// Turns a room's error into a failure where nothing needs to be added.
pub(crate) trait OrFail<T> {
    /// Ends the command with the error's own sentence.
    fn or_fail(self) -> Outcome<T>;
}

impl<T, E: Error + 'static> OrFail<T> for Result<T, E> {
    fn or_fail(self) -> Outcome<T> {
        self.map_err(|error| Failure::new(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_before_any_other_cure() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let text = Failure::new(&full).advise("something else").to_string();
        assert!(text.contains("free some space"), "{text}");
        let other =
            Failure::new(&io::Error::from(io::ErrorKind::NotFound)).advise("look").to_string();
        assert!(other.ends_with("to do: look"), "{other}");
    }
}
