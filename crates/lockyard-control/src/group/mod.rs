//! Resource groups: where resources lie.
//!
//! A group is a sealed record. Its name is unique without regard to case and shown as it was first
//! written; its location never changes, since what is made in it may have taken it over.

mod change;

pub(crate) use change::GroupChanges;

use std::collections::BTreeMap;

use lockyard_access::{RecordTxn, Records};
use lockyard_arm::{Body, ResourceGroupName, Scope};
use lockyard_base::{Guid, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{ControlError, Put};

/// The most resource groups of a subscription, as in Azure.
pub const GROUPS_MAX: u64 = 980;

/// The most tags of a resource or group.
pub const TAGS_MAX: usize = 50;

/// The longest name of a tag in bytes.
pub const TAG_NAME_BYTES_MAX: usize = 512;

/// The longest value of a tag in bytes.
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// The longest name of a location in bytes.
pub const LOCATION_BYTES_MAX: usize = 64;

/// The kind of the records.
const KIND: &str = "resource-group";

/// The tags of a resource or group.
pub(crate) type Tags = BTreeMap<String, String>;

/// A resource group as its record holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// The version of this record's form.
    v: u8,
    subscription: String,
    name: String,
    location: String,
    tags: Tags,
    managed_by: Option<String>,
    created_micros: i64,
}

/// The form of the records that this program writes.
const FORM: u8 = 1;

impl Group {
    /// A group that is to be made.
    pub(crate) fn new(scope: &Scope, location: &str, created: Timestamp) -> Self {
        let name = scope.resource_group().map(ToString::to_string).unwrap_or_default();
        Self {
            v: FORM,
            subscription: scope.subscription().map(|id| id.to_string()).unwrap_or_default(),
            name,
            location: location.to_owned(),
            tags: Tags::new(),
            managed_by: None,
            created_micros: created.as_micros(),
        }
    }

    fn wanted(scope: &Scope, body: &Body<'_>, created: Timestamp) -> Result<Self, ControlError> {
        let Some(location) = body.text("location")? else {
            let message = "a resource group needs a `location`";
            return Err(ControlError::invalid("LocationRequired", message));
        };
        let mut group = Self::new(scope, &location_name(location)?, created);
        group.tags = tags(body)?;
        group.managed_by = body.text("managedBy")?.map(str::to_owned);
        Ok(group)
    }

    /// The group as Resource Manager shows it.
    pub(crate) fn rendered(&self) -> Value {
        let Self { subscription, name, location, tags, managed_by, .. } = self;
        let mut shown = json!({
            "id": format!("/subscriptions/{subscription}/resourceGroups/{name}"),
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "tags": tags,
            "properties": { "provisioningState": "Succeeded" },
        });
        if let (Some(by), Some(fields)) = (managed_by, shown.as_object_mut()) {
            fields.insert("managedBy".to_owned(), json!(by));
        }
        shown
    }

    fn read(value: &[u8]) -> Result<Self, ControlError> {
        let group: Self =
            serde_json::from_slice(value).map_err(|error| ControlError::Failed(Box::new(error)))?;
        if group.v == FORM {
            Ok(group)
        } else {
            Err(ControlError::Failed("a resource group's record has another form".into()))
        }
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and texts are what JSON can hold")
    }
}

/// The groups that are kept.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    records: Records,
}

impl Groups {
    pub(crate) fn new(records: Records) -> Self {
        Self { records }
    }

    /// The group at a scope.
    pub(crate) async fn find(&self, scope: &Scope) -> Result<Option<Group>, ControlError> {
        let name = scope.folded().as_bytes().to_vec();
        let found = self.records.read(move |txn| txn.get(KIND, &name)).await?;
        found.map(|record| Group::read(&record.value)).transpose()
    }

    /// The group at a scope; blocks.
    pub(crate) fn find_blocking(&self, scope: &Scope) -> Result<Option<Group>, ControlError> {
        let found = self.records.read_blocking(|txn| txn.get(KIND, scope.folded().as_bytes()))?;
        found.map(|record| Group::read(&record.value)).transpose()
    }

    /// All groups of a subscription, by name.
    pub(crate) async fn list(&self, subscription: Guid) -> Result<Vec<Group>, ControlError> {
        let records = self.records.read(|txn| txn.list(KIND)).await?;
        let groups: Result<Vec<Group>, _> =
            records.iter().map(|record| Group::read(&record.value)).collect();
        let mut groups = groups?;
        let id = subscription.to_string();
        groups.retain(|group| group.subscription == id);
        groups.sort_by_key(|group| group.name.to_ascii_lowercase());
        Ok(groups)
    }

    /// What makes the group or changes its tags; it blocks.
    pub(crate) fn put(
        &self,
        scope: &Scope,
        body: &Value,
        now: Timestamp,
    ) -> Result<impl FnOnce() -> Result<Put, ControlError> + Send + use<>, ControlError> {
        let wanted = Group::wanted(scope, &Body::of(body)?, now)?;
        let (records, name) = (self.records.clone(), scope.folded().as_bytes().to_vec());
        Ok(move || records.write_blocking(move |txn| put(txn, &name, wanted.clone())))
    }

    /// Makes the group unless it is there; for what the instance itself lies in. Blocks.
    pub(crate) fn ensure(&self, scope: &Scope, now: Timestamp) -> Result<(), ControlError> {
        let group = Group::new(scope, "local", now);
        let name = scope.folded().as_bytes().to_vec();
        self.records.write_blocking(move |txn| {
            txn.insert(KIND, &name, &group.write(), None).map(drop).map_err(ControlError::from)
        })
    }

    /// What changes what the body names, the tags; it blocks.
    pub(crate) fn patch(
        &self,
        scope: &Scope,
        body: &Value,
    ) -> Result<impl FnOnce() -> Result<Option<Group>, ControlError> + Send + use<>, ControlError>
    {
        let body = Body::of(body)?;
        let new = if body.object("tags")?.is_there() { Some(tags(&body)?) } else { None };
        let (records, name) = (self.records.clone(), scope.folded().as_bytes().to_vec());
        Ok(move || {
            records.write_blocking(move |txn| {
                let Some(record) = txn.get(KIND, &name)? else { return Ok(None) };
                let mut group = Group::read(&record.value)?;
                if let Some(tags) = &new {
                    group.tags.clone_from(tags);
                }
                txn.put(KIND, &name, &group.write())?;
                Ok(Some(group))
            })
        })
    }

    /// Forgets the group and returns whether it was there; blocks.
    fn remove(&self, scope: &Scope) -> Result<bool, ControlError> {
        let name = scope.folded().as_bytes().to_vec();
        self.records.write_blocking(move |txn| txn.remove(KIND, &name).map_err(ControlError::from))
    }
}

fn put(txn: &mut RecordTxn<'_, '_>, name: &[u8], mut wanted: Group) -> Result<Put, ControlError> {
    let Some(there) = txn.get(KIND, name)? else {
        if txn.count(KIND)? >= GROUPS_MAX {
            let message = format!("a subscription has at most {GROUPS_MAX} resource groups");
            return Err(ControlError::conflict("ResourceGroupQuotaExceeded", message));
        }
        txn.put(KIND, name, &wanted.write())?;
        return Ok(Put::Created(wanted.rendered()));
    };
    let there = Group::read(&there.value)?;
    if there.location != wanted.location {
        let message = format!(
            "the resource group `{}` is in location `{}` and cannot be in `{}` too; leave the \
             location as it is or choose another name",
            there.name, there.location, wanted.location
        );
        return Err(ControlError::conflict("InvalidResourceGroupLocation", message));
    }
    wanted.name = there.name;
    wanted.created_micros = there.created_micros;
    txn.put(KIND, name, &wanted.write())?;
    Ok(Put::Replaced(wanted.rendered()))
}

/// There is no such group.
pub(crate) fn missing(name: Option<&ResourceGroupName>) -> ControlError {
    let name = name.map(ToString::to_string).unwrap_or_default();
    let message = format!("there is no resource group '{name}', `az group create` makes one");
    ControlError::missing("ResourceGroupNotFound", message)
}

/// Reads the name of a location: `East US` is `eastus`.
pub(crate) fn location_name(text: &str) -> Result<String, ControlError> {
    let name: String = text.chars().filter(|c| *c != ' ').collect();
    let name = name.to_ascii_lowercase();
    let fits = (1..=LOCATION_BYTES_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(name)
    } else {
        let message = format!(
            "a location is a name like `eastus`, of at most {LOCATION_BYTES_MAX} letters and digits"
        );
        Err(ControlError::invalid("LocationNotAvailableForResourceGroup", message))
    }
}

/// Reads the tags of a resource or group.
pub(crate) fn tags(body: &Body<'_>) -> Result<Tags, ControlError> {
    let mut tags = Tags::new();
    let given = body.object("tags")?;
    for (name, value) in given.entries() {
        let value = match value {
            Value::Null => "",
            Value::String(value) => value.as_str(),
            _ => return Err(given.refuse(name, "must be a string").into()),
        };
        let fits = (1..=TAG_NAME_BYTES_MAX).contains(&name.len())
            && value.len() <= TAG_VALUE_BYTES_MAX
            && !name.contains(['<', '>', '%', '&', '\\', '?', '/'])
            && !name.chars().chain(value.chars()).any(char::is_control);
        if !fits {
            let message = format!(
                "a tag's name has 1 to {TAG_NAME_BYTES_MAX} bytes without `<>%&\\?/`, its value \
                 at most {TAG_VALUE_BYTES_MAX}, and neither has control characters"
            );
            return Err(ControlError::invalid("InvalidTag", message));
        }
        if tags.keys().any(|other: &String| other.eq_ignore_ascii_case(name)) {
            let message = "two tags have the same name but for case";
            return Err(ControlError::invalid("DuplicateTagNames", message));
        }
        tags.insert(name.clone(), value.to_owned());
    }
    if tags.len() > TAGS_MAX {
        let message = format!("there are at most {TAGS_MAX} tags");
        return Err(ControlError::invalid("TooManyTags", message));
    }
    Ok(tags)
}
