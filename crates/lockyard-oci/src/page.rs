//! How many entries of a list a client wants at once: the query parameter `n`.

use thiserror::Error;

/// The number of entries of one page, from 0 to [`PageSize::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageSize(usize);

/// An `n` that is not a number; answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the page size `n` is a number, zero or above")]
pub struct PageSizeError;

impl PageSize {
    /// The size without `n`.
    pub const DEFAULT: Self = Self(100);
    /// The largest size; a client that asks for more gets this many and a link to the next page.
    pub const MAX: Self = Self(1000);

    /// Reads `n`, if there is one; clamps to [`PageSize::MAX`], because clients ask for huge pages
    /// to say "all" and fail on 400.
    pub fn parse(n: Option<&str>) -> Result<Self, PageSizeError> {
        Self::parse_within(n, Self::DEFAULT, Self::MAX)
    }

    /// Reads `n` where other limits hold.
    pub fn parse_within(n: Option<&str>, default: Self, max: Self) -> Result<Self, PageSizeError> {
        let Some(digits) = n else { return Ok(default) };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PageSizeError);
        }
        // Digits fail to parse only if there are too many of them.
        Ok(digits.parse().map_or(max, Self).min(max))
    }

    /// Makes a size for [`PageSize::parse_within`].
    pub const fn new(entries: usize) -> Self {
        Self(entries)
    }

    /// The number of entries.
    pub const fn entries(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(n: Option<&str>, expected: Result<usize, PageSizeError>) {
        assert_eq!(PageSize::parse(n).map(PageSize::entries), expected, "{n:?}");
    }

    #[test]
    fn a_page_without_n_has_100_entries() {
        check(None, Ok(100));
    }

    #[test]
    fn a_page_may_be_empty() {
        check(Some("0"), Ok(0));
        check(Some("000"), Ok(0));
    }

    #[test]
    fn a_page_is_clamped_to_1000_entries() {
        check(Some("999"), Ok(999));
        check(Some("1000"), Ok(1000));
        check(Some("1001"), Ok(1000));
        check(Some("99999999999999999999999999"), Ok(1000));
    }

    #[test]
    fn junk_is_refused() {
        for n in ["", "-1", "+1", "1.5", "ten", " 1", "1 ", "0x10", "١"] {
            check(Some(n), Err(PageSizeError));
        }
    }

    #[test]
    fn other_limits_can_hold() {
        let parse = |n| PageSize::parse_within(n, PageSize::new(5), PageSize::new(7));
        assert_eq!(parse(None), Ok(PageSize::new(5)));
        assert_eq!(parse(Some("8")), Ok(PageSize::new(7)));
    }

    proptest! {
        #[test]
        fn every_text_but_digits_is_refused(text in any::<String>()) {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            prop_assert_eq!(PageSize::parse(Some(&text)).is_ok(), digits);
        }

        #[test]
        fn every_number_is_accepted_and_clamped(n: u64) {
            let entries = PageSize::parse(Some(&n.to_string())).unwrap().entries();
            prop_assert_eq!(entries as u64, n.min(1000));
        }
    }
}
