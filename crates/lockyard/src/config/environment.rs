//! The environment, read once at the start and nowhere else.

use std::path::PathBuf;

/// What we take from the environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// Where systemd puts the unit's credentials (`systemd.exec(5)`, `LoadCredential=`).
    pub(crate) credentials: Option<PathBuf>,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self { credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from) }
    }

    /// The file of the credential of this name, if systemd passed one.
    pub(crate) fn credential(&self, name: &str) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(name);
        path.is_file().then_some(path)
    }
}
