//! Users, groups and service principals.

use axum::response::Response;
use http::{Method, StatusCode};
use lockyard_access::{
    ClientId, PrincipalId,
    directory::{Presented, Principal, PrincipalKind},
};
use lockyard_arm::Body;
use lockyard_control::Membership;
use serde_json::{Value, json};

use super::{
    Answer, Asked, GraphFailure, Kind, answered, application, done, listed, object, render,
};

/// The most ids of one `getByIds`, as in Graph.
pub(crate) const IDS_MAX: usize = 1000;

/// `GET /me`.
pub(super) fn me(asked: &Asked<'_>) -> Answer {
    let found = asked.faces.objects.me(asked.caller.principal);
    let person = found.ok_or_else(GraphFailure::not_a_person)?;
    Ok(shown(asked, StatusCode::OK, &person))
}

/// `POST /directoryObjects/getByIds`.
pub(super) fn by_ids(asked: &Asked<'_>) -> Answer {
    let body = Body::of(&asked.body)?;
    let texts = body.texts("ids")?;
    if texts.len() > IDS_MAX {
        return Err(GraphFailure::bad(format!("at most {IDS_MAX} ids are looked up at once")));
    }
    let ids: Result<Vec<PrincipalId>, _> = texts.iter().map(|text| text.parse()).collect();
    let ids = ids.map_err(|_| GraphFailure::bad("`ids` are object ids, UUIDs"))?;
    let types = body.texts("types")?;
    let wanted = |principal: &Principal| {
        let own = match principal.kind {
            PrincipalKind::User => "user",
            PrincipalKind::Group => "group",
            PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity(_) => {
                "servicePrincipal"
            }
        };
        let any =
            types.is_empty() || types.iter().any(|t| t.eq_ignore_ascii_case("directoryObject"));
        any || types.iter().any(|kind| kind.eq_ignore_ascii_case(own))
    };
    let found = asked.faces.objects.by_ids(asked.caller.principal, &ids)?;
    let found: Vec<Principal> = found.into_iter().filter(|one| wanted(one)).collect();
    Ok(all(asked, "directoryObjects", &found))
}

/// `GET /directoryObjects/{id}`.
pub(super) fn any(asked: &Asked<'_>, id: &str) -> Answer {
    let objects = &asked.faces.objects;
    let found = objects.principal(asked.caller.principal, "object", id, |_| true)?;
    Ok(shown(asked, StatusCode::OK, &found))
}

/// `GET` and `POST /users`.
pub(super) async fn users(asked: &Asked<'_>) -> Answer {
    if asked.method == Method::GET {
        return list(asked, Kind::User);
    }
    let body = Body::of(&asked.body)?;
    let profile = body.object("passwordProfile")?;
    let password = Presented::from(profile.required("password")?);
    let (name, upn) = (body.required("displayName")?, body.required("userPrincipalName")?);
    let objects = &asked.faces.objects;
    let made = objects
        .create_user(asked.caller.principal, name.to_owned(), upn.to_owned(), password)
        .await?;
    Ok(shown(asked, StatusCode::CREATED, &made))
}

/// `GET` and `POST /groups`.
pub(super) async fn groups(asked: &Asked<'_>) -> Answer {
    if asked.method == Method::GET {
        return list(asked, Kind::Group);
    }
    let name = Body::of(&asked.body)?.required("displayName")?.to_owned();
    let made = asked.faces.objects.create_group(asked.caller.principal, name).await?;
    Ok(shown(asked, StatusCode::CREATED, &made))
}

/// `GET` and `POST /servicePrincipals`.
pub(super) async fn service_principals(asked: &Asked<'_>) -> Answer {
    if asked.method == Method::GET {
        return list(asked, Kind::ServicePrincipal);
    }
    let client = Body::of(&asked.body)?.required("appId")?.parse::<ClientId>();
    let client = client.map_err(|_| GraphFailure::bad("`appId` is a client id, a UUID"))?;
    let objects = &asked.faces.objects;
    let made = objects.create_service_principal(asked.caller.principal, client).await?;
    Ok(shown(asked, StatusCode::CREATED, &made))
}

/// A principal: `GET`, `DELETE`; of a service principal also `PATCH`, which changes its application.
pub(super) async fn one(asked: &Asked<'_>, kind: Kind, id: &str) -> Answer {
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    let is = |found: &PrincipalKind| kind.is(found);
    match asked.method {
        Method::GET => {
            let found = objects.principal(caller, kind.word(), id, is)?;
            Ok(shown(asked, StatusCode::OK, &found))
        }
        Method::PATCH => application::change_keys(asked, id).await,
        _ => {
            objects.delete_principal(caller, kind.word(), id, is).await?;
            Ok(done())
        }
    }
}

/// `GET /groups/{id}/members`.
pub(super) fn members(asked: &Asked<'_>, id: &str) -> Answer {
    let members = asked.faces.objects.members(asked.caller.principal, id)?;
    Ok(all(asked, "directoryObjects", &members))
}

/// `POST /groups/{id}/members/$ref`: the body's `@odata.id` ends with the member's id.
pub(super) async fn add_member(asked: &Asked<'_>, id: &str) -> Answer {
    let body = Body::of(&asked.body)?;
    let link = body.required("@odata.id")?;
    let member = link.rsplit('/').next().unwrap_or_default();
    member_is(asked, id, member, Membership::In).await
}

/// `DELETE /groups/{id}/members/{member}/$ref`.
pub(super) async fn remove_member(asked: &Asked<'_>, id: &str, member: &str) -> Answer {
    member_is(asked, id, member, Membership::Out).await
}

/// `POST /{kind}/{id}/getMemberGroups`.
pub(super) fn member_groups(asked: &Asked<'_>, id: &str) -> Answer {
    let groups = asked.faces.objects.groups_of(asked.caller.principal, id)?;
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    Ok(answered(StatusCode::OK, &json!({ "value": groups })))
}

async fn member_is(asked: &Asked<'_>, id: &str, member: &str, wanted: Membership) -> Answer {
    let member = member.parse().map_err(|_| GraphFailure::missing("object", member))?;
    asked.faces.objects.set_member(asked.caller.principal, id, member, wanted).await?;
    Ok(done())
}

fn list(asked: &Asked<'_>, kind: Kind) -> Answer {
    let objects = &asked.faces.objects;
    let is = |found: &PrincipalKind| kind.is(found);
    let found = objects.principals(asked.caller.principal, &asked.filter, is)?;
    Ok(all(asked, kind.collection(), &found))
}

fn shown(asked: &Asked<'_>, status: StatusCode, principal: &Principal) -> Response {
    let value = render::principal(principal, &asked.faces.objects.snapshot());
    object(asked, status, collection(&principal.kind), value)
}

fn all(asked: &Asked<'_>, kind: &str, principals: &[Principal]) -> Response {
    let snapshot = asked.faces.objects.snapshot();
    let values: Vec<Value> =
        principals.iter().map(|principal| render::principal(principal, &snapshot)).collect();
    listed(asked, kind, &values)
}

fn collection(kind: &PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => Kind::User.collection(),
        PrincipalKind::Group => Kind::Group.collection(),
        PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity(_) => {
            Kind::ServicePrincipal.collection()
        }
    }
}

impl Kind {
    const fn collection(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
            Self::ServicePrincipal => "servicePrincipals",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::ServicePrincipal => "service principal",
        }
    }

    const fn is(self, kind: &PrincipalKind) -> bool {
        match kind {
            PrincipalKind::User => matches!(self, Self::User),
            PrincipalKind::Group => matches!(self, Self::Group),
            PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity(_) => {
                matches!(self, Self::ServicePrincipal)
            }
        }
    }
}
