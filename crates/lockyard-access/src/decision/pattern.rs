//! Patterns of actions, where `*` stands for any text, slashes included.

use std::fmt;

use crate::decision::{ACTION_BYTES_MAX, Action, ActionError};

/// A pattern of actions, `Microsoft.KeyVault/vaults/keys/*`; compared without regard to case.
#[derive(Clone, PartialEq, Eq)]
pub struct ActionPattern(String);

impl ActionPattern {
    /// Reads a pattern; empty ones, and those with characters that no action has, are refused.
    pub fn parse(text: &str) -> Result<Self, ActionError> {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"./*-_".contains(&b);
        if (1..=ACTION_BYTES_MAX).contains(&text.len()) && text.bytes().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ActionError)
        }
    }

    /// A pattern that the code names itself.
    pub(crate) fn named(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the action is one of those that the pattern stands for.
    pub fn matches(&self, action: &Action) -> bool {
        matches(self.0.as_bytes(), action.as_str().as_bytes())
    }
}

impl fmt::Display for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ActionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActionPattern({})", self.0)
    }
}

/// The first piece must begin the text, the last must end it, the others are found one after the
/// other: no backtracking, so that no pattern takes long.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|b| *b == b'*');
    let (Some(first), last) = (pieces.next(), pieces.next_back()) else { return false };
    let Some(last) = last else { return first.eq_ignore_ascii_case(text) };
    if first.len() + last.len() > text.len() {
        return false;
    }
    let (head, rest) = text.split_at(first.len());
    let (mut rest, tail) = rest.split_at(rest.len() - last.len());
    if !head.eq_ignore_ascii_case(first) || !tail.eq_ignore_ascii_case(last) {
        return false;
    }
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let found = rest.windows(piece.len()).position(|w| w.eq_ignore_ascii_case(piece));
        let Some(after) = found.and_then(|at| rest.get(at + piece.len()..)) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decision::Plane;

    /// The definition of a pattern, tried in every way.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| slowly(rest, &text[skip..])),
            Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| {
                first.eq_ignore_ascii_case(byte) && slowly(rest, text)
            }),
        }
    }

    fn check(pattern: &str, action: &str, expected: bool) {
        let pattern = ActionPattern::parse(pattern).expect("a pattern");
        let action = Action::parse(Plane::Control, action).expect("an action");
        assert_eq!(pattern.matches(&action), expected, "{pattern} {action}");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        check("*", "A.B/c/read", true);
        check("*/read", "A.B/c/READ", true);
        check("*/read", "A.B/c/readMetadata", false);
        check("*/read", "A.B/c/spread", false);
        check("A.B/*/write", "A.B/c/d/write", true);
        check("A.B/*/write", "A.B/write", false);
        check("A.B/c", "a.b/C", true);
        check("A.B/c", "A.B/cd", false);
        check("A.B/*", "A.BC/d", false);
    }

    #[test]
    fn patterns_have_a_length_and_no_foreign_characters() {
        assert!(ActionPattern::parse(&"a".repeat(ACTION_BYTES_MAX)).is_ok());
        for wrong in ["", "a b", "a?", "ä", &"a".repeat(ACTION_BYTES_MAX + 1)] {
            assert_eq!(ActionPattern::parse(wrong), Err(ActionError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn matching_is_what_it_is_defined_as(pattern in "[abA*/]{0,8}", text in "[abB/]{0,10}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                slowly(pattern.as_bytes(), text.as_bytes())
            );
        }
    }
}
