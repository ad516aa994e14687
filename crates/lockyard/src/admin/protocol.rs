//! What goes over the admin socket: one line of JSON as the question, one as the answer, then the
//! connection ends. Upkeep takes long and may have much to say: its answer comes in several lines,
//! with progress in between.
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
    /// Something about managed identities.
    Identity(IdentityRequest),
    /// Something that takes long.
    Upkeep(UpkeepRequest),
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
        /// The managed identity as which it asks for the key.
        identity: Option<String>,
    },
    /// Lists all registries.
    List,
    /// Shows one.
    Show {
        /// Its name.
        name: String,
    },
    /// Changes one.
    Update {
        /// The registry's name.
        name: String,
        /// Whether everybody may pull from it, without a login.
        anonymous_pull: bool,
    },
    /// Makes a registry act as another managed identity.
    AssignIdentity {
        /// The registry's name.
        name: String,
        /// The identity: a name, a client id, an object id, a resource id, or `[system]`.
        identity: String,
        /// Whether the identity is given the use of the key first.
        grant: bool,
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

/// What an operator asks about managed identities.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum IdentityRequest {
    /// Makes a user-assigned identity.
    Create {
        /// Its name.
        name: String,
        /// Its resource group.
        group: String,
    },
    /// Lists all managed identities.
    List,
    /// Lets an identity act again.
    Enable {
        /// The identity's client id.
        client: String,
    },
    /// Lets an identity act no more, until it is enabled.
    Disable {
        /// The identity's client id.
        client: String,
    },
    /// Deletes an identity with all its roles.
    Delete {
        /// The identity's client id.
        client: String,
    },
    /// Makes the secret header by which a program is an identity.
    Secret {
        /// The identity's client id.
        client: String,
    },
}

/// What an operator asks for that takes long and tells how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum UpkeepRequest {
    /// Reads everything that is stored and says what is wrong.
    Scrub {
        /// Bytes per second at most.
        rate: Option<u64>,
        /// Whether to go on where an unfinished scrub stopped.
        resume: bool,
        /// Whether the report is for programs.
        json: bool,
    },
    /// Takes away what nothing needs.
    Collect {
        /// Whether only to say what would go.
        dry_run: bool,
        /// Whether the report is for programs.
        json: bool,
    },
}

/// What upkeep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// All is well.
    #[default]
    Clean,
    /// Something is wrong with what is stored.
    Findings,
    /// It was stopped before its end, and found nothing before that.
    Unfinished,
}

/// What upkeep has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// For the operator's terminal, or for a program.
    pub(crate) lines: Vec<String>,
    /// In one word.
    pub(crate) verdict: Verdict,
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
    /// How far upkeep is; the answer is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<String>,
    /// Whether more lines follow with the next answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) more: bool,
    /// What upkeep came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<Verdict>,
}

impl Answer {
    pub(super) fn new(outcome: Outcome<Vec<String>>) -> Self {
        match outcome {
            Ok(lines) => Self { lines: Some(lines), ..Self::empty() },
            Err(failure) => {
                let (error, cure) = failure.into_parts();
                Self { error: Some(error), cure, ..Self::empty() }
            }
        }
    }

    /// How far upkeep is.
    pub(super) fn progress(text: String) -> Self {
        Self { progress: Some(text), ..Self::empty() }
    }

    /// The answers that carry what upkeep came to.
    pub(super) fn report(outcome: Outcome<Report>) -> Vec<Self> {
        let Report { lines, verdict } = match outcome {
            Ok(report) => report,
            Err(failure) => return vec![Self::new(Err(failure))],
        };
        let mut answers = Vec::new();
        let (mut chunk, mut length) = (Vec::new(), 0);
        for line in lines {
            // JSON needs six bytes for one at worst.
            let cost = 6 * line.len() + 8;
            if length + cost > LINE_BYTES_MAX / 2 && !chunk.is_empty() {
                let lines = Some(std::mem::take(&mut chunk));
                answers.push(Self { lines, more: true, ..Self::empty() });
                length = 0;
            }
            length += cost;
            chunk.push(line);
        }
        answers.push(Self { lines: Some(chunk), verdict: Some(verdict), ..Self::empty() });
        answers
    }

    fn empty() -> Self {
        Self {
            version: VERSION,
            lines: None,
            error: None,
            cure: None,
            progress: None,
            more: false,
            verdict: None,
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
    fn a_long_report_comes_in_answers_that_each_fit_a_line() {
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n}: \u{1}\"quoted\"")).collect();
        let report = Report { lines: lines.clone(), verdict: Verdict::Findings };
        let answers = Answer::report(Ok(report));
        assert!(answers.len() > 1);
        let (last, first) = answers.split_last().expect("at least one");
        assert!(first.iter().all(|answer| answer.more && answer.verdict.is_none()));
        assert_eq!((last.more, last.verdict), (false, Some(Verdict::Findings)));
        let mut read = Vec::new();
        for answer in answers {
            let line = serde_json::to_string(&answer).expect("JSON");
            assert!(line.len() < LINE_BYTES_MAX);
            let answer: Answer = serde_json::from_str(&line).expect("its own text");
            read.extend(answer.into_outcome().expect("lines"));
        }
        assert_eq!(read, lines);
        let empty = Report { lines: Vec::new(), verdict: Verdict::Clean };
        assert_eq!(Answer::report(Ok(empty)).len(), 1);
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
