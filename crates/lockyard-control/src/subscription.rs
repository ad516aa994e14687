//! Tenants, subscriptions and locations: what a client looks at first.

use lockyard_access::{Snapshot, TenantId, decision::Action, directory::Subscription};
use lockyard_arm::Scope;
use lockyard_base::Guid;
use serde_json::{Value, json};

use crate::{Call, ControlError};

/// The locations that clients may name. Everything is where this instance runs; people's scripts
/// name Azure's regions, and templates ask for them.
const LOCATIONS: [(&str, &str); 12] = [
    ("local", "Local"),
    ("australiaeast", "Australia East"),
    ("centralus", "Central US"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("germanywestcentral", "Germany West Central"),
    ("northeurope", "North Europe"),
    ("southeastasia", "Southeast Asia"),
    ("switzerlandnorth", "Switzerland North"),
    ("uksouth", "UK South"),
    ("westeurope", "West Europe"),
    ("westus2", "West US 2"),
];

/// The tenant, as everybody in it sees it.
pub(crate) fn tenant(snapshot: &Snapshot) -> Value {
    let (id, domain) = (snapshot.tenant(), snapshot.domain());
    json!({
        "id": format!("/tenants/{id}"),
        "tenantId": id.to_string(),
        "displayName": "Lockyard",
        "defaultDomain": domain,
        "domains": [domain],
        "tenantCategory": "Home",
        "tenantType": "AAD",
    })
}

/// Whether somebody sees a subscription: whoever has any role at it, above it or anywhere in it.
pub(crate) fn is_visible(call: &Call, snapshot: &Snapshot) -> bool {
    if !snapshot.principal(call.caller).is_some_and(|principal| principal.enabled) {
        return false;
    }
    let scope = Scope::of_subscription(snapshot.subscription().id.guid());
    let groups = snapshot.groups_of(call.caller);
    snapshot.assignments().any(|assignment| {
        let own = assignment.principal == call.caller || groups.contains(&assignment.principal);
        own && (assignment.scope.contains(&scope) || scope.contains(&assignment.scope))
    })
}

/// A subscription as Resource Manager shows it.
pub(crate) fn rendered(subscription: &Subscription, tenant: TenantId) -> Value {
    let Subscription { id, name } = subscription;
    json!({
        "id": format!("/subscriptions/{id}"),
        "subscriptionId": id.to_string(),
        "tenantId": tenant.to_string(),
        "displayName": name,
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "Internal_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// The locations of a subscription.
pub(crate) fn locations(subscription: Guid) -> Vec<Value> {
    let location = |(name, display): (&str, &str)| {
        json!({
            "id": format!("/subscriptions/{subscription}/locations/{name}"),
            "name": name,
            "type": "Region",
            "displayName": display,
            "regionalDisplayName": display,
            "metadata": { "regionType": "Physical" },
        })
    };
    LOCATIONS.into_iter().map(location).collect()
}

/// Refuses a subscription that is not this instance's.
pub(crate) fn must_be_ours(snapshot: &Snapshot, id: Guid) -> Result<(), ControlError> {
    if snapshot.subscription().id.guid() == id {
        return Ok(());
    }
    let message = format!("there is no subscription '{id}' here, `az account list` shows yours");
    Err(ControlError::missing("SubscriptionNotFound", message))
}

/// Refuses a subscription that is not this instance's, and a caller who may not do this there.
pub(crate) fn may(
    call: &Call,
    snapshot: &Snapshot,
    action: &Action,
    scope: &Scope,
) -> Result<(), ControlError> {
    if let Some(id) = scope.subscription() {
        must_be_ours(snapshot, id)?;
    }
    call.must(snapshot, action, scope)
}
