//! Spans of the calendar (`P90D`, `P2Y`), as rotation policies are written in.

use std::{fmt, str::FromStr};

use jiff::{Span, civil::Date, tz::TimeZone};
use lockyard_base::Timestamp;

use crate::VaultError;

/// Nothing is planned further ahead than this, in days.
const DAYS_MAX: i32 = 36_500;
const LEN_MAX: usize = 32;

/// A positive ISO 8601 duration of years, months, weeks and days; keeps its author's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period(String);

impl Period {
    /// The fewest days that it can last.
    pub fn days_min(&self) -> i32 {
        // February makes the shortest month, and these two years hold no leap day.
        let start = Date::constant(2021, 2, 1);
        let end = start.checked_add(self.span()).unwrap_or(Date::MAX);
        start.until(end).map_or(i32::MAX, |span| span.get_days())
    }

    /// The time that lies this much later, by the calendar in UTC.
    pub fn after(&self, time: Timestamp) -> Timestamp {
        moved(time, self.span())
    }

    /// The time that lies this much earlier, by the calendar in UTC.
    pub fn before(&self, time: Timestamp) -> Timestamp {
        moved(time, -self.span())
    }

    fn span(&self) -> Span {
        self.0.parse().expect("a period was parsed when it was made")
    }
}

fn moved(time: Timestamp, span: Span) -> Timestamp {
    // Out of the calendar's range there is nothing to plan: such a time never comes.
    jiff::Timestamp::from_microsecond(time.as_micros())
        .map(|time| time.to_zoned_datetime(TimeZone::UTC))
        .and_then(|time| time.checked_add(span))
        .map_or(Timestamp::from_micros(i64::MAX), |time| {
            Timestamp::from_micros(time.timestamp().as_microsecond())
        })
}

impl FromStr for Period {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        let refused = || {
            VaultError::BadParameter(
                "a duration is written like `P90D`, `P18M` or `P2Y`, in days or longer".to_owned(),
            )
        };
        if text.len() > LEN_MAX || !text.starts_with('P') || text.contains('T') {
            return Err(refused());
        }
        let span: Span = text.parse().map_err(|_| refused())?;
        let period = Self(text.to_owned());
        if span.is_negative() || span.is_zero() || period.days_min() > DAYS_MAX {
            return Err(refused());
        }
        Ok(period)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn periods_follow_the_calendar() {
        let start = Timestamp::from_micros(1_706_659_200_000_000); // 2024-01-31
        for (text, seconds) in [
            ("P1D", 1_706_745_600),
            ("P1W", 1_707_264_000),
            ("P1M", 1_709_164_800), // 2024-02-29
            ("P2Y", 1_769_817_600), // 2026-01-31
            ("P1Y6M2D", 1_754_092_800),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.after(start).as_secs(), seconds, "{text}");
        }
        let period: Period = "P1M".parse().unwrap();
        assert_eq!(period.before(start).as_secs(), 1_704_067_200 - 86_400); // 2023-12-31
    }

    #[test]
    fn what_is_no_period_of_days_is_refused() {
        for text in [
            "",
            "P",
            "90D",
            "P0D",
            "-P1D",
            "P-1D",
            "PT1H",
            "P1DT1H",
            "p90d",
            "P1.5D",
            "90 days",
            "P101Y",
            "P99999999999999999999D",
            "P1D ",
            "P1M1Y",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        assert_eq!("P28D".parse::<Period>().unwrap().days_min(), 28);
        assert_eq!("P1M".parse::<Period>().unwrap().days_min(), 28);
        assert_eq!("P1Y".parse::<Period>().unwrap().days_min(), 365);
        assert!("P100Y".parse::<Period>().is_ok() || "P99Y".parse::<Period>().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_or_adding_panic(
            text in "P?[0-9YMWDT.-]{0,20}", micros in any::<i64>()
        ) {
            if let Ok(period) = text.parse::<Period>() {
                let time = Timestamp::from_micros(micros);
                prop_assert!(period.after(time) > time || micros > 200_000_000_000_000_000);
                period.before(time);
            }
        }
    }
}
