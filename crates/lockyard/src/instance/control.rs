//! The control plane of an instance, and what it knows of the default registry.

use std::sync::Arc;

use lockyard_access::{Directory, Records};
use lockyard_arm::{ResourceId, Scope};
use lockyard_audit::Audit;
use lockyard_base::Clock;
use lockyard_control::{Control, Setup};
use lockyard_oci::RegistryName;
use lockyard_vault::{Placement, Vault};

use super::OpenedVault;
use crate::failure::{OrFail as _, Outcome};

/// The resource group of what the instance itself keeps.
pub(super) const GROUP: &str = "lockyard";
const LOCATION: &str = "local";

/// Gives a place to the vaults that operators made without one: without it, nobody's token is for
/// them. Blocks.
pub(crate) fn place_vaults(directory: &Directory, vault: &Vault) -> Outcome {
    let snapshot = directory.snapshot();
    let (tenant, subscription) = (snapshot.tenant().guid(), snapshot.subscription().id.guid());
    let place = Placement::new(tenant, subscription, GROUP, LOCATION).or_fail()?;
    vault.place_vaults(&place).or_fail().map(drop)
}

/// Opens the control plane, whose vaults are reached at `<name>.<suffix>`. Blocks.
pub(crate) fn control(
    records: Records,
    directory: Arc<Directory>,
    (opened, vault_suffix): (OpenedVault, String),
    clock: Arc<dyn Clock>,
    registry: &RegistryName,
) -> Outcome<Arc<Control>> {
    let fixtures = vec![registry_id(&directory, registry)?];
    let OpenedVault { vault, audit } = opened;
    let audit: Arc<dyn Audit> = audit;
    let setup = Setup { records, directory, vault, vault_suffix, audit, clock, fixtures };
    Control::open(setup).or_fail()
}

/// The id under which roles are assigned at the default registry.
pub(super) fn registry_id(directory: &Directory, registry: &RegistryName) -> Outcome<ResourceId> {
    let subscription = directory.snapshot().subscription().id.guid();
    let group = Scope::of_resource_group(subscription, GROUP.parse().or_fail()?);
    let registry = group
        .child(Some("Microsoft.ContainerRegistry"), "registries", registry.as_ref())
        .or_fail()?;
    registry.try_into().or_fail()
}
