//! The JSON bodies that callers send: read word by word, property names in any case.
//!
//! Deriving the reading would take names in one case only, and clients do not keep to one
//! (BEHAVIOUR 2.1). What is not read is ignored, as callers are newer than we are; what is read and
//! wrong is refused with its name.

use serde_json::{Map, Value};
use thiserror::Error;

/// A body, or a property of it, is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}{message}", Quoted(.path))]
pub struct BodyError {
    path: String,
    message: String,
}

impl BodyError {
    /// The property's path, `properties.roleName`; empty for the body itself.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// A path in front of what is said of it.
struct Quoted<'p>(&'p str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}` ", self.0) }
    }
}

/// An object of a body, and where it stands.
#[derive(Clone, Debug)]
pub struct Body<'b> {
    fields: Option<&'b Map<String, Value>>,
    path: String,
}

impl<'b> Body<'b> {
    /// The body itself, which must be an object.
    pub fn of(value: &'b Value) -> Result<Self, BodyError> {
        match value {
            Value::Object(fields) => Ok(Self { fields: Some(fields), path: String::new() }),
            _ => Err(refused("", "the body is not a JSON object")),
        }
    }

    /// An object inside; one that is absent or null has no properties.
    pub fn object(&self, name: &str) -> Result<Self, BodyError> {
        let path = self.place(name);
        match self.get(name) {
            None => Ok(Self { fields: None, path }),
            Some(Value::Object(fields)) => Ok(Self { fields: Some(fields), path }),
            Some(_) => Err(refused(&path, "must be an object")),
        }
    }

    /// A text; `None` if it is absent or null.
    pub fn text(&self, name: &str) -> Result<Option<&'b str>, BodyError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refused(&self.place(name), "must be a string")),
        }
    }

    /// A text that must be there.
    pub fn required(&self, name: &str) -> Result<&'b str, BodyError> {
        self.text(name)?.ok_or_else(|| refused(&self.place(name), "is required"))
    }

    /// A truth value; `None` if it is absent or null.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, BodyError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(refused(&self.place(name), "must be true or false")),
        }
    }

    /// A whole number; `None` if it is absent or null.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, BodyError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| refused(&self.place(name), "must be a whole number")),
        }
    }

    /// A list; `None` if it is absent or null.
    pub fn list(&self, name: &str) -> Result<Option<&'b [Value]>, BodyError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(refused(&self.place(name), "must be a list")),
        }
    }

    /// A list of texts; empty if it is absent or null.
    pub fn texts(&self, name: &str) -> Result<Vec<&'b str>, BodyError> {
        let text = |value: &'b Value| {
            value.as_str().ok_or_else(|| refused(&self.place(name), "must be a list of strings"))
        };
        self.list(name)?.unwrap_or_default().iter().map(text).collect()
    }

    /// A list of objects; empty if it is absent or null.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, BodyError> {
        let object = |value: &'b Value| match value {
            Value::Object(fields) => Ok(Self { fields: Some(fields), path: self.place(name) }),
            _ => Err(refused(&self.place(name), "must be a list of objects")),
        };
        self.list(name)?.unwrap_or_default().iter().map(object).collect()
    }

    /// The names and values of all properties.
    pub fn entries(&self) -> impl Iterator<Item = (&'b String, &'b Value)> {
        self.fields.into_iter().flatten()
    }

    /// Whether the object is there.
    pub fn is_there(&self) -> bool {
        self.fields.is_some()
    }

    /// Refuses a property of this object.
    pub fn refuse(&self, name: &str, message: &str) -> BodyError {
        refused(&self.place(name), message)
    }

    /// Refuses properties that say something and are none of `names`.
    ///
    /// For what nobody may believe to have been heeded. What says nothing (null, false, an empty
    /// text, list or object) is let through: newer clients send their defaults.
    pub fn refuse_others(&self, names: &[&str]) -> Result<(), BodyError> {
        let says_nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(true) | Value::Number(_) => false,
        };
        let known = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
        match self.entries().find(|(name, value)| !known(name) && !says_nothing(value)) {
            None => Ok(()),
            Some((name, _)) => Err(self.refuse(name, "has no meaning here, leave it out")),
        }
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

fn refused(path: &str, message: &str) -> BodyError {
    BodyError { path: path.to_owned(), message: message.to_owned() }
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

    #[test]
    fn what_says_something_and_is_not_known_is_refused() {
        let value = json!({"Known": 1, "a": null, "b": false, "c": "", "d": [], "e": {}});
        let body = Body::of(&value).expect("an object");
        assert_eq!(body.refuse_others(&["known"]), Ok(()));
        assert!(body.refuse_others(&[]).is_err());
        for more in [json!(true), json!(0), json!("x"), json!([0]), json!({"x": null})] {
            let value = json!({"properties": {"more": more}});
            let body = Body::of(&value).expect("an object").object("properties").expect("one");
            let refused = body.refuse_others(&["known"]).expect_err("it says something");
            assert_eq!(refused.to_string(), "`properties.more` has no meaning here, leave it out");
        }
    }
}
