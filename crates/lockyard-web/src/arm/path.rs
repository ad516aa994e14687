//! What a path of Resource Manager names. Pure.
//!
//! Case does not matter and a slash at the end is ignored (az-wire 4.1). Pieces are
//! percent-decoded one by one, so that an encoded slash never makes a path longer.

use http::Method;
use lockyard_arm::{
    ResourceGroupName, ResourceId, ResourceType, SCOPE_BYTES_MAX, Scope, ScopeError, ScopeLevel,
};
use lockyard_base::Guid;
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/metadata/endpoints`.
    Metadata,
    /// `/tenants`.
    Tenants,
    /// `/subscriptions`.
    Subscriptions,
    /// A subscription.
    Subscription(Guid),
    /// The locations of a subscription.
    Locations(Guid),
    /// The resource providers of a subscription.
    Providers(Guid),
    /// The resource groups of a subscription.
    Groups(Guid),
    /// A resource group.
    Group(Guid, ResourceGroupName),
    /// All resources at or below a scope.
    Resources(Scope),
    /// The resources of one type at or below a scope; for a POST, an action of the resource that
    /// the scope is, or a question.
    Collection(Scope, ResourceType),
    /// A resource.
    Resource(ResourceId),
}

/// A path that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// There is nothing of this kind.
    Nothing,
    /// It would name something if a name in it were one.
    Malformed(ScopeError),
}

impl Target {
    /// Reads a path as it came, percent-encoded.
    pub(super) fn parse(path: &str) -> Result<Self, PathError> {
        if path.len() > 3 * SCOPE_BYTES_MAX {
            return Err(PathError::Malformed(ScopeError::TooLong));
        }
        let mut words = Vec::new();
        // az doubles the first slash if an endpoint was registered with one at its end.
        for piece in path.trim_start_matches('/').trim_end_matches('/').split('/') {
            let piece = percent_decode_str(piece).decode_utf8().map_err(|_| PathError::Nothing)?;
            if piece.contains('/') {
                return Err(PathError::Nothing);
            }
            words.push(piece.into_owned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Self::of_words(&words)
    }

    fn of_words(words: &[&str]) -> Result<Self, PathError> {
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        match words {
            [first, second] if is(first, "metadata") && is(second, "endpoints") => {
                return Ok(Self::Metadata);
            }
            [one] if is(one, "tenants") => return Ok(Self::Tenants),
            [one] if is(one, "subscriptions") => return Ok(Self::Subscriptions),
            [first, id, last] if is(first, "subscriptions") => {
                let id = id.parse().map_err(|_| PathError::Malformed(ScopeError::Subscription))?;
                if is(last, "locations") {
                    return Ok(Self::Locations(id));
                }
                if is(last, "providers") {
                    return Ok(Self::Providers(id));
                }
                if is(last, "resourceGroups") {
                    return Ok(Self::Groups(id));
                }
            }
            _ => {}
        }
        if let [above @ .., last] = words
            && is(last, "resources")
            && let Ok(scope) = scope(above)
            && [ScopeLevel::Subscription, ScopeLevel::ResourceGroup].contains(&scope.level())
        {
            return Ok(Self::Resources(scope));
        }
        Self::of_scope(words)
    }

    /// Reads a scope, or a scope and a type.
    fn of_scope(words: &[&str]) -> Result<Self, PathError> {
        let whole = scope(words);
        if let Ok(scope) = whole {
            return match (scope.level(), scope.subscription(), scope.resource_group()) {
                (ScopeLevel::Subscription, Some(id), _) => Ok(Self::Subscription(id)),
                (ScopeLevel::ResourceGroup, Some(id), Some(name)) => {
                    Ok(Self::Group(id, name.clone()))
                }
                (ScopeLevel::Resource, ..) => {
                    ResourceId::try_from(scope).map(Self::Resource).map_err(PathError::Malformed)
                }
                _ => Err(PathError::Nothing),
            };
        }
        // One word short of a resource: its type.
        let (kind, under) = match words {
            [under @ .., providers, namespace, kind]
                if providers.eq_ignore_ascii_case("providers") =>
            {
                (format!("{namespace}/{kind}"), scope(under))
            }
            [under @ .., kind] => match scope(under) {
                Ok(parent) => {
                    let of = parent.resource_type().ok_or(PathError::Nothing)?;
                    (format!("{of}/{kind}"), Ok(parent))
                }
                Err(_) => (String::new(), whole),
            },
            [] => return Err(PathError::Nothing),
        };
        let malformed = |error| match error {
            ScopeError::Shape => PathError::Nothing,
            error => PathError::Malformed(error),
        };
        let under = under.map_err(malformed)?;
        let kind = kind.parse().map_err(|_| PathError::Malformed(ScopeError::Type))?;
        Ok(Self::Collection(under, kind))
    }

    /// The route template that stands in logs.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Metadata => "arm:/metadata/endpoints",
            Self::Tenants => "arm:/tenants",
            Self::Subscriptions => "arm:/subscriptions",
            Self::Subscription(_) => "arm:/subscriptions/{id}",
            Self::Locations(_) => "arm:/subscriptions/{id}/locations",
            Self::Providers(_) => "arm:/subscriptions/{id}/providers",
            Self::Groups(_) => "arm:/subscriptions/{id}/resourceGroups",
            Self::Group(..) => "arm:/subscriptions/{id}/resourceGroups/{name}",
            Self::Resources(_) => "arm:{scope}/resources",
            Self::Collection(..) => "arm:{scope}/providers/{type}",
            Self::Resource(_) => "arm:{scope}/providers/{type}/{name}",
        }
    }

    /// The methods that it answers.
    pub(super) fn methods(&self) -> Vec<Method> {
        match self {
            Self::Metadata
            | Self::Tenants
            | Self::Subscriptions
            | Self::Subscription(_)
            | Self::Locations(_)
            | Self::Providers(_)
            | Self::Groups(_)
            | Self::Resources(_) => vec![Method::GET],
            Self::Collection(..) => vec![Method::GET, Method::POST],
            Self::Group(..) => {
                vec![Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE]
            }
            Self::Resource(_) => vec![Method::GET, Method::PUT, Method::PATCH, Method::DELETE],
        }
    }
}

/// Reads decoded words as a scope.
fn scope(words: &[&str]) -> Result<Scope, ScopeError> {
    format!("/{}", words.join("/")).parse()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUB: &str = "/subscriptions/11111111-2222-4333-8444-555555555555";

    fn check(path: &str, template: &str) {
        let target = Target::parse(path).unwrap_or_else(|error| panic!("{path}: {error:?}"));
        assert_eq!(target.template(), template, "{path}");
    }

    #[test]
    fn every_spelling_of_a_path_is_read() {
        check("/metadata/endpoints", "arm:/metadata/endpoints");
        check("//metadata/endpoints", "arm:/metadata/endpoints");
        check("/Tenants/", "arm:/tenants");
        check("/subscriptions", "arm:/subscriptions");
        check(SUB, "arm:/subscriptions/{id}");
        check(&format!("{SUB}/"), "arm:/subscriptions/{id}");
        check(&format!("{SUB}/Locations"), "arm:/subscriptions/{id}/locations");
        check(&format!("{SUB}/resourcegroups"), "arm:/subscriptions/{id}/resourceGroups");
        check(&format!("{SUB}/providers"), "arm:/subscriptions/{id}/providers");
        check(&format!("{SUB}/resources"), "arm:{scope}/resources");
        let group = format!("{SUB}/resourcegroups/rg");
        check(&group, "arm:/subscriptions/{id}/resourceGroups/{name}");
        check(&format!("{group}/resources"), "arm:{scope}/resources");
        let roles = "providers/microsoft.authorization/roleassignments";
        check(&format!("/{roles}"), "arm:{scope}/providers/{type}");
        check(&format!("{SUB}/{roles}"), "arm:{scope}/providers/{type}");
        check(&format!("{group}/{roles}/x"), "arm:{scope}/providers/{type}/{name}");
        let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/v");
        check(&format!("{vault}/keys"), "arm:{scope}/providers/{type}");
        check(&format!("{vault}/{roles}"), "arm:{scope}/providers/{type}");
        check(&format!("{vault}/%6Beys/k/{roles}/x"), "arm:{scope}/providers/{type}/{name}");
    }

    #[test]
    fn a_collection_knows_its_scope_and_type() {
        let path = format!("{SUB}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v/Keys");
        let Ok(Target::Collection(under, kind)) = Target::parse(&path) else { panic!("{path}") };
        assert_eq!(under.name(), Some("v"));
        assert_eq!(kind.to_string(), "Microsoft.KeyVault/vaults/keys");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        use PathError::{Malformed, Nothing};
        for (path, error) in [
            ("/", Nothing),
            ("", Nothing),
            ("/portal", Nothing),
            ("/subscriptions/x", Malformed(ScopeError::Subscription)),
            ("/subscriptions/x/locations", Malformed(ScopeError::Subscription)),
            (&format!("{SUB}/nothing"), Nothing),
            (&format!("{SUB}/resourceGroups/a%2Fb"), Nothing),
            (&format!("{SUB}/resourceGroups/%ff"), Nothing),
            (&format!("{SUB}/resourceGroups/a."), Malformed(ScopeError::ResourceGroup)),
            (&format!("{SUB}/resourceGroups/a%20b"), Malformed(ScopeError::ResourceGroup)),
            (&format!("{SUB}/providers/KeyVault/vaults"), Malformed(ScopeError::Type)),
            (&format!("/{}", "a".repeat(3 * SCOPE_BYTES_MAX)), Malformed(ScopeError::TooLong)),
            ("/providers/Microsoft.Management/managementGroups/g", Nothing),
        ] {
            assert_eq!(Target::parse(path), Err(error), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(
            path in "(/|%2[fF]|subscriptions|11111111-2222-4333-8444-555555555555|providers|A\\.B|[a-z%.]{1,4}){0,12}"
        ) {
            let _either = Target::parse(&path);
        }
    }
}
