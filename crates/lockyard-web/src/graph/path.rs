//! What a path of Graph names. Pure.

use http::Method;
use percent_encoding::percent_decode_str;

/// The kinds of principals that have addresses of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
    ServicePrincipal,
}

/// What a path names. Ids are as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/me`.
    Me,
    /// `/directoryObjects/getByIds`.
    ByIds,
    /// `/directoryObjects/{id}`.
    Object(String),
    /// `/users`, `/groups`, `/servicePrincipals`.
    Principals(Kind),
    /// One of them.
    Principal(Kind, String),
    /// The owners of anything, what somebody owns: nobody and nothing, here roles decide.
    Nobody,
    /// `/groups/{id}/members`.
    Members(String),
    /// `/groups/{id}/members/$ref`.
    NewMember(String),
    /// `/groups/{id}/members/{member}/$ref`.
    Member(String, String),
    /// `/{kind}/{id}/getMemberGroups`.
    MemberGroups(String),
    /// `/applications`.
    Applications,
    /// `/applications/{id}`.
    Application(String),
    /// `/applications/{id}/addPassword`, and of service principals.
    AddPassword(String),
    /// `/applications/{id}/removePassword`, and of service principals.
    RemovePassword(String),
    /// `/applications/{id}/federatedIdentityCredentials`.
    Federated(String),
    /// `/applications/{id}/federatedIdentityCredentials/{id or name}`.
    OneFederated(String, String),
}

impl Target {
    /// Reads a path as it came, percent-encoded; `None` if it names nothing.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut words = Vec::new();
        for piece in path.trim_start_matches('/').trim_end_matches('/').split('/') {
            words.push(percent_decode_str(piece).decode_utf8().ok()?.into_owned());
        }
        let (version, words) = words.split_first()?;
        if !["v1.0", "beta"].iter().any(|known| version.eq_ignore_ascii_case(known)) {
            return None;
        }
        let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        Some(match lower.as_slice() {
            ["me"] => Self::Me,
            ["me", "ownedobjects"]
            | ["applications" | "groups" | "serviceprincipals", _, "owners"] => Self::Nobody,
            ["directoryobjects", "getbyids"] => Self::ByIds,
            ["directoryobjects", _] => Self::Object(word(1)),
            ["groups", _, "members"] => Self::Members(word(1)),
            ["groups", _, "members", "$ref"] => Self::NewMember(word(1)),
            ["groups", _, "members", _, "$ref"] => Self::Member(word(1), word(3)),
            ["users" | "groups" | "serviceprincipals", _, "getmembergroups"] => {
                Self::MemberGroups(word(1))
            }
            ["applications"] => Self::Applications,
            ["applications", _] => Self::Application(word(1)),
            ["applications" | "serviceprincipals", _, "addpassword"] => Self::AddPassword(word(1)),
            ["applications" | "serviceprincipals", _, "removepassword"] => {
                Self::RemovePassword(word(1))
            }
            ["applications", _, "federatedidentitycredentials"] => Self::Federated(word(1)),
            ["applications", _, "federatedidentitycredentials", _] => {
                Self::OneFederated(word(1), word(3))
            }
            [kind] => Self::Principals(Kind::named(kind)?),
            [kind, _] => Self::Principal(Kind::named(kind)?, word(1)),
            _ => return None,
        })
    }

    /// The route template that stands in logs.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Me => "graph:/me",
            Self::ByIds => "graph:/directoryObjects/getByIds",
            Self::Object(_) => "graph:/directoryObjects/{id}",
            Self::Principals(Kind::User) => "graph:/users",
            Self::Principals(Kind::Group) => "graph:/groups",
            Self::Principals(Kind::ServicePrincipal) => "graph:/servicePrincipals",
            Self::Principal(Kind::User, _) => "graph:/users/{id}",
            Self::Principal(Kind::Group, _) => "graph:/groups/{id}",
            Self::Principal(Kind::ServicePrincipal, _) => "graph:/servicePrincipals/{id}",
            Self::Nobody => "graph:/{kind}/{id}/owners",
            Self::Members(_) => "graph:/groups/{id}/members",
            Self::NewMember(_) => "graph:/groups/{id}/members/$ref",
            Self::Member(..) => "graph:/groups/{id}/members/{member}/$ref",
            Self::MemberGroups(_) => "graph:/{kind}/{id}/getMemberGroups",
            Self::Applications => "graph:/applications",
            Self::Application(_) => "graph:/applications/{id}",
            Self::AddPassword(_) => "graph:/applications/{id}/addPassword",
            Self::RemovePassword(_) => "graph:/applications/{id}/removePassword",
            Self::Federated(_) => "graph:/applications/{id}/federatedIdentityCredentials",
            Self::OneFederated(..) => {
                "graph:/applications/{id}/federatedIdentityCredentials/{name}"
            }
        }
    }

    /// The methods that it answers.
    pub(super) fn methods(&self) -> Vec<Method> {
        match self {
            Self::Me | Self::Object(_) | Self::Nobody | Self::Members(_) => vec![Method::GET],
            Self::ByIds
            | Self::NewMember(_)
            | Self::MemberGroups(_)
            | Self::AddPassword(_)
            | Self::RemovePassword(_) => vec![Method::POST],
            Self::Principals(_) | Self::Applications | Self::Federated(_) => {
                vec![Method::GET, Method::POST]
            }
            Self::Application(_) | Self::Principal(Kind::ServicePrincipal, _) => {
                vec![Method::GET, Method::PATCH, Method::DELETE]
            }
            Self::Principal(Kind::User | Kind::Group, _) | Self::OneFederated(..) => {
                vec![Method::GET, Method::DELETE]
            }
            Self::Member(..) => vec![Method::DELETE],
        }
    }
}

impl Kind {
    fn named(word: &str) -> Option<Self> {
        match word {
            "users" => Some(Self::User),
            "groups" => Some(Self::Group),
            "serviceprincipals" => Some(Self::ServicePrincipal),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_read_in_any_case() {
        let id = || "A-1".to_owned();
        for (path, target) in [
            ("/v1.0/me", Target::Me),
            ("/V1.0/ME/", Target::Me),
            ("/beta/users", Target::Principals(Kind::User)),
            ("/v1.0/users/o%40a.b", Target::Principal(Kind::User, "o@a.b".to_owned())),
            ("/v1.0/servicePrincipals/A-1", Target::Principal(Kind::ServicePrincipal, id())),
            ("/v1.0/servicePrincipals/A-1/addPassword", Target::AddPassword(id())),
            ("/v1.0/directoryObjects/getByIds", Target::ByIds),
            ("/v1.0/groups/A-1/members/x/$ref", Target::Member(id(), "x".to_owned())),
            ("/v1.0/groups/A-1/members/%24ref", Target::NewMember(id())),
        ] {
            assert_eq!(Target::parse(path), Some(target), "{path}");
        }
        for path in ["/", "/me", "/v1.0", "/v1.0/", "/v2.0/me", "/v1.0/devices", "/v1.0/users/a/b"]
        {
            assert_eq!(Target::parse(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "(/|v1.0|users|groups|members|[a-z%$]{1,4}){0,10}") {
            if let Some(target) = Target::parse(&path) {
                prop_assert!(!target.methods().is_empty() && target.template().starts_with("graph:"));
            }
        }
    }
}
