//! What a path of a key vault names. Pure.
//!
//! Words of the protocol are read in any case, and a slash at the end is ignored: az asks for
//! `/keys/<name>/` when it means the newest version (az-wire 5.3).

use http::Method;
use lockyard_keyring::{KeyName, KeyVersionName};
use lockyard_vault::KeyOperation;
use percent_encoding::percent_decode_str;

use super::failure::VaultFailure;
use crate::limit::{VAULT_BACKUP_BODY_BYTES_MAX, VAULT_BODY_BYTES_MAX};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/keys`.
    Keys,
    /// `/keys/{name}`, and `/keys/{name}/{version}`.
    Key(KeyName, Option<KeyVersionName>),
    /// `/keys/{name}/versions`.
    Versions(KeyName),
    /// `/keys/{name}/create`.
    Create(KeyName),
    /// `/keys/{name}/rotate`.
    Rotate(KeyName),
    /// `/keys/{name}/backup`.
    Backup(KeyName),
    /// `/keys/restore`.
    Restore,
    /// `/keys/{name}/{version}/wrapkey` and its like, with or without the version.
    Use(KeyOperation, KeyName, Option<KeyVersionName>),
    /// `/keys/{name}/{version}/release`, with or without the version.
    Release(KeyName, Option<KeyVersionName>),
    /// `/keys/{name}/{version}/attestation`, with or without the version.
    Attestation(KeyName, Option<KeyVersionName>),
    /// `/keys/{name}/rotationpolicy`.
    RotationPolicy(KeyName),
    /// `/deletedkeys`.
    DeletedKeys,
    /// `/deletedkeys/{name}`.
    DeletedKey(KeyName),
    /// `/deletedkeys/{name}/recover`.
    Recover(KeyName),
    /// `/rng`.
    Random,
}

impl Target {
    /// Reads a path as it came, percent-encoded.
    ///
    /// The method is needed for one word: who POSTs to `/keys/restore` restores, everybody else
    /// means a key of that name.
    pub(super) fn parse(path: &str, method: &Method) -> Result<Self, VaultFailure> {
        let mut words = Vec::new();
        for piece in path.trim_start_matches('/').trim_end_matches('/').split('/') {
            let piece = percent_decode_str(piece);
            words.push(piece.decode_utf8().map_err(|_| VaultFailure::nothing())?);
        }
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        match *words {
            [one] if is(one, "keys") => Ok(Self::Keys),
            [one] if is(one, "deletedkeys") => Ok(Self::DeletedKeys),
            [one] if is(one, "rng") => Ok(Self::Random),
            [first, verb] if is(first, "keys") && is(verb, "restore") && method == Method::POST => {
                Ok(Self::Restore)
            }
            [first, name, ref rest @ ..] if is(first, "keys") => Self::of_key(key(name)?, rest),
            [first, name] if is(first, "deletedkeys") => Ok(Self::DeletedKey(key(name)?)),
            [first, name, verb] if is(first, "deletedkeys") && is(verb, "recover") => {
                Ok(Self::Recover(key(name)?))
            }
            _ => Err(VaultFailure::nothing()),
        }
    }

    fn of_key(name: KeyName, rest: &[&str]) -> Result<Self, VaultFailure> {
        let folded: Vec<String> = rest.iter().map(|word| word.to_ascii_lowercase()).collect();
        let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
        match *folded {
            [] => Ok(Self::Key(name, None)),
            ["versions"] => Ok(Self::Versions(name)),
            ["create"] => Ok(Self::Create(name)),
            ["rotate"] => Ok(Self::Rotate(name)),
            ["backup"] => Ok(Self::Backup(name)),
            ["rotationpolicy"] => Ok(Self::RotationPolicy(name)),
            // The SDK for JavaScript leaves the version's place empty where it has none.
            [word] | ["", word] if is_verb(word) => Self::with_verb(name, None, word),
            [number, word] if is_verb(word) => Self::with_verb(name, Some(version(number)?), word),
            [word] => Ok(Self::Key(name, Some(version(word)?))),
            _ => Err(VaultFailure::nothing()),
        }
    }

    /// What a verb does to a key, or to a version of it.
    fn with_verb(
        name: KeyName,
        version: Option<KeyVersionName>,
        verb: &str,
    ) -> Result<Self, VaultFailure> {
        match verb {
            "release" => Ok(Self::Release(name, version)),
            "attestation" => Ok(Self::Attestation(name, version)),
            verb => match used(verb) {
                Some(operation) => Ok(Self::Use(operation, name, version)),
                None => Err(VaultFailure::nothing()),
            },
        }
    }

    /// The route template that stands in logs.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Keys => "vault:/keys",
            Self::Key(_, None) => "vault:/keys/{name}",
            Self::Key(_, Some(_)) => "vault:/keys/{name}/{version}",
            Self::Versions(_) => "vault:/keys/{name}/versions",
            Self::Create(_) => "vault:/keys/{name}/create",
            Self::Rotate(_) => "vault:/keys/{name}/rotate",
            Self::Backup(_) => "vault:/keys/{name}/backup",
            Self::Restore => "vault:/keys/restore",
            Self::Use(operation, ..) => match operation {
                KeyOperation::Encrypt => "vault:/keys/{name}/{version}/encrypt",
                KeyOperation::Decrypt => "vault:/keys/{name}/{version}/decrypt",
                KeyOperation::Sign => "vault:/keys/{name}/{version}/sign",
                KeyOperation::Verify => "vault:/keys/{name}/{version}/verify",
                KeyOperation::WrapKey => "vault:/keys/{name}/{version}/wrapkey",
                KeyOperation::UnwrapKey => "vault:/keys/{name}/{version}/unwrapkey",
            },
            Self::Release(..) => "vault:/keys/{name}/{version}/release",
            Self::Attestation(..) => "vault:/keys/{name}/{version}/attestation",
            Self::RotationPolicy(_) => "vault:/keys/{name}/rotationpolicy",
            Self::DeletedKeys => "vault:/deletedkeys",
            Self::DeletedKey(_) => "vault:/deletedkeys/{name}",
            Self::Recover(_) => "vault:/deletedkeys/{name}/recover",
            Self::Random => "vault:/rng",
        }
    }

    /// The longest body of a request to it, in bytes.
    pub(super) fn body_bytes_max(&self) -> usize {
        match self {
            Self::Restore => VAULT_BACKUP_BODY_BYTES_MAX,
            _ => VAULT_BODY_BYTES_MAX,
        }
    }

    /// The methods that it answers.
    pub(super) const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Keys | Self::Versions(_) | Self::Attestation(..) | Self::DeletedKeys => {
                &[Method::GET]
            }
            Self::Key(_, None) => &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE],
            Self::Key(_, Some(_)) => &[Method::GET, Method::PATCH],
            Self::RotationPolicy(_) => &[Method::GET, Method::PUT],
            Self::DeletedKey(_) => &[Method::GET, Method::DELETE],
            Self::Create(_)
            | Self::Rotate(_)
            | Self::Backup(_)
            | Self::Restore
            | Self::Use(..)
            | Self::Release(..)
            | Self::Recover(_)
            | Self::Random => &[Method::POST],
        }
    }
}

/// The use of a key that a path's word means: `key_ops` has capitals inside, paths have none.
fn used(word: &str) -> Option<KeyOperation> {
    KeyOperation::ALL.iter().copied().find(|known| word.eq_ignore_ascii_case(known.as_str()))
}

fn is_verb(word: &str) -> bool {
    matches!(word, "release" | "attestation") || used(word).is_some()
}

fn key(text: &str) -> Result<KeyName, VaultFailure> {
    text.parse()
        .map_err(|_| VaultFailure::bad("a key's name has 1 to 127 letters, digits and hyphens"))
}

fn version(text: &str) -> Result<KeyVersionName, VaultFailure> {
    text.parse().map_err(|_| VaultFailure::bad("a key's version has 32 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VERSION: &str = "0123456789abcdef0123456789abcdef";

    fn check(method: Method, path: &str, template: &str) {
        let target = Target::parse(path, &method);
        let target = target.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        assert_eq!(target.template(), template, "{path}");
        assert!(target.methods().contains(&method), "{path}");
    }

    #[test]
    fn every_spelling_of_a_path_is_read() {
        check(Method::GET, "/keys", "vault:/keys");
        check(Method::GET, "//Keys/", "vault:/keys");
        check(Method::GET, "/keys/k/", "vault:/keys/{name}");
        check(Method::PATCH, "/keys/%6B/", "vault:/keys/{name}");
        let upper = VERSION.to_ascii_uppercase();
        check(Method::GET, &format!("/keys/k/{upper}/"), "vault:/keys/{name}/{version}");
        check(Method::GET, "/keys/k/Versions", "vault:/keys/{name}/versions");
        check(Method::POST, "/keys/k/create", "vault:/keys/{name}/create");
        check(Method::POST, "/keys/restore", "vault:/keys/restore");
        check(Method::GET, "/keys/restore", "vault:/keys/{name}");
        check(Method::POST, "/keys/restore/create", "vault:/keys/{name}/create");
        check(Method::POST, "/keys/k/wrapKey", "vault:/keys/{name}/{version}/wrapkey");
        let path = format!("/keys/k/{VERSION}/unwrapkey");
        check(Method::POST, &path, "vault:/keys/{name}/{version}/unwrapkey");
        check(Method::POST, "/keys/k//wrapkey", "vault:/keys/{name}/{version}/wrapkey");
        check(Method::POST, "/keys/k/release", "vault:/keys/{name}/{version}/release");
        check(Method::GET, "/keys/k//attestation", "vault:/keys/{name}/{version}/attestation");
        check(Method::PUT, "/keys/k/rotationPolicy", "vault:/keys/{name}/rotationpolicy");
        check(Method::POST, "/deletedkeys/k/recover", "vault:/deletedkeys/{name}/recover");
        check(Method::POST, "/rng", "vault:/rng");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let version_short = format!("/keys/k/{}", "0".repeat(31));
        let unknown_verb = format!("/keys/k/{VERSION}/melt");
        for path in [
            "/",
            "",
            "/secrets",
            "/keys//",
            "/keys/a.b",
            "/keys/a%2Fb",
            "/keys/%ff",
            "/deletedkeys/k/x",
            "/keys/k/a/b/c",
            "/keys/k//create",
            "/keys/k///wrapkey",
            &version_short,
            &unknown_verb,
        ] {
            let long = path == "/keys//";
            assert_eq!(Target::parse(path, &Method::GET).is_err(), !long, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "(/|%2[fF]|keys|restore|[a-z0-9%.]{1,4}){0,12}") {
            drop(Target::parse(&path, &Method::POST));
        }
    }
}
