//! What goes over the admin socket: one line of JSON each way, then the connection ends.
//!
//! The socket's mode is its access control: only the user that runs the server can connect.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Outcome};

/// The version of this protocol; both sides come from the same release or say so.
pub(super) const VERSION: u32 = 1;
/// The longest line in bytes, either way.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

/// What an operator asks for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Something about the embedded vault's keys.
    Key(KeyRequest),
    /// Something about registries.
    Registry(RegistryRequest),
}

/// What an operator asks the embedded vault for; keys are `vault/name` or `vault/name/version`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum KeyRequest {
    /// Lists keys and their versions.
    List {
        /// Of this vault alone.
        vault: Option<String>,
    },
    /// Makes a key, or a new version of one; makes the vault if it is not there.
    Create {
        /// The key.
        key: String,
        /// The modulus in bits.
        bits: usize,
    },
    /// Allows a key's use, or one version's.
    Enable {
        /// The key.
        key: String,
    },
    /// Forbids a key's use, or one version's.
    Disable {
        /// The key.
        key: String,
    },
}

/// What an operator asks about registries.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum RegistryRequest {
    /// Makes a registry.
    Create {
        /// Its name.
        name: String,
        /// Its customer key, `vault/name` for the newest version.
        key: Option<String>,
    },
    /// Lists all registries.
    List,
    /// Shows one.
    Show {
        /// Its name.
        name: String,
    },
    /// Writes the parts of a blob with their keys.
    ExportPart {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// The blob's digest.
        digest: String,
        /// The directory, absolute.
        out: PathBuf,
    },
}

/// A request as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) version: u32,
    pub(super) request: Request,
}

/// An answer as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) version: u32,
    pub(super) lines: Option<Vec<String>>,
    pub(super) error: Option<String>,
    pub(super) cure: Option<String>,
}

impl Answer {
    pub(super) fn new(outcome: Outcome<Vec<String>>) -> Self {
        match outcome {
            Ok(lines) => Self { version: VERSION, lines: Some(lines), error: None, cure: None },
            Err(failure) => {
                let (error, cure) = failure.into_parts();
                Self { version: VERSION, lines: None, error: Some(error), cure }
            }
        }
    }

    pub(super) fn into_outcome(self) -> Outcome<Vec<String>> {
        if let Some(lines) = self.lines {
            return Ok(lines);
        }
        let failure = Failure::text(self.error.unwrap_or_else(|| "no reason given".to_owned()));
        Err(match self.cure {
            Some(cure) => failure.advise(cure),
            None => failure,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_stays_as_it_is() {
        let request = Request::Key(KeyRequest::Disable { key: "lockyard/registry".to_owned() });
        let line = serde_json::to_string(&Question { version: VERSION, request }).expect("JSON");
        let expected = r#"{"version":1,"request":{"key":{"disable":{"key":"lockyard/registry"}}}}"#;
        assert_eq!(line, expected);
        let stranger = r#"{"version":1,"request":{"key":{"destroy":{"key":"a/b"}}}}"#;
        assert!(serde_json::from_str::<Question>(stranger).is_err());
    }

    #[test]
    fn a_failure_keeps_its_cure_on_the_way() {
        let failure = Failure::text("no").advise("try again");
        let line = serde_json::to_string(&Answer::new(Err(failure))).expect("JSON");
        let answer: Answer = serde_json::from_str(&line).expect("its own text");
        let (what, cure) = answer.into_outcome().expect_err("a failure").into_parts();
        assert_eq!((what.as_str(), cure.as_deref()), ("no", Some("try again")));
    }
}
