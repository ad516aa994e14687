//! Objects of the directory as Graph shows them.

use lockyard_access::{
    Snapshot,
    directory::{Application, FederatedCredential, Principal, PrincipalKind},
};
use lockyard_arm::moment;
use serde_json::{Value, json};

/// A principal of any kind.
pub(super) fn principal(principal: &Principal, snapshot: &Snapshot) -> Value {
    let Principal { id, kind, display_name, upn, enabled, created, .. } = principal;
    let common = (id.to_string(), display_name, moment::written(*created));
    match kind {
        PrincipalKind::User => json!({
            "@odata.type": "#microsoft.graph.user",
            "id": common.0,
            "displayName": common.1,
            "createdDateTime": common.2,
            "userPrincipalName": upn,
            "mail": upn,
            "accountEnabled": enabled,
            "givenName": null,
            "surname": null,
        }),
        PrincipalKind::Group => json!({
            "@odata.type": "#microsoft.graph.group",
            "id": common.0,
            "displayName": common.1,
            "createdDateTime": common.2,
            "description": null,
            "mailNickname": common.1,
            "mailEnabled": false,
            "securityEnabled": true,
            "groupTypes": [],
        }),
        PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity(_) => {
            service_principal(principal, snapshot)
        }
    }
}

fn service_principal(principal: &Principal, snapshot: &Snapshot) -> Value {
    let application = principal.client.and_then(|client| snapshot.application(client));
    let client = principal.client.map(|client| client.to_string());
    let uris = application.map_or(&[][..], |one| one.identifier_uris.as_slice());
    let names: Vec<&String> = client.iter().chain(uris).collect();
    let (kind, other_names) = match &principal.kind {
        PrincipalKind::ManagedIdentity(resource) => {
            ("ManagedIdentity", vec!["isExplicit=True".to_owned(), resource.to_string()])
        }
        PrincipalKind::ServicePrincipal | PrincipalKind::User | PrincipalKind::Group => {
            ("Application", Vec::new())
        }
    };
    json!({
        "@odata.type": "#microsoft.graph.servicePrincipal",
        "id": principal.id.to_string(),
        "appId": client,
        "displayName": principal.display_name,
        "appDisplayName": principal.display_name,
        "createdDateTime": moment::written(principal.created),
        "accountEnabled": principal.enabled,
        "appOwnerOrganizationId": snapshot.tenant().to_string(),
        "servicePrincipalType": kind,
        "servicePrincipalNames": names,
        "alternativeNames": other_names,
        "passwordCredentials": application.map(passwords).unwrap_or_default(),
        "keyCredentials": application.map(certificates).unwrap_or_default(),
    })
}

/// An application, without secrets.
pub(super) fn application(application: &Application) -> Value {
    let Application { redirect_uris: uris, public, .. } = application;
    let (web, public_client) =
        if *public { (&[][..], uris.as_slice()) } else { (uris.as_slice(), &[][..]) };
    json!({
        "id": application.id.to_string(),
        "appId": application.client.to_string(),
        "displayName": application.display_name,
        "createdDateTime": moment::written(application.created),
        "deletedDateTime": null,
        "identifierUris": application.identifier_uris,
        "signInAudience": "AzureADMyOrg",
        "isFallbackPublicClient": public,
        "passwordCredentials": passwords(application),
        "keyCredentials": certificates(application),
        "web": { "homePageUrl": null, "redirectUris": web },
        "publicClient": { "redirectUris": public_client },
        "spa": { "redirectUris": [] },
        "api": {},
        "appRoles": [],
        "requiredResourceAccess": [],
    })
}

fn passwords(application: &Application) -> Vec<Value> {
    let rendered = application.secrets.iter().map(|secret| {
        json!({
            "keyId": secret.id.to_string(),
            "displayName": secret.display_name,
            "hint": secret.hint,
            "startDateTime": moment::written(secret.starts),
            "endDateTime": moment::written(secret.expires),
            "customKeyIdentifier": null,
            "secretText": null,
        })
    });
    rendered.collect()
}

fn certificates(application: &Application) -> Vec<Value> {
    let rendered = application.certificates.iter().map(|certificate| {
        json!({
            "keyId": certificate.id.to_string(),
            "displayName": certificate.display_name,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": null,
        })
    });
    rendered.collect()
}

/// A federated credential.
pub(super) fn federated(credential: &FederatedCredential) -> Value {
    json!({
        "id": credential.id.to_string(),
        "name": credential.name,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "audiences": credential.audiences,
        "description": credential.description,
    })
}
