//! The documents by which clients find everything else: OpenID's discovery, the key set, and what
//! Microsoft's libraries ask besides. Values only; they say nothing that is not configured.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Origins, TenantPath, Version, key::KeyRing};
use crate::directory::TenantId;

/// The discovery document (OpenID Connect Discovery 1.0 section 3) for a tenant as it was written.
pub(crate) fn document(
    path: &TenantPath,
    version: Version,
    tenant: TenantId,
    origins: &Origins,
) -> Value {
    let login = &origins.login;
    let base = format!("{login}/{}", path.as_str());
    let oauth = format!("{base}/{}", version.path());
    let keys = match version {
        Version::V1 => format!("{base}/discovery/keys"),
        Version::V2 => format!("{base}/discovery/v2.0/keys"),
    };
    json!({
        "issuer": version.issuer(tenant, origins),
        "authorization_endpoint": format!("{oauth}/authorize"),
        "token_endpoint": format!("{oauth}/token"),
        "device_authorization_endpoint": format!("{oauth}/devicecode"),
        "end_session_endpoint": format!("{oauth}/logout"),
        "jwks_uri": keys,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "client_credentials", "password",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_post", "client_secret_basic", "private_key_jwt",
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "tid", "oid", "ver", "name",
            "preferred_username", "sid",
        ],
        "request_uri_parameter_supported": false,
        "http_logout_supported": false,
        "frontchannel_logout_supported": false,
        "tenant_region_scope": null,
        "cloud_instance_name": host(login),
        "msgraph_host": host(&origins.graph),
    })
}

/// The key set (RFC 7517 section 5), with keys that have not signed yet.
pub(crate) fn key_set(ring: &KeyRing) -> Value {
    let keys: Vec<Value> = ring
        .iter()
        .map(|key| {
            json!({
                "kty": "RSA",
                "use": "sig",
                "alg": "RS256",
                "kid": key.kid,
                "x5t": key.kid,
                "n": URL_SAFE_NO_PAD.encode(&key.modulus),
                "e": URL_SAFE_NO_PAD.encode(&key.exponent),
            })
        })
        .collect();
    json!({ "keys": keys })
}

/// Tells a library that this issuer is one cloud of its own, with one name.
pub(crate) fn instance(tenant: TenantId, origins: &Origins) -> Value {
    let (login, name) = (&origins.login, host(&origins.login));
    json!({
        "tenant_discovery_endpoint":
            format!("{login}/{tenant}/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{
            "preferred_network": name,
            "preferred_cache": name,
            "aliases": [name],
        }],
    })
}

/// Tells that people's passwords are checked here; the same for whoever is asked about.
pub(crate) fn user_realm(origins: &Origins) -> Value {
    json!({
        "ver": "1.0",
        "account_type": "Managed",
        "domain_name": origins.domain,
        "cloud_instance_name": host(&origins.login),
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    })
}

/// An origin without its scheme.
pub(crate) fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}
