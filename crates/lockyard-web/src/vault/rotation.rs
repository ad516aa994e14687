//! Rotation policies.

use http::StatusCode;
use lockyard_arm::Body;
use lockyard_audit::Operation;
use lockyard_keyring::KeyName;
use lockyard_vault::{LifetimeAction, LifetimeActionKind, Period, RotationPolicy, Trigger};

use super::{Answer, Asked, failure::VaultFailure, json, record::Deed, render};

/// `GET /keys/{name}/rotationpolicy`.
pub(super) async fn show(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::read(Operation::KEY_ROTATION_POLICY_GET, asked.id(&name, None));
    let key = name.clone();
    let policy = asked.act(deed, move |plane| plane.rotation_policy(&key)).await?;
    Ok(json(StatusCode::OK, &render::policy(&asked.urls, &name, &policy)))
}

/// `PUT /keys/{name}/rotationpolicy`.
pub(super) async fn set(asked: &Asked<'_>, name: KeyName) -> Answer {
    let wanted = to_set(&asked.body.body()?)?;
    let deed = Deed::change(Operation::KEY_ROTATION_POLICY_SET, asked.id(&name, None));
    let key = name.clone();
    let policy = asked.act(deed, move |plane| plane.set_rotation_policy(&key, &wanted)).await?;
    Ok(json(StatusCode::OK, &render::policy(&asked.urls, &name, &policy)))
}

/// The policy that a body states.
pub(super) fn to_set(body: &Body<'_>) -> Result<RotationPolicy, VaultFailure> {
    let mut actions = Vec::new();
    for line in body.objects("lifetimeActions")? {
        let (action, trigger) = (line.object("action")?, line.object("trigger")?);
        let kind: LifetimeActionKind = action
            .required("type")?
            .parse()
            .map_err(|_| action.refuse("type", "must be Rotate or Notify"))?;
        let after = trigger.text("timeAfterCreate")?;
        let before = trigger.text("timeBeforeExpiry")?;
        let trigger = match (after, before) {
            (Some(after), None) => Trigger::AfterCreate(after.parse()?),
            (None, Some(before)) => Trigger::BeforeExpiry(before.parse()?),
            _ => {
                let sentence = "needs one of `timeAfterCreate` and `timeBeforeExpiry`";
                return Err(line.refuse("trigger", sentence).into());
            }
        };
        actions.push(LifetimeAction { kind, trigger });
    }
    let expiry = body.object("attributes")?.text("expiryTime")?;
    let expiry = expiry.map(str::parse::<Period>).transpose()?;
    Ok(RotationPolicy { actions, expiry, created: None, updated: None })
}
