//! Applications, their service principals and credentials, and managed identities.

use std::sync::Arc;

use lockyard_arm::ResourceId;
use lockyard_base::Timestamp;

use super::{
    Application, ApplicationId, ChangeError, ClientId, CredentialId, Directory,
    FederatedCredential, NewSecret, PrincipalKind, Thing,
    application::{check_identifier, check_redirect},
    certificate::ClientCertificate,
    limit::SECRET_LIFE_MAX,
    principal::{Entry, Means, checked_name},
    secret::ClientSecret,
    snapshot::State,
};
use crate::PrincipalId;

/// An application that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewApplication {
    /// The name that people see.
    pub display_name: String,
    /// Where a person's sign-in may lead back to.
    pub redirect_uris: Vec<String>,
    /// The names of the application as a resource.
    pub identifier_uris: Vec<String>,
    /// Whether it can keep no secret.
    pub public: bool,
}

/// A federated credential that is to be added.
#[derive(Clone, Debug)]
pub struct NewFederated {
    /// Its name, unique in the application.
    pub name: String,
    /// The foreign issuer, exactly as in its tokens; `https://`.
    pub issuer: String,
    /// The subject, exactly as in its tokens.
    pub subject: String,
    /// The audiences of which a token must have one.
    pub audiences: Vec<String>,
    /// What people say about it.
    pub description: String,
}

impl Directory {
    /// Makes an application; it is no principal yet. Blocks.
    pub fn create_application(&self, new: &NewApplication) -> Result<ClientId, ChangeError> {
        let application = Application {
            id: ApplicationId::random(&*self.entropy),
            client: ClientId::random(&*self.entropy),
            display_name: checked_name(&new.display_name)?,
            redirect_uris: Vec::new(),
            identifier_uris: Vec::new(),
            public: new.public,
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
            created: self.now(),
        };
        let client = application.client;
        let application = with_words(application, new)?;
        self.change(|state| {
            state.applications.insert(client, Arc::new(application));
            Ok(client)
        })
    }

    /// Changes an application's words; its credentials stay. Blocks.
    pub fn update_application(
        &self,
        client: ClientId,
        new: &NewApplication,
    ) -> Result<(), ChangeError> {
        let name = checked_name(&new.display_name)?;
        self.change(|state| {
            let application = state.application(client)?;
            *application = with_words(application.clone(), new)?;
            application.display_name = name;
            application.public = new.public;
            Ok(())
        })
    }

    /// Makes an application a principal; it is named like the application. Blocks.
    pub fn create_service_principal(&self, client: ClientId) -> Result<PrincipalId, ChangeError> {
        let mut principal = self.new_principal(PrincipalKind::ServicePrincipal, String::new());
        principal.client = Some(client);
        let id = principal.id;
        self.change(|state| {
            principal.display_name.clone_from(&state.application(client)?.display_name);
            state.insert(Entry { principal, means: Means::Application });
            Ok(id)
        })
    }

    /// Deletes an application with its credentials and its service principal. Blocks.
    pub fn delete_application(&self, client: ClientId) -> Result<(), ChangeError> {
        self.change(|state| {
            let gone = state.applications.remove(&client);
            gone.ok_or(ChangeError::Missing(Thing::Application))?;
            let own = state.principals.values().find(|entry| {
                let principal = &entry.principal;
                principal.client == Some(client)
                    && principal.kind == PrincipalKind::ServicePrincipal
            });
            match own.map(|entry| entry.principal.id) {
                Some(id) => state.remove(id).map(drop),
                None => Ok(()),
            }
        })
    }

    /// Makes a secret for an application, to be shown once. Blocks.
    pub fn add_secret(
        &self,
        client: ClientId,
        display_name: Option<&str>,
        expires: Timestamp,
    ) -> Result<(CredentialId, NewSecret), ChangeError> {
        let (id, now) = (CredentialId::random(&*self.entropy), self.now());
        if expires <= now || expires > now + SECRET_LIFE_MAX {
            return Err(ChangeError::Expiry);
        }
        let display_name = display_name.map(checked_name).transpose()?;
        let secret = NewSecret::generate(&*self.entropy);
        let kept = ClientSecret::new(id, display_name, &secret, now, expires);
        self.change(|state| {
            state.application(client)?.secrets.push(kept);
            Ok(())
        })?;
        Ok((id, secret))
    }

    /// Adds a certificate, PEM or DER, to an application. Blocks.
    pub fn add_certificate(
        &self,
        client: ClientId,
        display_name: Option<&str>,
        certificate: &[u8],
    ) -> Result<CredentialId, ChangeError> {
        let id = CredentialId::random(&*self.entropy);
        let display_name = display_name.map(checked_name).transpose()?;
        let certificate = ClientCertificate::parse(id, display_name, certificate)?;
        self.change(|state| {
            let certificates = &mut state.application(client)?.certificates;
            if certificates.iter().any(|other| other.sha256 == certificate.sha256) {
                return Err(ChangeError::Exists(Thing::Certificate));
            }
            certificates.push(certificate);
            Ok(id)
        })
    }

    /// Lets the tokens of a foreign issuer stand for an application. Blocks.
    pub fn add_federated(
        &self,
        client: ClientId,
        new: NewFederated,
    ) -> Result<CredentialId, ChangeError> {
        let id = CredentialId::random(&*self.entropy);
        let NewFederated { name, issuer, subject, audiences, description } = new;
        let federated = FederatedCredential { id, name, issuer, subject, audiences, description };
        federated.check()?;
        self.change(|state| {
            let all = &mut state.application(client)?.federated;
            let same = |other: &FederatedCredential| {
                other.name == federated.name
                    || (&other.issuer, &other.subject) == (&federated.issuer, &federated.subject)
            };
            if all.iter().any(same) {
                return Err(ChangeError::Exists(Thing::Federated));
            }
            all.push(federated);
            Ok(id)
        })
    }

    /// Takes a secret, certificate or federated credential from an application; tokens that it
    /// proved are void. Blocks.
    pub fn remove_credential(&self, client: ClientId, id: CredentialId) -> Result<(), ChangeError> {
        self.change(|state| {
            let application = state.application(client)?;
            if !application.has_credential(id) {
                return Err(ChangeError::Missing(Thing::Secret));
            }
            application.secrets.retain(|secret| secret.id != id);
            application.certificates.retain(|certificate| certificate.id != id);
            application.federated.retain(|federated| federated.id != id);
            Ok(())
        })
    }

    /// Makes the identity of a resource. Blocks.
    pub fn create_managed_identity(
        &self,
        resource: ResourceId,
    ) -> Result<(PrincipalId, ClientId), ChangeError> {
        let client = ClientId::random(&*self.entropy);
        let entry = self.new_managed_identity(resource, client)?;
        let id = entry.principal.id;
        self.change(|state| {
            state.insert(entry);
            Ok((id, client))
        })
    }

    /// Makes the identity of a resource under an object id that was used before there was one; fine
    /// if somebody has that id already. Blocks.
    pub fn adopt_managed_identity(
        &self,
        id: PrincipalId,
        resource: ResourceId,
    ) -> Result<(), ChangeError> {
        let client = ClientId::random(&*self.entropy);
        let mut entry = self.new_managed_identity(resource, client)?;
        entry.principal.id = id;
        self.change(|state| {
            if state.present(id).is_err() {
                state.insert(entry);
            }
            Ok(())
        })
    }

    fn new_managed_identity(
        &self,
        resource: ResourceId,
        client: ClientId,
    ) -> Result<Entry, ChangeError> {
        let name = checked_name(resource.name())?;
        let mut principal = self.new_principal(PrincipalKind::ManagedIdentity(resource), name);
        principal.client = Some(client);
        let means = Means::Resource { credential: CredentialId::random(&*self.entropy) };
        Ok(Entry { principal, means })
    }
}

impl State {
    pub(super) fn application(
        &mut self,
        client: ClientId,
    ) -> Result<&mut Application, ChangeError> {
        let application = self.applications.get_mut(&client).map(Arc::make_mut);
        application.ok_or(ChangeError::Missing(Thing::Application))
    }
}

fn with_words(
    mut application: Application,
    new: &NewApplication,
) -> Result<Application, ChangeError> {
    new.redirect_uris.iter().try_for_each(|uri| check_redirect(uri))?;
    new.identifier_uris.iter().try_for_each(|uri| check_identifier(uri))?;
    application.redirect_uris.clone_from(&new.redirect_uris);
    application.identifier_uris.clone_from(&new.identifier_uris);
    Ok(application)
}
