//! Groups: principals that get roles together. Groups may lie in groups, to a depth, not in circles.

use std::collections::BTreeSet;

use super::{
    ChangeError, Directory, PrincipalKind, Thing,
    principal::{Entry, Means, checked_name},
};
use crate::PrincipalId;

impl Directory {
    /// Makes a group without members. Blocks.
    pub fn create_group(&self, display_name: &str) -> Result<PrincipalId, ChangeError> {
        let principal = self.new_principal(PrincipalKind::Group, checked_name(display_name)?);
        let id = principal.id;
        self.change(|state| {
            state.insert(Entry { principal, means: Means::Members(BTreeSet::new()) });
            Ok(id)
        })
    }

    /// Puts somebody into a group; whoever is in it already is not put into it twice. Blocks.
    pub fn add_member(&self, group: PrincipalId, member: PrincipalId) -> Result<(), ChangeError> {
        self.change(|state| {
            state.present(member)?;
            match &mut state.entry(group, Thing::Group)?.means {
                Means::Members(members) => {
                    members.insert(member);
                    Ok(())
                }
                Means::Password { .. } | Means::Application | Means::Resource { .. } => {
                    Err(ChangeError::Missing(Thing::Group))
                }
            }
        })
    }

    /// Takes somebody out of a group. Blocks.
    pub fn remove_member(
        &self,
        group: PrincipalId,
        member: PrincipalId,
    ) -> Result<(), ChangeError> {
        self.change(|state| match &mut state.entry(group, Thing::Group)?.means {
            Means::Members(members) => {
                let was = members.remove(&member);
                if was { Ok(()) } else { Err(ChangeError::Missing(Thing::Member)) }
            }
            Means::Password { .. } | Means::Application | Means::Resource { .. } => {
                Err(ChangeError::Missing(Thing::Group))
            }
        })
    }
}
