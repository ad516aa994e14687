//! Signing keys over time.

use lockyard_base::{Clock as _, HandClock, Timestamp};

use super::super::*;
use super::world::*;

const DAY: u64 = 24 * 60 * 60;

fn kids(world: &World) -> Vec<String> {
    let set = world.issuer.key_set();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    piece(token, 0)["kid"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_outlives_a_restart() {
    let mut world = World::new();
    let (token, before) = (world.owners_token().await, kids(&world));
    world.restart();
    assert_eq!(kids(&world), before);
    assert!(world.verify(&token).is_ok());
}

#[tokio::test]
async fn the_next_key_is_published_before_it_signs_and_the_last_is_kept_after() {
    let world = World::new();
    let first = kid(&world.owners_token().await);
    let ahead = KEY_SIGNS_FOR.as_secs() - KEY_PUBLISHED_AHEAD.as_secs();
    world.wind(ahead - 1);
    world.issuer.tend().unwrap();
    assert_eq!(kids(&world), std::slice::from_ref(&first));
    world.wind(1);
    world.issuer.tend().unwrap();
    let published = kids(&world);
    assert_eq!((published.len(), &published[0]), (2, &first));
    world.wind(DAY - 1);
    let last = world.owners_token().await;
    assert_eq!(kid(&last), first);
    world.wind(1);
    world.issuer.tend().unwrap();
    let next = world.owners_token().await;
    assert_eq!(kid(&next), published[1]);
    assert!(world.verify(&last).is_ok() && world.verify(&next).is_ok());
    world.wind(2 * 60 * 60 - 1);
    world.issuer.tend().unwrap();
    assert_eq!(kids(&world).len(), 2);
    world.wind(1);
    world.issuer.tend().unwrap();
    assert_eq!(kids(&world), [published[1].clone()]);
    assert_eq!(world.verify(&last), Err(TokenError::Key));
}

#[tokio::test]
async fn a_compromised_key_is_worth_nothing_at_once() {
    let mut world = World::new();
    let token = world.owners_token().await;
    world.issuer.rotate(Rotation::Overlap).unwrap();
    assert!(world.verify(&token).is_ok());
    world.wind(1);
    let newer = world.owners_token().await;
    assert_ne!(kid(&newer), kid(&token));
    world.issuer.rotate(Rotation::Compromised).unwrap();
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        assert_eq!(kids(&world).len(), 1);
        assert_eq!(world.verify(&token), Err(TokenError::Key));
        assert_eq!(world.verify(&newer), Err(TokenError::Key));
    }
    assert!(world.verify(&world.owners_token().await).is_ok());
}

#[tokio::test]
async fn keys_do_not_pile_up() {
    let world = World::new();
    for _ in 0..=KEYS_MAX {
        world.wind(1);
        world.issuer.rotate(Rotation::Overlap).unwrap();
    }
    assert_eq!(kids(&world).len(), KEYS_MAX);
    let newest = kids(&world).pop().unwrap();
    assert_eq!(kid(&world.owners_token().await), newest);
}

#[tokio::test]
async fn a_clock_that_was_set_back_still_finds_a_key() {
    let mut world = World::new();
    world.issuer.rotate(Rotation::Compromised).unwrap();
    let earlier = Timestamp::from_micros(1_600_000_000_000_000);
    world.clock = Arc::new(HandClock::at(earlier));
    world.restart();
    assert_eq!(kids(&world).len(), 1);
    let ring = world.issuer.ring();
    assert!(ring.signer(world.clock.wall()).is_some());
}
