//! Managed identities.

use super::super::*;
use super::world::*;
use crate::{PrincipalId, directory::ClientId};

const MANAGEMENT_RESOURCE: &str = "https://management.lock.test:8443/";

fn identity(world: &World, name: &str) -> (PrincipalId, ClientId) {
    let id = format!(
        "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}",
        world.founding.subscription
    );
    world.directory.create_managed_identity(id.parse().unwrap()).unwrap()
}

#[tokio::test]
async fn a_secret_header_stands_for_one_identity() {
    let mut world = World::new();
    let ((id, client), (_, other)) = (identity(&world, "one"), identity(&world, "two"));
    let secret = world.issuer.make_identity_secret(id).unwrap();
    let secret = secret.dangerous_expose();
    world.restart();
    let ask = async |secret: &str, client: Option<String>| {
        let ask = IdentityAsk::Header(secret);
        world.issuer.managed_identity(ask, MANAGEMENT_RESOURCE, client.as_deref()).await
    };
    let reply = ask(secret, None).await.unwrap();
    assert!(ask(secret, Some(client.to_string())).await.is_ok());
    let caller = world.verify(&reply.access_token).unwrap();
    assert_eq!((caller.principal, caller.client), (id, client));
    let claims = claims(&reply.access_token);
    assert_eq!(claims["xms_mirid"], caller.resource().unwrap().to_string());
    assert_eq!((&claims["appid"], &claims["idtyp"]), (&client.to_string().into(), &"app".into()));
    assert_eq!(word(ask(secret, Some(other.to_string())).await), "invalid_request");
    assert_eq!(word(ask(secret, Some("x".to_owned())).await), "invalid_request");
    assert_eq!(word(ask("wrong", None).await), "invalid_request");
    assert_eq!(word(ask("", None).await), "invalid_request");
    // The next one takes its place.
    let next = world.issuer.make_identity_secret(id).unwrap();
    assert!(ask(secret, None).await.is_err());
    assert!(ask(next.dangerous_expose(), None).await.is_ok());
    world.directory.set_enabled(id, false).unwrap();
    assert!(ask(next.dangerous_expose(), None).await.is_err());
    assert_eq!(world.verify(&reply.access_token), Err(TokenError::Revoked));
}

#[tokio::test]
async fn a_machine_is_the_identity_that_the_operator_named_and_no_other() {
    let world = World::new();
    let ((id, client), (_, other)) = (identity(&world, "one"), identity(&world, "two"));
    let ask = async |machine: ClientId, client: Option<String>| {
        let ask = IdentityAsk::Machine(machine);
        world.issuer.managed_identity(ask, MANAGEMENT_RESOURCE, client.as_deref()).await
    };
    let reply = ask(client, None).await.unwrap();
    assert_eq!(world.verify(&reply.access_token).unwrap().principal, id);
    assert!(ask(client, Some(other.to_string())).await.is_err());
    // An application is no managed identity, whoever says so.
    assert!(ask(world.founding.client, None).await.is_err());
    let bad =
        world.issuer.managed_identity(IdentityAsk::Machine(client), "https://evil.test", None);
    assert_eq!(number(bad.await), 500_011);
}
