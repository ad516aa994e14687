//! The envelopes in which Resource Manager and Graph tell errors.
//!
//! az prints `code` and `message` of both verbatim, so both are written for a person: what was
//! wrong, and what to do.

use std::borrow::Cow;

use serde::Serialize;

/// An error of Resource Manager: `{"error":{"code","message","target"?,"details"?}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArmError {
    code: Cow<'static, str>,
    message: String,
    target: Option<String>,
    details: Vec<Self>,
}

impl ArmError {
    /// An error with a code that programs compare and a message that people read.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), target: None, details: Vec::new() }
    }

    /// Names the property or resource that was wrong.
    #[must_use]
    pub fn with_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Adds one of several errors that this one sums up.
    #[must_use]
    pub fn with_detail(mut self, detail: Self) -> Self {
        self.details.push(detail);
        self
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The envelope, to be written as JSON.
    pub fn envelope(&self) -> impl Serialize + use<'_> {
        Envelope { error: Wire::of(self) }
    }
}

/// An error of Graph: `{"error":{"code","message"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    code: Cow<'static, str>,
    message: String,
}

impl GraphError {
    /// An error with a code that programs compare and a message that people read.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The envelope, to be written as JSON.
    pub fn envelope(&self) -> impl Serialize + use<'_> {
        let Self { code, message } = self;
        Envelope { error: Wire { code, message, target: None, details: Vec::new() } }
    }
}

#[derive(Serialize)]
struct Envelope<'e> {
    error: Wire<'e>,
}

#[derive(Serialize)]
struct Wire<'e> {
    code: &'e str,
    message: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'e str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<Self>,
}

impl<'e> Wire<'e> {
    fn of(error: &'e ArmError) -> Self {
        Self {
            code: &error.code,
            message: &error.message,
            target: error.target.as_deref(),
            details: error.details.iter().map(Self::of).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(envelope: impl Serialize, expected: &str) {
        assert_eq!(serde_json::to_string(&envelope).expect("it is plain data"), expected);
    }

    #[test]
    fn an_envelope_has_only_what_is_said() {
        let error = ArmError::new("Conflict", "it is there");
        check(error.envelope(), r#"{"error":{"code":"Conflict","message":"it is there"}}"#);
        let detailed = error.with_target("name").with_detail(ArmError::new("A", "b"));
        check(
            detailed.envelope(),
            r#"{"error":{"code":"Conflict","message":"it is there","target":"name","details":[{"code":"A","message":"b"}]}}"#,
        );
        let graph = GraphError::new("Request_ResourceNotFound", "no");
        check(graph.envelope(), r#"{"error":{"code":"Request_ResourceNotFound","message":"no"}}"#);
    }
}
