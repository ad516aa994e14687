//! The `api-version` that every call to Resource Manager names.
//!
//! Any date is accepted: clients are newer than any list of ours (az-wire 4.1), and an unknown one
//! gets the newest shape. The date still decides a few defaults, which is why it is ordered.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A text that is no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an api-version is a date, `YYYY-MM-DD`, with `-preview` or the like after it or not")]
pub struct ApiVersionError;

/// A version of an interface: a date, and perhaps a word like `preview`.
///
/// Ordered by date; a preview is older than the version of its day.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiVersion {
    year: u16,
    month: u8,
    day: u8,
    suffix: Option<String>,
}

/// The longest word after the date in bytes.
const SUFFIX_BYTES_MAX: usize = 32;

impl ApiVersion {
    /// Whether this is from that day or later, previews included.
    pub fn since(&self, year: u16, month: u8, day: u8) -> bool {
        (self.year, self.month, self.day) >= (year, month, day)
    }
}

impl PartialOrd for ApiVersion {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ApiVersion {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |v: &Self| (v.year, v.month, v.day, v.suffix.is_none());
        key(self).cmp(&key(other)).then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, suffix } = self;
        write!(f, "{year:04}-{month:02}-{day:02}")?;
        suffix.as_ref().map_or(Ok(()), |suffix| write!(f, "-{suffix}"))
    }
}

impl FromStr for ApiVersion {
    type Err = ApiVersionError;

    fn from_str(text: &str) -> Result<Self, ApiVersionError> {
        let mut pieces = text.splitn(4, '-');
        let mut number = |digits: usize| {
            let piece = pieces.next().ok_or(ApiVersionError)?;
            if piece.len() != digits || !piece.bytes().all(|b| b.is_ascii_digit()) {
                return Err(ApiVersionError);
            }
            piece.parse::<u16>().map_err(|_| ApiVersionError)
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        let suffix = pieces.next();
        let word = |s: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
            (1..=SUFFIX_BYTES_MAX).contains(&s.len()) && s.bytes().all(known)
        };
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !suffix.is_none_or(word) {
            return Err(ApiVersionError);
        }
        let small = |number: u16| u8::try_from(number).map_err(|_| ApiVersionError);
        Ok(Self {
            year,
            month: small(month)?,
            day: small(day)?,
            suffix: suffix.map(str::to_ascii_lowercase),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_day_and_previews_come_first() {
        let version = |text: &str| text.parse::<ApiVersion>().expect("this is a version");
        let ordered =
            ["2018-02-14", "2019-12-01-preview", "2025-11-01", "2026-02-01-preview", "2026-02-01"];
        assert!(ordered.is_sorted_by_key(|text| version(text)));
        assert_eq!(version("2019-12-01-Preview").to_string(), "2019-12-01-preview");
        assert!(version("2026-02-01-preview").since(2026, 2, 1));
        assert!(!version("2026-01-31").since(2026, 2, 1));
    }

    #[test]
    fn what_is_no_date_is_no_version() {
        let long = format!("2020-01-01-{}", "a".repeat(SUFFIX_BYTES_MAX + 1));
        for text in [
            "",
            "latest",
            "2020",
            "2020-1-1",
            "2020-13-01",
            "2020-00-01",
            "2020-01-32",
            "2020-01-00",
            "2020-01-01-",
            "2020-01-01-a b",
            "+020-01-01",
            "2020-01-01/",
            &long,
        ] {
            assert_eq!(text.parse::<ApiVersion>(), Err(ApiVersionError), "{text}");
        }
        let longest = format!("2020-01-01-{}", "a".repeat(SUFFIX_BYTES_MAX));
        assert!(longest.parse::<ApiVersion>().is_ok());
    }
}
