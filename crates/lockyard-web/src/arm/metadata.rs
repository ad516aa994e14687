//! `GET /metadata/endpoints`: where everything is, for `az cloud register`.
//!
//! Anonymous, and the same for everybody. No address ends with a slash: az glues words to them
//! (az-wire 2.1).

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::json as answer;
use crate::{FixedHost, faces::Faces};

/// The addresses of this instance.
pub(super) fn endpoints(faces: &Faces) -> Response {
    let names = &faces.names;
    let management = names.origin(FixedHost::Management);
    let login = names.origin(FixedHost::Login);
    let graph = names.origin(FixedHost::Graph);
    answer(
        StatusCode::OK,
        &json!({
            "name": "Lockyard",
            "resourceManager": management,
            "portal": names.origin(FixedHost::Portal),
            "authentication": {
                "loginEndpoint": login,
                "audiences": [management],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "graph": graph,
            "graphAudience": graph,
            "microsoftGraphResourceId": graph,
            "suffixes": {
                "acrLoginServer": names.suffix("cr"),
                "keyVaultDns": names.suffix("vault"),
            },
        }),
    )
}
