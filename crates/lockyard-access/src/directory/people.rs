//! Users, and what all principals have in common.

use std::sync::Arc;

use lockyard_base::Guid;

use super::{
    ChangeError, CredentialId, Directory, NewSecret, Presented, Principal, PrincipalKind, Thing,
    password::PasswordHash,
    principal::{Entry, Means, checked_name, checked_upn},
    snapshot::State,
};
use crate::PrincipalId;

/// A user who is to be made.
#[derive(Debug)]
pub struct NewUser<'n> {
    /// The name that people see.
    pub display_name: &'n str,
    /// The name to sign in with, `name@domain`.
    pub upn: &'n str,
    /// The first password; without one, nobody can sign in yet.
    pub password: Option<&'n Presented>,
}

impl Directory {
    /// Makes a user; blocks, for as long as stretching a password takes.
    pub fn create_user(&self, new: &NewUser<'_>) -> Result<PrincipalId, ChangeError> {
        let (display_name, upn) = (checked_name(new.display_name)?, checked_upn(new.upn)?);
        let hash = new.password.map(|password| self.stretched(password)).transpose()?;
        let mut principal = self.new_principal(PrincipalKind::User, display_name);
        principal.upn = Some(upn);
        let id = principal.id;
        let means = Means::Password { credential: CredentialId::random(&*self.entropy), hash };
        self.change(|state| {
            state.insert(Entry { principal, means });
            Ok(id)
        })
    }

    /// Gives a user another password. Sessions that began with the old one are over. Blocks.
    pub fn set_password(&self, id: PrincipalId, password: &Presented) -> Result<(), ChangeError> {
        let hash = self.stretched(password)?;
        let (credential, now) = (CredentialId::random(&*self.entropy), self.now());
        let user = self.change(|state| {
            let entry = state.user(id)?;
            entry.principal.sessions_valid_from = now;
            entry.means = Means::Password { credential, hash: Some(hash) };
            Ok(entry.principal.upn.clone())
        })?;
        // The new password is not to wait for the guesses at the old one.
        self.forget_failures(user.as_deref().unwrap_or_default())?;
        Ok(())
    }

    /// Gives a user a password that is made here, to be shown once. Blocks.
    pub fn reset_password(&self, id: PrincipalId) -> Result<NewSecret, ChangeError> {
        let password = NewSecret::password(&*self.entropy);
        self.set_password(id, &Presented::from(password.dangerous_expose()))?;
        Ok(password)
    }

    /// Changes the name that people see. Blocks.
    pub fn rename(&self, id: PrincipalId, display_name: &str) -> Result<(), ChangeError> {
        let name = checked_name(display_name)?;
        self.change(|state| {
            state.entry(id, Thing::Principal)?.principal.display_name = name;
            Ok(())
        })
    }

    /// Lets somebody act, or not any more; whoever is disabled has no sessions when enabled again.
    /// Blocks.
    pub fn set_enabled(&self, id: PrincipalId, enabled: bool) -> Result<(), ChangeError> {
        let now = self.now();
        self.change(|state| {
            if state.present(id)?.principal.enabled != enabled {
                let principal = &mut state.entry(id, Thing::Principal)?.principal;
                principal.enabled = enabled;
                principal.sessions_valid_from = now;
            }
            Ok(())
        })
    }

    /// Ends every session and voids every token of somebody; credentials stay. Blocks.
    pub fn revoke_sessions(&self, id: PrincipalId) -> Result<(), ChangeError> {
        let now = self.now();
        self.change(|state| {
            state.entry(id, Thing::Principal)?.principal.sessions_valid_from = now;
            Ok(())
        })
    }

    /// Deletes somebody, with all assignments, memberships and credentials. An application stays,
    /// without credentials. Blocks.
    pub fn delete_principal(&self, id: PrincipalId) -> Result<(), ChangeError> {
        let upn = self.change(|state| {
            let gone = state.remove(id)?;
            let client = gone.principal.client;
            if let Some(application) = client.and_then(|client| state.applications.get_mut(&client))
            {
                let application = Arc::make_mut(application);
                application.secrets.clear();
                application.certificates.clear();
                application.federated.clear();
            }
            Ok(gone.principal.upn.clone())
        })?;
        if let Some(upn) = upn {
            self.forget_failures(&upn)?;
        }
        Ok(())
    }

    pub(super) fn new_principal(&self, kind: PrincipalKind, display_name: String) -> Principal {
        let now = self.now();
        Principal {
            id: PrincipalId::new(Guid::random(&*self.entropy)),
            kind,
            display_name,
            client: None,
            upn: None,
            enabled: true,
            sessions_valid_from: now,
            created: now,
        }
    }

    pub(super) fn stretched(&self, password: &Presented) -> Result<PasswordHash, ChangeError> {
        PasswordHash::new(password, self.cost, &*self.entropy)
    }
}

impl State {
    pub(super) fn insert(&mut self, entry: Entry) {
        self.principals.insert(entry.principal.id, Arc::new(entry));
    }

    pub(super) fn present(&self, id: PrincipalId) -> Result<&Entry, ChangeError> {
        let entry = self.principals.get(&id).map(AsRef::as_ref);
        entry.ok_or(ChangeError::Missing(Thing::Principal))
    }

    /// A principal to be changed; `thing` is what it is called if it is missing.
    pub(super) fn entry(
        &mut self,
        id: PrincipalId,
        thing: Thing,
    ) -> Result<&mut Entry, ChangeError> {
        self.principals.get_mut(&id).map(Arc::make_mut).ok_or(ChangeError::Missing(thing))
    }

    fn user(&mut self, id: PrincipalId) -> Result<&mut Entry, ChangeError> {
        let entry = self.entry(id, Thing::User)?;
        if entry.principal.kind == PrincipalKind::User {
            Ok(entry)
        } else {
            Err(ChangeError::Missing(Thing::User))
        }
    }

    /// Takes somebody out of everything that names them.
    pub(super) fn remove(&mut self, id: PrincipalId) -> Result<Arc<Entry>, ChangeError> {
        let gone = self.principals.remove(&id).ok_or(ChangeError::Missing(Thing::Principal))?;
        self.assignments.retain(|_, assignment| assignment.principal != id);
        let groups: Vec<PrincipalId> = self
            .principals
            .iter()
            .filter(|(_, entry)| entry.members().is_some_and(|members| members.contains(&id)))
            .map(|(group, _)| *group)
            .collect();
        for group in groups {
            if let Means::Members(members) = &mut self.entry(group, Thing::Group)?.means {
                members.remove(&id);
            }
        }
        Ok(gone)
    }
}
