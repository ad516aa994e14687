//! Role assignments and managed identities as key vaults ask for them.

use std::sync::Arc;

use lockyard_access::{
    ClientId, Directory, PrincipalId,
    decision::{Action, Decision, Plane},
    directory::{ChangeError, PrincipalKind},
};
use lockyard_arm::Scope;
use lockyard_base::Guid;
use lockyard_keyring::Identity;
use lockyard_vault::{Caller, Principals, Roles, RolesUnavailable, Source};

/// Answers with the directory as it is at the moment of the question: a role that was taken away
/// is worth nothing from then on.
#[derive(Clone, Debug)]
pub struct DirectoryRoles(Arc<Directory>);

impl DirectoryRoles {
    /// Answers with this directory.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self(directory)
    }
}

impl Roles for DirectoryRoles {
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable> {
        // Both are the vault's own words; if they do not read, nothing is concluded from that.
        let action = Action::parse(Plane::Data, action)
            .map_err(|error| RolesUnavailable(error.to_string()))?;
        let scope: Scope =
            scope.parse().map_err(|_| RolesUnavailable("a vault has no place".to_owned()))?;
        let snapshot = self.0.snapshot();
        let decision = snapshot.decide(PrincipalId::new(caller.object), &action, &scope);
        Ok(matches!(decision, Decision::Allow { .. }))
    }

    fn hold(&self, work: &mut dyn FnMut()) -> Result<(), RolesUnavailable> {
        let done = self.0.unchanged(|| {
            work();
            Ok::<_, ChangeError>(())
        });
        done.map_err(|error| RolesUnavailable(error.to_string()))
    }
}

impl Principals for DirectoryRoles {
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable> {
        let snapshot = self.0.snapshot();
        let id = PrincipalId::new(Guid::from_bytes(*identity.as_bytes()));
        let Some(principal) = snapshot.principal(id).filter(|principal| principal.enabled) else {
            return Ok(None);
        };
        let PrincipalKind::ManagedIdentity(resource) = &principal.kind else { return Ok(None) };
        Ok(Some(Caller {
            tenant: snapshot.tenant().guid(),
            object: id.guid(),
            application: principal.client.map(ClientId::guid),
            groups: snapshot.groups_of(id).into_iter().map(PrincipalId::guid).collect(),
            resource: Some(resource.to_string()),
            source: Source::TrustedService,
        }))
    }
}
