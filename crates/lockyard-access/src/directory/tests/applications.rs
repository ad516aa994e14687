//! Applications, their credentials, and managed identities.

use super::world::World;
use crate::{
    ClientId, CredentialId, PrincipalId,
    directory::{
        ChangeError, NewApplication, NewFederated, Presented, PrincipalKind, ProveError,
        limit::{FEDERATED_MAX, SECRET_LIFE_MAX, SECRETS_MAX, URIS_MAX},
    },
};

fn application(world: &World) -> (ClientId, PrincipalId) {
    let new = NewApplication { display_name: "robot".to_owned(), ..NewApplication::default() };
    let client = world.directory.create_application(&new).unwrap();
    (client, world.directory.create_service_principal(client).unwrap())
}

fn shown(text: &str) -> Presented {
    Presented::from(text)
}

#[test]
fn an_application_proves_itself_by_any_of_its_secrets_while_they_last() {
    let world = World::new();
    let directory = &world.directory;
    let (client, robot) = application(&world);
    let (first, one) = directory.add_secret(client, Some("one"), world.in_seconds(100)).unwrap();
    let (second, two) = directory.add_secret(client, None, world.in_seconds(200)).unwrap();
    let prove = |text: &str| directory.prove_secret(client, &shown(text));
    let (one, two) = (one.dangerous_expose(), two.dangerous_expose());
    assert_eq!(prove(one).unwrap().credential(), first);
    let proof = prove(two).unwrap();
    assert_eq!((proof.principal(), proof.credential()), (robot, second));
    assert!(matches!(prove(""), Err(ProveError::Wrong)));
    let stranger = ClientId::random(&*world.entropy);
    assert!(matches!(directory.prove_secret(stranger, &shown(one)), Err(ProveError::Wrong)));
    let kept = world.snapshot();
    let kept = kept.application(client).unwrap();
    assert!(kept.secrets[0].hint.len() == 3 && one.starts_with(&kept.secrets[0].hint));

    world.wait(100);
    assert!(matches!(prove(one), Err(ProveError::Expired)));
    prove(two).unwrap();
    directory.set_enabled(robot, false).unwrap();
    assert!(matches!(prove(two), Err(ProveError::Disabled)));
    assert!(matches!(prove("wrong"), Err(ProveError::Wrong)));
    directory.set_enabled(robot, true).unwrap();
    assert!(world.snapshot().has_credential(robot, second));
    directory.remove_credential(client, second).unwrap();
    assert!(!world.snapshot().has_credential(robot, second));
    assert!(matches!(prove(two), Err(ProveError::Wrong)));
    assert!(directory.remove_credential(client, second).is_err());
}

#[test]
fn an_application_without_a_service_principal_proves_nothing() {
    let world = World::new();
    let new = NewApplication { display_name: "robot".to_owned(), ..NewApplication::default() };
    let client = world.directory.create_application(&new).unwrap();
    let (_, secret) = world.directory.add_secret(client, None, world.in_seconds(9)).unwrap();
    let shown = shown(secret.dangerous_expose());
    assert!(matches!(world.directory.prove_secret(client, &shown), Err(ProveError::Wrong)));
    world.directory.create_service_principal(client).unwrap();
    world.directory.prove_secret(client, &shown).unwrap();
    let twice = world.directory.create_service_principal(client);
    assert!(matches!(twice, Err(ChangeError::Exists(_))));
}

#[test]
fn credentials_have_limits() {
    let world = World::new();
    let directory = &world.directory;
    let (client, _) = application(&world);
    let secret = |seconds| directory.add_secret(client, None, world.in_seconds(seconds));
    assert!(matches!(secret(0), Err(ChangeError::Expiry)));
    assert!(matches!(secret(SECRET_LIFE_MAX.as_secs() + 1), Err(ChangeError::Expiry)));
    for _ in 0..SECRETS_MAX {
        secret(SECRET_LIFE_MAX.as_secs()).unwrap();
    }
    assert!(matches!(secret(9), Err(ChangeError::TooMany { max: SECRETS_MAX, .. })));

    let federated = |number: usize| NewFederated {
        name: format!("f{number}"),
        issuer: "https://issuer.example".to_owned(),
        subject: format!("subject {number}"),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
        description: String::new(),
    };
    for number in 0..FEDERATED_MAX {
        directory.add_federated(client, federated(number)).unwrap();
    }
    let more = directory.add_federated(client, federated(FEDERATED_MAX));
    assert!(matches!(more, Err(ChangeError::TooMany { max: FEDERATED_MAX, .. })));
    let twice = NewFederated { name: "other".to_owned(), ..federated(0) };
    assert!(matches!(directory.add_federated(client, twice), Err(ChangeError::Exists(_))));
    let plain = NewFederated { issuer: "http://issuer.example".to_owned(), ..federated(99) };
    assert!(matches!(directory.add_federated(client, plain), Err(ChangeError::Federated)));
    let nobody = NewFederated { audiences: Vec::new(), ..federated(99) };
    assert!(matches!(directory.add_federated(client, nobody), Err(ChangeError::Federated)));

    let uris = |count: usize| NewApplication {
        display_name: "robot".to_owned(),
        redirect_uris: (0..count).map(|n| format!("https://app.example/{n}")).collect(),
        ..NewApplication::default()
    };
    directory.update_application(client, &uris(URIS_MAX)).unwrap();
    assert!(directory.update_application(client, &uris(URIS_MAX + 1)).is_err());
}

#[test]
fn a_certificate_is_added_once_and_reads_back() {
    let world = World::new();
    let (client, robot) = application(&world);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["robot".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    let id = world.directory.add_certificate(client, Some("laptop"), pem.as_bytes()).unwrap();
    let again = world.directory.add_certificate(client, None, certificate.der());
    assert!(matches!(again, Err(ChangeError::Exists(_))));
    let snapshot = world.reopened().snapshot();
    assert!(snapshot.has_credential(robot, id));
    let read = snapshot.application(client).unwrap();
    assert_eq!(read.certificates, world.snapshot().application(client).unwrap().certificates);
    assert_eq!(read.certificates[0].der, certificate.der().as_ref());
}

#[test]
fn a_deleted_application_takes_its_principal_along() {
    let world = World::new();
    let (client, robot) = application(&world);
    world.directory.delete_application(client).unwrap();
    let snapshot = world.reopened().snapshot();
    assert!(snapshot.application(client).is_none() && snapshot.principal(robot).is_none());
    assert!(world.directory.delete_application(client).is_err());
}

#[test]
fn a_managed_identity_is_its_resource() {
    let world = World::new();
    let resource: lockyard_arm::ResourceId = format!(
        "{}/resourceGroups/lockyard/providers/Microsoft.ContainerRegistry/registries/lockyard",
        world.subscription()
    )
    .parse()
    .unwrap();
    let (id, client) = world.directory.create_managed_identity(resource.clone()).unwrap();
    let twice = world.directory.create_managed_identity(resource.clone());
    assert!(matches!(twice, Err(ChangeError::Exists(_))));
    let snapshot = world.reopened().snapshot();
    let identity = snapshot.by_client(client).unwrap();
    assert_eq!(identity.kind, PrincipalKind::ManagedIdentity(resource.clone()));
    assert_eq!(snapshot.by_resource(&resource).unwrap().id, id);
    let stranger = CredentialId::random(&*world.entropy);
    assert!(!snapshot.has_credential(id, stranger));
    let secret = shown("");
    assert!(matches!(world.directory.prove_secret(client, &secret), Err(ProveError::Wrong)));
}
