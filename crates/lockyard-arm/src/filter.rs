//! The part of OData filters that clients send: a few comparisons, all of which must hold.
//!
//! `roleName eq 'Reader'`, `atScope() and assignedTo('…')`, `startswith(displayName,'a')`,
//! `servicePrincipalNames/any(c:c eq '…')`. What is not understood is refused, never ignored: an
//! ignored condition would answer more than was asked for.

use thiserror::Error;

/// The longest filter in bytes.
pub const FILTER_BYTES_MAX: usize = 2048;

/// The most conditions of a filter.
pub const FILTER_TERMS_MAX: usize = 8;

/// A text is no filter of the kind that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// The text is longer than [`FILTER_BYTES_MAX`] or has more conditions than
    /// [`FILTER_TERMS_MAX`].
    #[error("a filter has at most {FILTER_BYTES_MAX} bytes and {FILTER_TERMS_MAX} conditions")]
    TooLong,
    /// The text is not built like a filter.
    #[error("the filter is not understood, write `property eq 'value'` and join with `and`")]
    Syntax,
}

/// One condition. Names of properties and functions are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `property eq 'value'`.
    Equals {
        /// The property.
        property: String,
        /// What it must be.
        value: String,
    },
    /// `property/any(x:x eq 'value')`: the list has the value.
    Has {
        /// The property, a list.
        property: String,
        /// What it must hold.
        value: String,
    },
    /// `startswith(property,'value')`.
    StartsWith {
        /// The property.
        property: String,
        /// How it must begin.
        value: String,
    },
    /// `function()` or `function('value')`.
    Call {
        /// The function.
        function: String,
        /// What it is called with.
        argument: Option<String>,
    },
}

/// Reads a filter: conditions joined by `and`. An empty text has none.
pub fn parse_filter(text: &str) -> Result<Vec<Condition>, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    let mut tokens = Tokens { rest: text };
    let mut conditions = Vec::new();
    if tokens.peek()?.is_none() {
        return Ok(conditions);
    }
    loop {
        if conditions.len() == FILTER_TERMS_MAX {
            return Err(FilterError::TooLong);
        }
        conditions.push(condition(&mut tokens)?);
        match tokens.next()? {
            None => return Ok(conditions),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("and") => {}
            Some(_) => return Err(FilterError::Syntax),
        }
    }
}

fn condition(tokens: &mut Tokens<'_>) -> Result<Condition, FilterError> {
    let name = tokens.word()?.to_ascii_lowercase();
    match tokens.next()? {
        Some(Token::Word(word)) if word.eq_ignore_ascii_case("eq") => {
            Ok(Condition::Equals { property: name, value: tokens.value()? })
        }
        Some(Token::Mark('(')) => arguments(tokens, name),
        _ => Err(FilterError::Syntax),
    }
}

/// Reads on after an opening parenthesis.
fn arguments(tokens: &mut Tokens<'_>, name: String) -> Result<Condition, FilterError> {
    if let Some(property) = name.strip_suffix("/any") {
        let element = tokens.word()?;
        tokens.mark(':')?;
        let same = tokens.word()? == element;
        let equals = tokens.word()?.eq_ignore_ascii_case("eq");
        if !same || !equals {
            return Err(FilterError::Syntax);
        }
        let value = tokens.value()?;
        tokens.mark(')')?;
        return Ok(Condition::Has { property: property.to_owned(), value });
    }
    if name == "startswith" {
        let property = tokens.word()?.to_ascii_lowercase();
        tokens.mark(',')?;
        let value = tokens.value()?;
        tokens.mark(')')?;
        return Ok(Condition::StartsWith { property, value });
    }
    if tokens.peek()? == Some(Token::Mark(')')) {
        tokens.mark(')')?;
        return Ok(Condition::Call { function: name, argument: None });
    }
    let argument = Some(tokens.value()?);
    tokens.mark(')')?;
    Ok(Condition::Call { function: name, argument })
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Text(String),
    Mark(char),
}

struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    fn peek(&self) -> Result<Option<Token<'t>>, FilterError> {
        Tokens { rest: self.rest }.next()
    }

    fn next(&mut self) -> Result<Option<Token<'t>>, FilterError> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '\'' => self.text().map(|text| Some(Token::Text(text))),
            '(' | ')' | ',' | ':' => {
                self.rest = self.rest.strip_prefix(first).unwrap_or_default();
                Ok(Some(Token::Mark(first)))
            }
            _ => {
                let known = |c: char| c.is_ascii_alphanumeric() || "/-._".contains(c);
                let end = self.rest.find(|c| !known(c)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                if word.is_empty() { Err(FilterError::Syntax) } else { Ok(Some(Token::Word(word))) }
            }
        }
    }

    /// A text in quotes, in which two quotes stand for one.
    fn text(&mut self) -> Result<String, FilterError> {
        let mut text = String::new();
        loop {
            self.rest = self.rest.strip_prefix('\'').ok_or(FilterError::Syntax)?;
            let end = self.rest.find('\'').ok_or(FilterError::Syntax)?;
            let (piece, rest) = self.rest.split_at(end);
            text.push_str(piece);
            self.rest = rest.strip_prefix('\'').unwrap_or_default();
            if !self.rest.starts_with('\'') {
                return Ok(text);
            }
            text.push('\'');
        }
    }

    fn word(&mut self) -> Result<&'t str, FilterError> {
        match self.next()? {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(FilterError::Syntax),
        }
    }

    /// A text in quotes, or a bare word: some clients write ids so.
    fn value(&mut self) -> Result<String, FilterError> {
        match self.next()? {
            Some(Token::Text(text)) => Ok(text),
            Some(Token::Word(word)) => Ok(word.to_owned()),
            _ => Err(FilterError::Syntax),
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), FilterError> {
        if self.next()? == Some(Token::Mark(mark)) { Ok(()) } else { Err(FilterError::Syntax) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &[Condition]) {
        assert_eq!(parse_filter(text).as_deref(), Ok(expected), "{text}");
    }

    fn equals(property: &str, value: &str) -> Condition {
        Condition::Equals { property: property.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_clients_send_is_understood() {
        check("", &[]);
        check("roleName eq 'Reader'", &[equals("rolename", "Reader")]);
        check("displayName EQ 'it''s'", &[equals("displayname", "it's")]);
        check("principalId eq 1234-ab", &[equals("principalid", "1234-ab")]);
        let has = Condition::Has { property: "names".to_owned(), value: "x".to_owned() };
        check("names/any(c:c eq 'x')", &[has]);
        let call = |argument: Option<&str>| Condition::Call {
            function: "atscope".to_owned(),
            argument: argument.map(str::to_owned),
        };
        check("atScope()", &[call(None)]);
        check("atScope() and a eq ''", &[call(None), equals("a", "")]);
        check("atScope('x')", &[call(Some("x"))]);
        let starts =
            Condition::StartsWith { property: "displayname".to_owned(), value: "a".to_owned() };
        check("startswith(displayName,'a')", &[starts]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "a",
            "a eq",
            "a eq '",
            "a eq 'b' or c eq 'd'",
            "a ne 'b'",
            "not a eq 'b'",
            "a eq 'b' and",
            "f(",
            "f('a'",
            "f('a','b')",
            "n/any(c:d eq 'x')",
            "n/any(c:c ne 'x')",
            "eq eq eq eq",
            "startswith(a)",
            "a eq 'b' c",
            "(a eq 'b')",
            "ä eq 'b'",
            "a eq 'b'; drop",
        ] {
            assert_eq!(parse_filter(text), Err(FilterError::Syntax), "{text}");
        }
    }

    #[test]
    fn a_filter_has_limits() {
        let terms = |count| vec!["a eq 'b'"; count].join(" and ");
        assert!(parse_filter(&terms(FILTER_TERMS_MAX)).is_ok());
        assert_eq!(parse_filter(&terms(FILTER_TERMS_MAX + 1)), Err(FilterError::TooLong));
        let long = |length: usize| format!("a eq '{}'", "b".repeat(length - 7));
        assert!(parse_filter(&long(FILTER_BYTES_MAX)).is_ok());
        assert_eq!(parse_filter(&long(FILTER_BYTES_MAX + 1)), Err(FilterError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(a|eq|and|any|/|\\(|\\)|'|,|:| |ä|.){0,40}") {
            let _either = parse_filter(&text);
        }

        #[test]
        fn a_value_in_quotes_reads_back(value in ".{0,40}") {
            let text = format!("a eq '{}'", value.replace('\'', "''"));
            prop_assert_eq!(parse_filter(&text), Ok(vec![equals("a", &value)]));
        }
    }
}
