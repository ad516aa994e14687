//! Lists of resources of every type, and how clients look one up by its name.

use lockyard_access::{
    Snapshot,
    decision::{Action, Plane, known},
};
use lockyard_arm::{Condition, ResourceId, Scope};
use serde_json::{Value, json};

use crate::{Call, ControlError, Page, provider::Listed};

/// A resource that the instance itself keeps.
pub(crate) fn fixture(id: &ResourceId) -> Listed {
    Listed { id: id.clone(), location: "local".to_owned(), tags: json!({}) }
}

/// Those of `all` that the caller asks for and may see.
pub(crate) fn shown(
    call: &Call,
    snapshot: &Snapshot,
    under: &Scope,
    all: Vec<Listed>,
) -> Result<Page, ControlError> {
    let wanted: Vec<Narrowing> = call.filter.iter().map(Narrowing::of).collect::<Result<_, _>>()?;
    let may = |id: &ResourceId| {
        // Whoever may see a thing by the right of its own type may see it here.
        let own = Action::parse(Plane::Control, &format!("{}/read", id.resource_type()));
        let own = own.is_ok_and(|action| call.must(snapshot, &action, id.scope()).is_ok());
        own || call.must(snapshot, &known::RESOURCES_READ, id.scope()).is_ok()
    };
    let mut kept: Vec<Listed> = all
        .into_iter()
        .filter(|one| under.contains(one.id.scope()))
        .filter(|one| wanted.iter().all(|narrow| narrow.keeps(one)) && may(&one.id))
        .collect();
    let place = |one: &Listed| one.id.scope().folded().to_owned();
    kept.sort_by_cached_key(place);
    Ok(call.page.part(kept, place).shown(rendered))
}

fn rendered(resource: &Listed) -> Value {
    let Listed { id, location, tags } = resource;
    json!({
        "id": id.to_string(),
        "name": id.name(),
        "type": id.resource_type().to_string(),
        "location": location,
        "tags": tags,
    })
}

/// What a list of resources is narrowed to.
enum Narrowing {
    Kind(String),
    Name(String),
    Group(String),
    Location(String),
}

impl Narrowing {
    fn of(condition: &Condition) -> Result<Self, ControlError> {
        match condition {
            Condition::Equals { property, value } => match property.as_str() {
                "resourcetype" => Ok(Self::Kind(value.clone())),
                "name" => Ok(Self::Name(value.clone())),
                "resourcegroup" => Ok(Self::Group(value.clone())),
                "location" => Ok(Self::Location(value.replace(' ', ""))),
                _ => Err(not_narrowed(condition)),
            },
            Condition::Has { .. } | Condition::StartsWith { .. } | Condition::Call { .. } => {
                Err(not_narrowed(condition))
            }
        }
    }

    fn keeps(&self, resource: &Listed) -> bool {
        let id = &resource.id;
        match self {
            Self::Kind(kind) => id.resource_type().is(kind),
            Self::Name(name) => id.name().eq_ignore_ascii_case(name),
            Self::Group(group) => {
                id.resource_group().is_some_and(|own| own.as_str().eq_ignore_ascii_case(group))
            }
            Self::Location(location) => resource.location.eq_ignore_ascii_case(location),
        }
    }
}

/// A list does not know a condition.
pub(crate) fn not_narrowed(_condition: &Condition) -> ControlError {
    let message = "this list cannot be narrowed like this; leave `$filter` out";
    ControlError::invalid("InvalidFilter", message)
}
