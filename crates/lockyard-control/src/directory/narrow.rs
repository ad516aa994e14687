//! Which objects a filter lets through.
//!
//! A property that is not known is refused even if nothing is there to hold it against; texts are
//! compared without regard to case, as Graph does.

use lockyard_access::{
    Snapshot,
    directory::{Application, Principal, PrincipalKind},
};
use lockyard_arm::Condition;

use crate::ObjectsError;

/// The properties that filters may name.
const PROPERTIES: [&str; 9] = [
    "id",
    "displayname",
    // Groups here have no other name.
    "mailnickname",
    "appid",
    "userprincipalname",
    "mail",
    "serviceprincipaltype",
    "serviceprincipalnames",
    "identifieruris",
];

/// Refuses a filter with properties that are not known.
pub(super) fn check(filter: &[Condition]) -> Result<(), ObjectsError> {
    for condition in filter {
        let property = match condition {
            Condition::Equals { property, .. }
            | Condition::Has { property, .. }
            | Condition::StartsWith { property, .. } => property,
            Condition::Call { function, .. } => return Err(ObjectsError::Filter(function.clone())),
        };
        if !PROPERTIES.contains(&property.as_str()) {
            return Err(ObjectsError::Filter(property.clone()));
        }
    }
    Ok(())
}

/// Whether a principal is one of those that the filter asks for.
pub(super) fn principal_is(
    principal: &Principal,
    snapshot: &Snapshot,
    filter: &[Condition],
) -> Result<bool, ObjectsError> {
    check(filter)?;
    let client = principal.client.map(|client| client.to_string());
    let values = |property: &str| -> Vec<String> {
        match property {
            "id" => vec![principal.id.to_string()],
            "displayname" | "mailnickname" => vec![principal.display_name.clone()],
            "appid" => client.iter().cloned().collect(),
            "userprincipalname" | "mail" => principal.upn.iter().cloned().collect(),
            "serviceprincipaltype" => vec![service_principal_type(&principal.kind).to_owned()],
            "serviceprincipalnames" => {
                let application = principal.client.and_then(|id| snapshot.application(id));
                let uris = application.iter().flat_map(|one| &one.identifier_uris).cloned();
                client.iter().cloned().chain(uris).collect()
            }
            _ => Vec::new(),
        }
    };
    Ok(holds(filter, values))
}

/// Whether an application is one of those that the filter asks for.
pub(super) fn application_is(
    application: &Application,
    filter: &[Condition],
) -> Result<bool, ObjectsError> {
    check(filter)?;
    let values = |property: &str| -> Vec<String> {
        match property {
            "id" => vec![application.id.to_string()],
            "displayname" => vec![application.display_name.clone()],
            "appid" => vec![application.client.to_string()],
            "identifieruris" => application.identifier_uris.clone(),
            _ => Vec::new(),
        }
    };
    Ok(holds(filter, values))
}

fn holds(filter: &[Condition], values: impl Fn(&str) -> Vec<String>) -> bool {
    let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
    filter.iter().all(|condition| match condition {
        Condition::Equals { property, value } | Condition::Has { property, value } => {
            values(property).iter().any(|own| same(own, value))
        }
        Condition::StartsWith { property, value } => {
            let value = value.to_lowercase();
            values(property).iter().any(|own| own.to_lowercase().starts_with(&value))
        }
        Condition::Call { .. } => false,
    })
}

/// What Graph calls the kind of a service principal.
fn service_principal_type(kind: &PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::ServicePrincipal => "Application",
        PrincipalKind::ManagedIdentity(_) => "ManagedIdentity",
        PrincipalKind::User | PrincipalKind::Group => "",
    }
}
