//! Device codes: who waits, who decides, who asks too often.

use super::super::*;
use super::world::*;
use crate::directory::{Presented, Proof};

const SCOPE: &str = "https://management.lock.test:8443/.default openid profile offline_access";

async fn begin(world: &World) -> DeviceReply {
    let form = [("client_id", AZ), ("scope", SCOPE)];
    world.issuer.device(&world.request(Version::V2, &form)).await.unwrap()
}

async fn poll(world: &World, code: &str) -> Result<TokenReply, OAuthError> {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", AZ),
        ("device_code", code),
        ("code", code),
    ];
    world.token(&form).await
}

async fn proof(world: &World) -> Proof {
    let password = Presented::from(world.password());
    world.issuer.sign_in(&world.founding.upn, password).await.unwrap()
}

#[tokio::test]
async fn a_person_lets_a_device_in() {
    let world = World::new();
    let reply = begin(&world).await;
    assert!(reply.message.contains(&reply.user_code));
    assert_eq!(reply.verification_uri, "https://login.lock.test:8443/device");
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_pending");
    // People type small letters and forget the hyphen.
    let typed = reply.user_code.to_lowercase().replace('-', " ");
    let ask = world.issuer.device_ask(&typed).await.unwrap();
    assert_eq!((ask.client_name.as_str(), &ask.user_code), ("Azure CLI", &reply.user_code));
    world.issuer.device_decide(&typed, Some(proof(&world).await)).await.unwrap();
    let tokens = poll(&world, &reply.device_code).await.unwrap();
    assert!(world.verify(&tokens.access_token).unwrap().is_person());
    assert!(tokens.refresh_token.is_some() && tokens.id_token.is_some());
    // Good once, for the device and for the person.
    assert_eq!(word(poll(&world, &reply.device_code).await), "expired_token");
    assert!(world.issuer.device_ask(&typed).await.is_err());
    assert!(world.issuer.device_decide(&typed, None).await.is_err());
}

#[tokio::test]
async fn a_person_who_says_no_is_heard() {
    let world = World::new();
    let reply = begin(&world).await;
    world.issuer.device_decide(&reply.user_code, None).await.unwrap();
    let late = world.issuer.device_decide(&reply.user_code, Some(proof(&world).await)).await;
    assert!(late.is_err());
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_declined");
    assert_eq!(word(poll(&world, &reply.device_code).await), "expired_token");
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_slowed_down() {
    let world = World::new();
    let reply = begin(&world).await;
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_pending");
    world.wind(4);
    assert_eq!(word(poll(&world, &reply.device_code).await), "slow_down");
    world.wind(9);
    assert_eq!(word(poll(&world, &reply.device_code).await), "slow_down");
    world.wind(15);
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_pending");
    // However hasty it is, it gets what somebody gave it.
    world.issuer.device_decide(&reply.user_code, Some(proof(&world).await)).await.unwrap();
    assert!(poll(&world, &reply.device_code).await.is_ok());
}

#[tokio::test]
async fn codes_are_over_in_time_and_survive_a_restart_until_then() {
    let mut world = World::new();
    let reply = begin(&world).await;
    world.restart();
    world.wind(DEVICE_CODE_LIFE.as_secs() - 1);
    assert!(world.issuer.device_ask(&reply.user_code).await.is_ok());
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_pending");
    world.wind(1);
    assert!(world.issuer.device_ask(&reply.user_code).await.is_err());
    assert_eq!(word(poll(&world, &reply.device_code).await), "expired_token");
}

#[tokio::test]
async fn a_device_code_belongs_to_one_client() {
    let world = World::new();
    let reply = begin(&world).await;
    let form = [
        ("grant_type", "device_code"),
        ("client_id", "1950a258-227b-4e31-a9cf-717495945fc2"),
        ("code", reply.device_code.as_str()),
    ];
    assert_eq!(word(world.token(&form).await), "expired_token");
    assert_eq!(word(poll(&world, &reply.device_code).await), "authorization_pending");
    // The short code opens nothing for a device.
    assert_eq!(word(poll(&world, &reply.user_code).await), "expired_token");
}

#[tokio::test]
async fn a_proof_from_before_a_revocation_lets_no_device_in() {
    let world = World::new();
    let (reply, proof) = (begin(&world).await, proof(&world).await);
    world.issuer.device_decide(&reply.user_code, Some(proof)).await.unwrap();
    world.wind(1);
    world.directory.revoke_sessions(world.directory.snapshot().first_person()).unwrap();
    assert_eq!(number(poll(&world, &reply.device_code).await), 50_173);
}

#[tokio::test]
async fn guessing_short_codes_is_slowed_down() {
    let world = World::new();
    let reply = begin(&world).await;
    for _ in 0..WRONG_USER_CODES_MAX {
        let wrong = world.issuer.device_ask("BBBB-BBBB").await;
        assert!(matches!(wrong, Err(OAuthError::Refused { .. })), "{wrong:?}");
    }
    let right = world.issuer.device_ask(&reply.user_code).await;
    assert!(matches!(right, Err(OAuthError::Busy(_))), "{right:?}");
    world.wind(60);
    assert!(world.issuer.device_ask(&reply.user_code).await.is_ok());
}

#[tokio::test]
async fn no_more_than_so_many_devices_wait() {
    let world = World::new();
    for _ in 0..DEVICE_CODES_MAX {
        begin(&world).await;
    }
    let form = [("client_id", AZ), ("scope", SCOPE)];
    let full = world.issuer.device(&world.request(Version::V2, &form)).await;
    assert!(matches!(full, Err(OAuthError::Busy(_))), "{full:?}");
    world.wind(DEVICE_CODE_LIFE.as_secs());
    world.records.sweep_expired().await.unwrap();
    begin(&world).await;
}
