//! One collector: what it is sent, and what its answers mean (OTLP 1.x, "OTLP/HTTP").

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use lockyard_base::chain;
use lockyard_egress::{Answer, Egress, Limits};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message as _;

use crate::{
    failure::{Failure, Outcome},
    private_file,
};

/// What one request may cost.
const LIMITS: Limits = Limits { body_bytes_max: 64 << 10, time_max: Duration::from_secs(30) };
/// The most that is read of a file with headers.
const HEADERS_BYTES_MAX: u64 = 16 << 10;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is a word about it.
    Word(Delivered),
    /// The collector may take it later, perhaps after the time that it asked for.
    Later(String, Option<Duration>),
}

/// The collector's word about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// It has everything.
    Taken,
    /// It has everything but so many events, which it will never take.
    But(i64),
    /// It will never take this request, and answered so.
    Never(u16),
}

/// A collector.
pub(super) struct Collector {
    egress: Egress,
    url: String,
    headers: HeaderMap,
}

impl Collector {
    pub(super) fn new(egress: Egress, url: &str, mut headers: HeaderMap) -> Self {
        let kind = HeaderValue::from_static("application/x-protobuf");
        let _before = headers.insert(header::CONTENT_TYPE, kind);
        Self { egress, url: url.to_owned(), headers }
    }

    pub(super) async fn send(&self, body: Vec<u8>) -> Verdict {
        let sent = self.egress.post(&self.url, self.headers.clone(), body.into(), LIMITS).await;
        match sent {
            Ok(answer) => verdict(&answer),
            Err(error) => Verdict::Later(chain(&error).to_string(), None),
        }
    }
}

/// What an answer means.
///
/// The specification lets a client give up at every status but 429, 502, 503 and 504. An audit
/// trail gives up only where the events themselves are at fault: a wrong address or token is mended
/// by the operator, and nothing may be missing then.
fn verdict(answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => {
            Verdict::Word(Delivered::Never(answer.status.as_u16()))
        }
        status if status.is_success() => {
            let told = ExportLogsServiceResponse::decode(answer.body.clone()).unwrap_or_default();
            let rejected = told.partial_success.map_or(0, |partial| partial.rejected_log_records);
            let all = rejected <= 0;
            Verdict::Word(if all { Delivered::Taken } else { Delivered::But(rejected) })
        }
        status => {
            let asked = answer.headers.get(header::RETRY_AFTER);
            let seconds = asked.and_then(|value| value.to_str().ok()?.parse().ok());
            Verdict::Later(format!("it answers {status}"), seconds.map(Duration::from_secs))
        }
    }
}

/// Reads headers that each request has, one `name: value` a line; they may hold a secret.
pub(super) fn headers(path: &Path) -> Outcome<HeaderMap> {
    let context = format!("cannot use the collector's headers in `{}`", path.display());
    let text = private_file::read_secret(path, HEADERS_BYTES_MAX)
        .map_err(|error| Failure::new(&error).context(&context))?;
    let mut headers = HeaderMap::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let Some((name, value)) = header_of(line) else {
            // The line itself may be a secret.
            let sentence = format!("line {} is no header like `authorization: …`", number + 1);
            return Err(Failure::text(sentence).context(&context));
        };
        let _before = headers.insert(name, value);
    }
    Ok(headers)
}

fn header_of(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line[..colon].trim_ascii()).ok()?;
    let mut value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: Vec<u8>) -> Answer {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: headers.iter().map(header).collect(), body: body.into() }
    }

    #[test]
    fn only_faults_of_the_events_themselves_are_for_good() {
        let rejected = |count| {
            let partial = ExportLogsPartialSuccess {
                rejected_log_records: count,
                error_message: "too old".to_owned(),
            };
            ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        for (status, body, expected) in [
            (200, Vec::new(), Delivered::Taken),
            (202, b"no protobuf".to_vec(), Delivered::Taken),
            (200, rejected(0), Delivered::Taken),
            (200, rejected(3), Delivered::But(3)),
            (400, Vec::new(), Delivered::Never(400)),
            (413, Vec::new(), Delivered::Never(413)),
        ] {
            let told = verdict(&answer(status, &[], body));
            assert_eq!(told, Verdict::Word(expected), "{status}");
        }
        for status in [401, 403, 404, 429, 500, 502, 503, 504] {
            let later = verdict(&answer(status, &[("retry-after", "7")], Vec::new()));
            let Verdict::Later(why, asked) = later else { panic!("{status}: {later:?}") };
            assert!(why.contains(&status.to_string()), "{why}");
            assert_eq!(asked, Some(Duration::from_secs(7)));
        }
        let odd = verdict(&answer(503, &[("retry-after", "Fri, 31 Dec 2027")], Vec::new()));
        assert!(matches!(odd, Verdict::Later(_, None)), "{odd:?}");
    }

    #[test]
    fn headers_are_read_from_a_file_that_is_private_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            headers(&path)
        };
        let read =
            write("# ours\nauthorization: Bearer s3cret\n\nX-Tenant:audit\r\n", 0o600).unwrap();
        assert_eq!((read.len(), &read["x-tenant"]), (2, &HeaderValue::from_static("audit")));
        assert_eq!(read["authorization"], "Bearer s3cret");
        assert!(!format!("{read:?}").contains("s3cret"));
        for wrong in ["s3cret", "a b: s3cret", "a: s3\u{1}cret"] {
            let error = write(&format!("a: b\n{wrong}"), 0o600).expect_err(wrong);
            let told = format!("{error:?}");
            assert!(told.contains("line 2") && !told.contains("cret"), "{told}");
        }
        assert!(
            format!("{:?}", write("a: b", 0o644).expect_err("others read it")).contains("chmod")
        );
        write(&"a".repeat(16 << 10), 0o600).expect_err("it is no header");
        let error = write(&"#".repeat((16 << 10) + 1), 0o600).expect_err("too long");
        assert!(format!("{error:?}").contains("16384"), "{error:?}");
    }
}
