//! The model: what a registry has promised, kept apart from what it was only asked for.
//!
//! Clients write down what they are about to ask and what they were answered. After a power cut,
//! [`Ledger::check`] compares with what is found: what was acknowledged is there, what was deleted
//! is not back, and what was in flight happened whole or not at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lockyard_base::UploadId;
use lockyard_oci::Digest;

use crate::{Content, Universe};

/// Something that can be there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A repository's claim to a blob.
    Blob(String, Digest),
    /// A repository's manifest.
    Manifest(String, Digest),
    /// A repository's tag.
    Tag(String, String),
    /// An upload session.
    Session(String),
}

impl Key {
    /// The key of a session.
    pub fn session(id: UploadId) -> Self {
        Self::Session(id.to_string())
    }
}

/// What is so about a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It is a tag and points there.
    Points(Digest),
    /// It is a session and has so many bytes.
    Offset(u64),
}

/// Names something that was asked for and not answered yet.
#[derive(Debug)]
#[must_use]
pub struct Flight(u64);

/// What was promised.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    settled: BTreeMap<Key, Settled>,
    flights: BTreeMap<u64, Asked>,
    next: u64,
    /// What several clients write at once: any of these may be found.
    races: BTreeMap<Key, BTreeSet<Fact>>,
    /// How many collections began, and how many of them have not ended.
    collections: u64,
    collecting: u64,
}

#[derive(Clone, Debug)]
struct Settled {
    fact: Fact,
    /// How many collections had begun when it was asked for (the answer may come after one more);
    /// `None` if one was under way.
    since: Option<u64>,
}

#[derive(Clone, Debug)]
struct Asked {
    effects: Vec<(Key, Fact)>,
    since: Option<u64>,
}

impl Ledger {
    /// A client is about to ask for all of this at once.
    pub fn ask(&self, effects: Vec<(Key, Fact)>) -> Flight {
        let mut books = self.books();
        books.next += 1;
        let number = books.next;
        let since = (books.collecting == 0).then_some(books.collections);
        books.flights.insert(number, Asked { effects, since });
        Flight(number)
    }

    /// The registry said that it is done.
    pub fn done(&self, flight: Flight) {
        let mut books = self.books();
        let asked = books.flights.remove(&flight.0).expect("a flight ends once");
        for (key, fact) in asked.effects {
            books.settled.insert(key, Settled { fact, since: asked.since });
        }
    }

    /// The registry said that it did nothing.
    pub fn refused(&self, flight: Flight) {
        self.books().flights.remove(&flight.0);
    }

    /// A client is about to ask for this, and others may be asking for something else.
    pub fn race(&self, key: Key, fact: Fact) {
        let absent = || BTreeSet::from([Fact::Absent]);
        self.books().races.entry(key).or_insert_with(absent).insert(fact);
    }

    /// One of those who race was told that it is done: from now on there is something.
    pub fn won(&self, key: &Key) {
        if let Some(facts) = self.books().races.get_mut(key) {
            facts.remove(&Fact::Absent);
        }
    }

    /// A collection begins: what no manifest needs may go.
    pub fn collection_begins(&self) {
        let mut books = self.books();
        books.collections += 1;
        books.collecting += 1;
    }

    /// A collection ended.
    pub fn collection_ends(&self) {
        self.books().collecting -= 1;
    }

    /// What is settled about a key.
    pub fn fact(&self, key: &Key) -> Fact {
        self.books().fact(key)
    }

    /// Says what of the content breaks a promise.
    pub fn check(&self, content: &Content, universe: &Universe) -> Vec<String> {
        let found = facts(content, universe);
        let found = |key: &Key| found.get(key).cloned().unwrap_or(Fact::Absent);
        let books = self.books();
        let mut wrong = Vec::new();
        let mut flying = BTreeSet::new();
        for Asked { effects, .. } in books.flights.values() {
            flying.extend(effects.iter().map(|(key, _)| key.clone()));
            let done = effects.iter().all(|(key, fact)| {
                // A collection may have come between an unheard answer and the cut.
                found(key) == *fact || matches!((key, found(key)), (Key::Blob(..), Fact::Absent))
            });
            let undone = effects.iter().all(|(key, _)| books.allows(key, &found(key)));
            if !(done || undone) {
                let found: Vec<_> = effects.iter().map(|(key, _)| found(key)).collect();
                wrong.push(format!("half done: {effects:?}, found {found:?}"));
            }
        }
        let keys: BTreeSet<Key> = facts(content, universe)
            .into_keys()
            .chain(books.settled.keys().cloned())
            .chain(books.races.keys().cloned())
            .filter(|key| !flying.contains(key))
            .collect();
        for key in keys {
            if !books.allows(&key, &found(&key)) {
                let settled = books.settled.get(&key);
                let race = books.races.get(&key);
                wrong.push(format!(
                    "{key:?} is {:?}, promised was {settled:?} {race:?}",
                    found(&key)
                ));
            }
        }
        wrong
    }

    /// Takes what was found for what is promised from now on; nothing is in flight any more.
    pub fn adopt(&self, content: &Content, universe: &Universe) {
        let mut books = self.books();
        let found = facts(content, universe);
        books.flights.clear();
        books.collecting = 0;
        let collections = books.collections;
        for (key, facts) in &mut books.races {
            *facts = BTreeSet::from([found.get(key).cloned().unwrap_or(Fact::Absent)]);
            if matches!(key, Key::Blob(..)) {
                facts.insert(Fact::Absent);
            }
        }
        let races: BTreeSet<Key> = books.races.keys().cloned().collect();
        books.settled = found
            .into_iter()
            .filter(|(key, _)| !races.contains(key))
            .map(|(key, fact)| (key, Settled { fact, since: Some(collections) }))
            .collect();
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn fact(&self, key: &Key) -> Fact {
        self.settled.get(key).map_or(Fact::Absent, |settled| settled.fact.clone())
    }

    /// Whether this may be found where nothing is in flight.
    fn allows(&self, key: &Key, found: &Fact) -> bool {
        if let Some(facts) = self.races.get(key) {
            return facts.contains(found);
        }
        let collected = matches!(key, Key::Blob(..))
            && *found == Fact::Absent
            && self.settled.get(key).is_some_and(|settled| settled.since != Some(self.collections));
        // A session is promised from its first byte on.
        let unbegun = *found == Fact::Absent && self.fact(key) == Fact::Offset(0);
        *found == self.fact(key) || collected || unbegun
    }
}

fn facts(content: &Content, universe: &Universe) -> BTreeMap<Key, Fact> {
    let mut facts = BTreeMap::new();
    for (name, digest) in &content.blobs {
        facts.insert(Key::Blob(name.clone(), *digest), Fact::Present);
    }
    for (name, digest) in &content.manifests {
        facts.insert(Key::Manifest(name.clone(), *digest), Fact::Present);
    }
    for ((name, tag), digest) in &content.tags {
        facts.insert(Key::Tag(name.clone(), tag.clone()), Fact::Points(*digest));
    }
    for ((_, id), offset) in universe.uploads.iter().zip(&content.uploads) {
        if let Some(offset) = offset {
            facts.insert(Key::session(*id), Fact::Offset(*offset));
        }
    }
    facts
}
