//! Applications and their credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use lockyard_access::{
    CredentialId,
    directory::{NewApplication, NewFederated},
};
use lockyard_arm::{Body, moment};
use serde_json::{Value, json};

use super::{Answer, Asked, GraphFailure, answered, done, listed, object, render};

/// `GET` and `POST /applications`.
pub(super) async fn all(asked: &Asked<'_>) -> Answer {
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    if asked.method == Method::GET {
        let found = objects.applications(caller, &asked.filter)?;
        let values: Vec<Value> = found.iter().map(render::application).collect();
        return Ok(listed(asked, "applications", &values));
    }
    let body = Body::of(&asked.body)?;
    let mut new = NewApplication {
        display_name: body.required("displayName")?.to_owned(),
        ..NewApplication::default()
    };
    Words::read(&body)?.put_into(&mut new);
    let keys = new_keys(&body)?;
    let made = objects.create_application(caller, new).await?;
    let id = made.id.to_string();
    for key in keys {
        if let Err(error) = objects.add_certificate(caller, &id, key).await {
            // An application that was to have a certificate is nothing without it.
            objects.delete_application(caller, &id).await?;
            return Err(error.into());
        }
    }
    let made = objects.application(caller, &id)?;
    Ok(object(asked, StatusCode::CREATED, "applications", render::application(&made)))
}

/// An application: `GET`, `PATCH`, `DELETE`.
pub(super) async fn one(asked: &Asked<'_>, id: &str) -> Answer {
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    match asked.method {
        Method::GET => {
            let found = objects.application(caller, id)?;
            Ok(object(asked, StatusCode::OK, "applications", render::application(&found)))
        }
        Method::PATCH => {
            let words = Words::read(&Body::of(&asked.body)?)?;
            objects.update_application(caller, id, move |new| words.put_into(new)).await?;
            change_keys(asked, id).await
        }
        _ => {
            objects.delete_application(caller, id).await?;
            Ok(done())
        }
    }
}

/// Makes the certificates those that the body names, if it names any: entries with a `key` are new,
/// entries with the `keyId` of one that is there stay, all others go.
pub(super) async fn change_keys(asked: &Asked<'_>, id: &str) -> Answer {
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    let body = Body::of(&asked.body)?;
    if body.list("keyCredentials")?.is_some() {
        let (new, kept) = (new_keys(&body)?, kept_keys(&body)?);
        let application = objects.application_to_change(caller, id)?;
        for key in new {
            let _id = objects.add_certificate(caller, id, key).await?;
        }
        for old in application.certificates.iter().filter(|old| !kept.contains(&old.id)) {
            objects.remove_credential(caller, id, old.id).await?;
        }
    } else {
        // A change of nothing is still one that not everybody may make.
        let _there = objects.application_to_change(caller, id)?;
    }
    Ok(done())
}

/// `POST /applications/{id}/addPassword`: the only answer with the password in it.
pub(super) async fn add_password(asked: &Asked<'_>, id: &str) -> Answer {
    let body = Body::of(&asked.body)?;
    let wanted = body.object("passwordCredential")?;
    let name = wanted.text("displayName")?.filter(|name| !name.is_empty()).map(str::to_owned);
    let expires = match wanted.text("endDateTime")? {
        None => None,
        Some(text) => {
            let read = moment::read(text);
            Some(read.ok_or_else(|| wanted.refuse("endDateTime", "must be an ISO 8601 time"))?)
        }
    };
    let now = asked.faces.clock.wall();
    let told = asked
        .faces
        .objects
        .add_secret(asked.caller.principal, id, name.clone(), expires, now)
        .await?;
    let value = json!({
        "@odata.context":
            format!("{}/v1.0/$metadata#microsoft.graph.passwordCredential", asked.origin()),
        "keyId": told.id.to_string(),
        "displayName": name,
        "hint": told.secret.dangerous_expose().chars().take(3).collect::<String>(),
        "startDateTime": moment::written(now),
        "endDateTime": moment::written(told.expires),
        "customKeyIdentifier": null,
        "secretText": told.secret.dangerous_expose(),
    });
    Ok(answered(StatusCode::OK, &value))
}

/// `POST /applications/{id}/removePassword`.
pub(super) async fn remove_password(asked: &Asked<'_>, id: &str) -> Answer {
    let key = Body::of(&asked.body)?.required("keyId")?.parse::<CredentialId>();
    let key = key.map_err(|_| GraphFailure::bad("`keyId` is a UUID"))?;
    asked.faces.objects.remove_credential(asked.caller.principal, id, key).await?;
    Ok(done())
}

/// `GET` and `POST /applications/{id}/federatedIdentityCredentials`.
pub(super) async fn federated(asked: &Asked<'_>, id: &str) -> Answer {
    const KIND: &str = "federatedIdentityCredentials";
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    if asked.method == Method::GET {
        let application = objects.application(caller, id)?;
        let values: Vec<Value> = application.federated.iter().map(render::federated).collect();
        return Ok(listed(asked, KIND, &values));
    }
    let body = Body::of(&asked.body)?;
    let new = NewFederated {
        name: body.required("name")?.to_owned(),
        issuer: body.required("issuer")?.to_owned(),
        subject: body.required("subject")?.to_owned(),
        audiences: body.texts("audiences")?.into_iter().map(str::to_owned).collect(),
        description: body.text("description")?.unwrap_or_default().to_owned(),
    };
    let made = objects.add_federated(caller, id, new).await?;
    let application = objects.application(caller, id)?;
    let made = application.federated.iter().find(|one| one.id == made);
    let made = made.ok_or_else(|| GraphFailure::missing("federated credential", id))?;
    Ok(object(asked, StatusCode::CREATED, KIND, render::federated(made)))
}

/// A federated credential by id or name: `GET`, `DELETE`.
pub(super) async fn one_federated(asked: &Asked<'_>, id: &str, name: &str) -> Answer {
    let (objects, caller) = (&asked.faces.objects, asked.caller.principal);
    let application = objects.application(caller, id)?;
    let found = application
        .federated
        .iter()
        .find(|one| one.name == name || one.id.to_string().eq_ignore_ascii_case(name));
    let found = found.ok_or_else(|| GraphFailure::missing("federated credential", name))?;
    if asked.method == Method::GET {
        let value = render::federated(found);
        return Ok(object(asked, StatusCode::OK, "federatedIdentityCredentials", value));
    }
    objects.remove_credential(caller, id, found.id).await?;
    Ok(done())
}

/// What a body says of an application besides its credentials; `None` where it says nothing.
struct Words {
    display_name: Option<String>,
    redirect_uris: Option<Vec<String>>,
    identifier_uris: Option<Vec<String>>,
    public: Option<bool>,
}

impl Words {
    fn read(body: &Body<'_>) -> Result<Self, GraphFailure> {
        let owned =
            |texts: Vec<&str>| -> Vec<String> { texts.into_iter().map(str::to_owned).collect() };
        let mut redirect_uris: Option<Vec<String>> = None;
        for kind in ["web", "publicClient", "spa"] {
            let part = body.object(kind)?;
            if part.list("redirectUris")?.is_some() {
                redirect_uris.get_or_insert_default().extend(owned(part.texts("redirectUris")?));
            }
        }
        let identifier_uris = match body.list("identifierUris")? {
            Some(_) => Some(owned(body.texts("identifierUris")?)),
            None => None,
        };
        Ok(Self {
            display_name: body.text("displayName")?.map(str::to_owned),
            redirect_uris,
            identifier_uris,
            public: body.flag("isFallbackPublicClient")?,
        })
    }

    fn put_into(self, new: &mut NewApplication) {
        if let Some(name) = self.display_name {
            new.display_name = name;
        }
        if let Some(uris) = self.redirect_uris {
            new.redirect_uris = uris;
        }
        if let Some(uris) = self.identifier_uris {
            new.identifier_uris = uris;
        }
        if let Some(public) = self.public {
            new.public = public;
        }
    }
}

/// The certificates that a body brings, as DER.
fn new_keys(body: &Body<'_>) -> Result<Vec<Vec<u8>>, GraphFailure> {
    let mut keys = Vec::new();
    for entry in body.objects("keyCredentials")? {
        if let Some(key) = entry.text("key")? {
            // az leaves the line breaks of PEM in it.
            let key: String = key.split_ascii_whitespace().collect();
            let key = STANDARD.decode(key);
            keys.push(key.map_err(|_| entry.refuse("key", "must be a certificate in base64"))?);
        }
    }
    Ok(keys)
}

/// The ids of the certificates that a body names without bringing them.
fn kept_keys(body: &Body<'_>) -> Result<Vec<CredentialId>, GraphFailure> {
    let mut kept = Vec::new();
    for entry in body.objects("keyCredentials")? {
        if entry.text("key")?.is_none() {
            let id = entry.required("keyId")?.parse();
            kept.push(id.map_err(|_| entry.refuse("keyId", "must be a UUID"))?);
        }
    }
    Ok(kept)
}
