//! Scopes: what a client of a registry asks a token for.
//!
//! The grammar is that of the distribution project's token scopes, with the action words that
//! Azure's registries add. A scope is a wish and never a right, so what we do not know is passed
//! over instead of refused: clients send types and actions of other registries and expect a token
//! all the same. Only sizes are limited.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

/// The most scopes of one request; clients that push one image need two, copies a few more.
pub const SCOPES_MAX: usize = 100;

/// The most bytes of all scopes of one request.
///
/// Whoever gets all of them carries them back in one header, which has its own limit.
pub const SCOPE_BYTES_MAX: usize = 8 << 10;

/// What somebody may do with a repository, or with the registry's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read blobs, manifests, tags and referrers.
    Pull,
    /// Add blobs, manifests and tags.
    Push,
    /// Take manifests, tags and blobs away.
    Delete,
    /// Read what is known about a repository.
    MetadataRead,
    /// Change what is known about a repository.
    MetadataWrite,
    /// See what was deleted and can come back.
    DeletedRead,
    /// Bring back what was deleted.
    DeletedRestore,
    /// See the names of all repositories; of the registry, never of one repository.
    Catalog,
}

impl Verb {
    /// What can be done with one repository.
    pub const OF_REPOSITORY: [Self; 7] = [
        Self::Pull,
        Self::Push,
        Self::Delete,
        Self::MetadataRead,
        Self::MetadataWrite,
        Self::DeletedRead,
        Self::DeletedRestore,
    ];

    /// The word that scopes and tokens have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::MetadataRead => "metadata_read",
            Self::MetadataWrite => "metadata_write",
            Self::DeletedRead => "deleted_read",
            Self::DeletedRestore => "deleted_restore",
            Self::Catalog => "*",
        }
    }

    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of [`Verb`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Verbs(u8);

impl Verbs {
    /// Whether `verb` is among them.
    pub const fn contains(self, verb: Verb) -> bool {
        self.0 & verb.bit() != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The words for them, in the order of [`Verb`].
    pub fn words(self) -> Vec<&'static str> {
        let all = Verb::OF_REPOSITORY.into_iter().chain([Verb::Catalog]);
        all.filter(|verb| self.contains(*verb)).map(Verb::as_str).collect()
    }

    /// Reads the words of a scope for one repository; `*` is all of them, unknown ones are none.
    fn of_repository<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let known =
            |word| Verb::OF_REPOSITORY.into_iter().filter(move |verb| verb.as_str() == word);
        words
            .flat_map(|word| {
                let all = if word == "*" { &Verb::OF_REPOSITORY[..] } else { &[] };
                known(word).chain(all.iter().copied())
            })
            .collect()
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> Self {
        Self(verbs.into_iter().fold(0, |bits, verb| bits | verb.bit()))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.words()).finish()
    }
}

/// What verbs for which repositories: a wish, or what a token grants of one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Verbs by repository name, as clients spell it; a name that is none of ours grants nothing.
    repositories: BTreeMap<String, Verbs>,
    catalog: bool,
}

/// More than a request may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScopeError {
    /// More scopes than [`SCOPES_MAX`].
    #[error("a token is asked for at most {SCOPES_MAX} scopes")]
    TooMany,
    /// More bytes of scopes than [`SCOPE_BYTES_MAX`].
    #[error("the scopes of a token have at most {SCOPE_BYTES_MAX} bytes")]
    TooLong,
}

impl Access {
    /// Reads the `scope` parameters of a request: repeated, or joined by spaces, or both.
    pub fn parse<'s>(parameters: impl IntoIterator<Item = &'s str>) -> Result<Self, ScopeError> {
        let (mut wish, mut number, mut bytes) = (Self::default(), 0, 0);
        for parameter in parameters {
            bytes += parameter.len();
            if bytes > SCOPE_BYTES_MAX {
                return Err(ScopeError::TooLong);
            }
            for scope in parameter.split_ascii_whitespace() {
                number += 1;
                if number > SCOPES_MAX {
                    return Err(ScopeError::TooMany);
                }
                wish.add_scope(scope);
            }
        }
        Ok(wish)
    }

    /// Adds verbs for one repository.
    pub(super) fn add<'w>(&mut self, name: &str, words: impl Iterator<Item = &'w str>) {
        let verbs = Verbs::of_repository(words);
        if verbs.is_empty() || name.is_empty() {
            return;
        }
        let entry = self.repositories.entry(name.to_owned()).or_default();
        *entry = Verbs(entry.0 | verbs.0);
    }

    /// Adds the registry's list of repositories.
    pub(super) fn add_catalog(&mut self) {
        self.catalog = true;
    }

    /// Reads `type[(class)]:name:action[,action…]`; the name may hold colons, so it is what stands
    /// between the first and the last one.
    fn add_scope(&mut self, scope: &str) {
        let Some((kind, rest)) = scope.split_once(':') else { return };
        let Some((name, actions)) = rest.rsplit_once(':') else { return };
        let words = actions.split(',');
        // `repository(plugin)`: the class says what kind of image it is, which changes no right.
        match kind.split('(').next().unwrap_or(kind) {
            "repository" => self.add(name, words),
            "registry" if name == "catalog" && words.into_iter().any(|word| word == "*") => {
                self.add_catalog();
            }
            _ => {}
        }
    }

    /// What of this the holder of `verbs` may have; `verbs` hold for every repository.
    #[must_use]
    pub fn within(&self, verbs: Verbs) -> Self {
        let narrowed = self.repositories.iter().map(|(name, own)| (name.clone(), own.and(verbs)));
        let repositories = narrowed.filter(|(_, verbs)| !verbs.is_empty()).collect();
        Self { repositories, catalog: self.catalog && verbs.contains(Verb::Catalog) }
    }

    /// What is in both.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let narrowed = self.repositories.iter().filter_map(|(name, verbs)| {
            let both = verbs.and(*other.repositories.get(name)?);
            (!both.is_empty()).then(|| (name.clone(), both))
        });
        Self { repositories: narrowed.collect(), catalog: self.catalog && other.catalog }
    }

    /// Whether this has `verb` for a repository, or for the registry where that is what it is of.
    pub fn permits(&self, repository: Option<&str>, verb: Verb) -> bool {
        match (verb, repository) {
            (Verb::Catalog, _) => self.catalog,
            (_, Some(name)) => self.repositories.get(name).is_some_and(|own| own.contains(verb)),
            (_, None) => false,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty() && !self.catalog
    }

    /// The repositories and what may be done with them.
    pub fn repositories(&self) -> impl Iterator<Item = (&str, Verbs)> {
        self.repositories.iter().map(|(name, verbs)| (name.as_str(), *verbs))
    }

    /// Whether the list of repositories is in it.
    pub const fn catalog(&self) -> bool {
        self.catalog
    }
}

/// Names of repositories are a customer's, and stay out of logs.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({} repositories, catalog: {})", self.repositories.len(), self.catalog)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(scopes: &[&str]) -> String {
        let access = Access::parse(scopes.iter().copied()).unwrap();
        let mut told: Vec<String> = access
            .repositories()
            .map(|(name, verbs)| format!("{name}={}", verbs.words().join(",")))
            .collect();
        told.extend(access.catalog().then(|| "catalog".to_owned()));
        told.join(" ")
    }

    #[test]
    fn scopes_are_read_in_every_form_that_clients_send() {
        for (scopes, expected) in [
            (&["repository:app:pull"][..], "app=pull"),
            (&["repository:team/app:push,pull"], "team/app=pull,push"),
            (&["repository:a:pull", "repository:b:pull,push"], "a=pull b=pull,push"),
            (&["repository:a:pull repository:b:push  registry:catalog:*"], "a=pull b=push catalog"),
            (&["repository:a:pull repository:a:push", "repository:a:delete"], "a=pull,push,delete"),
            (&["repository(plugin):a/b:pull"], "a/b=pull"),
            (&["repository:a:metadata_read,metadata_write"], "a=metadata_read,metadata_write"),
            (&["repository:a:deleted_read,deleted_restore"], "a=deleted_read,deleted_restore"),
            (
                &["repository:a:*"],
                "a=pull,push,delete,metadata_read,metadata_write,deleted_read,deleted_restore",
            ),
            (&["repository:yard.example:5000/a:pull"], "yard.example:5000/a=pull"),
            (&[], ""),
        ] {
            assert_eq!(read(scopes), expected, "{scopes:?}");
        }
    }

    #[test]
    fn what_is_unknown_is_passed_over_and_the_rest_is_read() {
        for scope in [
            "",
            " ",
            "repository",
            "repository:a",
            "repository:a:",
            "repository::pull",
            "repository:a:PULL",
            "repository:a:fly",
            "repository:a:pull/push",
            "registry:None:*",
            "registry:catalog:pull",
            "registry:catalog:",
            "artifact-repository:a:pull",
            "Repository:a:pull",
            ":::",
            "plugin:a:pull",
        ] {
            assert_eq!(read(&[scope, "repository:b:fly,pull"]), "b=pull", "{scope}");
        }
    }

    #[test]
    fn scopes_are_limited_in_number_and_length() {
        let scopes =
            |number| (0..number).map(|n| format!("repository:r{n}:pull")).collect::<Vec<_>>();
        for (number, good) in [(SCOPES_MAX - 1, true), (SCOPES_MAX, true), (SCOPES_MAX + 1, false)]
        {
            let list = scopes(number);
            let repeated = Access::parse(list.iter().map(String::as_str));
            assert_eq!(repeated.is_ok(), good, "{number}");
            let joined = list.join(" ");
            assert_eq!(Access::parse([joined.as_str()]).is_ok(), good, "{number}");
        }
        for (bytes, good) in
            [(SCOPE_BYTES_MAX - 1, true), (SCOPE_BYTES_MAX, true), (SCOPE_BYTES_MAX + 1, false)]
        {
            let (half, rest) = ("a".repeat(bytes / 2), "a".repeat(bytes - bytes / 2));
            let read = Access::parse([half.as_str(), rest.as_str()]);
            assert_eq!(read, if good { Ok(Access::default()) } else { Err(ScopeError::TooLong) });
        }
    }

    #[test]
    fn a_wish_is_narrowed_to_what_one_may_have() {
        let wish = Access::parse(["repository:a:* repository:b:push registry:catalog:*"]).unwrap();
        let granted = wish.within([Verb::Pull, Verb::Delete].into_iter().collect());
        assert!(granted.permits(Some("a"), Verb::Pull));
        assert!(granted.permits(Some("a"), Verb::Delete));
        assert!(!granted.permits(Some("a"), Verb::Push));
        assert!(!granted.permits(Some("b"), Verb::Push));
        assert!(!granted.permits(Some("c"), Verb::Pull));
        assert!(!granted.permits(None, Verb::Pull));
        assert!(!granted.permits(None, Verb::Catalog));
        assert!(wish.within(Verbs::default()).is_empty());
        let other = Access::parse(["repository:a:pull,push registry:catalog:*"]).unwrap();
        let both = wish.intersect(&other);
        assert!(both.permits(Some("a"), Verb::Push) && both.catalog());
        assert!(!both.permits(Some("a"), Verb::Delete) && !both.permits(Some("b"), Verb::Push));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(scopes: Vec<String>) {
            let _read = Access::parse(scopes.iter().map(String::as_str));
        }

        #[test]
        fn nothing_is_granted_that_was_not_asked_for_and_allowed(
            text in "(repository:[ab]:(pull|push|delete|\\*)(,push)? ?){0,4}(registry:catalog:\\*)?",
            bits: u8,
        ) {
            let (wish, verbs) = (Access::parse([text.as_str()]).unwrap(), Verbs(bits));
            let granted = wish.within(verbs);
            for name in ["a", "b", "c"] {
                for verb in Verb::OF_REPOSITORY {
                    prop_assert_eq!(
                        granted.permits(Some(name), verb),
                        wish.permits(Some(name), verb) && verbs.contains(verb)
                    );
                }
            }
            prop_assert_eq!(granted.catalog(), wish.catalog() && verbs.contains(Verb::Catalog));
        }
    }
}
