//! A key: make, take in, show, change, delete, rotate.

use http::StatusCode;
use lockyard_arm::{Body, BodyError};
use lockyard_audit::Operation;
use lockyard_keyring::{KeyName, KeyVersionName};
use lockyard_vault::{
    Curve, KeyBundle, KeyChange, KeySettings, KeyShape, PrivateJwk, RsaPrivateJwk, RsaSize,
};

use super::{
    Answer, Asked, json,
    record::Deed,
    render,
    told::{attributes, bytes, operations, tags},
};

/// The public exponent of every RSA key that is made here.
const EXPONENT: i64 = 65_537;

/// `POST /keys/{name}/create`.
pub(super) async fn create(
    asked: &Asked<'_>,
    name: KeyName,
    (shape, settings): (KeyShape, KeySettings),
) -> Answer {
    let deed = Deed::change(Operation::KEY_CREATE, asked.id(&name, None));
    let made = asked.act(deed, move |plane| plane.create_key(&name, shape, &settings)).await?;
    Ok(shown(asked, &made))
}

/// `PUT /keys/{name}`.
pub(super) async fn import(
    asked: &Asked<'_>,
    name: KeyName,
    (private, settings): (Box<PrivateJwk>, KeySettings),
) -> Answer {
    let deed = Deed::change(Operation::KEY_IMPORT, asked.id(&name, None));
    let made = asked.act(deed, move |plane| plane.import_key(&name, &private, &settings)).await?;
    Ok(shown(asked, &made))
}

/// `GET /keys/{name}/{version?}`.
pub(super) async fn show(
    asked: &Asked<'_>,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Answer {
    let deed = Deed::read(Operation::KEY_GET, asked.id(&name, version.as_ref()));
    let found = asked.act(deed, move |plane| plane.key(&name, version.as_ref())).await?;
    Ok(shown(asked, &found))
}

/// `PATCH /keys/{name}/{version?}`.
pub(super) async fn update(
    asked: &Asked<'_>,
    name: KeyName,
    version: Option<KeyVersionName>,
    change: KeyChange,
) -> Answer {
    let deed = Deed::change(Operation::KEY_UPDATE, asked.id(&name, version.as_ref()));
    let work = move |plane: &lockyard_vault::DataPlane<'_>| {
        plane.update_key(&name, version.as_ref(), &change)
    };
    Ok(shown(asked, &asked.act(deed, work).await?))
}

/// `DELETE /keys/{name}`.
pub(super) async fn delete(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::change(Operation::KEY_DELETE, asked.id(&name, None));
    let deleted = asked.act(deed, move |plane| plane.delete_key(&name)).await?;
    Ok(json(StatusCode::OK, &render::deleted(&asked.urls, &deleted)))
}

/// `POST /keys/{name}/rotate`.
pub(super) async fn rotate(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::change(Operation::KEY_ROTATE, asked.id(&name, None));
    let made = asked.act(deed, move |plane| plane.rotate_key(&name)).await?;
    Ok(shown(asked, &made))
}

/// A key version as an answer.
pub(super) fn shown(asked: &Asked<'_>, bundle: &KeyBundle) -> axum::response::Response {
    json(StatusCode::OK, &render::bundle(&asked.urls, bundle))
}

impl Asked<'_> {
    /// How the trail names a key of this vault, or a version of it.
    pub(super) fn id(&self, name: &KeyName, version: Option<&KeyVersionName>) -> String {
        match version {
            Some(version) => format!("{}/{name}/{version}", self.vault),
            None => format!("{}/{name}", self.vault),
        }
    }
}

/// What a body says of a key to make.
pub(super) fn to_create(body: &Body<'_>) -> Result<(KeyShape, KeySettings), BodyError> {
    let (shape, hsm) = wanted_shape(body)?;
    Ok((shape, settings(body, operations(body)?, hsm)?))
}

/// What a body says of a key to take in.
pub(super) fn to_import(body: &Body<'_>) -> Result<(PrivateJwk, KeySettings), BodyError> {
    let jwk = body.object("key")?;
    let (private, kind) = private(&jwk)?;
    let hsm = kind || body.flag("hsm")?.unwrap_or_default();
    Ok((private, settings(body, operations(&jwk)?, hsm)?))
}

/// What a body says of a change.
pub(super) fn to_change(body: &Body<'_>) -> Result<KeyChange, BodyError> {
    let stated = attributes(body)?;
    Ok(KeyChange {
        enabled: stated.enabled,
        not_before: stated.validity.not_before,
        expires: stated.validity.expires,
        operations: operations(body)?,
        tags: tags(body)?,
    })
}

fn settings(
    body: &Body<'_>,
    operations: Option<lockyard_vault::KeyOperations>,
    hsm: bool,
) -> Result<KeySettings, BodyError> {
    let stated = attributes(body)?;
    Ok(KeySettings {
        hsm,
        operations,
        enabled: stated.enabled.unwrap_or(true),
        validity: stated.validity,
        tags: tags(body)?.unwrap_or_default(),
    })
}

/// A key's family, and whether hardware was asked for.
enum Family {
    Rsa,
    Ec,
}

fn family(body: &Body<'_>) -> Result<(Family, bool), BodyError> {
    let word = body.required("kty")?;
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("RSA") {
        Ok((Family::Rsa, false))
    } else if is("RSA-HSM") {
        Ok((Family::Rsa, true))
    } else if is("EC") {
        Ok((Family::Ec, false))
    } else if is("EC-HSM") {
        Ok((Family::Ec, true))
    } else if is("oct") || is("oct-HSM") {
        Err(body.refuse("kty", "cannot be `oct`: this vault holds RSA and EC keys only"))
    } else {
        Err(body.refuse("kty", "must be RSA, RSA-HSM, EC or EC-HSM"))
    }
}

/// The shape of a key to make.
fn wanted_shape(body: &Body<'_>) -> Result<(KeyShape, bool), BodyError> {
    let (family, hsm) = family(body)?;
    let shape = match family {
        Family::Rsa => {
            let bits = body.integer("key_size")?.unwrap_or(2048);
            if body.integer("public_exponent")?.is_some_and(|exponent| exponent != EXPONENT) {
                return Err(body.refuse("public_exponent", "can only be 65537"));
            }
            let size = usize::try_from(bits).ok().and_then(RsaSize::from_bits);
            let size = size.ok_or_else(|| body.refuse("key_size", "must be 2048, 3072 or 4096"))?;
            KeyShape::Rsa(size)
        }
        Family::Ec => KeyShape::Ec(curve(body)?.unwrap_or(Curve::P256)),
    };
    Ok((shape, hsm))
}

fn curve(body: &Body<'_>) -> Result<Option<Curve>, BodyError> {
    let Some(word) = body.text("crv")? else { return Ok(None) };
    // The name that the curve had in earlier versions of the interface.
    let word = if word.eq_ignore_ascii_case("SECP256K1") { "P-256K" } else { word };
    let refused = |_| body.refuse("crv", "must be P-256, P-384, P-521 or P-256K");
    word.parse().map(Some).map_err(refused)
}

/// A private key to take in, and whether hardware was asked for.
fn private(jwk: &Body<'_>) -> Result<(PrivateJwk, bool), BodyError> {
    let (family, hsm) = family(jwk)?;
    let private = match family {
        Family::Rsa => PrivateJwk::Rsa(Box::new(RsaPrivateJwk {
            n: bytes(jwk, "n")?.to_vec(),
            e: bytes(jwk, "e")?.to_vec(),
            d: bytes(jwk, "d")?,
            p: bytes(jwk, "p")?,
            q: bytes(jwk, "q")?,
            dp: bytes(jwk, "dp")?,
            dq: bytes(jwk, "dq")?,
            qi: bytes(jwk, "qi")?,
        })),
        Family::Ec => PrivateJwk::Ec {
            curve: curve(jwk)?.ok_or_else(|| jwk.refuse("crv", "is required"))?,
            x: bytes(jwk, "x")?.to_vec(),
            y: bytes(jwk, "y")?.to_vec(),
            d: bytes(jwk, "d")?,
        },
    };
    Ok((private, hsm))
}
