//! Lists of Resource Manager in pages.

use super::*;

/// The names in a page of a list of this type, and the token of the next page.
async fn page(world: &World, list: &str, top: usize, after: &str) -> (Vec<String>, Option<String>) {
    page_of(world, world.owner(), list, top, after).await.unwrap()
}

async fn page_of(
    world: &World,
    caller: PrincipalId,
    list: &str,
    top: usize,
    after: &str,
) -> Result<(Vec<String>, Option<String>), ControlError> {
    let mut call = call(caller);
    call.page.read_top(&top.to_string()).unwrap();
    if !after.is_empty() {
        call.page.read_token(after).unwrap();
    }
    let subscription: Scope = format!("/subscriptions/{}", world.subscription()).parse().unwrap();
    let page = match list {
        "resources" => world.control.resources(&call, &subscription).await,
        "vaults/keys" => {
            let under = vault_id(world, "kvone").into_scope();
            let kind = "Microsoft.KeyVault/vaults/keys".parse().unwrap();
            world.control.list(&call, &under, &kind).await
        }
        list => {
            let namespace = match list {
                "roleAssignments" => "Authorization",
                "userAssignedIdentities" => "ManagedIdentity",
                _ => "KeyVault",
            };
            let kind = format!("Microsoft.{namespace}/{list}").parse().unwrap();
            world.control.list(&call, &subscription, &kind).await
        }
    }?;
    let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
    Ok((page.items.iter().map(name).collect(), page.next.map(|token| token.text())))
}

/// Walks a list of `names` in pages of each size.
async fn walk(world: &World, list: &str, names: &[&str]) {
    for top in 1..=names.len() + 1 {
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let (items, next) = page(world, list, top, &after).await;
            assert!(items.len() == top || next.is_none(), "{list} {top}: {items:?}");
            found.extend(items);
            let Some(next) = next else { break };
            assert!(found.len() < names.len(), "{list} {top}: it ends when all are told");
            after = next;
        }
        assert_eq!(found, names, "{list} {top}");
    }
}

async fn put_key(world: &World, name: &str) {
    let id = within(world, "lockyard", &format!("Microsoft.KeyVault/vaults/kvone/keys/{name}"));
    let body = json!({"properties": {"kty": "EC"}});
    let _made = world.control.put(&call(world.owner()), &id, &body).await.unwrap();
}

#[tokio::test]
async fn every_list_is_told_in_pages_of_any_size() {
    let world = World::new();
    for name in ["kvone", "KvTwo", "kvthree"] {
        let _made = put_vault(&world, name, "default").await;
    }
    for name in ["b", "A", "c"] {
        put_key(&world, name).await;
        let (id, body) = (identity_id(&world, "lockyard", name), json!({"location": "eastus"}));
        let _made = world.control.put(&call(world.owner()), &id, &body).await.unwrap();
    }
    walk(&world, "vaults/keys", &["A", "b", "c"]).await;
    walk(&world, "vaults", &["kvone", "kvthree", "KvTwo"]).await;
    walk(&world, "userAssignedIdentities", &["A", "b", "c"]).await;
    let all = ["lockyard", "kvone", "kvthree", "KvTwo", "A", "b", "c"];
    walk(&world, "resources", &all).await;
    let assigned: Vec<String> = {
        let _two = [role_id::READER, role_id::ACR_PULL].map(|role| world.somebody(role));
        let snapshot = world.directory.snapshot();
        let mut ids: Vec<String> = snapshot.assignments().map(|one| one.id.to_string()).collect();
        ids.sort();
        ids
    };
    assert!(assigned.len() > 2, "{assigned:?}");
    let assigned: Vec<&str> = assigned.iter().map(String::as_str).collect();
    walk(&world, "roleAssignments", &assigned).await;
    for name in ["kvone", "KvTwo", "kvthree"] {
        let id = vault_id(&world, name);
        assert!(world.control.delete(&call(world.owner()), &id).await.unwrap().is_some());
    }
    walk(&world, "deletedVaults", &["kvone", "kvthree", "KvTwo"]).await;
    walk(&world, "vaults", &[]).await;
}

#[tokio::test]
async fn what_is_made_and_deleted_between_pages_moves_nothing_that_stays() {
    let world = World::new();
    for name in ["kvb", "kvd", "kvf", "kvh"] {
        let _made = put_vault(&world, name, "default").await;
    }
    let (first, next) = page(&world, "vaults", 2, "").await;
    assert_eq!(first, ["kvb", "kvd"]);
    let next = next.unwrap();
    // Deleted: the item that the page ended with, and one that was still to come.
    for name in ["kvd", "kvf"] {
        let id = vault_id(&world, name);
        assert!(world.control.delete(&call(world.owner()), &id).await.unwrap().is_some());
    }
    for name in ["kva", "kve"] {
        let _made = put_vault(&world, name, "default").await;
    }
    let (second, end) = page(&world, "vaults", 2, &next).await;
    assert_eq!((second, end), (vec!["kve".to_owned(), "kvh".to_owned()], None));

    // Whoever sees some of it is not told at the end that they may see none.
    let reader = world.somebody(role_id::ACR_PULL);
    let assignment = NewAssignment {
        id: Guid::from_bytes([9; 16]),
        principal: reader,
        role: role_id::READER,
        scope: vault_id(&world, "kva").into_scope(),
        description: None,
        created_by: None,
    };
    world.directory.assign(assignment).unwrap();
    let own = page_of(&world, reader, "vaults", 2, "").await.unwrap();
    assert_eq!(own, (vec!["kva".to_owned()], None));
    assert_eq!(page_of(&world, reader, "vaults", 2, &next).await.unwrap(), (Vec::new(), None));
}

#[tokio::test]
async fn a_vault_with_one_key_more_than_a_page_holds_has_a_second_page() {
    let world = World::new();
    let _vault = put_vault(&world, "kvone", "default").await;
    let curve = KeyShape::Ec("P-256".parse().unwrap());
    let make = |number: usize| {
        let id = format!("kvone/k{number:04}").parse::<KeyTarget>().unwrap();
        world.vaults.0.ensure_key(id.key(), curve, &KeySettings::default()).unwrap();
    };
    (0..ARM_PAGE_MAX).for_each(make);
    // More than a page holds is not had by asking for it.
    let (items, next) = page(&world, "vaults/keys", ARM_PAGE_MAX + 1, "").await;
    assert_eq!((items.len(), next), (ARM_PAGE_MAX, None));
    make(ARM_PAGE_MAX);
    let (items, next) = page(&world, "vaults/keys", ARM_PAGE_MAX + 1, "").await;
    assert_eq!(items.len(), ARM_PAGE_MAX);
    let (items, next) = page(&world, "vaults/keys", ARM_PAGE_MAX, &next.unwrap()).await;
    assert_eq!((items, next), (vec![format!("k{ARM_PAGE_MAX}")], None));
}
