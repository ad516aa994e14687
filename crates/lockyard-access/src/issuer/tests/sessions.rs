//! Refresh tokens, and everything that ends a session before its time.

use super::super::*;
use super::world::*;

const OFFLINE: &str = "https://management.lock.test:8443/.default openid offline_access";

#[tokio::test]
async fn a_refresh_token_is_good_once() {
    let world = World::new();
    let first = world.persons_tokens(OFFLINE).await;
    let token = first.refresh_token.as_ref().unwrap();
    world.wind(10);
    let second = world.refresh(token).await.unwrap();
    assert_ne!(second.refresh_token.as_ref().unwrap(), token);
    assert!(world.verify(&second.access_token).is_ok());
    assert_eq!(claims(&second.access_token)["sid"], claims(&first.access_token)["sid"]);
    let proved = &claims(&second.access_token)["lockyard_proved"];
    assert_eq!(proved, &claims(&first.access_token)["lockyard_proved"]);
}

#[tokio::test]
async fn a_refresh_token_that_comes_again_ends_the_session_and_its_tokens() {
    let mut world = World::new();
    let first = world.persons_tokens(OFFLINE).await;
    let other = world.persons_tokens(OFFLINE).await;
    let token = first.refresh_token.as_ref().unwrap();
    let second = world.refresh(token).await.unwrap();
    assert_eq!(word(world.refresh(token).await), "invalid_grant");
    // The thief's and the person's alike.
    assert_eq!(word(world.refresh(second.refresh_token.as_ref().unwrap()).await), "invalid_grant");
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        for reply in [&first, &second] {
            assert_eq!(world.verify(&reply.access_token), Err(TokenError::Revoked));
        }
        assert!(world.verify(&other.access_token).is_ok());
    }
    assert!(world.refresh(other.refresh_token.as_ref().unwrap()).await.is_ok());
}

#[tokio::test]
async fn of_two_that_refresh_at_once_at_most_one_wins() {
    let world = World::new();
    let first = world.persons_tokens(OFFLINE).await;
    let token = first.refresh_token.as_ref().unwrap();
    let (one, two) = tokio::join!(world.refresh(token), world.refresh(token));
    assert_ne!(one.is_ok(), two.is_ok());
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_ends_when_it_is_not_used() {
    let mut world = World::new();
    let mut token = world.persons_tokens(OFFLINE).await.refresh_token.unwrap();
    let idle = SESSION_IDLE_MAX.as_secs();
    world.restart();
    // Used in time it lives on, but not for ever.
    let mut lived = 0;
    loop {
        world.wind(idle - 1);
        lived += idle - 1;
        match world.refresh(&token).await {
            Ok(reply) => token = reply.refresh_token.unwrap(),
            Err(_) => break,
        }
        assert!(lived < SESSION_LIFE_MAX.as_secs());
    }
    assert!(lived >= SESSION_LIFE_MAX.as_secs());
    let token = world.persons_tokens(OFFLINE).await.refresh_token.unwrap();
    world.wind(idle);
    assert_eq!(word(world.refresh(&token).await), "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_belongs_to_one_client() {
    let world = World::new();
    let token = world.persons_tokens(OFFLINE).await.refresh_token.unwrap();
    let powershell = "1950a258-227b-4e31-a9cf-717495945fc2";
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", powershell),
        ("refresh_token", &token),
        ("scope", MANAGEMENT),
    ];
    assert_eq!(word(world.token(&form).await), "invalid_grant");
    assert!(world.refresh(&token).await.is_ok());
}

#[tokio::test]
async fn a_made_up_refresh_token_is_no_session() {
    let world = World::new();
    let good = world.persons_tokens(OFFLINE).await.refresh_token.unwrap();
    for token in
        ["x", "é", &"A".repeat(64), &"A".repeat(4000), good.split_at(20).0, &format!("{}A", &*good)]
    {
        assert_eq!(word(world.refresh(token).await), "invalid_grant", "{token}");
    }
    assert!(world.refresh(&good).await.is_ok());
}

#[tokio::test]
async fn revocation_acts_at_once_on_tokens_and_sessions() {
    let world = World::new();
    let person = world.directory.snapshot().first_person();
    let reply = world.persons_tokens(OFFLINE).await;
    let refresh = reply.refresh_token.as_ref().unwrap();
    world.wind(1);
    world.directory.revoke_sessions(person).unwrap();
    assert_eq!(world.verify(&reply.access_token), Err(TokenError::Revoked));
    assert_eq!(number(world.refresh(refresh).await), 50_173);
    world.wind(1);
    let reply = world.persons_tokens(OFFLINE).await;
    assert!(world.verify(&reply.access_token).is_ok());
    world.directory.set_enabled(person, false).unwrap();
    assert_eq!(world.verify(&reply.access_token), Err(TokenError::Revoked));
    assert_eq!(number(world.refresh(reply.refresh_token.as_ref().unwrap()).await), 50_173);
    // What was refused for good does not come back with the account.
    world.directory.set_enabled(person, true).unwrap();
    assert_eq!(number(world.refresh(reply.refresh_token.as_ref().unwrap()).await), 70_000);
}

#[tokio::test]
async fn a_removed_secret_takes_its_tokens_along() {
    let world = World::new();
    let token = world.owners_token().await;
    let credential = world.verify(&token).unwrap().credential;
    world.directory.remove_credential(world.founding.client, credential).unwrap();
    assert_eq!(world.verify(&token), Err(TokenError::Revoked));
}

#[tokio::test]
async fn nothing_that_was_handed_out_can_be_read_in_the_database() {
    let world = World::new();
    let reply = world.persons_tokens(OFFLINE).await;
    let token = reply.refresh_token.as_ref().unwrap();
    let mut content = std::fs::read(&world.file).unwrap();
    let wal = world.file.with_extension("db-wal");
    content.extend(std::fs::read(wal).unwrap_or_default());
    assert!(content.len() > 1000);
    let sid = claims(&reply.access_token)["sid"].as_str().unwrap().to_owned();
    for secret in [token.as_str(), token.split_at(16).0, &sid, AZ, world.founding.upn.as_str()] {
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret}");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_that_the_token_is_from() {
    let world = World::new();
    let (reply, other) = (world.persons_tokens(OFFLINE).await, world.persons_tokens(OFFLINE).await);
    let back = Some("http://localhost:1234");
    for (hint, evil) in [
        (None, back),
        (Some("x"), back),
        (Some(other.access_token.as_str()), Some("https://evil.test/")),
    ] {
        assert_eq!(world.issuer.sign_out(hint, evil).await.unwrap(), None);
    }
    assert!(world.verify(&reply.access_token).is_ok());
    world.wind(3600);
    let hint = reply.id_token.as_ref().unwrap();
    let led = world.issuer.sign_out(Some(hint), back).await.unwrap();
    assert_eq!(led.as_deref(), back);
    assert_eq!(word(world.refresh(reply.refresh_token.as_ref().unwrap()).await), "invalid_grant");
}
