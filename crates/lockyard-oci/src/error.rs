//! The errors that a registry may tell its clients, as OCI Distribution 1.1 "Error Codes" has them.
//!
//! Clients branch on the code, so there are these fourteen and no others. Which HTTP status goes
//! with one depends on the request and is not decided here.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What went wrong, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The blob is not known to the repository.
    BlobUnknown,
    /// The upload cannot go on or be finished as asked.
    BlobUploadInvalid,
    /// There is no such upload.
    BlobUploadUnknown,
    /// The digest is not one, or not that of the content.
    DigestInvalid,
    /// The manifest refers to a manifest or blob that is not known.
    ManifestBlobUnknown,
    /// The manifest is not valid.
    ManifestInvalid,
    /// The manifest is not known to the repository.
    ManifestUnknown,
    /// The repository's name is not valid.
    NameInvalid,
    /// The repository is not known to the registry.
    NameUnknown,
    /// The length given is not the content's.
    SizeInvalid,
    /// Who asks must say who they are.
    Unauthorized,
    /// Who asks may not do this.
    Denied,
    /// The registry does not do this.
    Unsupported,
    /// Who asks does so too often.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
}

impl ErrorCode {
    /// Every code there is.
    pub const ALL: [Self; 14] = [
        Self::BlobUnknown,
        Self::BlobUploadInvalid,
        Self::BlobUploadUnknown,
        Self::DigestInvalid,
        Self::ManifestBlobUnknown,
        Self::ManifestInvalid,
        Self::ManifestUnknown,
        Self::NameInvalid,
        Self::NameUnknown,
        Self::SizeInvalid,
        Self::Unauthorized,
        Self::Denied,
        Self::Unsupported,
        Self::TooManyRequests,
    ];

    /// The code as it goes over the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong; never empty.
    pub errors: Vec<ErrorEntry>,
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// More about it, in no fixed form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
}

impl ErrorBody {
    /// A body with one error and no detail.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { errors: vec![ErrorEntry { code, message: message.into(), detail: None }] }
    }

    /// Adds detail to the last error.
    #[must_use]
    pub fn with_detail(mut self, detail: Value) -> Self {
        if let Some(last) = self.errors.last_mut() {
            last.detail = Some(detail);
        }
        self
    }

    /// The body as JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an error body holds only what JSON can")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_code_is_written_as_the_specification_has_it() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert_eq!(serde_json::from_value::<ErrorCode>(json!(code.as_str())).unwrap(), code);
        }
    }

    #[test]
    fn a_body_without_detail_has_no_such_field() {
        let body = ErrorBody::new(ErrorCode::Denied, "quota exceeded");
        let expected = r#"{"errors":[{"code":"DENIED","message":"quota exceeded"}]}"#;
        assert_eq!(String::from_utf8(body.to_json()).unwrap(), expected);
    }

    #[test]
    fn a_body_with_detail_comes_back_as_it_was() {
        let body = ErrorBody::new(ErrorCode::NameInvalid, "no").with_detail(json!({"at": 3}));
        assert_eq!(serde_json::from_slice::<ErrorBody>(&body.to_json()).unwrap(), body);
    }
}
