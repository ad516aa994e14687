//! Audit events as OpenTelemetry log records.
//!
//! The body is the event's line of JSON, as `lockyard audit tail` shows it; what collectors search
//! for stands beside it under the names of the semantic conventions.

use lockyard_audit::Entry;
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use prost::Message as _;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The bytes of a request that exports these events; they are of one node.
pub(super) fn request(entries: &[Entry]) -> Vec<u8> {
    let events: Vec<(&Entry, Value)> = entries
        .iter()
        .map(|entry| (entry, serde_json::from_str(&entry.json).unwrap_or_default()))
        .collect();
    let node = events.first().and_then(|(_, event)| event["node"].as_str()).unwrap_or_default();
    let resource = Resource {
        attributes: vec![
            text("service.name", "lockyard"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", node),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "lockyard.audit".to_owned(),
        ..InstrumentationScope::default()
    };
    let log_records = events.iter().map(|(entry, event)| record(entry, event)).collect();
    let scope_logs = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
    let logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![logs] }.encode_to_vec()
}

fn record(entry: &Entry, event: &Value) -> LogRecord {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let time = nanoseconds(event["time"].as_str().unwrap_or_default());
    let failed = event["resultType"] == "Failed";
    let severity = if failed { SeverityNumber::Warn } else { SeverityNumber::Info };
    let number = i64::try_from(entry.sequence.number()).unwrap_or(i64::MAX);
    let mut attributes =
        vec![attribute("lockyard.audit.sequence", any_value::Value::IntValue(number))];
    if let Some(status) = event["properties"]["httpStatusCode"].as_i64() {
        let status = any_value::Value::IntValue(status);
        attributes.push(attribute("http.response.status_code", status));
    }
    for (name, value) in [
        ("cloud.resource_id", &event["resourceId"]),
        ("client.address", &event["callerIpAddress"]),
        ("user.id", &event["identity"]["claim"]["oid"]),
    ] {
        attributes
            .extend(value.as_str().filter(|told| !told.is_empty()).map(|told| text(name, told)));
    }
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: severity.into(),
        severity_text: if failed { "WARN" } else { "INFO" }.to_owned(),
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(entry.json.clone())) }),
        attributes,
        event_name: word(&event["operationName"]),
        ..LogRecord::default()
    }
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, any_value::Value::StringValue(value.to_owned()))
}

fn attribute(name: &str, value: any_value::Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: name.to_owned(), value, ..KeyValue::default() }
}

/// Nanoseconds since 1970; 0, which is "unknown", if the text is no time.
fn nanoseconds(time: &str) -> u64 {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok();
    time.and_then(|time| time.unix_timestamp_nanos().try_into().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use lockyard_audit::Sequence;

    use super::*;

    #[test]
    fn an_event_is_a_record_with_what_collectors_search_for() {
        let json = concat!(
            r#"{"node":"n1","sequence":7,"time":"2023-11-14T22:13:20.25Z","resourceId":"/vaults/v","#,
            r#""operationName":"KeyUnwrap","resultType":"Failed","callerIpAddress":"","#,
            r#""identity":{"claim":{"oid":"o"}},"properties":{"httpStatusCode":403}}"#,
        );
        let entry = Entry { sequence: Sequence::new(7), json: json.to_owned() };
        let told = ExportLogsServiceRequest::decode(&*request(&[entry])).unwrap();
        let [logs] = told.resource_logs.as_slice() else { panic!("{told:?}") };
        let instance = &logs.resource.as_ref().unwrap().attributes[2];
        assert_eq!(*instance, text("service.instance.id", "n1"));
        let [record] = logs.scope_logs[0].log_records.as_slice() else { panic!("{logs:?}") };
        assert_eq!(record.time_unix_nano, 1_700_000_000_250_000_000);
        assert_eq!((record.event_name.as_str(), record.severity_number), ("KeyUnwrap", 13));
        let body = record.body.clone().unwrap().value;
        assert_eq!(body, Some(any_value::Value::StringValue(json.to_owned())));
        let number = |name, value| attribute(name, any_value::Value::IntValue(value));
        let expected = [
            number("lockyard.audit.sequence", 7),
            number("http.response.status_code", 403),
            text("cloud.resource_id", "/vaults/v"),
            text("user.id", "o"),
        ];
        assert_eq!(record.attributes, expected);
    }

    #[test]
    fn what_cannot_be_read_is_sent_all_the_same() {
        let entry = Entry { sequence: Sequence::new(1), json: "no JSON".to_owned() };
        let told = ExportLogsServiceRequest::decode(&*request(&[entry])).unwrap();
        let record = &told.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((record.time_unix_nano, record.severity_number), (0, 9));
    }
}
