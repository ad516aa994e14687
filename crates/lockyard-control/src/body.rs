//! The JSON bodies that callers send: read word by word, property names in any case.
//!
//! Deriving the reading would take names in one case only, and clients do not keep to one
//! (BEHAVIOUR 2.1). What is not read is ignored, as callers are newer than we are; what is read and
//! wrong is refused with its name.

use lockyard_arm::ArmError;
use serde_json::{Map, Value};

use crate::ControlError;

/// An object of a body, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Body<'b> {
    fields: Option<&'b Map<String, Value>>,
    path: String,
}

impl<'b> Body<'b> {
    /// The body itself, which must be an object.
    pub(crate) fn of(value: &'b Value) -> Result<Self, ControlError> {
        match value {
            Value::Object(fields) => Ok(Self { fields: Some(fields), path: String::new() }),
            _ => Err(refused("", "the body is not a JSON object")),
        }
    }

    /// An object inside; one that is absent or null has no properties.
    pub(crate) fn object(&self, name: &str) -> Result<Self, ControlError> {
        let path = self.place(name);
        match self.get(name) {
            None => Ok(Self { fields: None, path }),
            Some(Value::Object(fields)) => Ok(Self { fields: Some(fields), path }),
            Some(_) => Err(refused(&path, "must be an object")),
        }
    }

    /// A text; `None` if it is absent or null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'b str>, ControlError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refused(&self.place(name), "must be a string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&'b str, ControlError> {
        self.text(name)?.ok_or_else(|| refused(&self.place(name), "is required"))
    }

    /// A list; `None` if it is absent or null.
    pub(crate) fn list(&self, name: &str) -> Result<Option<&'b [Value]>, ControlError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(refused(&self.place(name), "must be a list")),
        }
    }

    /// A list of texts; empty if it is absent or null.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&'b str>, ControlError> {
        let text = |value: &'b Value| {
            value.as_str().ok_or_else(|| refused(&self.place(name), "must be a list of strings"))
        };
        self.list(name)?.unwrap_or_default().iter().map(text).collect()
    }

    /// A list of objects; empty if it is absent or null.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, ControlError> {
        let object = |value: &'b Value| match value {
            Value::Object(fields) => Ok(Self { fields: Some(fields), path: self.place(name) }),
            _ => Err(refused(&self.place(name), "must be a list of objects")),
        };
        self.list(name)?.unwrap_or_default().iter().map(object).collect()
    }

    /// The names and values of all properties.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'b String, &'b Value)> {
        self.fields.into_iter().flatten()
    }

    /// Whether the object is there.
    pub(crate) fn is_there(&self) -> bool {
        self.fields.is_some()
    }

    /// Refuses a property of this object.
    pub(crate) fn refuse(&self, name: &str, message: &str) -> ControlError {
        refused(&self.place(name), message)
    }

    fn get(&self, name: &str) -> Option<&'b Value> {
        let fields = self.fields?;
        let found = fields.get(name).or_else(|| {
            fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, v)| v)
        });
        found.filter(|value| !value.is_null())
    }

    fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

fn refused(place: &str, message: &str) -> ControlError {
    let text = if place.is_empty() { message.to_owned() } else { format!("`{place}` {message}") };
    let error = ArmError::new("InvalidRequestContent", text);
    ControlError::Invalid(if place.is_empty() { error } else { error.with_target(place) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_found_in_any_case_and_refused_by_name() {
        let value = json!({"Properties": {"roleDefinitionID": "x", "n": null, "list": [1]}});
        let body = Body::of(&value).expect("an object");
        let properties = body.object("properties").expect("an object");
        assert_eq!(properties.required("roleDefinitionId").expect("it is there"), "x");
        assert_eq!(properties.text("n").expect("null is absent"), None);
        let error = properties.texts("list").expect_err("a number is no string");
        assert_eq!(error.to_string(), "`properties.list` must be a list of strings");
        assert_eq!(
            properties.required("absent").expect_err("absent").to_string(),
            "`properties.absent` is required"
        );
        assert!(body.object("other").expect("absent is empty").text("a").is_ok());
        assert!(Body::of(&json!([])).is_err());
    }
}
