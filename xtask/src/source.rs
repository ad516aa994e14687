//! What a Rust source file looks like from afar: where its functions and its tests are.
//!
//! It relies on rustfmt instead of parsing: an item's closing brace stands alone in a line, as far
//! in as the item's first word. That is true of every file here, since the build checks the format.

use std::ops::Range;

/// A file's lines, with what is known of them.
#[derive(Debug)]
pub(crate) struct Source<'text> {
    lines: Vec<&'text str>,
}

/// A function: its name and its lines, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'text> {
    pub(crate) name: &'text str,
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
}

impl<'text> Source<'text> {
    /// Reads a file's text.
    pub(crate) fn new(text: &'text str) -> Self {
        Self { lines: text.lines().collect() }
    }

    /// Returns the number of lines outside of test modules.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let in_tests: usize = self.test_modules().iter().map(ExactSizeIterator::len).sum();
        self.lines.len() - in_tests
    }

    /// Returns the functions outside of test modules.
    pub(crate) fn functions(&self) -> Vec<Function<'text>> {
        let tests = self.test_modules();
        let numbered = self.lines.iter().enumerate();
        let outside = numbered.filter(|(at, _)| !tests.iter().any(|module| module.contains(at)));
        outside
            .filter_map(|(at, line)| {
                let name = function_name(line)?;
                let lines = self.item_end(at)? - at;
                Some(Function { name, first_line: at + 1, lines })
            })
            .collect()
    }

    /// Returns the names of the modules that the file declares without a body.
    pub(crate) fn module_files(&self) -> Vec<&'text str> {
        let words = self.lines.iter().map(|line| without_visibility(line.trim_start()));
        words.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect()
    }

    /// Returns the lines of the modules that are compiled for tests only.
    fn test_modules(&self) -> Vec<Range<usize>> {
        let mut modules: Vec<Range<usize>> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let inside = modules.last().is_some_and(|module| module.contains(&at));
            if inside || !line.trim_start().starts_with("#[cfg(test)]") {
                continue;
            }
            let module = (at + 1..self.lines.len())
                .find(|next| !self.lines[*next].trim_start().starts_with("#["))
                .filter(|next| {
                    without_visibility(self.lines[*next].trim_start()).starts_with("mod ")
                });
            if let Some(end) = module.and_then(|module| self.item_end(module)) {
                modules.push(at..end);
            }
        }
        modules
    }

    /// Returns the line after the closing brace of the item that starts at a line, if it has one.
    fn item_end(&self, start: usize) -> Option<usize> {
        let first = self.lines[start];
        let indent = first.strip_suffix(first.trim_start()).unwrap_or_default();
        let closes = |line: &str| line.strip_prefix(indent).is_some_and(|rest| rest == "}");
        let has_no_body = |line: &str| line.ends_with(';') && line.starts_with(indent);
        if first.trim_end().ends_with('}') || has_no_body(first) {
            return Some(start + 1);
        }
        let mut signature = !first.trim_end().ends_with('{');
        for (at, line) in self.lines.iter().enumerate().skip(start + 1) {
            if closes(line) {
                return Some(at + 1);
            }
            if signature {
                if has_no_body(line) {
                    return Some(at + 1);
                }
                signature = !line.trim_end().ends_with('{');
            }
        }
        None
    }
}

/// Returns the name of the function that a line begins, if it begins one.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = without_visibility(line.trim_start());
    for word in ["const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

/// Returns a line without `pub`, `pub(crate)` and their like.
fn without_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else {
        return line;
    };
    let rest = match rest.strip_prefix('(').and_then(|scope| scope.split_once(')')) {
        Some((_, rest)) => rest,
        None => rest,
    };
    rest.strip_prefix(' ').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! A file.
mod inner;
pub(crate) mod other;

impl Thing {
    pub(crate) async fn long(
        &self,
    ) -> bool {
        if self.x {
            true
        }
    }

    fn short(&self) {}
}

trait Seam {
    fn verb(&self);
}

#[cfg(test)]
mod tests {
    fn a_test_is_not_counted() {
        x
    }
}
";

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let found = Source::new(TEXT).functions();
        let expected = [("long", 6, 7), ("short", 14, 1), ("verb", 18, 1)]
            .map(|(name, first_line, lines)| Function { name, first_line, lines });
        assert_eq!(found, expected);
    }

    #[test]
    fn test_modules_do_not_count_as_lines() {
        assert_eq!(Source::new(TEXT).lines_without_tests(), TEXT.lines().count() - 6);
    }

    #[test]
    fn declared_module_files_are_found() {
        assert_eq!(Source::new(TEXT).module_files(), ["inner", "other"]);
    }
}
