//! Using a key: encrypt, decrypt, wrap, unwrap, sign, verify.

use http::StatusCode;
use lockyard_arm::{Body, BodyError};
use lockyard_audit::Operation;
use lockyard_keyring::{KeyName, KeyVersionName};
use lockyard_vault::{
    DataPlane, EncryptionAlgorithm, KeyOperation, Output, SignatureAlgorithm, VaultError,
};
use serde_json::json as value;
use zeroize::Zeroizing;

use super::{
    Answer, Asked, json,
    record::Deed,
    told::{bytes, encoded},
};

/// What a key is used for, and on what.
pub(super) enum Use {
    Encrypt(EncryptionAlgorithm, Bytes),
    Decrypt(EncryptionAlgorithm, Bytes),
    WrapKey(EncryptionAlgorithm, Bytes),
    UnwrapKey(EncryptionAlgorithm, Bytes),
    Sign(SignatureAlgorithm, Bytes),
    /// A digest, and what should be a signature of it.
    Verify(SignatureAlgorithm, Bytes, Bytes),
}

type Bytes = Zeroizing<Vec<u8>>;

/// `POST /keys/{name}/{version?}/{operation}`.
pub(super) async fn answer(
    asked: &Asked<'_>,
    wanted: Use,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Answer {
    let deed = Deed::read(wanted.operation(), asked.id(&name, version.as_ref()));
    let work = move |plane: &DataPlane<'_>| wanted.on(plane, &name, version.as_ref());
    let Output { id, value } = asked.act(deed, work).await?;
    let shown = match value {
        Made::Bytes(made) => value!({ "kid": asked.urls.version(&id), "value": encoded(&made) }),
        Made::Verdict(right) => value!({ "value": right }),
    };
    Ok(json(StatusCode::OK, &shown))
}

/// What a use makes.
enum Made {
    Bytes(Bytes),
    Verdict(bool),
}

impl Use {
    /// What the trail calls it.
    fn operation(&self) -> Operation {
        match self {
            Self::Encrypt(..) => Operation::KEY_ENCRYPT,
            Self::Decrypt(..) => Operation::KEY_DECRYPT,
            Self::WrapKey(..) => Operation::KEY_WRAP,
            Self::UnwrapKey(..) => Operation::KEY_UNWRAP,
            Self::Sign(..) => Operation::KEY_SIGN,
            Self::Verify(..) => Operation::KEY_VERIFY,
        }
    }

    /// Does it with a key, or with a version of it.
    fn on(
        &self,
        plane: &DataPlane<'_>,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Result<Output<Made>, VaultError> {
        match self {
            Self::Encrypt(by, plain) => plane.encrypt(name, version, *by, plain).map(public),
            Self::WrapKey(by, key) => plane.wrap_key(name, version, *by, key).map(public),
            Self::Sign(by, digest) => plane.sign(name, version, *by, digest).map(public),
            Self::Decrypt(by, sealed) => plane.decrypt(name, version, *by, sealed).map(secret),
            Self::UnwrapKey(by, sealed) => plane.unwrap_key(name, version, *by, sealed).map(secret),
            Self::Verify(by, digest, signature) => {
                let Output { id, value } = plane.verify(name, version, *by, digest, signature)?;
                Ok(Output { id, value: Made::Verdict(value) })
            }
        }
    }
}

fn public(Output { id, value }: Output<Vec<u8>>) -> Output<Made> {
    secret(Output { id, value: Zeroizing::new(value) })
}

fn secret(Output { id, value }: Output<Bytes>) -> Output<Made> {
    Output { id, value: Made::Bytes(value) }
}

/// What a body gives for an operation.
pub(super) fn to_use(operation: KeyOperation, body: &Body<'_>) -> Result<Use, BodyError> {
    Ok(match operation {
        KeyOperation::Encrypt => Use::Encrypt(encryption(body)?, bytes(body, "value")?),
        KeyOperation::Decrypt => Use::Decrypt(encryption(body)?, bytes(body, "value")?),
        KeyOperation::WrapKey => Use::WrapKey(encryption(body)?, bytes(body, "value")?),
        KeyOperation::UnwrapKey => Use::UnwrapKey(encryption(body)?, bytes(body, "value")?),
        KeyOperation::Sign => Use::Sign(signature(body)?, bytes(body, "value")?),
        KeyOperation::Verify => {
            Use::Verify(signature(body)?, bytes(body, "digest")?, bytes(body, "value")?)
        }
    })
}

fn encryption(body: &Body<'_>) -> Result<EncryptionAlgorithm, BodyError> {
    let refused = |_| body.refuse("alg", "must be RSA-OAEP-256, RSA-OAEP or RSA1_5");
    body.required("alg")?.parse().map_err(refused)
}

fn signature(body: &Body<'_>) -> Result<SignatureAlgorithm, BodyError> {
    let refused = |_| body.refuse("alg", "is no signature algorithm that this vault has");
    body.required("alg")?.parse().map_err(refused)
}
