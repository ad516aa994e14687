//! What the trail has of identities and groups, and that nothing is made in a group that goes.

use super::*;

#[tokio::test]
async fn changes_of_identities_are_recorded_and_so_are_refused_ones() {
    let world = World::new();
    let (trail, mut seen) = (&world.vaults.1, 0);
    let (control, owner) = (&world.control, call(world.owner()));
    let id = identity_id(&world, "lockyard", "id1");
    let body = json!({"location": "eastus"});
    let Put::Created(made) = control.put(&owner, &id, &body).await.unwrap() else {
        panic!("it was not there")
    };
    let word = |name: &str| made["properties"][name].as_str().unwrap().to_owned();
    let who = format!("principal {}, client {}", word("principalId"), word("clientId"));
    assert_eq!(trail.told(&mut seen), [("IdentityPut", 200, "id1".to_owned(), who.clone())]);
    let event = trail.memory.events().pop().unwrap();
    assert_eq!(event.resource, id.to_string());
    assert_eq!(event.caller.object_id, world.owner().to_string());

    control.patch(&owner, &id, &json!({"tags": {"a": "1"}})).await.unwrap();
    assert_eq!(trail.told(&mut seen), [("IdentityPatch", 200, "id1".to_owned(), who.clone())]);

    let reader = call(world.somebody(role_id::READER));
    control.put(&reader, &id, &body).await.unwrap_err();
    control.patch(&reader, &id, &json!({})).await.unwrap_err();
    control.delete(&reader, &id).await.unwrap_err();
    control.put(&owner, &id, &json!({"location": "westus2"})).await.unwrap_err();
    control.put(&owner, &id, &json!({"location": 1})).await.unwrap_err();
    let told: Vec<_> =
        trail.told(&mut seen).into_iter().map(|(name, status, ..)| (name, status)).collect();
    let refused = [
        ("IdentityPut", 403),
        ("IdentityPatch", 403),
        ("IdentityDelete", 403),
        ("IdentityPut", 409),
        ("IdentityPut", 400),
    ];
    assert_eq!(told, refused);
    // Of those that are alike the trail counts all but the first.
    assert_eq!(trail.counted(), refused);

    world.give(word("principalId").parse().unwrap(), role_id::ACR_PULL);
    control.delete(&owner, &id).await.unwrap();
    let reason = format!("{who}; 1 role assignments of it were dropped");
    assert_eq!(trail.told(&mut seen), [("IdentityDelete", 200, "id1".to_owned(), reason)]);
    // Looking at identities is not recorded, as it is not at roles.
    control.get(&owner, &id).await.unwrap_err();
    assert_eq!(trail.told(&mut seen), []);
}

#[tokio::test]
async fn what_goes_with_a_group_is_recorded_with_it() {
    let world = World::new();
    let (trail, mut seen) = (&world.vaults.1, 0);
    let (control, owner, sub) = (&world.control, call(world.owner()), world.subscription());
    let name = group("rg1");
    world.put("rg1", json!({"location": "eastus"})).await.unwrap();
    control.patch_group(&owner, sub, &name, &json!({"tags": {"a": "1"}})).await.unwrap();
    let reader = call(world.somebody(role_id::READER));
    control.put_group(&reader, sub, &name, &json!({"location": "eastus"})).await.unwrap_err();
    control.patch_group(&reader, sub, &name, &json!({})).await.unwrap_err();
    control.delete_group(&reader, sub, &name).await.unwrap_err();
    control.delete_group(&owner, sub, &group("lockyard")).await.unwrap_err();
    control.delete_group(&owner, sub, &group("nowhere")).await.unwrap_err();
    let told: Vec<_> = trail
        .told(&mut seen)
        .into_iter()
        .map(|(name, status, group, reason)| {
            assert_eq!(reason, "", "{name}");
            (name, status, group)
        })
        .collect();
    let expected = [
        ("ResourceGroupPut", 200, "rg1"),
        ("ResourceGroupPatch", 200, "rg1"),
        ("ResourceGroupPut", 403, "rg1"),
        ("ResourceGroupPatch", 403, "rg1"),
        ("ResourceGroupDelete", 403, "rg1"),
        ("ResourceGroupDelete", 409, "lockyard"),
        ("ResourceGroupDelete", 404, "nowhere"),
    ];
    assert_eq!(told, expected.map(|(name, status, group)| (name, status, group.to_owned())));

    let vault = within(&world, "rg1", "Microsoft.KeyVault/vaults/kvone");
    control.put(&owner, &vault, &vault_body(&world, "default")).await.unwrap();
    let identity = identity_id(&world, "rg1", "id1");
    control.put(&owner, &identity, &json!({"location": "eastus"})).await.unwrap();
    let scopes = [vault.scope().clone(), vault.scope().parent().unwrap()];
    for (number, scope) in (1..).zip(scopes) {
        let new = NewAssignment {
            id: Guid::from_bytes([number; 16]),
            principal: reader.caller,
            role: role_id::KEY_VAULT_CRYPTO_USER,
            scope,
            description: None,
            created_by: None,
        };
        world.directory.assign(new).unwrap();
    }
    let _before = trail.told(&mut seen);
    control.delete_group(&owner, sub, &name).await.unwrap();
    let told = trail.told(&mut seen);
    let names: Vec<_> = told.iter().map(|(name, status, at, _)| (*name, *status, &**at)).collect();
    let expected = [
        ("VaultDelete", 200, "kvone"),
        ("IdentityDelete", 200, "id1"),
        ("ResourceGroupDelete", 200, "rg1"),
    ];
    assert_eq!(names, expected);
    let dropped = "1 role assignments at it were dropped";
    assert_eq!(told[0].3, format!("its resource group is deleted; {dropped}"));
    assert!(told[1].3.starts_with("its resource group is deleted; principal "), "{told:?}");
    assert_eq!(told[2].3, format!("2 resources in it went with it; {dropped}"));
}

/// Which of these are there, live.
fn live(world: &World, names: &[&str], identities: &[ResourceId]) -> usize {
    let vaults = names.iter().map(|name| world.vaults.0.vault(&name.parse().unwrap()).unwrap());
    let snapshot = world.directory.snapshot();
    let there = identities.iter().filter(|id| snapshot.by_resource(id).is_some()).count();
    vaults.flatten().count() + there
}

#[tokio::test]
async fn what_is_made_in_a_group_while_it_is_deleted_goes_with_it() {
    for operation in ["VaultDelete", "IdentityDelete"] {
        let world = World::new();
        let (owner, at) = (call(world.owner()), |name: &str| identity_id(&world, "rg1", name));
        let vault =
            |name: &str| within(&world, "rg1", &format!("Microsoft.KeyVault/vaults/{name}"));
        let (body, here) = (vault_body(&world, "default"), json!({"location": "eastus"}));
        world.put("rg1", here.clone()).await.unwrap();
        world.control.put(&owner, &vault("kvone"), &body).await.unwrap();
        world.control.put(&owner, &at("id1"), &here).await.unwrap();
        let (control, asking, late) =
            (Arc::clone(&world.control), owner.clone(), (vault("kvtwo"), at("id2")));
        let there = tokio::runtime::Handle::current();
        world.vaults.1.next_time(operation, move || {
            there.block_on(async {
                control.put(&asking, &late.0, &body).await.unwrap();
                control.put(&asking, &late.1, &here).await.unwrap();
            });
        });
        world.control.delete_group(&owner, world.subscription(), &group("rg1")).await.unwrap();
        assert!(world.vaults.0.deleted_vault(&"kvtwo".parse().unwrap()).unwrap().is_some());
        let left = live(&world, &["kvone", "kvtwo"], &[at("id1"), at("id2")]);
        assert_eq!(left, 0, "after {operation}");
        let last = world.vaults.1.memory.events().pop().unwrap();
        assert!(last.reason.starts_with("4 resources in it went with it; "), "{last:?}");
    }
}

#[tokio::test]
async fn a_group_that_is_filled_as_fast_as_it_is_cleared_stays() {
    fn refill(world: &Arc<World>, number: u32) {
        let (again, there) = (Arc::clone(world), tokio::runtime::Handle::current());
        world.vaults.1.next_time("IdentityDelete", move || {
            let id = identity_id(&again, "rg1", &format!("id{number}"));
            let body = json!({"location": "eastus"});
            there.block_on(again.control.put(&call(again.owner()), &id, &body)).unwrap();
            refill(&again, number + 1);
        });
    }
    let world = Arc::new(World::new());
    world.put("rg1", json!({"location": "eastus"})).await.unwrap();
    let first = identity_id(&world, "rg1", "id1");
    let owner = call(world.owner());
    world.control.put(&owner, &first, &json!({"location": "eastus"})).await.unwrap();
    refill(&world, 2);
    let gone = world.control.delete_group(&owner, world.subscription(), &group("rg1")).await;
    assert!(matches!(gone, Err(ControlError::Overtaken)), "{gone:?}");
    assert!(world.groups().await.contains(&"rg1".to_owned()));
    *world.vaults.1.then.lock().unwrap() = None;
    world.control.delete_group(&owner, world.subscription(), &group("rg1")).await.unwrap();
}

#[tokio::test]
async fn nothing_is_made_in_a_group_that_went_meanwhile() {
    let world = World::new();
    let (owner, sub) = (call(world.owner()), world.subscription());
    let identity = identity_id(&world, "rg1", "id1");
    let name = Guid::from_bytes([9; 16]);
    let role = within(&world, "rg1", &format!("Microsoft.Authorization/roleAssignments/{name}"));
    let given = json!({"properties": {
        "roleDefinitionId": role_id::READER.to_string(), "principalId": world.owner().to_string(),
    }});
    for (id, body) in [(&identity, json!({"location": "eastus"})), (&role, given)] {
        world.put("rg1", json!({"location": "eastus"})).await.unwrap();
        let (control, asking) = (Arc::clone(&world.control), owner.clone());
        let there = tokio::runtime::Handle::current();
        // Both look at the clock after the group was found and before the directory is changed.
        world.clock.next_time(move || {
            there.block_on(control.delete_group(&asking, sub, &group("rg1"))).unwrap();
        });
        let late = world.control.put(&owner, id, &body).await.unwrap_err();
        assert_eq!(late.code(), (404, "ResourceGroupNotFound"), "{id}");
        assert!(!world.groups().await.contains(&"rg1".to_owned()));
    }
    assert_eq!(live(&world, &[], &[identity]), 0);
    assert!(world.directory.snapshot().assignment(name).is_none());
}
