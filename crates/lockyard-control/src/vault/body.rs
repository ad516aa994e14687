//! What the body of a vault asks for.
//!
//! Nothing that is asked for is passed over: what has no meaning here is refused by its name.

use lockyard_arm::{Body, BodyError};
use lockyard_base::Guid;
use lockyard_vault::{
    AccessPolicy, CreateMode, IpRange, ModelChoice, NetworkRules, Permissions, Tags, VaultChange,
};
use serde_json::Value;

use crate::{
    Call, ControlError,
    group::{location_name, tags},
};

/// The option of az that says which permission model somebody wants.
const MODEL_OPTION: &str = "--enable-rbac-authorization";
/// The option of az by which somebody says that they want no right for themselves.
const NOT_ME_OPTION: &str = "--no-self-perms";

/// What is around the properties of a resource; some of it only comes back from earlier answers.
const AROUND: [&str; 9] =
    ["id", "name", "type", "location", "tags", "properties", "systemData", "etag", "apiVersion"];
const PROPERTIES: [&str; 18] = [
    "tenantId",
    "sku",
    "accessPolicies",
    "enabledForDeployment",
    "enabledForDiskEncryption",
    "enabledForTemplateDeployment",
    "enableSoftDelete",
    "softDeleteRetentionInDays",
    "enableRbacAuthorization",
    "createMode",
    "enablePurgeProtection",
    "networkAcls",
    "publicNetworkAccess",
    // Read-only: they come back from earlier answers.
    "vaultUri",
    "provisioningState",
    "hsmPoolResourceId",
    "permissionModel",
    "privateEndpointConnections",
];

/// A vault as a PUT asks for it.
pub(super) struct Wanted {
    pub(super) location: String,
    pub(super) tenant: Guid,
    pub(super) mode: CreateMode,
    pub(super) change: VaultChange,
}

impl Wanted {
    /// What the request says about the permission model.
    pub(super) fn model(&self, call: &Call) -> ModelChoice {
        let silent = self.change.policies.as_ref().is_none_or(Vec::is_empty);
        let az = call.command.as_ref();
        match self.change.model {
            // az fills the option in unless somebody typed it, and then sends no policies either.
            ModelChoice::Stated(true)
                if silent
                    && az
                        .is_some_and(|az| az.is("keyvault create") && !az.typed(NOT_ME_OPTION)) =>
            {
                ModelChoice::Undecided { creator: call.caller.guid() }
            }
            ModelChoice::Silent => ModelChoice::Unsaid { roles: call.version.since(2026, 2, 1) },
            said => said,
        }
    }
}

/// Reads the body of a PUT.
pub(super) fn whole(call: &Call, body: &Value) -> Result<Wanted, ControlError> {
    let body = Body::of(body)?;
    let Some(location) = body.text("location")? else {
        return Err(ControlError::invalid("LocationRequired", "a key vault needs a `location`"));
    };
    let location = location_name(location)?;
    let properties = body.object("properties")?;
    let tenant = guid(&properties, "tenantId")?;
    let mode = match properties.text("createMode")? {
        None => CreateMode::Default,
        Some(word) if word.eq_ignore_ascii_case("default") => CreateMode::Default,
        Some(word) if word.eq_ignore_ascii_case("recover") => CreateMode::Recover,
        Some(_) => {
            return Err(properties.refuse("createMode", "must be default or recover").into());
        }
    };
    let change = change(call, &body, &properties)?;
    if change.sku.is_none() {
        return Err(properties.refuse("sku", "is required").into());
    }
    Ok(Wanted { location, tenant, mode, change })
}

/// Reads the body of a PATCH, with the tenant if it names one.
pub(super) fn part(call: &Call, body: &Value) -> Result<(Option<Guid>, VaultChange), ControlError> {
    let body = Body::of(body)?;
    let properties = body.object("properties")?;
    if properties.text("createMode")?.is_some_and(|word| !word.eq_ignore_ascii_case("default")) {
        return Err(properties.refuse("createMode", "cannot be changed, leave it out").into());
    }
    if body.text("location")?.is_some() {
        return Err(body.refuse("location", "cannot be changed, leave it out").into());
    }
    let tenant = match properties.text("tenantId")? {
        Some(_) => Some(guid(&properties, "tenantId")?),
        None => None,
    };
    Ok((tenant, change(call, &body, &properties)?))
}

/// Reads what both can say.
fn change(
    call: &Call,
    body: &Body<'_>,
    properties: &Body<'_>,
) -> Result<VaultChange, ControlError> {
    body.refuse_others(&AROUND)?;
    properties.refuse_others(&PROPERTIES)?;
    if properties.list("privateEndpointConnections")?.is_some_and(|list| !list.is_empty()) {
        let message = "must be empty: there are no private endpoints here, the operator's network \
                       decides from where a vault can be reached";
        return Err(properties.refuse("privateEndpointConnections", message).into());
    }
    let tags = body.object("tags")?.is_there().then(|| vault_tags(body)).transpose()?;
    let policies = match properties.list("accessPolicies")? {
        Some(_) => Some(policies(properties)?),
        None => None,
    };
    let typed = call.command.as_ref().is_some_and(|az| az.typed(MODEL_OPTION));
    let model = match properties.flag("enableRbacAuthorization")? {
        None => ModelChoice::Silent,
        Some(roles) if typed => ModelChoice::Typed(roles),
        Some(roles) => ModelChoice::Stated(roles),
    };
    Ok(VaultChange {
        sku: sku(properties)?,
        tags,
        policies,
        model,
        soft_delete: properties.flag("enableSoftDelete")?,
        retention_days: properties.integer("softDeleteRetentionInDays")?,
        purge_protection: properties.flag("enablePurgeProtection")?,
        network: network(properties)?,
        public_access: word(properties, "publicNetworkAccess")?,
        for_deployment: properties.flag("enabledForDeployment")?,
        for_disk_encryption: properties.flag("enabledForDiskEncryption")?,
        for_template_deployment: properties.flag("enabledForTemplateDeployment")?,
        ..VaultChange::default()
    })
}

fn sku<T: std::str::FromStr>(properties: &Body<'_>) -> Result<Option<T>, BodyError> {
    let sku = properties.object("sku")?;
    if !sku.is_there() {
        return Ok(None);
    }
    sku.refuse_others(&["family", "name"])?;
    if sku.text("family")?.is_some_and(|family| !family.eq_ignore_ascii_case("A")) {
        return Err(sku.refuse("family", "must be A"));
    }
    sku.required("name")?
        .parse()
        .map(Some)
        .map_err(|_| sku.refuse("name", "must be standard or premium"))
}

/// A word of a list that the vaults know.
fn word<T: std::str::FromStr>(body: &Body<'_>, name: &str) -> Result<Option<T>, BodyError> {
    let word = body.text(name)?.filter(|word| !word.is_empty());
    word.map(|word| {
        word.parse().map_err(|_| body.refuse(name, "has a word that is not known here"))
    })
    .transpose()
}

fn guid(body: &Body<'_>, name: &str) -> Result<Guid, BodyError> {
    body.required(name)?.parse().map_err(|_| body.refuse(name, "must be a UUID"))
}

/// The access policies that an object states.
pub(super) fn policies(properties: &Body<'_>) -> Result<Vec<AccessPolicy>, ControlError> {
    let policy = |body: &Body<'_>| -> Result<AccessPolicy, ControlError> {
        body.refuse_others(&["tenantId", "objectId", "applicationId", "permissions"])?;
        let permissions = body.object("permissions")?;
        permissions.refuse_others(&["keys", "secrets", "certificates", "storage"])?;
        let words = |kind: &str| -> Result<Vec<String>, BodyError> {
            Ok(permissions.texts(kind)?.into_iter().map(str::to_owned).collect())
        };
        let application = match body.text("applicationId")? {
            None | Some("") => None,
            Some(_) => Some(guid(body, "applicationId")?),
        };
        Ok(AccessPolicy {
            tenant: guid(body, "tenantId")?,
            object: guid(body, "objectId")?,
            application,
            permissions: Permissions {
                keys: words("keys")?,
                secrets: words("secrets")?,
                certificates: words("certificates")?,
                storage: words("storage")?,
            },
        })
    };
    properties.objects("accessPolicies")?.iter().map(policy).collect()
}

fn network(properties: &Body<'_>) -> Result<Option<NetworkRules>, ControlError> {
    let rules = properties.object("networkAcls")?;
    if !rules.is_there() {
        return Ok(None);
    }
    rules.refuse_others(&["bypass", "defaultAction", "ipRules", "virtualNetworkRules"])?;
    if rules.list("virtualNetworkRules")?.is_some_and(|list| !list.is_empty()) {
        let message = "must be empty: there are no virtual networks here, name the addresses in \
                       `ipRules`";
        return Err(rules.refuse("virtualNetworkRules", message).into());
    }
    let one_of = |name: &str, word: &str, [yes, no]: [&str; 2]| {
        if word.eq_ignore_ascii_case(yes) {
            Ok(true)
        } else if word.eq_ignore_ascii_case(no) {
            Ok(false)
        } else {
            Err(rules.refuse(name, &format!("must be {yes} or {no}")))
        }
    };
    let bypass = rules.text("bypass")?.unwrap_or("AzureServices");
    let range = |rule: &Body<'_>| -> Result<IpRange, ControlError> {
        rule.refuse_others(&["value", "action"])?;
        let action = rule.text("action")?.unwrap_or("Allow");
        if !action.eq_ignore_ascii_case("Allow") {
            return Err(rule.refuse("action", "must be Allow").into());
        }
        Ok(rule.required("value")?.parse()?)
    };
    Ok(Some(NetworkRules {
        bypass_trusted_services: one_of("bypass", bypass, ["AzureServices", "None"])?,
        // Nobody guesses whether those who are on no list may come in.
        allow_by_default: one_of(
            "defaultAction",
            rules.required("defaultAction")?,
            ["Allow", "Deny"],
        )?,
        ranges: rules.objects("ipRules")?.iter().map(range).collect::<Result<_, _>>()?,
    }))
}

/// The tags that a body states.
pub(super) fn vault_tags(body: &Body<'_>) -> Result<Tags, ControlError> {
    Tags::for_vault(tags(body)?).map_err(|text| ControlError::invalid("InvalidTag", text))
}

/// The tags that the body of a key states.
pub(super) fn key_tags(body: &Body<'_>) -> Result<Tags, ControlError> {
    Tags::for_key(tags(body)?).map_err(|text| ControlError::invalid("InvalidTag", text))
}
