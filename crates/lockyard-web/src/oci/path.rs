//! The paths of OCI Distribution 1.1, read from the right.
//!
//! Repository names hold slashes and may hold words such as `blobs`, so only the end of a path
//! tells what is asked for. What stands in front is the name, whatever it looks like. The pieces
//! are parsed later, by whoever knows which error a bad one is.

use http::Method;
use percent_encoding::percent_decode_str;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Ping,
    Catalog,
    /// The same list where Azure's libraries look for it.
    AcrCatalog,
    Tags,
    Manifest,
    Referrers,
    Blob,
    Uploads,
    Upload,
}

impl Endpoint {
    /// The path with its variable parts as placeholders, for logs and metrics.
    pub(crate) const fn template(self) -> &'static str {
        match self {
            Self::Ping => "/v2/",
            Self::Catalog => "/v2/_catalog",
            Self::AcrCatalog => "/acr/v1/_catalog",
            Self::Tags => "/v2/{name}/tags/list",
            Self::Manifest => "/v2/{name}/manifests/{reference}",
            Self::Referrers => "/v2/{name}/referrers/{digest}",
            Self::Blob => "/v2/{name}/blobs/{digest}",
            Self::Uploads => "/v2/{name}/blobs/uploads/",
            Self::Upload => "/v2/{name}/blobs/uploads/{upload}",
        }
    }

    /// The methods that it answers.
    pub(crate) const fn methods(self) -> &'static [Method] {
        match self {
            Self::Ping | Self::Catalog | Self::AcrCatalog | Self::Tags | Self::Referrers => {
                &[Method::GET, Method::HEAD]
            }
            Self::Manifest => &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE],
            Self::Blob => &[Method::GET, Method::HEAD, Method::DELETE],
            Self::Uploads => &[Method::POST],
            Self::Upload => {
                &[Method::GET, Method::HEAD, Method::PATCH, Method::PUT, Method::DELETE]
            }
        }
    }
}

/// A path in its pieces, decoded and not yet parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OciPath {
    /// What is asked for.
    pub(crate) endpoint: Endpoint,
    /// The repository's name; empty where there is none.
    pub(crate) name: String,
    /// The last piece: a reference, a digest or an upload's id; empty where there is none.
    pub(crate) last: String,
}

impl OciPath {
    /// Takes a request's path apart; `None` if it is none of ours.
    pub(crate) fn split(path: &str) -> Option<Self> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        if path == Endpoint::AcrCatalog.template() {
            return Some(Self::bare(Endpoint::AcrCatalog));
        }
        let rest = path.strip_prefix("/v2")?;
        if rest.is_empty() {
            return Some(Self::bare(Endpoint::Ping));
        }
        match rest.strip_prefix('/')? {
            "" => Some(Self::bare(Endpoint::Ping)),
            "_catalog" => Some(Self::bare(Endpoint::Catalog)),
            rest => Self::split_named(rest),
        }
    }

    fn split_named(rest: &str) -> Option<Self> {
        let of = |endpoint, name: &str, last: &str| {
            Some(Self { endpoint, name: name.to_owned(), last: last.to_owned() })
        };
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return of(Endpoint::Tags, name, "");
        }
        let uploads = rest.strip_suffix('/').unwrap_or(rest);
        if let Some(name) = uploads.strip_suffix("/blobs/uploads") {
            return of(Endpoint::Uploads, name, "");
        }
        let (front, last) = rest.rsplit_once('/')?;
        let (front, kind) = front.rsplit_once('/')?;
        match kind {
            "manifests" => of(Endpoint::Manifest, front, last),
            "referrers" => of(Endpoint::Referrers, front, last),
            "blobs" => of(Endpoint::Blob, front, last),
            "uploads" => of(Endpoint::Upload, front.strip_suffix("/blobs")?, last),
            _ => None,
        }
    }

    fn bare(endpoint: Endpoint) -> Self {
        Self { endpoint, name: String::new(), last: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(path: &str, endpoint: Endpoint, name: &str, last: &str) {
        let expected = OciPath { endpoint, name: name.to_owned(), last: last.to_owned() };
        assert_eq!(OciPath::split(path), Some(expected), "{path}");
    }

    #[test]
    fn every_endpoint_is_found() {
        check("/v2", Endpoint::Ping, "", "");
        check("/v2/", Endpoint::Ping, "", "");
        check("/v2/_catalog", Endpoint::Catalog, "", "");
        check("/v2/a/b/tags/list", Endpoint::Tags, "a/b", "");
        check("/v2/a/manifests/latest", Endpoint::Manifest, "a", "latest");
        check("/v2/a/b/c/manifests/sha256:00", Endpoint::Manifest, "a/b/c", "sha256:00");
        check("/v2/a/referrers/sha256:00", Endpoint::Referrers, "a", "sha256:00");
        check("/v2/a/blobs/sha256:00", Endpoint::Blob, "a", "sha256:00");
        check("/v2/a/blobs/uploads/", Endpoint::Uploads, "a", "");
        check("/v2/a/blobs/uploads", Endpoint::Uploads, "a", "");
        check("/v2/a/blobs/uploads/0123", Endpoint::Upload, "a", "0123");
    }

    #[test]
    fn names_may_hold_the_words_of_the_protocol() {
        check("/v2/blobs/uploads/manifests/v1", Endpoint::Manifest, "blobs/uploads", "v1");
        check("/v2/tags/list/tags/list", Endpoint::Tags, "tags/list", "");
        check("/v2/manifests/blobs/sha256:0", Endpoint::Blob, "manifests", "sha256:0");
        check("/v2/a/blobs/uploads/blobs/uploads/x", Endpoint::Upload, "a/blobs/uploads", "x");
        check("/v2/manifests/tags/list", Endpoint::Tags, "manifests", "");
    }

    #[test]
    fn percent_signs_are_decoded_before_the_path_is_read() {
        check("/v2/a%2Fb/manifests/sha256%3a00", Endpoint::Manifest, "a/b", "sha256:00");
        check("/v2/a/blobs%2Fuploads/", Endpoint::Uploads, "a", "");
    }

    #[test]
    fn other_paths_are_none_of_ours() {
        for path in [
            "",
            "/",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2/a/b",
            "/v2//",
            "/v3/a/manifests/b",
            "v2/",
            "/v2/tags/list",
            "/v2/manifests/latest",
            "/v2/blobs/uploads/",
            "/v2/a/tags/all",
            "/v2/a/uploads/b",
            "/v2/%ff/manifests/latest",
        ] {
            assert_eq!(OciPath::split(path), None, "{path}");
        }
    }

    #[test]
    fn empty_pieces_are_kept_for_their_parsers_to_refuse() {
        check("/v2/a//manifests/", Endpoint::Manifest, "a/", "");
        check("/v2//a/blobs/x", Endpoint::Blob, "/a", "x");
    }

    proptest! {
        #[test]
        fn no_path_makes_the_parser_panic(path in any::<String>()) {
            let _parsed = OciPath::split(&path);
            let _parsed = OciPath::split(&format!("/v2/{path}"));
        }

        #[test]
        fn a_made_up_path_comes_apart_into_what_it_was_made_of(
            name in "[a-z0-9]{1,5}(/(blobs|uploads|manifests|tags|list|[a-z0-9]{1,5})){0,3}",
            last in "[a-z0-9:.]{1,12}",
        ) {
            check(&format!("/v2/{name}/manifests/{last}"), Endpoint::Manifest, &name, &last);
            check(&format!("/v2/{name}/referrers/{last}"), Endpoint::Referrers, &name, &last);
            check(&format!("/v2/{name}/tags/list"), Endpoint::Tags, &name, "");
            check(&format!("/v2/{name}/blobs/uploads/"), Endpoint::Uploads, &name, "");
            check(&format!("/v2/{name}/blobs/uploads/{last}"), Endpoint::Upload, &name, &last);
            if last != "uploads" {
                check(&format!("/v2/{name}/blobs/{last}"), Endpoint::Blob, &name, &last);
            }
        }
    }
}
