//! Rotation policies.

use http::StatusCode;
use lockyard_audit::Operation;
use lockyard_keyring::KeyName;
use lockyard_vault::RotationPolicy;

use super::{Answer, Asked, json, record::Deed, render};

/// `GET /keys/{name}/rotationpolicy`.
pub(super) async fn show(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::read(Operation::KEY_ROTATION_POLICY_GET, asked.id(&name, None));
    let key = name.clone();
    let policy = asked.act(deed, move |plane| plane.rotation_policy(&key)).await?;
    Ok(json(StatusCode::OK, &render::policy(&asked.urls, &name, &policy)))
}

/// `PUT /keys/{name}/rotationpolicy`.
pub(super) async fn set(asked: &Asked<'_>, name: KeyName, wanted: RotationPolicy) -> Answer {
    let deed = Deed::change(Operation::KEY_ROTATION_POLICY_SET, asked.id(&name, None));
    let key = name.clone();
    let policy = asked.act(deed, move |plane| plane.set_rotation_policy(&key, &wanted)).await?;
    Ok(json(StatusCode::OK, &render::policy(&asked.urls, &name, &policy)))
}
