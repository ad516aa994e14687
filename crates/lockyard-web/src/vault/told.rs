//! What the body of a request tells. A private key may be in it, so that it is wiped on drop.

use std::collections::BTreeMap;

use axum::body::Body as HttpBody;
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use lockyard_arm::{Body, BodyError};
use lockyard_base::Timestamp;
use lockyard_vault::{KeyOperation, KeyOperations, Tags, Validity};
use serde_json::{Map, Value};
use zeroize::{Zeroize as _, Zeroizing};

use super::failure::VaultFailure;
use crate::intake;

/// Base64 for URLs, written without padding and read with or without (RFC 7515, section 2).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The last second that an attribute can name: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;
const MICROS: i64 = 1_000_000;

/// The JSON of a body.
pub(super) struct Told(Value);

impl Told {
    /// A request without a body.
    pub(super) fn nothing() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Reads a body of at most `limit` bytes.
    pub(super) async fn read(body: HttpBody, limit: usize) -> Result<Self, VaultFailure> {
        let bytes = intake::bytes(body, limit).await?;
        let told = intake::parsed(&bytes).map(Self);
        // What arrived in one piece is nobody else's, and can be wiped too.
        if let Ok(mut bytes) = bytes.try_into_mut() {
            bytes.zeroize();
        }
        Ok(told?)
    }

    /// Reads a body that is here already.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, VaultFailure> {
        Ok(Self(intake::parsed(bytes)?))
    }

    /// The body's properties.
    pub(super) fn body(&self) -> Result<Body<'_>, BodyError> {
        Body::of(&self.0)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes bytes for a client.
pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Bytes that must be there.
pub(super) fn bytes(body: &Body<'_>, name: &str) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let text = body.required(name)?;
    BASE64
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| body.refuse(name, "must be base64 for URLs"))
}

/// Attributes that a body states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes {
    pub(super) enabled: Option<bool>,
    pub(super) validity: Validity,
}

/// The attributes of a key, and that nobody wants it to leave.
pub(super) fn attributes(body: &Body<'_>) -> Result<Attributes, BodyError> {
    let all = body.object("attributes")?;
    if all.flag("exportable")? == Some(true) {
        return Err(all.refuse("exportable", "cannot be true: keys never leave this vault"));
    }
    if body.object("release_policy")?.is_there() {
        return Err(body.refuse("release_policy", "has no use: keys never leave this vault"));
    }
    let time = |name: &str| match all.integer(name)? {
        None => Ok(None),
        Some(seconds) if (0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Some(Timestamp::from_micros(seconds * MICROS)))
        }
        Some(_) => Err(all.refuse(name, "must be a time in seconds since 1970")),
    };
    let validity = Validity { not_before: time("nbf")?, expires: time("exp")? };
    Ok(Attributes { enabled: all.flag("enabled")?, validity })
}

/// The operations that a key is to allow.
pub(super) fn operations(body: &Body<'_>) -> Result<Option<KeyOperations>, BodyError> {
    if body.list("key_ops")?.is_none() {
        return Ok(None);
    }
    let read = |word: &str| {
        word.parse::<KeyOperation>().map_err(|_| {
            let sentence = if ["import", "export"].iter().any(|w| word.eq_ignore_ascii_case(w)) {
                "cannot have `import` or `export`: keys neither wrap others on their way in nor \
                 leave"
            } else {
                "has a word that is no operation"
            };
            body.refuse("key_ops", sentence)
        })
    };
    body.texts("key_ops")?.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// The tags that a body states.
pub(super) fn tags(body: &Body<'_>) -> Result<Option<Tags>, BodyError> {
    let all = body.object("tags")?;
    if !all.is_there() {
        return Ok(None);
    }
    let mut tags = BTreeMap::new();
    for (name, value) in all.entries() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(body.refuse("tags", "must be texts"));
            }
        };
        let _before = tags.insert(name.clone(), value);
    }
    Tags::for_key(tags).map(Some).map_err(|sentence| body.refuse("tags", &format!("- {sentence}")))
}
