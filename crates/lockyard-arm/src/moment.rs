//! Times as clients of ARM and Graph read them.

use lockyard_base::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Writes a time as ISO 8601 in UTC, to the second: `2026-11-24T00:00:00Z`.
pub fn written(time: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp(time.as_secs())
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Reads a time in ISO 8601 with an offset.
pub fn read(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = time.unix_timestamp_nanos() / 1000;
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back() {
        let time = Timestamp::from_micros(1_795_000_000_000_000);
        assert_eq!(written(time), "2026-11-18T11:06:40Z");
        assert_eq!(read("2026-11-18T11:06:40Z"), Some(time));
        assert_eq!(read("2026-11-18T12:06:40.0000000+01:00"), Some(time));
        assert_eq!(read("tomorrow"), None);
        assert_eq!(read("2026-11-18"), None);
    }
}
