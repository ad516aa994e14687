//! What az says of the command that somebody typed: its name, and which options were in it.
//!
//! The headers are `CommandName: keyvault create` and `ParameterSetName: --name -g` (az-wire 4.1).
//! They are the caller's own words about the caller's own request, and are believed for that alone.

/// The most options that are looked at; no command has as many.
pub const OPTIONS_MAX: usize = 256;

/// A command of az, as its headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzCommand {
    name: String,
    options: Vec<String>,
}

impl AzCommand {
    /// Reads both headers; nothing is known of a command unless both are there.
    pub fn read(name: Option<&str>, options: Option<&str>) -> Option<Self> {
        let words: Vec<&str> = name?.split_whitespace().collect();
        let options: Vec<String> =
            options?.split_whitespace().take(OPTIONS_MAX + 1).map(str::to_owned).collect();
        // A list that was cut would seem to lack what stands behind the cut.
        let whole = !words.is_empty() && options.len() <= OPTIONS_MAX;
        whole.then(|| Self { name: words.join(" "), options })
    }

    /// Whether this is the command of that name.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Whether the option was typed, whole or abbreviated: az takes any beginning that is enough.
    pub fn typed(&self, option: &str) -> bool {
        let long = |word: &String| word.len() > 2 && word.starts_with("--");
        let means = |word: &String| {
            let word = word.split('=').next().unwrap_or_default();
            option.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        };
        self.options.iter().filter(|word| long(word)).any(means)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(options: &str) -> AzCommand {
        AzCommand::read(Some("keyvault create"), Some(options)).expect("both are there")
    }

    #[test]
    fn an_option_is_typed_in_every_way_that_az_takes() {
        let option = "--enable-rbac-authorization";
        for typed in [
            "-n --enable-rbac-authorization",
            "--enable-rbac-authorization -g",
            "--enable-rbac",
            "--Enable-RBAC-Authorization",
            "--enable-r=false",
            // Ambiguous for az, which refuses it: whoever may have meant it has not been silent.
            "--en",
        ] {
            assert!(command(typed).typed(option), "{typed}");
        }
        for silent in ["", "-n -g", "--", "-e", "--enable-purge-protection", "--name --é", "x"] {
            assert!(!command(silent).typed(option), "{silent}");
        }
    }

    #[test]
    fn a_command_is_known_by_both_headers_or_not_at_all() {
        assert!(command("").is("KeyVault create"));
        assert!(!command("").is("keyvault"));
        assert_eq!(AzCommand::read(Some("keyvault create"), None), None);
        assert_eq!(AzCommand::read(None, Some("--name")), None);
        assert_eq!(AzCommand::read(Some(" "), Some("--name")), None);
        let many = "-x ".repeat(OPTIONS_MAX);
        assert!(AzCommand::read(Some("a"), Some(&many)).is_some());
        assert_eq!(AzCommand::read(Some("a"), Some(&format!("{many} -y"))), None);
    }
}
