//! Looking vaults up.

use lockyard_keyring::VaultAddress;

use super::VaultProperties;
use crate::{Vault, VaultError};

/// What `checkNameAvailability` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAvailability {
    /// Nobody has it.
    Available,
    /// It breaks the rules (`AccountNameInvalid`).
    Invalid,
    /// A vault, live or deleted, has it (`AlreadyExists`).
    Taken,
}

impl Vault {
    /// Lists the live vaults by name.
    pub fn vaults(&self) -> Result<Vec<VaultAddress>, VaultError> {
        Ok(self.live_vaults()?.into_iter().map(|vault| vault.name).collect())
    }

    /// The live vaults with their properties, by name.
    pub fn live_vaults(&self) -> Result<Vec<VaultProperties>, VaultError> {
        self.listed(|vault| vault.deleted.is_none())
    }

    /// The deleted vaults with their properties, by name.
    pub fn deleted_vaults(&self) -> Result<Vec<VaultProperties>, VaultError> {
        self.listed(|vault| vault.deleted.is_some())
    }

    /// A live vault's properties.
    pub fn vault(&self, name: &VaultAddress) -> Result<Option<VaultProperties>, VaultError> {
        self.named(name, |vault| vault.deleted.is_none())
    }

    /// A deleted vault's properties.
    pub fn deleted_vault(
        &self,
        name: &VaultAddress,
    ) -> Result<Option<VaultProperties>, VaultError> {
        self.named(name, |vault| vault.deleted.is_some())
    }

    /// Whether a vault could have this name.
    pub fn check_name(&self, name: &str) -> Result<NameAvailability, VaultError> {
        let Ok(address) = name.parse::<VaultAddress>() else {
            return Ok(NameAvailability::Invalid);
        };
        if name.contains('.') {
            return Ok(NameAvailability::Invalid);
        }
        self.database.read(|transaction| {
            Ok(match self.find_vault(transaction, &address)? {
                Some(_) => NameAvailability::Taken,
                None => NameAvailability::Available,
            })
        })
    }

    fn listed(
        &self,
        wanted: impl Fn(&VaultProperties) -> bool,
    ) -> Result<Vec<VaultProperties>, VaultError> {
        self.database.read(|transaction| {
            let vaults = self.all_vaults(transaction)?;
            let properties = vaults.iter().map(|found| &found.properties);
            Ok(properties.filter(|vault| wanted(vault)).cloned().collect())
        })
    }

    fn named(
        &self,
        name: &VaultAddress,
        wanted: impl Fn(&VaultProperties) -> bool,
    ) -> Result<Option<VaultProperties>, VaultError> {
        self.database.read(|transaction| {
            let found = self.find_vault(transaction, name)?;
            Ok(found.map(|found| found.properties.clone()).filter(wanted))
        })
    }
}
