//! Pages of tags of a small and of a large repository, while other tags are being pushed.
//!
//! A page should cost the same however many tags there are. Cold is the first page after a start of
//! the server; what the system has cached of the files stays cached. The peer's tags are written
//! into its files, because pushing a hundred thousand of them to it would take ten minutes.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use crate::{
    clock,
    content::Mould,
    contestant::{Contestant, Kind, Stage},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Sample, Unit, milliseconds},
    http::Connection,
    registry::{digest, push_image},
};

/// Where tags are pushed while pages are read.
const PUSH_PAUSE: Duration = Duration::from_millis(20);
/// How many tags this registry takes in one request.
const TAGS_PER_PUT: usize = 10;
const PUSHERS: usize = 16;
const PAGE: usize = 100;
const MILLION: usize = 1_000_000;
/// Pages that are asked for in one measurement, at most: so many that what a start and a cold page
/// leave to be done is a small part of it.
const PAGES_MAX: usize = 3000;

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    let sizes = stage.options().sizes.tags;
    let mut contestants = Vec::new();
    for contestant in stage.start_all(&[Kind::Lockyard, Kind::DockerRegistry])? {
        let mut counts = sizes.to_vec();
        if stage.options().million && contestant.kind == Kind::Lockyard {
            counts.push(MILLION);
        }
        for &count in &counts {
            fill(&contestant, count)?;
            check_page(&contestant, count, figures)?;
        }
        contestants.push((contestant, counts));
    }
    stage.settle()?;
    for round in 0..stage.options().rounds {
        let mut next = Vec::new();
        for (contestant, counts) in contestants {
            let contestant = stage.restart(contestant)?;
            measure(stage, &contestant, (&counts, round), figures)?;
            next.push((contestant, counts));
        }
        next.rotate_left(1);
        contestants = next;
    }
    contestants.into_iter().try_for_each(|(contestant, _)| contestant.dismiss())
}

fn measure(
    stage: &Stage,
    contestant: &Contestant,
    (counts, round): (&[usize], usize),
    figures: &mut Figures,
) -> Outcome {
    let kind = contestant.kind;
    let mut add = |case: &str, count: usize, sample: Sample| {
        figures.add(&format!("{case}, {count} tags"), kind, Unit::Milliseconds, sample);
    };
    let mut connection = contestant.plain.connect()?;
    for &count in counts {
        let cold = page(&mut connection, &first_page(count))?;
        add("tags, cold", count, Sample { value: milliseconds(cold), ..Sample::default() });
    }
    // Each round begins with another repository: whichever comes first after a start has an
    // advantage, which would else always be the smallest one's.
    let mut order = counts.to_vec();
    order.rotate_left(round % counts.len().max(1));
    let mut warm_pages = BTreeMap::new();
    for count in order {
        let patience = stage.options().sizes.storm;
        let pages = while_pushing(contestant, count, || {
            let first = warm(&mut connection, &first_page(count), patience)?;
            let next = warm(&mut connection, &next_page(count), patience)?;
            Ok((first, next))
        })?;
        let _none = warm_pages.insert(count, pages);
    }
    for (count, (first, next)) in warm_pages {
        add("tags, first page", count, first);
        add("tags, next page", count, next);
    }
    Ok(())
}

fn repository(count: usize) -> String {
    format!("bench/tags-{count}")
}

fn tag(index: usize) -> String {
    format!("v{index:07}")
}

fn first_page(count: usize) -> String {
    format!("/v2/{}/tags/list?n={PAGE}", repository(count))
}

fn next_page(count: usize) -> String {
    format!("{}&last={}", first_page(count), tag(count / 2))
}

/// Checks that the first page holds what it should.
fn check_page(contestant: &Contestant, count: usize, figures: &mut Figures) -> Outcome {
    let mut connection = contestant.plain.connect()?;
    let head = connection.ask("GET", &first_page(count))?;
    let body = connection.keep(&head)?;
    let list: serde_json::Value = serde_json::from_slice(&body).during("reading a page of tags")?;
    let tags = list.get("tags").and_then(serde_json::Value::as_array);
    let tags = tags.ok_or_else(|| Failure::new("a page of tags that is none"))?;
    let (found, expected) = (tags.len(), count.min(PAGE));
    let name = contestant.kind.name();
    if found == count && found > expected {
        figures.note(format!("{name} knows no pages of tags: it answers with all of them"));
    } else if found != expected || tags.first().is_none_or(|first| *first != tag(0).as_str()) {
        return Err(Failure::new(format!("{name}: {found} tags on a page of {expected}")));
    }
    Ok(())
}

/// Asks for one page and returns how long it took.
fn page(connection: &mut Connection, target: &str) -> Outcome<Duration> {
    let asked = clock::now();
    let head = connection.ask("GET", target)?;
    if head.status != 200 {
        connection.expect(head, 200, "GET of a page of tags")?;
        return Err(Failure::new("a page of tags that is none"));
    }
    connection.discard(&head)?;
    Ok(asked.elapsed())
}

/// Asks for a page again and again; the value is the median.
fn warm(connection: &mut Connection, target: &str, patience: Duration) -> Outcome<Sample> {
    let begun = clock::now();
    let mut latencies = Vec::new();
    // At least three, even where one takes longer than all should.
    while latencies.len() < 3 || (latencies.len() < PAGES_MAX && begun.elapsed() < patience) {
        latencies.push(page(connection, target)?);
    }
    latencies.sort_unstable();
    let sample = Sample::default().with_latencies(&latencies);
    Ok(Sample { value: sample.p50.unwrap_or_default(), ..sample })
}

/// Runs `work` while another connection pushes tags to the same repository, fifty a second.
fn while_pushing<T>(
    contestant: &Contestant,
    count: usize,
    work: impl FnOnce() -> Outcome<T>,
) -> Outcome<T> {
    let repository = repository(count);
    let manifest = push_image(&contestant.plain, &repository, &tag(0), &Mould::new(4096).cast())?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| -> Outcome {
            let mut connection = contestant.plain.connect()?;
            let mut index = 0;
            while !over.load(Ordering::Relaxed) {
                // Few names, so that the repository does not grow from round to round.
                connection.put_manifest(&repository, &format!("z{}", index % 50), &manifest)?;
                index += 1;
                clock::pause(PUSH_PAUSE);
            }
            Ok(())
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        pusher.join().map_err(|_| Failure::new("the pusher panicked"))??;
        result
    })
}

/// Makes a repository with `count` tags of one manifest.
fn fill(contestant: &Contestant, count: usize) -> Outcome {
    let repository = repository(count);
    let blob = Mould::new(4096).cast();
    let manifest = push_image(&contestant.plain, &repository, &tag(0), &blob)?;
    match contestant.kind {
        Kind::DockerRegistry => write_tags(contestant, &repository, &manifest, count),
        Kind::Lockyard => put_tags(contestant, &repository, &manifest, count, TAGS_PER_PUT),
        Kind::Nginx | Kind::Url => put_tags(contestant, &repository, &manifest, count, 1),
    }
}

/// Pushes tags, several in one request where the registry takes that.
fn put_tags(
    contestant: &Contestant,
    repository: &str,
    manifest: &[u8],
    count: usize,
    per_put: usize,
) -> Outcome {
    let next = AtomicUsize::new(0);
    let digest = digest(manifest);
    let push = || -> Outcome {
        let mut connection = contestant.plain.connect()?;
        loop {
            let first = next.fetch_add(per_put, Ordering::Relaxed);
            if first >= count {
                return Ok(());
            }
            let names: Vec<String> = (first..count.min(first + per_put)).map(tag).collect();
            let reference = match names.as_slice() {
                [name] => name.clone(),
                names => format!("{digest}?tag={}", names.join("&tag=")),
            };
            connection.put_manifest(repository, &reference, manifest)?;
        }
    };
    std::thread::scope(|scope| {
        let pushers: Vec<_> = (0..PUSHERS).map(|_| scope.spawn(push)).collect();
        for pusher in pushers {
            pusher.join().map_err(|_| Failure::new("a push panicked"))??;
        }
        Ok(())
    })
}

/// Writes tags into the files of `docker-registry`: what it needs to list and to find them.
fn write_tags(contestant: &Contestant, repository: &str, manifest: &[u8], count: usize) -> Outcome {
    let digest = digest(manifest);
    let repositories = contestant.data.join("docker/registry/v2/repositories");
    let tags = repositories.join(repository).join("_manifests/tags");
    for index in 0..count {
        let folder = tags.join(tag(index)).join("current");
        let what = || format!("writing into `{}`", folder.display());
        fs::create_dir_all(&folder).during(what())?;
        fs::write(folder.join("link"), &digest).during(what())?;
    }
    Ok(())
}
