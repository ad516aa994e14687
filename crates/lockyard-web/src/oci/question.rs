//! What a request asks to be allowed, before anything is opened for it.
//!
//! The registry room decides beside each effect; this asks the same question earlier, so that who
//! may not know anything learns nothing from a registry's lock either, and so that a client that
//! must log in is told which scope to ask a token for.

use http::Method;
use lockyard_access::registry_token::Verb;
use lockyard_oci::RepositoryName;
use lockyard_registry::{Caller, Known, RegistryEntry, RegistryError, decide};

use super::{
    path::{Endpoint, OciPath},
    query::Query,
};

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The verb.
    pub(super) verb: Verb,
    /// The repository; none where the verb is of the registry, or where the name is none.
    pub(super) repository: Option<RepositoryName>,
    /// The scopes that a token for this is asked with, as clients send them back.
    pub(super) scope: Option<String>,
}

impl Question {
    /// What a request needs; `None` for the ping, which asks only who somebody is.
    pub(super) fn of(path: &OciPath, method: &Method, query: &Query) -> Option<Self> {
        let verb = verb(path.endpoint, method)?;
        if verb == Verb::Catalog {
            let scope = Some("registry:catalog:*".to_owned());
            return Some(Self { verb, repository: None, scope });
        }
        let repository = path.name.parse::<RepositoryName>().ok();
        let scope = repository.as_ref().map(|name| {
            let words = match (path.endpoint, verb) {
                // Who asks whether a blob is there is about to push it: some clients keep the first
                // token that they get and never ask for a wider one. Whoever may only pull gets
                // a token for that.
                (Endpoint::Blob, Verb::Pull) if *method == Method::HEAD => "pull,push",
                (_, Verb::Push) => "pull,push",
                (_, other) => other.as_str(),
            };
            let scope = format!("repository:{name}:{words}");
            match mounted_from(path.endpoint, query) {
                Some(from) if from != *name => format!("{scope} repository:{from}:pull"),
                Some(_) | None => scope,
            }
        });
        Some(Self { verb, repository, scope })
    }

    /// Decides whether `caller` may have an answer.
    pub(super) fn decide(
        &self,
        caller: &Caller,
        registry: &RegistryEntry,
    ) -> Result<(), RegistryError> {
        match caller {
            // No token can be limited to what is no repository; that it is none is told later.
            Caller::Known(known) if self.repository.is_none() && self.verb != Verb::Catalog => {
                let unlimited = Caller::Known(Known { limit: None, ..known.clone() });
                decide(&unlimited, self.verb, None, registry)
            }
            caller => decide(caller, self.verb, self.repository.as_ref(), registry),
        }
    }
}

fn verb(endpoint: Endpoint, method: &Method) -> Option<Verb> {
    match endpoint {
        Endpoint::Ping => None,
        Endpoint::Catalog | Endpoint::AcrCatalog => Some(Verb::Catalog),
        Endpoint::Uploads | Endpoint::Upload => Some(Verb::Push),
        Endpoint::Tags | Endpoint::Referrers | Endpoint::Blob | Endpoint::Manifest => {
            Some(match *method {
                Method::DELETE => Verb::Delete,
                Method::PUT => Verb::Push,
                _ => Verb::Pull,
            })
        }
    }
}

/// The other repository that a push would take a blob from.
fn mounted_from(endpoint: Endpoint, query: &Query) -> Option<RepositoryName> {
    let mounts = endpoint == Endpoint::Uploads && query.first("mount").is_some();
    query.first("from").filter(|_| mounts)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, target: &str) -> Option<(Verb, Option<String>)> {
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let path = OciPath::split(path)?;
        let question = Question::of(&path, &method, &Query::parse(query))?;
        Some((question.verb, question.scope))
    }

    #[test]
    fn every_endpoint_and_method_asks_for_its_verb() {
        let scope = |text: &str| Some(text.to_owned());
        for (method, target, verb, expected) in [
            (Method::GET, "/v2/_catalog", Verb::Catalog, scope("registry:catalog:*")),
            (Method::GET, "/acr/v1/_catalog", Verb::Catalog, scope("registry:catalog:*")),
            (Method::GET, "/v2/a/b/tags/list", Verb::Pull, scope("repository:a/b:pull")),
            (Method::HEAD, "/v2/a/manifests/v1", Verb::Pull, scope("repository:a:pull")),
            (Method::PUT, "/v2/a/manifests/v1", Verb::Push, scope("repository:a:pull,push")),
            (Method::DELETE, "/v2/a/manifests/v1", Verb::Delete, scope("repository:a:delete")),
            (Method::GET, "/v2/a/blobs/x", Verb::Pull, scope("repository:a:pull")),
            (Method::HEAD, "/v2/a/blobs/x", Verb::Pull, scope("repository:a:pull,push")),
            (Method::DELETE, "/v2/a/blobs/x", Verb::Delete, scope("repository:a:delete")),
            (Method::GET, "/v2/a/referrers/x", Verb::Pull, scope("repository:a:pull")),
            (Method::POST, "/v2/a/blobs/uploads/", Verb::Push, scope("repository:a:pull,push")),
            (Method::GET, "/v2/a/blobs/uploads/x", Verb::Push, scope("repository:a:pull,push")),
            (Method::DELETE, "/v2/a/blobs/uploads/x", Verb::Push, scope("repository:a:pull,push")),
            (Method::GET, "/v2/BAD/tags/list", Verb::Pull, None),
        ] {
            assert_eq!(asked(method, target), Some((verb, expected)), "{target}");
        }
        assert_eq!(asked(Method::GET, "/v2/"), None);
    }

    #[test]
    fn a_mount_asks_for_its_source_too() {
        let uploads = "/v2/a/blobs/uploads/";
        let scope = |query: &str| asked(Method::POST, &format!("{uploads}?{query}")).unwrap().1;
        let both = "repository:a:pull,push repository:b/c:pull";
        assert_eq!(scope("mount=sha256:00&from=b/c").as_deref(), Some(both));
        for query in ["mount=sha256:00", "from=b", "mount=sha256:00&from=B", "mount=x&from=a"] {
            assert_eq!(scope(query).as_deref(), Some("repository:a:pull,push"), "{query}");
        }
        let quoted = scope("mount=x&from=b%22,error=%22");
        assert_eq!(quoted.as_deref(), Some("repository:a:pull,push"));
    }
}
