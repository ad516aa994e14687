//! `cargo xtask tidy`: the house rules that no compiler checks. Runs as a test of this crate too.
//!
//! Style that can be a test is a test; reviewers tire. The rules and their reasons are in the
//! house style: short files and functions, a first line that says what a file is for, no half
//! thoughts without an issue, no drawers called "utils", no file that no module names, and the
//! table of layers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layers;
use crate::source::Source;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// The leaf crate is what everything waits for and the easiest place to drop things into.
const BASE_LINES_MAX: usize = 800;
/// Names that say "I did not find the noun".
const NAMES_BANNED: [&str; 6] =
    ["common.rs", "helpers.rs", "models.rs", "types.rs", "util.rs", "utils.rs"];

/// Returns a sentence for each breach of the rules.
pub(crate) fn findings(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), &mut files);
    }
    files.sort();
    let mut findings = layers::findings(root);
    let mut base_lines = 0;
    for path in &files {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let Ok(text) = fs::read_to_string(path) else {
            findings.push(format!("{shown}: can't be read as text"));
            continue;
        };
        let file = File { path, shown: &shown, text: &text };
        findings.extend(file.findings());
        if path.starts_with(root.join("crates/lockyard-base/src")) {
            base_lines += Source::new(&text).lines_without_tests();
        }
    }
    if base_lines > BASE_LINES_MAX {
        findings.push(format!("lockyard-base: {base_lines} lines, more than {BASE_LINES_MAX}"));
    }
    findings
}

/// One source file under the rules.
struct File<'file> {
    path: &'file Path,
    shown: &'file str,
    text: &'file str,
}

impl File<'_> {
    fn findings(&self) -> Vec<String> {
        let checks = [
            self.opening(),
            self.name(),
            self.length(),
            self.functions(),
            self.unfinished(),
            self.orphan(),
        ];
        let sentences = checks.into_iter().flatten();
        sentences.map(|sentence| format!("{}{sentence}", self.shown)).collect()
    }

    fn opening(&self) -> Vec<String> {
        let good = self.text.starts_with("//! ");
        if good { Vec::new() } else { vec![": does not open with `//!` and its purpose".into()] }
    }

    fn name(&self) -> Vec<String> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let banned = NAMES_BANNED.contains(&name.as_ref());
        if banned { vec![": the name says nothing; find the noun".into()] } else { Vec::new() }
    }

    fn length(&self) -> Vec<String> {
        let lines = Source::new(self.text).lines_without_tests();
        let long = !self.is_test() && lines > FILE_LINES_MAX;
        if long { vec![format!(": {lines} lines, more than {FILE_LINES_MAX}")] } else { Vec::new() }
    }

    fn functions(&self) -> Vec<String> {
        if self.is_test() {
            return Vec::new();
        }
        let functions = Source::new(self.text).functions();
        let long = functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
        long.map(|function| {
            let (line, name, lines) = (function.first_line, function.name, function.lines);
            format!(":{line}: `{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}")
        })
        .collect()
    }

    fn unfinished(&self) -> Vec<String> {
        // Put together here, so that this line does not find itself.
        let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
        let numbered = self.text.lines().enumerate();
        let open = numbered.filter(|(_, line)| {
            marks.iter().any(|mark| line.contains(mark)) && !names_an_issue(line)
        });
        open.map(|(at, _)| format!(":{}: unfinished, and no issue `#n` named", at + 1)).collect()
    }

    /// Finds a file that no module declares: it would never be compiled.
    fn orphan(&self) -> Vec<String> {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let folder = self.path.parent().unwrap_or(self.path);
        if ["main", "lib", "build"].contains(&stem.as_ref()) || is_target_folder(folder) {
            return Vec::new();
        }
        let (name, folder) = match stem.as_ref() {
            "mod" => (folder.file_name().unwrap_or_default().to_string_lossy(), folder.parent()),
            _ => (stem, Some(folder)),
        };
        let folder = folder.unwrap_or(self.path);
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file));
        let declared = parents.into_iter().chain([folder.with_extension("rs")]).any(|parent| {
            let text = fs::read_to_string(parent).unwrap_or_default();
            Source::new(&text).module_files().contains(&name.as_ref())
        });
        if declared { Vec::new() } else { vec![": no module declares this file".into()] }
    }

    fn is_test(&self) -> bool {
        let parts = self.path.iter().map(|part| part.to_string_lossy());
        parts.into_iter().any(|part| part == "tests" || part == "tests.rs" || part == "benches")
    }
}

/// Says whether each file in a folder is a target of its own.
fn is_target_folder(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let in_package = folder.parent().is_some_and(|parent| parent.join("Cargo.toml").is_file());
    let in_source = folder.parent().is_some_and(|parent| parent.ends_with("src"));
    (in_package && ["tests", "benches", "examples"].contains(&name.as_ref()))
        || (in_source && name == "bin")
}

/// Says whether a line holds a `#` with a number.
fn names_an_issue(line: &str) -> bool {
    line.split('#').skip(1).any(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// Collects the Rust files of a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: &str, text: &str, expected: &[&str]) {
        let path = PathBuf::from("/nowhere/src").join(shown);
        let file = File { path: &path, shown, text };
        let mut findings = file.findings();
        findings.retain(|finding| !finding.contains("no module declares"));
        assert_eq!(findings, expected);
    }

    #[test]
    fn each_rule_finds_its_breach() {
        check("good.rs", "//! Good.\nfn f() {}\n", &[]);
        check("x.rs", "fn f() {}\n", &["x.rs: does not open with `//!` and its purpose"]);
        check("utils.rs", "//! No.\n", &["utils.rs: the name says nothing; find the noun"]);
        let mark = concat!("TO", "DO");
        check(
            "x.rs",
            &format!("//! X\n// {mark} later\n// {mark}(#7) later\n"),
            &["x.rs:2: unfinished, and no issue `#n` named"],
        );
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX - 1);
        check(
            "x.rs",
            &format!("//! X\nfn long() {{\n{body}}}\n"),
            &["x.rs:2: `long` has 71 lines, more than 70"],
        );
        check("x.rs", &"//! X\n".repeat(FILE_LINES_MAX + 1), &["x.rs: 801 lines, more than 800"]);
    }

    #[test]
    fn the_house_is_tidy() {
        let findings = findings(&crate::workspace_root());
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}
