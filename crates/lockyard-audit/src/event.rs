//! What is recorded: one event for each operation, with the fields of BEHAVIOUR rule 59.
//!
//! An event never holds key material, a token or a body. Its texts may come from a client, so each
//! has a limit; what is longer is cut, since recording must not fail for what a client sent.

use std::{net::IpAddr, time::Duration};

use lockyard_base::Timestamp;
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::Operation;

/// The longest text in an event, in bytes; only the request's URI may be twice as long.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The longest request URI in an event, in bytes.
pub const URI_BYTES_MAX: usize = 2 * TEXT_BYTES_MAX;
/// Stands where a text was cut.
const CUT: &str = "…";

/// One operation: who did what to which resource, and what came of it.
///
/// The time is taken by the log when it gets the event, so that all times come from one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub operation: Operation,
    /// The api-version that the request named; empty where there is none.
    pub operation_version: String,
    /// The resource's id: of the vault, as Resource Manager names it.
    pub resource: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// Who asked.
    pub caller: Caller,
    /// Ties the event to a request and to log lines.
    pub correlation: String,
    /// What was asked.
    pub request: Asked,
    /// Why a key was used, where the caller says so: `unlock`, `check`, `rotate`, …
    pub reason: String,
    /// Whether it has taken effect already, so that it can't be refused any more: a change that
    /// was committed. If it can't be recorded, the log says so without saying that it was refused.
    pub done: bool,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The HTTP status that the caller is answered, or would be.
    pub status: u16,
    /// The status in a word: `OK`, `Forbidden`, …
    pub signature: String,
    /// More about a failure; empty on success.
    pub description: String,
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// From where; `None` inside this process.
    pub address: Option<IpAddr>,
    /// The principal's object id.
    pub object_id: String,
    /// The application's id.
    pub application_id: String,
    /// The resource id of the managed identity, if it is one.
    pub managed_identity: String,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked {
    /// What the client calls itself.
    pub client: String,
    /// The request's URI.
    pub uri: String,
    /// The id of the object, with its version.
    pub id: String,
}

impl Event {
    /// An event about which nothing more is known yet.
    pub fn new(operation: Operation, resource: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            operation,
            operation_version: String::new(),
            resource: resource.into(),
            outcome,
            took: Duration::ZERO,
            caller: Caller::default(),
            correlation: String::new(),
            request: Asked::default(),
            reason: String::new(),
            done: false,
        }
    }

    /// The event as one line of JSON: what is sealed, and what is exported.
    pub(crate) fn line(&self, time: Timestamp, more: Option<Tallied<'_>>) -> Vec<u8> {
        let Self { caller, request, outcome, .. } = self;
        let address = caller.address.map(|address| address.to_string()).unwrap_or_default();
        let wire = Wire {
            time: rfc3339(time),
            resource_id: cut(&self.resource, TEXT_BYTES_MAX),
            operation_name: self.operation.as_str(),
            operation_version: cut(&self.operation_version, TEXT_BYTES_MAX),
            category: "AuditEvent",
            result_type: if outcome.status < 400 { "Success" } else { "Failed" },
            result_signature: cut(&outcome.signature, TEXT_BYTES_MAX),
            result_description: cut(&outcome.description, TEXT_BYTES_MAX),
            duration_ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
            caller_ip_address: &address,
            correlation_id: cut(&self.correlation, TEXT_BYTES_MAX),
            identity: WireIdentity {
                claim: WireClaim {
                    oid: cut(&caller.object_id, TEXT_BYTES_MAX),
                    appid: cut(&caller.application_id, TEXT_BYTES_MAX),
                    xms_mirid: cut(&caller.managed_identity, TEXT_BYTES_MAX),
                },
            },
            properties: WireProperties {
                client_info: cut(&request.client, TEXT_BYTES_MAX),
                request_uri: cut(&request.uri, URI_BYTES_MAX),
                id: cut(&request.id, TEXT_BYTES_MAX),
                http_status_code: outcome.status,
                reason: cut(&self.reason, TEXT_BYTES_MAX),
                more,
            },
        };
        serde_json::to_vec(&wire).expect("texts and numbers are always JSON")
    }
}

impl Outcome {
    /// It was done.
    pub fn ok() -> Self {
        Self { status: 200, signature: "OK".to_owned(), description: String::new() }
    }

    /// It was not done.
    pub fn failed(status: u16, signature: &str, description: impl Into<String>) -> Self {
        Self { status, signature: signature.to_owned(), description: description.into() }
    }
}

/// What an event that stands for many adds to its properties.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tallied<'a> {
    /// How many it stands for.
    pub(crate) count: u64,
    /// When the first of them was.
    pub(crate) since: String,
    /// Of what kind they are.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'a str,
    /// Some of the addresses that they came from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
}

/// The record's text, in the words of the imitated service.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    time: String,
    resource_id: Text<'a>,
    operation_name: &'a str,
    operation_version: Text<'a>,
    category: &'a str,
    result_type: &'a str,
    result_signature: Text<'a>,
    result_description: Text<'a>,
    duration_ms: u64,
    caller_ip_address: &'a str,
    correlation_id: Text<'a>,
    identity: WireIdentity<'a>,
    properties: WireProperties<'a>,
}

#[derive(Serialize)]
struct WireIdentity<'a> {
    claim: WireClaim<'a>,
}

#[derive(Serialize)]
struct WireClaim<'a> {
    oid: Text<'a>,
    appid: Text<'a>,
    xms_mirid: Text<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireProperties<'a> {
    client_info: Text<'a>,
    request_uri: Text<'a>,
    id: Text<'a>,
    http_status_code: u16,
    reason: Text<'a>,
    #[serde(flatten)]
    more: Option<Tallied<'a>>,
}

type Text<'a> = std::borrow::Cow<'a, str>;

/// The time as rule 59 shows it.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    let nanos = i128::from(time.as_micros()) * 1000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // A clock beyond the year 9999 is still a clock.
        .unwrap_or_else(|| time.as_micros().to_string())
}

/// The text, or its beginning and a sign that it was cut.
fn cut(text: &str, most: usize) -> Text<'_> {
    if text.len() <= most {
        return Text::Borrowed(text);
    }
    let (head, _) = text.split_at(text.floor_char_boundary(most - CUT.len()));
    Text::Owned(format!("{head}{CUT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_fields_of_rule_59() {
        let mut event = Event::new(
            Operation::KEY_UNWRAP,
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
            Outcome::failed(403, "Forbidden", "the key is disabled"),
        );
        event.operation_version = "7.4".to_owned();
        event.took = Duration::from_micros(7900);
        event.caller.address = Some([192, 0, 2, 7].into());
        event.caller.object_id = "oid".to_owned();
        event.correlation = "c".to_owned();
        event.request.uri = "https://v.vault.localhost/keys/k/1/unwrapkey".to_owned();
        let line = event.line(Timestamp::from_micros(1_700_000_000_250_000), None);
        let expected = concat!(
            r#"{"time":"2023-11-14T22:13:20.25Z","#,
            r#""resourceId":"/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v","#,
            r#""operationName":"KeyUnwrap","operationVersion":"7.4","category":"AuditEvent","#,
            r#""resultType":"Failed","resultSignature":"Forbidden","#,
            r#""resultDescription":"the key is disabled","durationMs":7,"#,
            r#""callerIpAddress":"192.0.2.7","correlationId":"c","#,
            r#""identity":{"claim":{"oid":"oid","appid":"","xms_mirid":""}},"#,
            r#""properties":{"clientInfo":"","#,
            r#""requestUri":"https://v.vault.localhost/keys/k/1/unwrapkey","id":"","#,
            r#""httpStatusCode":403,"reason":""}}"#,
        );
        assert_eq!(String::from_utf8(line).expect("JSON"), expected);
    }

    #[test]
    fn a_text_is_cut_one_byte_past_its_limit_and_never_within_a_character() {
        assert_eq!(cut(&"a".repeat(TEXT_BYTES_MAX), TEXT_BYTES_MAX).len(), TEXT_BYTES_MAX);
        let one_more = cut(&"a".repeat(TEXT_BYTES_MAX + 1), TEXT_BYTES_MAX).into_owned();
        assert_eq!(one_more.len(), TEXT_BYTES_MAX);
        assert!(one_more.ends_with("a…"));
        for most in 8..20 {
            let text = cut(&"é".repeat(20), most).into_owned();
            assert!(text.len() <= most && text.ends_with("é…"), "{text}");
        }
    }

    #[test]
    fn the_largest_event_fits_a_record() {
        let worst = "\u{1}".repeat(5000);
        let mut event =
            Event::new(Operation::KEY_GET, worst.clone(), Outcome::failed(599, &worst, &*worst));
        event.operation_version.clone_from(&worst);
        event.correlation.clone_from(&worst);
        event.reason.clone_from(&worst);
        event.caller = Caller {
            address: Some([0xffff; 8].into()),
            object_id: worst.clone(),
            application_id: worst.clone(),
            managed_identity: worst.clone(),
        };
        event.request = Asked { client: worst.clone(), uri: worst.clone(), id: worst };
        event.took = Duration::MAX;
        let line = event.line(Timestamp::from_micros(i64::MAX), None);
        let sealed = line.len() + lockyard_seal::HEADER_LEN + 2 * lockyard_seal::TAG_LEN;
        assert!(sealed <= crate::format::BODY_BYTES_MAX, "{sealed}");
    }
}
