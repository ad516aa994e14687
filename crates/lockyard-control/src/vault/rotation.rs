//! Rotation policies in JSON, as bodies bring them and answers show them.
//!
//! Two faces speak of them in nearly the same words: templates, with a key that they make, and a
//! key's own address in its vault. The reading and the showing that they share are here.

use lockyard_arm::{Body, BodyError};
use lockyard_vault::{LifetimeAction, LifetimeActionKind, Period, RotationPolicy, Trigger};
use serde_json::{Map, Value, json};

/// Reads a policy; its times are nobody's to state. Whether it keeps the rules, it says itself.
pub fn read_rotation_policy(body: &Body<'_>) -> Result<RotationPolicy, BodyError> {
    let actions = body.objects("lifetimeActions")?;
    let actions = actions.iter().map(lifetime_action).collect::<Result<_, _>>()?;
    let expiry = period(&body.object("attributes")?, "expiryTime")?;
    Ok(RotationPolicy { actions, expiry, created: None, updated: None })
}

fn lifetime_action(line: &Body<'_>) -> Result<LifetimeAction, BodyError> {
    let (action, trigger) = (line.object("action")?, line.object("trigger")?);
    let kind = action.required("type")?.parse();
    let kind = kind.map_err(|_| action.refuse("type", "must be Rotate or Notify"))?;
    let (after, before) =
        (period(&trigger, "timeAfterCreate")?, period(&trigger, "timeBeforeExpiry")?);
    let trigger = match (after, before) {
        (Some(after), None) => Trigger::AfterCreate(after),
        (None, Some(before)) => Trigger::BeforeExpiry(before),
        _ => {
            let message = "needs one of `timeAfterCreate` and `timeBeforeExpiry`";
            return Err(line.refuse("trigger", message));
        }
    };
    Ok(LifetimeAction { kind, trigger })
}

fn period(body: &Body<'_>, name: &str) -> Result<Option<Period>, BodyError> {
    let message = "must be a duration like `P90D`, `P18M` or `P2Y`, in days or longer";
    let read = |text: &str| text.parse().map_err(|_| body.refuse(name, message));
    body.text(name)?.map(read).transpose()
}

/// A policy, its kinds of actions in the words of `kind`.
pub fn shown_rotation_policy(
    policy: &RotationPolicy,
    kind: impl Fn(LifetimeActionKind) -> String,
) -> Value {
    let action = |action: &LifetimeAction| {
        let trigger = match &action.trigger {
            Trigger::AfterCreate(period) => json!({ "timeAfterCreate": period.to_string() }),
            Trigger::BeforeExpiry(period) => json!({ "timeBeforeExpiry": period.to_string() }),
        };
        json!({ "trigger": trigger, "action": { "type": kind(action.kind) } })
    };
    let actions: Vec<Value> = policy.actions.iter().map(action).collect();
    let mut attributes = Map::new();
    if let Some(expiry) = &policy.expiry {
        drop(attributes.insert("expiryTime".to_owned(), expiry.to_string().into()));
    }
    for (name, time) in [("created", policy.created), ("updated", policy.updated)] {
        if let Some(time) = time {
            drop(attributes.insert(name.to_owned(), time.as_secs().into()));
        }
    }
    json!({ "lifetimeActions": actions, "attributes": attributes })
}

/// The policy that the properties of a new key ask for; `None` if they say nothing of one.
pub(super) fn wanted(properties: &Body<'_>) -> Result<Option<RotationPolicy>, BodyError> {
    let stated = properties.object("rotationPolicy")?;
    stated.refuse_others(&["attributes", "lifetimeActions"])?;
    // The times are read-only: they come back from earlier answers.
    stated.object("attributes")?.refuse_others(&["expiryTime", "created", "updated"])?;
    for line in stated.objects("lifetimeActions")? {
        line.refuse_others(&["action", "trigger"])?;
        line.object("action")?.refuse_others(&["type"])?;
        line.object("trigger")?.refuse_others(&["timeAfterCreate", "timeBeforeExpiry"])?;
    }
    let policy = read_rotation_policy(&stated)?;
    if policy.actions.is_empty() && policy.expiry.is_none() {
        return Ok(None);
    }
    policy.check().map_err(|error| stated.refuse(error.property(), error.message()))?;
    Ok(Some(policy))
}

/// A policy as Resource Manager spells it: its own words begin with small letters.
pub(super) fn shown(policy: &RotationPolicy) -> Value {
    shown_rotation_policy(policy, |kind| kind.as_str().to_ascii_lowercase())
}
