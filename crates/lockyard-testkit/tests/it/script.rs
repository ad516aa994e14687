//! The stories: what is there before, and what is done step by step while everything may fail.

use std::time::Duration;

use lockyard_registry::Limits;
use lockyard_testkit::{Content, Settings, World};

use crate::step::{Blob, Made, Notes, Step};

/// A story.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    before: &'static [Step],
    pub(crate) steps: &'static [Step],
}

const CONFIG: Blob = (1, 40);
const SMALL: Blob = (2, 700);
const LAYER: Blob = (3, 30_000);
const OTHER: Blob = (4, 900);
/// Long enough for the way of bodies that do not fit one buffer, and for two writes.
const LARGE: Blob = (5, 1_200_000);
const CHUNKED: Blob = (6, 9_000);

const IMAGE: Made = Made::Image(CONFIG, &[SMALL, LAYER]);
const SECOND: Made = Made::Image(CONFIG, &[OTHER]);
const NOTE: Made = Made::Referrer(CONFIG, &IMAGE);

const DAY: Duration = Duration::from_secs(25 * 60 * 60);

/// An image in `app`, tagged `v1`.
const PUSHED: &[Step] = &[
    Step::Push("app", CONFIG),
    Step::Push("app", SMALL),
    Step::Push("app", LAYER),
    Step::Put("app", Some("v1"), IMAGE),
];

/// The same, and another one that nobody has tagged yet.
const TWO: &[Step] = &[
    Step::Push("app", CONFIG),
    Step::Push("app", SMALL),
    Step::Push("app", LAYER),
    Step::Push("app", OTHER),
    Step::Put("app", Some("v1"), IMAGE),
];

pub(crate) const PUSH: Script = Script {
    name: "push",
    before: &[],
    steps: &[Step::Push("app", SMALL), Step::Push("app", LARGE), Step::Fold],
};

pub(crate) const PUSH_AGAIN: Script = Script {
    name: "push of what is there",
    before: PUSHED,
    steps: &[Step::Push("app", SMALL), Step::Push("lib", SMALL), Step::Fold],
};

pub(crate) const CHUNKS: Script = Script {
    name: "chunked push",
    before: &[],
    steps: &[
        Step::Start("app"),
        Step::Patch("app", CHUNKED, 3_000),
        Step::Patch("app", CHUNKED, 6_000),
        Step::Patch("app", CHUNKED, 9_000),
        Step::Finish("app", CHUNKED),
        Step::Fold,
    ],
};

pub(crate) const CANCEL: Script = Script {
    name: "cancelled push",
    before: &[],
    steps: &[Step::Start("app"), Step::Patch("app", CHUNKED, 3_000), Step::Cancel("app")],
};

pub(crate) const MOUNT: Script = Script {
    name: "mount",
    before: PUSHED,
    steps: &[Step::Mount("lib", "app", LAYER), Step::Fold],
};

pub(crate) const PUT: Script = Script {
    name: "manifest put",
    before: TWO,
    steps: &[
        Step::Put("app", None, SECOND),
        Step::Put("app", Some("note"), NOTE),
        Step::Put("app", None, SECOND),
        Step::Fold,
    ],
};

pub(crate) const MOVE: Script = Script {
    name: "tag move",
    before: TWO,
    steps: &[Step::Put("app", Some("v1"), SECOND), Step::Put("app", Some("v1"), IMAGE), Step::Fold],
};

pub(crate) const DELETE: Script = Script {
    name: "delete of tag, manifest and blobs",
    before: PUSHED,
    steps: &[
        Step::DeleteTag("app", "v1"),
        Step::Put("app", Some("v2"), IMAGE),
        Step::DeleteManifest("app", IMAGE),
        Step::DeleteBlob("app", SMALL),
        Step::DeleteBlob("app", LAYER),
        Step::Push("app", SMALL),
        Step::Fold,
    ],
};

pub(crate) const COLLECT: Script = Script {
    name: "collection",
    before: &[
        Step::Push("app", CONFIG),
        Step::Push("app", SMALL),
        Step::Push("app", LAYER),
        Step::Push("app", OTHER),
        Step::Push("lib", CHUNKED),
        Step::Push("lib", OTHER),
        Step::Put("app", Some("v1"), IMAGE),
        Step::Wait(Duration::from_secs(2 * 60 * 60)),
    ],
    steps: &[Step::Collect, Step::Fold, Step::Push("lib", OTHER)],
};

pub(crate) const COMPACT: Script = Script {
    name: "compaction",
    before: &[
        Step::Start("app"),
        Step::Patch("app", CHUNKED, 3_000),
        Step::Patch("app", CHUNKED, 6_000),
        Step::Finish("app", CHUNKED),
        Step::Push("lib", SMALL),
    ],
    steps: &[Step::Compact, Step::Wait(DAY), Step::Sweep, Step::Pull("app", CHUNKED), Step::Fold],
};

pub(crate) const SWEEP: Script = Script {
    name: "sweep",
    before: &[
        Step::Push("app", CONFIG),
        Step::Push("app", SMALL),
        Step::Push("app", LAYER),
        Step::Put("app", Some("v1"), IMAGE),
        Step::Push("lib", OTHER),
        Step::DeleteBlob("lib", OTHER),
        Step::Start("lib"),
        Step::Patch("lib", CHUNKED, 3_000),
        Step::Patch("lib", CHUNKED, 6_000),
        Step::Wait(DAY),
    ],
    steps: &[Step::Sweep, Step::Wait(DAY), Step::Sweep, Step::Fold],
};

pub(crate) const KEYS: Script = Script {
    name: "registry and vault",
    before: PUSHED,
    steps: &[Step::Confirm, Step::Create("second"), Step::Confirm, Step::Pull("app", SMALL)],
};

/// Verbs that change nothing, or only what time a thing was touched.
pub(crate) const READ: Script = Script {
    name: "pull, stat and list",
    before: &[
        Step::Push("app", CONFIG),
        Step::Push("app", SMALL),
        Step::Push("app", LAYER),
        Step::Put("app", Some("v1"), IMAGE),
        Step::Put("app", None, NOTE),
        Step::Wait(Duration::from_secs(45 * 60)),
    ],
    steps: &[
        Step::Pull("app", LAYER),
        Step::Stat("app", LAYER),
        Step::PullImage("app", "v1"),
        Step::StatImage("app", "v1"),
        Step::List("app"),
        Step::Catalog,
        Step::Referrers("app", IMAGE),
    ],
};

/// The usual limits, but that a blob of three parts is worth compacting, and that of the blobs
/// [`CONFIG`] and [`SMALL`] lie in rows and all others in files.
fn limits() -> Limits {
    Limits { compact_parts_min: 3, row_part_bytes_max: 800, ..Limits::default() }
}

/// A story with its world before it, and what is to be found after each step.
pub(crate) struct Stage {
    pub(crate) script: Script,
    pub(crate) seed: u64,
    pub(crate) world: World,
    pub(crate) notes: Notes,
    /// After so many steps, looked for with what a client knows then.
    pub(crate) after: Vec<Content>,
    /// After one step more, looked for with what a client knows that did not hear of it.
    pub(crate) unheard: Vec<Content>,
    /// How many calls each step makes, and how many of them are boundaries.
    pub(crate) calls: Vec<(u64, u64)>,
}

impl Stage {
    /// Makes the world before the story, and tells the story once.
    pub(crate) async fn set(script: Script, seed: u64) -> Self {
        let world = World::found(Settings { seed, limits: limits() }).await;
        let mut notes = Notes::default();
        for step in script.before.iter().chain(script.steps) {
            step.announce(&mut notes.universe);
        }
        for step in script.before {
            step.run(&world, &mut notes, false).await.unwrap();
        }
        if seed.is_multiple_of(2) {
            // The next process begins with a new log, whose name is not durable yet.
            world.store.clone().close();
        }
        let told = world.copy().await;
        let mut heard = notes.clone();
        let mut stage = Self {
            script,
            seed,
            world,
            notes,
            after: vec![found(&told, &heard).await.unwrap()],
            unheard: Vec::new(),
            calls: Vec::new(),
        };
        for step in script.steps {
            let unheard = heard.clone();
            let (calls, boundaries) = (told.disk.calls(), told.disk.boundaries());
            step.run(&told, &mut heard, false).await.unwrap();
            stage.calls.push((told.disk.calls() - calls, told.disk.boundaries() - boundaries));
            stage.unheard.push(found(&told, &unheard).await.unwrap());
            stage.after.push(found(&told, &heard).await.unwrap());
        }
        stage
    }

    /// Asserts that what is found is as before the `done`-th step or as after it.
    pub(crate) async fn check(&self, world: &World, notes: &Notes, done: usize, context: &str) {
        let found = found(world, notes).await;
        let found = found.unwrap_or_else(|wrong| panic!("{}: {wrong}", self.place(context)));
        let before = found == self.after[done];
        let after = self.unheard.get(done).is_some_and(|unheard| found == *unheard);
        // What was begun and has no byte may be lost.
        let begun = done > 0 && matches!(self.script.steps[done - 1], Step::Start(_));
        let lost = begun && {
            let nothing = self.world.copy().await;
            found == self::found(&nothing, notes).await.unwrap()
        };
        assert!(
            before || after || lost,
            "{}: after {done} steps there is\n{found:#?}\nneither\n{:#?}\nnor\n{:#?}",
            self.place(context),
            self.after[done],
            self.unheard.get(done)
        );
    }

    /// Tells the rest of the story, trying the first of its steps again, and asserts its end.
    pub(crate) async fn finish(
        &self,
        world: &World,
        notes: &mut Notes,
        done: usize,
        context: &str,
    ) {
        for (number, step) in self.script.steps.iter().enumerate().skip(done) {
            let told = step.run(world, notes, number == done).await;
            told.unwrap_or_else(|error| {
                panic!("{}: {step:?} again: {error:?}", self.place(context));
            });
        }
        let mut found = found(world, notes).await.unwrap();
        let mut expected = self.after[self.script.steps.len()].clone();
        // A session whose ticket was lost is not looked for.
        found.uploads.retain(Option::is_some);
        expected.uploads.retain(Option::is_some);
        assert_eq!(found, expected, "{}: at the end", self.place(context));
        world.settle().await.unwrap();
        assert_eq!(world.orphans(), [""; 0], "{}: after all jobs", self.place(context));
        let left = world.raze(&notes.universe).await.unwrap();
        assert_eq!(left, [""; 0], "{}: with everything deleted", self.place(context));
    }

    pub(crate) fn place(&self, context: &str) -> String {
        format!("LOCKYARD_SEED={} {}: {context}", self.seed, self.script.name)
    }
}

async fn found(world: &World, notes: &Notes) -> Result<Content, String> {
    let registry = world.registry().map_err(|error| format!("{error:?}"))?;
    Content::found(&registry, &notes.universe).await
}
