//! A registry as its own row tells: what a request needs to know before the registry is opened.
//!
//! The row is sealed under the instance's keys and readable while the registry is locked, so that
//! a locked registry still knows who may be told that it is.

use std::sync::Arc;

use lockyard_arm::{ResourceGroupName, Scope};
use lockyard_base::{Guid, RegistryId, RowId};
use lockyard_keyring::Place;
use lockyard_oci::RegistryName;
use lockyard_store::registry::{self, RegistryRow};

use crate::{
    Registries, RegistryError,
    fields::{FieldReader, FieldWriter},
};

/// The resource group that registries lie in until the control plane says otherwise.
const RESOURCE_GROUP: &str = "lockyard";

/// How often a change starts over because another one came first.
const ATTEMPTS_MAX: usize = 16;

/// A registry's name and properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryEntry {
    id: RegistryId,
    name: RegistryName,
    anonymous_pull: bool,
}

impl RegistryEntry {
    /// A new registry: only who has a role may pull.
    pub(crate) const fn new(id: RegistryId, name: RegistryName) -> Self {
        Self { id, name, anonymous_pull: false }
    }

    /// Its id.
    pub const fn id(&self) -> RegistryId {
        self.id
    }

    /// Its name.
    pub const fn name(&self) -> &RegistryName {
        &self.name
    }

    /// Whether everybody may pull, without a login.
    pub const fn anonymous_pull(&self) -> bool {
        self.anonymous_pull
    }

    /// Its resource id in a subscription: what roles are given at.
    pub fn scope(&self, subscription: Guid) -> Scope {
        let group: ResourceGroupName = RESOURCE_GROUP.parse().expect("it is a group's name");
        Scope::of_resource_group(subscription, group)
            .child(Some("Microsoft.ContainerRegistry"), "registries", self.name.as_str())
            .expect("a registry's name fits into a resource id")
    }

    /// The plaintext of its row: the name, then one byte for each property.
    pub(crate) fn write(&self) -> FieldWriter {
        FieldWriter::with_capacity(128)
            .field(self.name.as_str().as_bytes())
            .field(&[u8::from(self.anonymous_pull)])
    }

    /// Reads the plaintext of a row; one without properties is as old as the first version.
    fn read(id: RegistryId, plain: &[u8]) -> Result<Self, RegistryError> {
        let mut fields = FieldReader::new(plain)?;
        let name = fields.text()?.parse().map_err(|_| DAMAGED)?;
        let property = if fields.is_at_end() { &[0] } else { fields.field()? };
        let anonymous_pull = match property {
            [0] => false,
            [1] => true,
            _ => return Err(DAMAGED),
        };
        fields.end()?;
        Ok(Self { id, name, anonymous_pull })
    }
}

impl Registries {
    /// Finds a registry by its name.
    pub async fn find(
        &self,
        name: &RegistryName,
    ) -> Result<Option<Arc<RegistryEntry>>, RegistryError> {
        // Every request asks for one. Asked before the row is read, so that a write in between
        // makes what is kept look too old and never too new.
        let commits = self.ground().store.commits();
        if let Some(entry) =
            commits.and_then(|commits| self.found().at(commits)?.get(name).cloned())
        {
            return Ok(Some(entry));
        }
        let index = self.name_index(name);
        let found = self.ground().store.read(move |txn| registry::by_name(txn, &index)).await?;
        let Some(row) = found else { return Ok(None) };
        let entry = Arc::new(self.open_entry(&row)?);
        if entry.name != *name {
            return Err(DAMAGED);
        }
        if let Some(commits) = commits {
            self.found().keep(commits, &entry);
        }
        Ok(Some(entry))
    }

    /// Lets everybody pull from a registry, or only who has a role; `false` if there is none of
    /// this name. Holds from the next request on.
    pub async fn set_anonymous_pull(
        &self,
        name: &RegistryName,
        anonymous_pull: bool,
    ) -> Result<bool, RegistryError> {
        let index = self.name_index(name);
        for _ in 0..ATTEMPTS_MAX {
            let found = self.ground().store.read(move |txn| registry::by_name(txn, &index)).await?;
            let Some(row) = found else { return Ok(false) };
            let entry = RegistryEntry { anonymous_pull, ..self.open_entry(&row)? };
            let sealed = self.seal_entry(&entry, &row.name_index);
            let (id, seal_no) = (row.registry_id, row.seal_no);
            let store = &self.ground().store;
            let won = store
                .write(None, move |txn| {
                    Ok::<_, RegistryError>(registry::update_sealed(txn, id, seal_no, &sealed)?)
                })
                .await?;
            if won {
                return Ok(true);
            }
        }
        Err(RegistryError::Overtaken)
    }

    pub(crate) fn seal_entry(
        &self,
        entry: &RegistryEntry,
        index: &lockyard_base::BlindIndex,
    ) -> Vec<u8> {
        let ground = self.ground();
        let plain = entry.write();
        ground.instance.seal_row(&*ground.entropy, &place(entry.id, index), plain.as_slice())
    }

    pub(crate) fn open_entry(&self, row: &RegistryRow) -> Result<RegistryEntry, RegistryError> {
        let place = place(row.registry_id, &row.name_index);
        let plain = self.ground().instance.open_row(&place, &row.sealed)?;
        RegistryEntry::read(row.registry_id, &plain)
    }
}

fn place(id: RegistryId, index: &lockyard_base::BlindIndex) -> Place<'_> {
    Place {
        table: "registry",
        column: "sealed",
        row: RowId::from_bytes(*id.as_bytes()),
        index: index.as_bytes(),
        clear: &[],
    }
}

const DAMAGED: RegistryError = RegistryError::Damaged("a registry's row");

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(anonymous_pull: bool) -> RegistryEntry {
        let id = RegistryId::from_bytes([7; 16]);
        RegistryEntry { anonymous_pull, ..RegistryEntry::new(id, "contoso".parse().unwrap()) }
    }

    #[test]
    fn a_row_reads_back_as_written_and_an_older_one_has_no_properties() {
        for anonymous_pull in [false, true] {
            let entry = entry(anonymous_pull);
            let read = RegistryEntry::read(entry.id, entry.write().as_slice()).unwrap();
            assert_eq!(read, entry);
        }
        let old = FieldWriter::with_capacity(64).field(b"contoso");
        let read = RegistryEntry::read(entry(false).id, old.as_slice()).unwrap();
        assert_eq!(read, entry(false));
        for wrong in [&[2][..], &[], &[0, 0]] {
            let row = FieldWriter::with_capacity(64).field(b"contoso").field(wrong);
            assert!(RegistryEntry::read(entry(false).id, row.as_slice()).is_err(), "{wrong:?}");
        }
        let longer = entry(true).write().field(b"");
        assert!(RegistryEntry::read(entry(false).id, longer.as_slice()).is_err());
    }

    #[test]
    fn roles_are_given_at_the_registrys_resource_id() {
        let subscription = Guid::from_bytes([1; 16]);
        let expected = format!(
            "/subscriptions/{subscription}/resourceGroups/lockyard/providers/\
             Microsoft.ContainerRegistry/registries/contoso"
        );
        assert_eq!(entry(false).scope(subscription).to_string(), expected);
    }
}
