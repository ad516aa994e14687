//! Which endpoint a path of the issuer's host is.

use lockyard_access::issuer::Version;

/// An endpoint of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Discovery(Version),
    Keys,
    Instance,
    UserRealm,
    Token(Version),
    DeviceCode(Version),
    Authorize(Version),
    Logout,
    Device,
}

/// A path, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'p> {
    /// The segment that stands for the tenant; `common` where a path has none.
    pub(super) tenant: &'p str,
    pub(super) endpoint: Endpoint,
}

impl<'p> Route<'p> {
    /// Takes a path apart; `None` if nothing is there.
    pub(super) fn parse(path: &'p str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (tenant, endpoint) = match segments.as_slice() {
            ["device"] | ["common", "oauth2", "deviceauth"] => ("common", Endpoint::Device),
            ["discovery", "keys"] | ["discovery", "v2.0", "keys"] => ("common", Endpoint::Keys),
            [tenant, rest @ ..] => (*tenant, endpoint(rest)?),
            [] => return None,
        };
        Some(Self { tenant, endpoint })
    }
}

fn endpoint(rest: &[&str]) -> Option<Endpoint> {
    let (version, last) = match rest {
        [".well-known", "openid-configuration"] => return Some(Endpoint::Discovery(Version::V1)),
        ["v2.0", ".well-known", "openid-configuration"] => {
            return Some(Endpoint::Discovery(Version::V2));
        }
        ["discovery", "keys"] | ["discovery", "v2.0", "keys"] => return Some(Endpoint::Keys),
        ["discovery", "instance"] => return Some(Endpoint::Instance),
        ["userrealm"] | ["userrealm", _] => return Some(Endpoint::UserRealm),
        ["oauth2", "v2.0", last] => (Version::V2, *last),
        ["oauth2", last] => (Version::V1, *last),
        _ => return None,
    };
    match last {
        "token" => Some(Endpoint::Token(version)),
        "devicecode" => Some(Endpoint::DeviceCode(version)),
        "authorize" => Some(Endpoint::Authorize(version)),
        "logout" => Some(Endpoint::Logout),
        _ => None,
    }
}

impl Endpoint {
    /// The template that log lines have.
    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Discovery(Version::V1) => "/{tenant}/.well-known/openid-configuration",
            Self::Discovery(Version::V2) => "/{tenant}/v2.0/.well-known/openid-configuration",
            Self::Keys => "/{tenant}/discovery/v2.0/keys",
            Self::Instance => "/{tenant}/discovery/instance",
            Self::UserRealm => "/{tenant}/userrealm/{user}",
            Self::Token(Version::V1) => "/{tenant}/oauth2/token",
            Self::Token(Version::V2) => "/{tenant}/oauth2/v2.0/token",
            Self::DeviceCode(Version::V1) => "/{tenant}/oauth2/devicecode",
            Self::DeviceCode(Version::V2) => "/{tenant}/oauth2/v2.0/devicecode",
            Self::Authorize(Version::V1) => "/{tenant}/oauth2/authorize",
            Self::Authorize(Version::V2) => "/{tenant}/oauth2/v2.0/authorize",
            Self::Logout => "/{tenant}/oauth2/v2.0/logout",
            Self::Device => "/device",
        }
    }

    /// The methods that it answers.
    pub(super) const fn allowed(self) -> &'static str {
        match self {
            Self::Discovery(_) | Self::Keys | Self::Instance | Self::UserRealm => "GET, HEAD",
            Self::Token(_) | Self::DeviceCode(_) => "POST",
            Self::Authorize(_) | Self::Logout | Self::Device => "GET, HEAD, POST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, tenant: &str, endpoint: Endpoint) {
        assert_eq!(Route::parse(path), Some(Route { tenant, endpoint }), "{path}");
    }

    #[test]
    fn paths_lead_to_their_endpoints() {
        check("/t/v2.0/.well-known/openid-configuration", "t", Endpoint::Discovery(Version::V2));
        check("/t/.well-known/openid-configuration", "t", Endpoint::Discovery(Version::V1));
        check("/t/oauth2/v2.0/token", "t", Endpoint::Token(Version::V2));
        check("/t/oauth2/token", "t", Endpoint::Token(Version::V1));
        check("/common/oauth2/deviceauth", "common", Endpoint::Device);
        check("/device", "common", Endpoint::Device);
        check("/discovery/v2.0/keys", "common", Endpoint::Keys);
        check("/t/discovery/keys", "t", Endpoint::Keys);
        check("/common/userrealm/a%40b", "common", Endpoint::UserRealm);
        check("/common/discovery/instance", "common", Endpoint::Instance);
    }

    #[test]
    fn nothing_else_is_anywhere() {
        for path in [
            "",
            "/",
            "//",
            "/t",
            "/t/",
            "/t/oauth2",
            "/t/oauth2/v2.0/",
            "/t/oauth2/v2.0/token/",
            "//t/oauth2/token",
            "/t/oauth2/v3.0/token",
            "/t/../oauth2/token",
            "/device/",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
