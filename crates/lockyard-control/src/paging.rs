//! Lists in pages: which part of a list is asked for, and where it goes on.
//!
//! A token holds the place of the last item that was told, not how many there were: whatever is
//! made or deleted between two pages, no item that stays is told twice or left out.

use std::str::FromStr;

use lockyard_arm::SCOPE_BYTES_MAX;
use serde_json::Value;
use thiserror::Error;

/// The most items of one page, and how many there are unless fewer are asked for.
pub const ARM_PAGE_MAX: usize = 1000;

/// A list cannot be told in the pages that a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// `$top` is not a number of items.
    #[error(
        "`$top` is how many items a page is to have: a number from 1, and a page never has more \
         than {ARM_PAGE_MAX}"
    )]
    Top,
    /// The token is none of ours.
    #[error(
        "the `$skiptoken` is none that a list here returned; follow `nextLink` as it is, or begin \
         the list anew"
    )]
    Token,
}

/// Where a list goes on; opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkipToken(String);

impl SkipToken {
    /// The token's text, fit for a URL as it is.
    pub fn text(&self) -> String {
        hex::encode(&self.0)
    }
}

impl FromStr for SkipToken {
    type Err = PageError;

    fn from_str(text: &str) -> Result<Self, PageError> {
        if text.is_empty() || text.len() > 2 * SCOPE_BYTES_MAX {
            return Err(PageError::Token);
        }
        let place = hex::decode(text).map_err(|_| PageError::Token)?;
        String::from_utf8(place).map(Self).map_err(|_| PageError::Token)
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    top: Option<usize>,
    after: Option<SkipToken>,
}

impl PageRequest {
    /// Takes heed of `$top`.
    pub fn read_top(&mut self, text: &str) -> Result<(), PageError> {
        // Whoever asks for more than a page holds gets a page, and the link to the next.
        let top = text.parse::<u64>().ok().filter(|top| *top > 0).ok_or(PageError::Top)?;
        self.top = Some(usize::try_from(top).map_or(ARM_PAGE_MAX, |top| top.min(ARM_PAGE_MAX)));
        Ok(())
    }

    /// Takes heed of `$skiptoken`.
    pub fn read_token(&mut self, text: &str) -> Result<(), PageError> {
        self.after = Some(text.parse()?);
        Ok(())
    }

    /// The most items that the page may have.
    pub(crate) fn limit(&self) -> usize {
        self.top.unwrap_or(ARM_PAGE_MAX)
    }

    /// The place after which the page begins.
    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_ref().map(|token| token.0.as_str())
    }

    /// The part that is asked for of `all`, which are in the order of their places.
    pub(crate) fn part<T>(
        &self,
        all: impl IntoIterator<Item = T>,
        place: impl Fn(&T) -> String,
    ) -> Part<T> {
        let is_left = |one: &T| self.after().is_none_or(|after| place(one).as_str() > after);
        let limit = self.limit();
        let mut items: Vec<T> = all.into_iter().filter(is_left).take(limit + 1).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| SkipToken(place(last)));
        Part { items, next }
    }
}

/// Some items of a list, and where it goes on.
pub(crate) struct Part<T> {
    items: Vec<T>,
    next: Option<SkipToken>,
}

impl<T> Part<T> {
    /// The page that shows the items.
    pub(crate) fn shown(self, shown: impl FnMut(&T) -> Value) -> Page {
        Page { items: self.items.iter().map(shown).collect(), next: self.next }
    }

    /// The page that shows the items, if each can be shown.
    pub(crate) fn try_shown<E>(self, shown: impl FnMut(&T) -> Result<Value, E>) -> Result<Page, E> {
        let items = self.items.iter().map(shown).collect::<Result<_, E>>()?;
        Ok(Page { items, next: self.next })
    }
}

/// A part of a list, as clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// Where the list goes on, unless this is the end.
    pub next: Option<SkipToken>,
}

impl Page {
    /// A list that is always told whole: what it holds has a limit of its own.
    pub(crate) fn whole(items: Vec<Value>) -> Self {
        Self { items, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request for a page of `top` items after the place of `number`.
    fn request(top: Option<&str>, after: Option<usize>) -> PageRequest {
        let mut request = PageRequest::default();
        top.map(|top| request.read_top(top)).transpose().expect("a number");
        let after = after.map(|number| SkipToken(place(&number)).text());
        after.map(|token| request.read_token(&token)).transpose().expect("our own");
        request
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as places are asked for")]
    fn place(number: &usize) -> String {
        format!("{number:06}")
    }

    /// The items of a page of the numbers below `count`, and after which item the list goes on.
    fn page(request: &PageRequest, count: usize) -> (Vec<usize>, Option<String>) {
        let part = request.part(0..count, place);
        (part.items, part.next.map(|token| token.0))
    }

    #[test]
    fn a_page_ends_where_it_is_full_and_only_then_goes_on() {
        let max = ARM_PAGE_MAX;
        for (top, after, count, first, last, more) in [
            (None, None, max - 1, 0, max - 1, false),
            (None, None, max, 0, max, false),
            (None, None, max + 1, 0, max, true),
            (None, Some(max - 1), max + 1, max, max + 1, false),
            (Some("1"), None, 1, 0, 1, false),
            (Some("1"), None, 2, 0, 1, true),
            (Some("2"), Some(1), 5, 2, 4, true),
            (Some("2"), Some(2), 5, 3, 5, false),
            (Some("2"), Some(4), 5, 5, 5, false),
            (Some("999"), None, max, 0, max - 1, true),
            (Some("1000"), None, max + 1, 0, max, true),
            (Some("1001"), None, max + 1, 0, max, true),
            (Some("18446744073709551615"), None, max + 1, 0, max, true),
        ] {
            let (items, next) = page(&request(top, after), count);
            assert_eq!(items, (first..last).collect::<Vec<_>>(), "{top:?} {after:?} {count}");
            assert_eq!(next, more.then(|| place(&(last - 1))), "{top:?} {after:?} {count}");
        }
    }

    #[test]
    fn what_changes_between_pages_moves_nothing_that_stays() {
        let request = request(Some("2"), Some(20));
        for (now, expected) in [
            // The item that the page before ended with is gone; items came before and after.
            (vec![10, 30, 40, 50], vec![30, 40]),
            (vec![5, 10, 15, 20, 25, 30, 40], vec![25, 30]),
            (vec![10, 20], vec![]),
        ] {
            assert_eq!(request.part(now, place).items, expected);
        }
    }

    #[test]
    fn what_is_no_number_of_items_is_refused() {
        for top in ["", "0", "-1", "x", "1.5", " 1", "18446744073709551616"] {
            assert_eq!(PageRequest::default().read_top(top), Err(PageError::Top), "{top}");
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went_and_nothing_else_is_one() {
        let sized = |bytes: usize| SkipToken("a".repeat(bytes));
        for token in [SkipToken("/subscriptions/x y".to_owned()), sized(SCOPE_BYTES_MAX)] {
            assert_eq!(token.text().parse(), Ok(token));
        }
        for text in ["", "a", "zz", "ff", "%61", &sized(SCOPE_BYTES_MAX + 1).text()] {
            assert_eq!(text.parse::<SkipToken>(), Err(PageError::Token), "{text}");
        }
    }
}
