//! Many clients, a collection and a sweep at once, with no grace at all; the power is cut somewhere,
//! and the promises are compared with what is found. The next round goes on from there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockyard_base::{Clock as _, UploadId};
use lockyard_oci::{Digest, RepositoryName};
use lockyard_registry::{CollectMode, Limits, Registry, RegistryError};
use lockyard_testkit::{
    Content, Dice, Fact, Key, Ledger, Loss, Settings, Universe, World, body, image, noise, sha256,
};
use tokio::sync::Mutex;

use crate::setting::{number, seed};

const CLIENTS: u64 = 4;
/// Steps of one client in one round, unless the power is cut before.
const STEPS: u64 = 25;
/// Rounds that one world lives through.
const LIFE: u64 = 8;
/// Contents that clients push.
const BLOBS: u64 = 10;
/// In this repository everybody writes.
const SHARED: &str = "shared";

/// What the tasks of a round share.
struct Round {
    world: World,
    ledger: Ledger,
    universe: Mutex<Universe>,
    tally: Arc<Tally>,
}

/// What all rounds came to.
#[derive(Debug, Default)]
struct Tally {
    /// Steps of clients that were acknowledged, and that were cut off.
    acknowledged: AtomicU64,
    cut_off: AtomicU64,
    collections: AtomicU64,
    links_collected: AtomicU64,
    blobs_collected: AtomicU64,
    parts_deleted: AtomicU64,
    restarts_cut_off: AtomicU64,
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// What a client knows from round to round.
struct Client {
    round: Arc<Round>,
    registry: Registry,
    own: String,
    dice: Dice,
}

fn blob(number: u64) -> Vec<u8> {
    // One in five is longer than what is taken in at once.
    let length = if number.is_multiple_of(5) { 70_000 } else { 50 + 300 * number };
    noise(1000 + number, usize::try_from(length).unwrap())
}

fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

impl Client {
    /// Works until its steps are done or the power is cut.
    async fn work(mut self) {
        for _ in 0..STEPS {
            if let Err(error) = self.step().await {
                let dead = self.round.world.disk.is_dead();
                assert!(dead, "{}: {error:?}, though nothing failed", self.own);
                count(&self.round.tally.cut_off, 1);
                return;
            }
            count(&self.round.tally.acknowledged, 1);
        }
    }

    async fn step(&mut self) -> Result<(), RegistryError> {
        match self.dice.below(16) {
            0..=1 => {
                let number = self.dice.below(BLOBS);
                self.push(number).await
            }
            2 => self.push_in_chunks().await,
            3 => self.mount().await,
            4..=8 => self.push_image().await,
            9..=10 => self.share_image().await,
            11..=12 => self.delete_tag().await,
            13 => self.delete_manifest().await,
            14 => self.delete_blob().await,
            _ => self.pull().await,
        }
    }

    async fn push(&mut self, number: u64) -> Result<(), RegistryError> {
        let content = blob(number);
        let digest = sha256(&content);
        let flight =
            self.round.ledger.ask(vec![(Key::Blob(self.own.clone(), digest), Fact::Present)]);
        let name = repository(&self.own);
        self.registry.push_blob(&name, &digest, body(&content)).await?;
        self.round.ledger.done(flight);
        Ok(())
    }

    async fn push_in_chunks(&mut self) -> Result<(), RegistryError> {
        let (name, content) = (repository(&self.own), blob(self.dice.below(BLOBS)));
        let digest = sha256(&content);
        let mut status = self.registry.start_upload(&name, None).await?;
        let id: UploadId = status.ticket.id;
        self.round.universe.lock().await.uploads.push((self.own.clone(), id));
        let key = Key::session(id);
        let ledger = &self.round.ledger;
        ledger.done(ledger.ask(vec![(key.clone(), Fact::Offset(0))]));
        let middle = content.len() / 2;
        for piece in [&content[..middle], &content[middle..]] {
            let reached = status.offset + u64::try_from(piece.len()).unwrap();
            let flight = ledger.ask(vec![(key.clone(), Fact::Offset(reached))]);
            status = self.registry.append_upload(&name, status.ticket, None, body(piece)).await?;
            ledger.done(flight);
            if self.dice.chance(1, 8) {
                return Ok(()); // never to come back
            }
        }
        let flight = ledger
            .ask(vec![(key, Fact::Absent), (Key::Blob(self.own.clone(), digest), Fact::Present)]);
        self.registry.finish_upload(&name, status.ticket, &digest, None, body(&[])).await?;
        ledger.done(flight);
        Ok(())
    }

    async fn mount(&mut self) -> Result<(), RegistryError> {
        let digest = sha256(&blob(self.dice.below(BLOBS)));
        let from = match self.dice.below(CLIENTS + 1) {
            CLIENTS => SHARED.to_owned(),
            other => format!("own{other}"),
        };
        let ledger = &self.round.ledger;
        let flight = ledger.ask(vec![(Key::Blob(self.own.clone(), digest), Fact::Present)]);
        let (name, from) = (repository(&self.own), repository(&from));
        if self.registry.mount_blob(&name, &digest, Some(&from)).await? {
            ledger.done(flight);
        } else {
            ledger.refused(flight);
        }
        Ok(())
    }

    /// An image of three blobs: its bytes, its digest and their numbers.
    async fn compose(&mut self) -> (Vec<u8>, Digest, [u64; 3]) {
        let numbers = [0; 3].map(|_| self.dice.below(BLOBS));
        let [config, layer, other] = numbers.map(|number| sha256(&blob(number)));
        let manifest = image(&config, &[layer, other]);
        let digest = self.round.universe.lock().await.manifest(manifest.clone());
        (manifest, digest, numbers)
    }

    /// Asks for each blob, pushes what is not there, and puts the manifest; what a collection took
    /// in between is pushed again, as clients do.
    async fn push_image(&mut self) -> Result<(), RegistryError> {
        let (manifest, digest, numbers) = self.compose().await;
        let name = repository(&self.own);
        let tag = format!("t{}", self.dice.below(3));
        for number in numbers {
            match self.registry.stat_blob(&name, &sha256(&blob(number))).await {
                Ok(_) => {}
                Err(RegistryError::BlobUnknown) => self.push(number).await?,
                Err(error) => return Err(error),
            }
        }
        loop {
            let flight = self.round.ledger.ask(vec![
                (Key::Manifest(self.own.clone(), digest), Fact::Present),
                (Key::Tag(self.own.clone(), tag.clone()), Fact::Points(digest)),
            ]);
            let reference = lockyard_oci::Reference::Tag(tag.parse().unwrap());
            let bytes = manifest.clone().into();
            match self.registry.put_manifest(&name, &reference, &[], None, bytes).await {
                Ok(_) => {
                    self.round.ledger.done(flight);
                    return Ok(());
                }
                Err(RegistryError::ManifestBlobUnknown(missing)) => {
                    self.round.ledger.refused(flight);
                    for number in numbers {
                        if missing.contains(&sha256(&blob(number))) {
                            self.push(number).await?;
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The same where everybody writes, to one tag.
    async fn share_image(&mut self) -> Result<(), RegistryError> {
        let (manifest, digest, numbers) = self.compose().await;
        let name = repository(SHARED);
        let tag = Key::Tag(SHARED.to_owned(), "hot".to_owned());
        let key = Key::Manifest(SHARED.to_owned(), digest);
        loop {
            for number in numbers {
                let content = blob(number);
                let digest = sha256(&content);
                self.round.ledger.race(Key::Blob(SHARED.to_owned(), digest), Fact::Present);
                self.registry.push_blob(&name, &digest, body(&content)).await?;
            }
            self.round.ledger.race(key.clone(), Fact::Present);
            self.round.ledger.race(tag.clone(), Fact::Points(digest));
            let reference = lockyard_oci::Reference::Tag("hot".parse().unwrap());
            let bytes = manifest.clone().into();
            match self.registry.put_manifest(&name, &reference, &[], None, bytes).await {
                Ok(_) => break,
                Err(RegistryError::ManifestBlobUnknown(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.round.ledger.won(&key);
        self.round.ledger.won(&tag);
        Ok(())
    }

    async fn delete_tag(&mut self) -> Result<(), RegistryError> {
        let tag = format!("t{}", self.dice.below(3));
        let key = Key::Tag(self.own.clone(), tag.clone());
        let there = self.round.ledger.fact(&key) != Fact::Absent;
        let flight = self.round.ledger.ask(vec![(key, Fact::Absent)]);
        let name = repository(&self.own);
        match self.registry.delete_tag(&name, &tag.parse().unwrap()).await {
            Ok(()) => assert!(there, "a tag that was not there was deleted"),
            Err(RegistryError::ManifestUnknown | RegistryError::NameUnknown) => {
                assert!(!there, "a promised tag is gone");
            }
            Err(error) => return Err(error),
        }
        self.round.ledger.done(flight);
        Ok(())
    }

    async fn delete_manifest(&mut self) -> Result<(), RegistryError> {
        let tags = (0..3).map(|number| format!("t{number}"));
        let facts: Vec<(Key, Fact)> = tags
            .map(|tag| Key::Tag(self.own.clone(), tag))
            .map(|key| (key.clone(), self.round.ledger.fact(&key)))
            .collect();
        let Some(Fact::Points(digest)) =
            facts.iter().map(|(_, fact)| fact.clone()).find(|fact| *fact != Fact::Absent)
        else {
            return Ok(());
        };
        let mut effects = vec![(Key::Manifest(self.own.clone(), digest), Fact::Absent)];
        effects.extend(
            facts
                .into_iter()
                .filter(|(_, fact)| *fact == Fact::Points(digest))
                .map(|(key, _)| (key, Fact::Absent)),
        );
        let flight = self.round.ledger.ask(effects);
        self.registry.delete_manifest(&repository(&self.own), &digest).await?;
        self.round.ledger.done(flight);
        Ok(())
    }

    async fn delete_blob(&mut self) -> Result<(), RegistryError> {
        let digest = sha256(&blob(self.dice.below(BLOBS)));
        let ledger = &self.round.ledger;
        let flight = ledger.ask(vec![(Key::Blob(self.own.clone(), digest), Fact::Absent)]);
        match self.registry.delete_blob(&repository(&self.own), &digest).await {
            Ok(()) | Err(RegistryError::BlobUnknown | RegistryError::NameUnknown) => {
                ledger.done(flight);
            }
            Err(RegistryError::BlobInUse) => ledger.refused(flight),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Pulls whatever is tagged, whole.
    async fn pull(&mut self) -> Result<(), RegistryError> {
        let mut universe = self.round.universe.lock().await.clone();
        universe.repositories.retain(|name| *name == self.own);
        universe.uploads.clear();
        match Content::found(&self.registry, &universe).await {
            Ok(_) => Ok(()),
            Err(_) if self.round.world.disk.is_dead() => Err(RegistryError::Full),
            Err(wrong) => panic!("{} finds: {wrong}", self.own),
        }
    }
}

/// Lets time pass, collects and sweeps, until the power is cut.
async fn tidy(round: Arc<Round>, mut dice: Dice) {
    let world = &round.world;
    while !world.disk.is_dead() {
        world.wait(Duration::from_millis(1 + dice.below(60_000))).await;
        round.ledger.collection_begins();
        let collected = world.house.collect(CollectMode::Act).await;
        round.ledger.collection_ends();
        let swept = world.house.sweep().await;
        if let (Ok(collected), Ok(swept)) = (&collected, &swept) {
            count(&round.tally.collections, 1);
            count(&round.tally.links_collected, collected.links);
            count(&round.tally.blobs_collected, collected.blobs);
            count(&round.tally.parts_deleted, swept.parts_deleted);
        }
        assert!(
            (collected.is_ok() && swept.is_ok()) || world.disk.is_dead(),
            "{collected:?} {swept:?}"
        );
        tokio::task::yield_now().await;
    }
}

/// One round: everybody works until the power is cut.
async fn work(
    world: World,
    ledger: Ledger,
    universe: Universe,
    dice: &mut Dice,
    tally: &Arc<Tally>,
) -> Round {
    let (universe, tally) = (Mutex::new(universe), Arc::clone(tally));
    let round = Arc::new(Round { world, ledger, universe, tally });
    // Soon, or when much has been done.
    let latest = [200, 1000, 4000][dice.index(3)];
    round.world.disk.cut_at(dice.below(latest));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            round: Arc::clone(&round),
            registry: round.world.registry().unwrap(),
            own: format!("own{number}"),
            dice: Dice::new(dice.word()),
        };
        clients.spawn(client.work());
    }
    let tidying = tokio::spawn(tidy(Arc::clone(&round), Dice::new(dice.word())));
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    round.world.disk.cut();
    tidying.await.unwrap();
    round.world.house.drain().await;
    Arc::into_inner(round).expect("everybody has gone home")
}

fn loss(dice: &mut Dice) -> Loss {
    match dice.below(6) {
        0 => Loss::Everything,
        1 => Loss::Nothing,
        _ => Loss::Some(dice.word()),
    }
}

/// Starts again, sometimes only after the power was cut in the middle of starting.
async fn recover(world: &World, dice: &mut Dice, tally: &Tally) -> World {
    let mut disk = world.disk.survivor(loss(dice));
    while dice.chance(1, 4) {
        disk.cut_at(dice.below(30));
        drop(world.open_on(Arc::clone(&disk)).await);
        count(&tally.restarts_cut_off, disk.is_dead().into());
        disk.cut();
        disk = disk.survivor(loss(dice));
    }
    world.open_on(disk).await.expect("it opens again")
}

/// A world's life of some rounds.
async fn live(seed: u64, rounds: u64, tally: Arc<Tally>) {
    let mut dice = Dice::new(seed);
    let limits = Limits {
        grace: Duration::ZERO,
        read_grace: Duration::ZERO,
        // No writer is ever as slow as the jumps of the clock.
        writing_lease: Duration::from_secs(30 * 24 * 60 * 60),
        upload_idle_max: Duration::from_secs(30 * 24 * 60 * 60),
        // Some blobs lie in rows and some in files.
        row_part_bytes_max: 1000,
        ..Limits::default()
    };
    let mut world = World::found(Settings { seed: dice.word(), limits }).await;
    let (mut ledger, mut universe) = (Ledger::default(), Universe::default());
    for number in 0..BLOBS {
        universe.blob(blob(number));
    }
    universe.repositories = (0..CLIENTS).map(|number| format!("own{number}")).collect();
    universe.repository(SHARED);
    for _ in 0..rounds {
        let round = work(world, ledger, universe, &mut dice, &tally).await;
        universe = round.universe.into_inner();
        ledger = round.ledger;
        world = recover(&round.world, &mut dice, &tally).await;
        let content = Content::found(&world.registry().unwrap(), &universe).await.unwrap();
        let wrong = ledger.check(&content, &universe);
        assert!(wrong.is_empty(), "{wrong:#?}");
        // On a copy, so that the next round goes on with the dust of this one.
        let copy = world.copy().await;
        copy.settle().await.unwrap();
        assert_eq!(copy.orphans(), [""; 0]);
        let kept = Content::found(&copy.registry().unwrap(), &universe).await.unwrap();
        assert_eq!((&kept.manifests, &kept.tags), (&content.manifests, &content.tags));
        assert!(copy.clock.wall() > world.clock.wall());
        assert_eq!(copy.raze(&universe).await.unwrap(), [""; 0]);
        universe.uploads.clear();
        ledger.adopt(&Content { uploads: Vec::new(), ..content }, &universe);
    }
}

#[test]
fn concurrent_clients_lose_nothing_when_the_power_is_cut() {
    let rounds = number("LOCKYARD_ROUNDS").unwrap_or(60);
    let seed = seed("rounds");
    let mut dice = Dice::new(seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let tally = Arc::new(Tally::default());
    let mut left = rounds;
    while left > 0 {
        let now = left.min(LIFE);
        let life = dice.word();
        let lived =
            runtime.block_on(async { tokio::spawn(live(life, now, Arc::clone(&tally))).await });
        assert!(lived.is_ok(), "LOCKYARD_SEED={seed}, {left} rounds before the end: {lived:?}");
        left -= now;
    }
    println!("{rounds} rounds: {tally:?}");
}
