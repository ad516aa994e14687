//! Changing the directory's objects. A decision and its effect are one step.

use std::time::Duration;

use lockyard_access::{
    ClientId, CredentialId, Directory, PrincipalId, Snapshot,
    decision::{Action, known},
    directory::{
        Application, ChangeError, NewApplication, NewFederated, NewUser, Presented, Principal,
        PrincipalKind,
    },
};
use lockyard_base::Timestamp;

use super::{Objects, ObjectsError, Told, by_client, by_object_id, may};
use crate::decided;

/// How long a password is valid if nobody says, as in Graph: two years.
const SECRET_LIFE: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

impl Objects {
    /// Makes an application.
    pub async fn create_application(
        &self,
        caller: PrincipalId,
        new: NewApplication,
    ) -> Result<Application, ObjectsError> {
        let client = self
            .change(caller, known::DIRECTORY_WRITE, move |directory| {
                directory.create_application(&new)
            })
            .await?;
        by_client(&self.directory.snapshot(), client)
    }

    /// Changes what `edit` changes of an application's words.
    pub async fn update_application(
        &self,
        caller: PrincipalId,
        name: &str,
        edit: impl FnOnce(&mut NewApplication) + Send + 'static,
    ) -> Result<(), ObjectsError> {
        let present = self.own_application(caller, known::DIRECTORY_WRITE, name)?;
        let client = present.client;
        let mut new = NewApplication {
            display_name: present.display_name,
            redirect_uris: present.redirect_uris,
            identifier_uris: present.identifier_uris,
            public: present.public,
        };
        edit(&mut new);
        self.change(caller, known::DIRECTORY_WRITE, move |directory| {
            directory.update_application(client, &new)
        })
        .await
    }

    /// Deletes an application with its service principal.
    pub async fn delete_application(
        &self,
        caller: PrincipalId,
        name: &str,
    ) -> Result<(), ObjectsError> {
        let client = self.own_application(caller, known::DIRECTORY_DELETE, name)?.client;
        self.change(caller, known::DIRECTORY_DELETE, move |directory| {
            directory.delete_application(client)
        })
        .await
    }

    /// Makes a password for an application or a service principal's application; it is told once.
    pub async fn add_secret(
        &self,
        caller: PrincipalId,
        name: &str,
        display_name: Option<String>,
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Told, ObjectsError> {
        let client = self.own_application(caller, known::DIRECTORY_WRITE, name)?.client;
        let expires = expires.unwrap_or(now + SECRET_LIFE);
        let (id, secret) = self
            .change(caller, known::DIRECTORY_WRITE, move |directory| {
                directory.add_secret(client, display_name.as_deref(), expires)
            })
            .await?;
        let application = by_client(&self.directory.snapshot(), client)?;
        Ok(Told { application, id, secret, expires })
    }

    /// Adds a certificate, PEM or DER, to an application.
    pub async fn add_certificate(
        &self,
        caller: PrincipalId,
        name: &str,
        certificate: Vec<u8>,
    ) -> Result<CredentialId, ObjectsError> {
        let client = self.own_application(caller, known::DIRECTORY_WRITE, name)?.client;
        self.change(caller, known::DIRECTORY_WRITE, move |directory| {
            directory.add_certificate(client, None, &certificate)
        })
        .await
    }

    /// Lets the tokens of a foreign issuer stand for an application.
    pub async fn add_federated(
        &self,
        caller: PrincipalId,
        name: &str,
        new: NewFederated,
    ) -> Result<CredentialId, ObjectsError> {
        let client = self.own_application(caller, known::DIRECTORY_WRITE, name)?.client;
        self.change(caller, known::DIRECTORY_WRITE, move |directory| {
            directory.add_federated(client, new)
        })
        .await
    }

    /// Takes a password, certificate or federated credential from an application.
    pub async fn remove_credential(
        &self,
        caller: PrincipalId,
        name: &str,
        id: CredentialId,
    ) -> Result<(), ObjectsError> {
        let client = self.own_application(caller, known::DIRECTORY_WRITE, name)?.client;
        self.change(caller, known::DIRECTORY_WRITE, move |directory| {
            directory.remove_credential(client, id)
        })
        .await
    }

    /// Makes an application a principal.
    pub async fn create_service_principal(
        &self,
        caller: PrincipalId,
        client: ClientId,
    ) -> Result<Principal, ObjectsError> {
        let id = self
            .change(caller, known::DIRECTORY_WRITE, move |directory| {
                directory.create_service_principal(client)
            })
            .await?;
        self.made(id)
    }

    /// Makes a user.
    pub async fn create_user(
        &self,
        caller: PrincipalId,
        display_name: String,
        upn: String,
        password: Presented,
    ) -> Result<Principal, ObjectsError> {
        let id = self
            .change(caller, known::DIRECTORY_WRITE, move |directory| {
                let (display_name, upn) = (display_name.as_str(), upn.as_str());
                directory.create_user(&NewUser { display_name, upn, password: Some(&password) })
            })
            .await?;
        self.made(id)
    }

    /// Makes a group.
    pub async fn create_group(
        &self,
        caller: PrincipalId,
        display_name: String,
    ) -> Result<Principal, ObjectsError> {
        let id = self
            .change(caller, known::DIRECTORY_WRITE, move |directory| {
                directory.create_group(&display_name)
            })
            .await?;
        self.made(id)
    }

    /// Puts somebody into a group, or takes them out.
    pub async fn set_member(
        &self,
        caller: PrincipalId,
        group: &str,
        member: PrincipalId,
        wanted: Membership,
    ) -> Result<(), ObjectsError> {
        let group = self.of_kind(caller, known::DIRECTORY_WRITE, "group", group, |kind| {
            *kind == PrincipalKind::Group
        })?;
        self.change(caller, known::DIRECTORY_WRITE, move |directory| match wanted {
            Membership::In => directory.add_member(group, member),
            Membership::Out => directory.remove_member(group, member),
        })
        .await
    }

    /// Deletes a principal that `is` of the kind asked for, with its roles.
    ///
    /// Managed identities are deleted with their resource, not here.
    pub async fn delete_principal(
        &self,
        caller: PrincipalId,
        kind: &'static str,
        name: &str,
        is: impl Fn(&PrincipalKind) -> bool,
    ) -> Result<(), ObjectsError> {
        let id = self.of_kind(caller, known::DIRECTORY_DELETE, kind, name, is)?;
        let snapshot = self.directory.snapshot();
        let managed = snapshot
            .principal(id)
            .is_some_and(|one| matches!(one.kind, PrincipalKind::ManagedIdentity(_)));
        if managed {
            let message = "a managed identity is deleted by deleting its resource";
            return Err(ObjectsError::Invalid(message.to_owned()));
        }
        self.change(caller, known::DIRECTORY_DELETE, move |directory| {
            directory.delete_principal(id)
        })
        .await
    }

    /// An application by its object id or its service principal's, for somebody who may change it.
    pub fn application_to_change(
        &self,
        caller: PrincipalId,
        name: &str,
    ) -> Result<Application, ObjectsError> {
        self.own_application(caller, known::DIRECTORY_WRITE, name)
    }

    /// The application of an object id, or of the object id of its service principal, if the caller
    /// may do `action` with it.
    fn own_application(
        &self,
        caller: PrincipalId,
        action: Action,
        name: &str,
    ) -> Result<Application, ObjectsError> {
        let snapshot = self.directory.snapshot();
        may(&snapshot, caller, &action)?;
        let principal = name.parse::<PrincipalId>().ok().and_then(|id| snapshot.principal(id));
        match principal.and_then(|one| one.client) {
            Some(client) => by_client(&snapshot, client),
            None => by_object_id(&snapshot, name).cloned(),
        }
    }

    fn of_kind(
        &self,
        caller: PrincipalId,
        action: Action,
        kind: &'static str,
        name: &str,
        is: impl Fn(&PrincipalKind) -> bool,
    ) -> Result<PrincipalId, ObjectsError> {
        let snapshot = self.directory.snapshot();
        may(&snapshot, caller, &action)?;
        let found = match name.parse::<PrincipalId>() {
            Ok(id) => snapshot.principal(id),
            Err(_) => snapshot.by_upn(name),
        };
        let found = found.filter(|one| is(&one.kind));
        let missing = || ObjectsError::Missing { kind, name: name.to_owned() };
        found.map(|one| one.id).ok_or_else(missing)
    }

    fn made(&self, id: PrincipalId) -> Result<Principal, ObjectsError> {
        let found = self.directory.snapshot().principal(id).cloned();
        found.ok_or_else(|| ObjectsError::Missing { kind: "object", name: id.to_string() })
    }

    /// Changes the directory if the caller may, where blocking is allowed.
    async fn change<T: Send + 'static>(
        &self,
        caller: PrincipalId,
        action: Action,
        change: impl FnOnce(&Directory) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ObjectsError> {
        let decide = move |snapshot: &Snapshot| may(snapshot, caller, &action);
        Ok(decided::change(&self.directory, decide, change).await??)
    }
}

/// Whether somebody is to be in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// From now on they are.
    In,
    /// From now on they are not.
    Out,
}
