//! Registries as managed identities: what becomes of old grants, of identities that are gone, and
//! of a vault that lets nobody in.

use std::time::Duration;

use lockyard_access::PrincipalId;
use lockyard_base::Guid;
use lockyard_keyring::{Denial, LockReason, Standing};
use lockyard_vault::{ModelChoice, NetworkRules, VaultChange};

use super::{
    tests::{World, told},
    *,
};

#[tokio::test]
async fn an_identity_that_only_a_grant_knew_becomes_a_managed_one_and_a_deleted_one_does_not() {
    let world = World::new();
    let again = async |instance: Instance| {
        instance.close();
        let instance = world.start().expect("another start");
        let _owner = World::owner(&instance).expect("found");
        instance.settle().await.expect("settled");
        instance
    };
    let denied = |standing: Standing, expected: Denial| match standing {
        Standing::Locked(LockReason::Denied(denial, text)) => {
            assert_eq!(denial, expected, "{text}");
            text
        }
        other => panic!("{other:?}"),
    };
    let instance = world.start().expect("a first start");
    let directory = World::owner(&instance).expect("made now");
    let registry = default_registry(&instance, Protection::CustomerKey).await.expect("made");
    let (key, identity) = (registry.customer_key.expect("a key"), registry.identity.expect("one"));
    let id = PrincipalId::new(Guid::from_bytes(*identity.as_bytes()));
    let resource = directory.snapshot().principal(id).expect("a principal").display_name.clone();
    assert_eq!(resource, "lockyard");

    directory.delete_principal(id).expect("deleted");
    let text = denied(instance.keyring.admit(registry.id).await, Denial::IdentityGone);
    assert!(text.contains("assign-identity"), "{text}");
    let instance = again(instance).await;
    denied(instance.keyring.admit(registry.id).await, Denial::IdentityGone);

    // As older versions left it: a vault of policies, and a grant to somebody nobody knows.
    let policies = VaultChange { model: ModelChoice::Typed(false), ..VaultChange::default() };
    instance.vault.patch_vault(&key.key.vault, policies).expect("changed");
    instance.vault.old_grant(&identity, &key.key).expect("granted");
    let instance = again(instance).await;
    assert_eq!(instance.keyring.admit(registry.id).await, Standing::Unlocked);
    let properties = instance.vault.vault(&key.key.vault).expect("read").expect("there");
    let [policy] = &properties.policies[..] else { panic!("{properties:?}") };
    assert_eq!(policy.object, id.guid());
    let directory = instance.directory().expect("founded");
    directory.delete_principal(id).expect("it is a principal");
    let instance = again(instance).await;
    denied(instance.keyring.admit(registry.id).await, Denial::IdentityGone);
    instance.close();
}

#[tokio::test]
async fn a_registry_whose_identity_is_gone_is_mended_by_another_one() {
    let world = World::new();
    let instance = world.start().expect("a first start");
    let directory = World::owner(&instance).expect("made now");
    let registry = default_registry(&instance, Protection::CustomerKey).await.expect("made");
    let gone = registry.identity.expect("an identity");
    let gone = PrincipalId::new(Guid::from_bytes(*gone.as_bytes()));
    directory.delete_principal(gone).expect("deleted");
    let name = registry.name.clone();
    assert!(matches!(instance.keyring.admit(registry.id).await, Standing::Locked(_)));

    let unknown = told(instance.assign_identity(&name, "nobody", true).await);
    assert!(unknown.contains("lockyard identity"), "{unknown}");
    // The registry's own identity is there when somebody asks for it, and may nothing by itself.
    let refused = told(instance.assign_identity(&name, "[system]", false).await);
    assert!(refused.contains("--grant"), "{refused}");
    instance.assign_identity(&name, "[system]", true).await.expect("assigned");
    assert_eq!(instance.keyring.standing(registry.id), Some(Standing::Unlocked));
    let snapshot = directory.snapshot();
    let given: Vec<_> = snapshot.assignments().map(|one| one.description.clone()).collect();
    assert_eq!(given.into_iter().flatten().count(), 1, "one role for the registry");
    instance.close();
}

fn closed(bypass_trusted_services: bool) -> VaultChange {
    let network =
        NetworkRules { bypass_trusted_services, allow_by_default: false, ranges: Vec::new() };
    VaultChange { network: Some(network), ..VaultChange::default() }
}

#[tokio::test]
async fn a_firewall_without_bypass_degrades_until_the_hard_stop_and_names_its_cure() {
    for system in [false, true] {
        let world = World::new();
        let instance = world.start().expect("a first start");
        let _owner = World::owner(&instance).expect("made now");
        let registry = default_registry(&instance, Protection::CustomerKey).await.expect("made");
        if system {
            let assigned = instance.assign_identity(&registry.name, "[system]", true).await;
            assigned.expect("assigned");
        }
        let name = &registry.customer_key.as_ref().expect("a key").key.vault;
        let change = async |change| {
            instance.vault.patch_vault(name, change).expect("changed");
            instance.keyring.changed().await;
            instance.keyring.standing(registry.id).expect("admitted")
        };
        let later = async |seconds| {
            world.clock.advance(Duration::from_secs(seconds));
            instance.keyring.tick().await;
            instance.keyring.standing(registry.id).expect("admitted")
        };
        // A registry is a trusted service, whichever kind of identity it acts as.
        assert_eq!(change(closed(true)).await, Standing::Unlocked);
        // Without the bypass it is refused like anybody, and nothing is concluded from that.
        assert_eq!(change(closed(false)).await, Standing::Degraded);
        let trouble = instance.keyring.trouble(registry.id).expect("it is told");
        assert!(trouble.contains("allow its address, or trusted services"), "{trouble}");
        assert!(instance.registries.open_inside(registry.id).is_ok(), "pulls go on");
        assert_eq!(later(599).await, Standing::Degraded);
        assert!(instance.registries.open_inside(registry.id).is_ok(), "pulls go on");
        match later(1).await {
            Standing::Locked(LockReason::Unreachable(text)) => assert_eq!(text, trouble),
            other => panic!("{other:?}"),
        }
        assert!(instance.registries.open_inside(registry.id).is_err());
        assert_eq!(change(closed(true)).await, Standing::Unlocked);
        assert_eq!(instance.keyring.trouble(registry.id), None);
        instance.close();
    }
}
