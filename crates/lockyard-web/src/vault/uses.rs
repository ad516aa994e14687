//! Using a key: encrypt, decrypt, wrap, unwrap, sign, verify.

use http::StatusCode;
use lockyard_arm::{Body, BodyError};
use lockyard_audit::Operation;
use lockyard_keyring::{KeyName, KeyVersionName};
use lockyard_vault::{EncryptionAlgorithm, KeyOperation, Output, SignatureAlgorithm};
use serde_json::{Value, json as value};
use zeroize::Zeroizing;

use super::{
    Answer, Asked, json,
    record::Deed,
    told::{bytes, encoded},
};

/// `POST /keys/{name}/{version?}/{operation}`.
pub(super) async fn answer(
    asked: &Asked<'_>,
    operation: KeyOperation,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Answer {
    let shown = match operation {
        KeyOperation::Encrypt | KeyOperation::WrapKey => {
            closed(asked, operation, name, version).await?
        }
        KeyOperation::Decrypt | KeyOperation::UnwrapKey => {
            opened(asked, operation, name, version).await?
        }
        KeyOperation::Sign => signed(asked, name, version).await?,
        KeyOperation::Verify => verified(asked, name, version).await?,
    };
    Ok(json(StatusCode::OK, &shown))
}

type Shown = Result<Value, super::VaultFailure>;

async fn closed(
    asked: &Asked<'_>,
    operation: KeyOperation,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Shown {
    let (algorithm, plain) = to_encrypt(&asked.body.body()?)?;
    let deed = asked.using(operation, &name, version.as_ref());
    let work = move |plane: &lockyard_vault::DataPlane<'_>| match operation {
        KeyOperation::Encrypt => plane.encrypt(&name, version.as_ref(), algorithm, &plain),
        _ => plane.wrap_key(&name, version.as_ref(), algorithm, &plain),
    };
    let Output { id, value } = asked.act(deed, work).await?;
    Ok(value!({ "kid": asked.urls.version(&id), "value": encoded(&value) }))
}

async fn opened(
    asked: &Asked<'_>,
    operation: KeyOperation,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Shown {
    let (algorithm, sealed) = to_encrypt(&asked.body.body()?)?;
    let deed = asked.using(operation, &name, version.as_ref());
    let work = move |plane: &lockyard_vault::DataPlane<'_>| match operation {
        KeyOperation::Decrypt => plane.decrypt(&name, version.as_ref(), algorithm, &sealed),
        _ => plane.unwrap_key(&name, version.as_ref(), algorithm, &sealed),
    };
    let Output { id, value } = asked.act(deed, work).await?;
    Ok(value!({ "kid": asked.urls.version(&id), "value": encoded(&value) }))
}

async fn signed(asked: &Asked<'_>, name: KeyName, version: Option<KeyVersionName>) -> Shown {
    let (algorithm, digest) = to_sign(&asked.body.body()?)?;
    let deed = asked.using(KeyOperation::Sign, &name, version.as_ref());
    let done =
        asked.act(deed, move |plane| plane.sign(&name, version.as_ref(), algorithm, &digest));
    let Output { id, value } = done.await?;
    Ok(value!({ "kid": asked.urls.version(&id), "value": encoded(&value) }))
}

async fn verified(asked: &Asked<'_>, name: KeyName, version: Option<KeyVersionName>) -> Shown {
    let (algorithm, digest, signature) = to_verify(&asked.body.body()?)?;
    let deed = asked.using(KeyOperation::Verify, &name, version.as_ref());
    let work = move |plane: &lockyard_vault::DataPlane<'_>| {
        plane.verify(&name, version.as_ref(), algorithm, &digest, &signature)
    };
    let Output { value, .. } = asked.act(deed, work).await?;
    Ok(value!({ "value": value }))
}

impl Asked<'_> {
    fn using(
        &self,
        operation: KeyOperation,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Deed {
        let operation = match operation {
            KeyOperation::Encrypt => Operation::KEY_ENCRYPT,
            KeyOperation::Decrypt => Operation::KEY_DECRYPT,
            KeyOperation::WrapKey => Operation::KEY_WRAP,
            KeyOperation::UnwrapKey => Operation::KEY_UNWRAP,
            KeyOperation::Sign => Operation::KEY_SIGN,
            KeyOperation::Verify => Operation::KEY_VERIFY,
        };
        Deed::read(operation, self.id(name, version))
    }
}

type Bytes = Zeroizing<Vec<u8>>;

/// What a body gives to encrypt or wrap, or to decrypt or unwrap.
pub(super) fn to_encrypt(body: &Body<'_>) -> Result<(EncryptionAlgorithm, Bytes), BodyError> {
    Ok((encryption(body)?, bytes(body, "value")?))
}

/// The digest that a body gives to sign.
pub(super) fn to_sign(body: &Body<'_>) -> Result<(SignatureAlgorithm, Bytes), BodyError> {
    Ok((signature(body)?, bytes(body, "value")?))
}

/// The digest and the signature that a body gives to verify.
pub(super) fn to_verify(body: &Body<'_>) -> Result<(SignatureAlgorithm, Bytes, Bytes), BodyError> {
    Ok((signature(body)?, bytes(body, "digest")?, bytes(body, "value")?))
}

fn encryption(body: &Body<'_>) -> Result<EncryptionAlgorithm, BodyError> {
    let refused = |_| body.refuse("alg", "must be RSA-OAEP-256, RSA-OAEP or RSA1_5");
    body.required("alg")?.parse().map_err(refused)
}

fn signature(body: &Body<'_>) -> Result<SignatureAlgorithm, BodyError> {
    let refused = |_| body.refuse("alg", "is no signature algorithm that this vault has");
    body.required("alg")?.parse().map_err(refused)
}
