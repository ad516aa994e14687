//! Somebody who is refused again and again.

use std::{sync::mpsc, time::Duration};

use lockyard_audit::{Audit as _, AuditLog, Outcome, REFUSALS_MAX, Recorded};
use serde_json::Value;

use crate::support::{World, event};

/// Records that somebody was refused something of their own choice.
fn refuse(log: &AuditLog, caller: &str, what: &str) -> Recorded {
    let mut event = event(what);
    event.outcome = Outcome::failed(403, "Forbidden", "no");
    caller.clone_into(&mut event.caller.object_id);
    let (tell, told) = mpsc::channel();
    log.append_then(event, Box::new(move |outcome| drop(tell.send(outcome))));
    told.recv().unwrap().unwrap()
}

#[test]
fn nobody_fills_the_trail_with_refusals_and_none_is_lost_from_its_counts() {
    let world = World::new();
    let log = world.open();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for number in 0..REFUSALS_MAX {
        let recorded = refuse(&log, "eve", &number.to_string());
        assert!(matches!(recorded, Recorded::As(_)), "{number}: {recorded:?}");
    }
    assert!(matches!(refuse(&log, "eve", "the first beyond"), Recorded::As(_)));
    for number in 0..50 {
        assert_eq!(refuse(&log, "eve", &format!("beyond {number}")), Recorded::Counted);
    }
    assert!(matches!(refuse(&log, "bob", "his first"), Recorded::As(_)));
    let mut done = event("done");
    "eve".clone_into(&mut done.caller.object_id);
    assert!(matches!(log.append_blocking(done), Ok(Recorded::As(_))), "what is done is recorded");
    world.clock.advance(Duration::from_secs(60));
    runtime.block_on(log.tick()).unwrap();
    drop(log);
    let lines = world.reader().tail(usize::MAX).unwrap().entries;
    let events: Vec<Value> =
        lines.iter().map(|entry| serde_json::from_str(&entry.json).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["operationName"] == name).count();
    assert_eq!(of("KeyUnwrap"), usize::try_from(REFUSALS_MAX).unwrap() + 2);
    let beyond: Vec<&Value> =
        events.iter().filter(|event| event["operationName"] == "AuditRefusals").collect();
    let [first, others] = beyond.as_slice() else { panic!("{beyond:?}") };
    assert_eq!(
        (&first["properties"]["count"], &others["properties"]["count"]),
        (&Value::Null, &Value::from(50))
    );
    for event in beyond {
        assert_eq!(event["identity"]["claim"]["oid"], "eve");
        assert_eq!(event["properties"]["httpStatusCode"], 403);
        assert!(!event.to_string().contains("beyond"), "{event}");
    }
    assert_eq!(world.findings(), []);
}
