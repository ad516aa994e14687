//! Rotation policies of keys that templates make.

use std::time::Duration;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn key_id(world: &World, name: &str) -> ResourceId {
    within(world, "lockyard", &format!("Microsoft.KeyVault/vaults/kvone/keys/{name}"))
}

/// Asks for a key that has this rotation policy.
async fn put_key(world: &World, name: &str, policy: &Value) -> Result<Put, ControlError> {
    let body = json!({"properties": {"kty": "EC", "rotationPolicy": policy}});
    world.control.put(&call(world.owner()), &key_id(world, name), &body).await
}

/// A policy of one action.
fn acting(action: &str, trigger: &str, period: &str, expiry: &Value) -> Value {
    json!({
        "attributes": {"expiryTime": expiry},
        "lifetimeActions": [{"action": {"type": action}, "trigger": {trigger: period}}],
    })
}

#[tokio::test]
async fn a_key_is_made_with_its_rotation_policy_and_rotated_by_it() {
    let world = World::new();
    let _vault = put_vault(&world, "kvone", "default").await;
    let asked = json!({
        // What is read-only comes back from earlier answers, and says nothing.
        "attributes": {"expiryTime": "P2Y", "created": 1, "updated": 2},
        "lifetimeActions": [
            {"action": {"type": "Rotate"}, "trigger": {"timeAfterCreate": "P18M"}},
            {"action": {"type": "notify"}, "trigger": {"timeBeforeExpiry": "P30D"}},
        ],
    });
    let made = put_key(&world, "k1", &asked).await.unwrap();
    let Put::Created(made) = made else { panic!("{made:?}") };
    let now = world.clock.wall().as_secs();
    let expected = json!({
        "attributes": {"expiryTime": "P2Y", "created": now, "updated": now},
        "lifetimeActions": [
            {"action": {"type": "rotate"}, "trigger": {"timeAfterCreate": "P18M"}},
            {"action": {"type": "notify"}, "trigger": {"timeBeforeExpiry": "P30D"}},
        ],
    });
    assert_eq!(made["properties"]["rotationPolicy"], expected);
    let (owner, id) = (call(world.owner()), key_id(&world, "k1"));
    let shown = async || world.control.get(&owner, &id).await.unwrap();
    assert_eq!(shown().await, made);
    let other = acting("rotate", "timeAfterCreate", "P9D", &Value::Null);
    let again = put_key(&world, "k1", &other).await.unwrap();
    assert_eq!(again, Put::Replaced(made.clone()), "it is there, and stays as it is");

    let due = || world.vaults.0.rotate_due(world.clock.wall()).unwrap().made.len();
    world.clock.hand.advance(500 * DAY);
    assert_eq!(due(), 0);
    world.clock.hand.advance(100 * DAY);
    assert_eq!(due(), 1);
    let rotated = shown().await;
    let uri = |key: &Value| key["properties"]["keyUriWithVersion"].clone();
    assert_ne!(uri(&rotated), uri(&made));
    assert_eq!(rotated["properties"]["rotationPolicy"], expected);
    assert!(rotated["properties"]["attributes"]["exp"].is_i64(), "{rotated}");

    let mut versions = id.scope().to_string();
    versions.push_str("/versions/");
    versions.push_str(uri(&made).as_str().unwrap().rsplit('/').next().unwrap());
    let version = world.control.get(&owner, &versions.parse().unwrap()).await.unwrap();
    assert_eq!(version["properties"].get("rotationPolicy"), None, "a version has none");
}

#[tokio::test]
async fn a_rotation_policy_that_says_nothing_is_none() {
    let world = World::new();
    let _vault = put_vault(&world, "kvone", "default").await;
    let policies =
        [json!(null), json!({}), json!({"attributes": {"created": 1}, "lifetimeActions": []})];
    for (number, policy) in policies.iter().enumerate() {
        let Put::Created(made) = put_key(&world, &format!("k{number}"), policy).await.unwrap()
        else {
            panic!("{policy}")
        };
        assert_eq!(made["properties"].get("rotationPolicy"), None, "{policy}");
    }
}

#[tokio::test]
async fn a_rotation_policy_outside_the_rules_is_refused_by_the_path_of_what_is_wrong() {
    let world = World::new();
    let _vault = put_vault(&world, "kvone", "default").await;
    let (after, before, none) = ("timeAfterCreate", "timeBeforeExpiry", Value::Null);
    let rotate = json!({"action": {"type": "rotate"}, "trigger": {after: "P30D"}});
    let lines = |lines: Value| json!({ "lifetimeActions": lines });
    for (policy, path) in [
        (json!("P90D"), ""),
        (json!({"exportable": true}), ".exportable"),
        (json!({"attributes": "P90D"}), ".attributes"),
        (json!({"attributes": {"expiryTime": 90}}), ".attributes.expiryTime"),
        (json!({"attributes": {"expiryTime": "90 days"}}), ".attributes.expiryTime"),
        (json!({"attributes": {"expiryTime": "P27D"}}), ".attributes.expiryTime"),
        (json!({"attributes": {"enabled": true}}), ".attributes.enabled"),
        (lines(json!({"action": {}})), ".lifetimeActions"),
        (lines(json!(["rotate"])), ".lifetimeActions"),
        (lines(json!([{}])), ".lifetimeActions.action.type"),
        (lines(json!([rotate, rotate])), ".lifetimeActions"),
        (lines(json!([{"action": {"type": "rotate"}}])), ".lifetimeActions.trigger"),
        (lines(json!([{"when": "P30D"}])), ".lifetimeActions.when"),
        (lines(json!([{"action": {"type": "rotate", "to": "x"}}])), ".lifetimeActions.action.to"),
        (
            lines(json!([{"action": {"type": "rotate"}, "trigger": {"at": "P30D"}}])),
            ".lifetimeActions.trigger.at",
        ),
        (
            lines(json!([
                {"action": {"type": "rotate"}, "trigger": {after: "P30D", before: "P30D"}}
            ])),
            ".lifetimeActions.trigger",
        ),
        (acting("fly", after, "P30D", &none), ".lifetimeActions.action.type"),
        (acting("rotate", after, "PT1H", &none), ".lifetimeActions.trigger.timeAfterCreate"),
        (acting("notify", before, "", &none), ".lifetimeActions.trigger.timeBeforeExpiry"),
        (acting("rotate", after, "P6D", &none), ".lifetimeActions.trigger"),
        (acting("rotate", before, "P30D", &none), ".lifetimeActions.trigger"),
        (acting("rotate", after, "P22D", &json!("P28D")), ".lifetimeActions.trigger"),
    ] {
        let answer = put_key(&world, "k1", &policy).await;
        let Err(ControlError::Invalid(error)) = answer else { panic!("{policy}: {answer:?}") };
        let path = format!("properties.rotationPolicy{path}");
        assert_eq!(error.code(), "InvalidRequestContent", "{policy}");
        let told = serde_json::to_value(error.envelope()).unwrap();
        assert_eq!(told["error"]["target"], path, "{policy}");
        assert!(error.message().starts_with(&format!("`{path}` ")), "{}", error.message());
    }
    let gone = world.control.get(&call(world.owner()), &key_id(&world, "k1")).await;
    assert!(matches!(gone, Err(ControlError::Missing(_))), "nothing was made: {gone:?}");
}
