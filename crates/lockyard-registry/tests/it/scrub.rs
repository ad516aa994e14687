//! Stories of the scrub: it finds every kind of damage, each once, and nothing on a sound store.
//!
//! Damage is planted past the registry: in the files of parts and by statements of an attacker who
//! has the database. What only a holder of the keys could forge (a sealed row that opens and says
//! something else than its columns) cannot be planted here.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockyard_access::Records;
use lockyard_base::{BlindIndex, ManifestId, PartId, RepositoryId};
use lockyard_keyring::SlotKind;
use lockyard_oci::MediaType;
use lockyard_registry::{
    CollectMode, Finding, FindingKind, Limits, RegistryError, ScrubError, ScrubOptions,
    ScrubProgress, ScrubReport, ScrubTable, instance,
};
use lockyard_store::{StoreError, edge, part, repository, walk};
use tokio_util::sync::CancellationToken;

use crate::{
    Story, stories,
    support::{
        Base, World, append, artifact, body, by_digest, by_tag, image, index, is_unknown_blob,
        noise, pull, push, push_image, put, repo, until_it_waits,
    },
};

pub(crate) const STORIES: &[Story] = stories!["scrub":
    a_sound_store_has_no_findings,
    an_instance_that_lives_has_no_findings,
    a_flipped_bit_in_a_part_is_found_quarantined_and_healed_by_a_push,
    a_missing_part_is_found_and_healed_by_a_push,
    a_cut_and_a_lengthened_part_are_found,
    swapped_parts_are_found,
    a_damaged_part_of_an_upload_is_found,
    a_flipped_bit_is_found_in_every_sealed_column,
    a_tag_that_an_attacker_moved_is_found,
    a_link_that_an_attacker_moved_is_found,
    missing_edges_are_put_back,
    edges_of_another_repository_are_brought_home,
    a_surplus_edge_is_found_and_stays,
    a_manifest_without_its_blobs_is_found,
    files_without_rows_and_strangers_are_found_and_stay,
    a_live_part_that_nobody_names_is_found,
    a_named_part_that_is_not_live_is_found,
    parts_in_every_other_state_are_no_findings,
    a_scrub_that_is_cut_off_anywhere_goes_on_and_finds_the_same,
    a_scrub_that_does_not_resume_begins_again,
    damaged_progress_begins_again,
    a_locked_registry_is_left_out_and_counted,
    one_scrub_runs_at_a_time_and_ends_while_it_waits,
    damage_under_a_scrub_that_goes_on_beside_clients_is_told_once,
];

const HOUR: Duration = Duration::from_secs(3600);

/// Runs a scrub to its end.
async fn scrub(world: &World) -> ScrubReport {
    let cancel = CancellationToken::new();
    let report = world.house.scrub(ScrubOptions::default(), &|_| {}, &cancel).await.unwrap();
    assert!(report.complete && !report.resumed, "{report:?}");
    assert_eq!(report.findings_total, report.findings.len() as u64);
    for finding in &report.findings {
        assert_eq!(finding.registry.is_none(), is_of_the_instance(finding.table), "{finding:?}");
    }
    report
}

fn is_of_the_instance(table: ScrubTable) -> bool {
    table < ScrubTable::Repository || table == ScrubTable::File
}

/// What was found, in order and without ids.
fn kinds(report: &ScrubReport) -> Vec<(ScrubTable, FindingKind)> {
    report.findings.iter().map(|finding| (finding.table, finding.kind)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// The part that a file holds.
fn part_of(path: &Path) -> PartId {
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

fn file_of(world: &World, part: PartId) -> PathBuf {
    let shard = format!("{:02x}", part.as_bytes()[0]);
    world.dir().join("parts").join(shard).join(part.to_string())
}

/// One of everything that a registry can have.
async fn furnish(world: &World) {
    let registry = world.registry();
    let (image, config, _) = push_image(&registry, "app", "latest", 1).await;
    let (other, ..) = push_image(&registry, "app", "old", 2).await;
    let note = push(&registry, "app", b"{}").await;
    let referrer = artifact(&note, "application/note", "1", &image);
    put(&registry, "app", &by_tag("note"), &referrer).await.unwrap();
    // An index with a manifest, a blob and something that is not here.
    let absent = crate::support::sha256(b"absent");
    let children = [
        (MediaType::OCI_MANIFEST, image),
        (MediaType::OCI_CONFIG, config),
        (MediaType::OCI_MANIFEST, absent),
    ];
    put(&registry, "app", &by_tag("index"), &index(&children)).await.unwrap();
    assert!(registry.mount_blob(&repo("other"), &config, Some(&repo("app"))).await.unwrap());
    push(&registry, "other", b"").await;
    push(&registry, "other", &noise(3, 400_000)).await;
    let open = registry.start_upload(&repo("other"), None).await.unwrap();
    let open = append(&registry, "other", open, b"first").await;
    append(&registry, "other", open, b"second").await;
    registry.start_upload(&repo("other"), None).await.unwrap();
    let at = registry.start_upload(&repo("third"), None).await.unwrap();
    let at = append(&registry, "third", at, b"two ").await;
    let whole = crate::support::sha256(b"two parts");
    let name = repo("third");
    registry.finish_upload(&name, at.ticket, &whole, None, body(b"parts")).await.unwrap();
    registry.delete_manifest(&repo("app"), &other).await.unwrap();
    registry.delete_tag(&repo("app"), &crate::support::tag("note")).await.unwrap();
}

async fn a_sound_store_has_no_findings(base: Base) {
    let mut world = World::new(&base).await;
    let empty = scrub(&world).await;
    assert_eq!(kinds(&empty), []);
    assert_eq!((empty.registries, empty.registries_locked), (1, 0));
    furnish(&world).await;
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), []);
    assert!(report.bytes > 400_000 && report.rows > 40, "{report:?}");
    assert_eq!(report.blobs_quarantined, 0);
    world.restart().await;
    assert_eq!(kinds(&scrub(&world).await), []);
    // What died and was not swept yet, and what was.
    world.wait(HOUR * 48).await;
    assert_eq!(kinds(&scrub(&world).await), []);
    world.house.collect(CollectMode::Act).await.unwrap();
    world.house.sweep().await.unwrap();
    assert_eq!(kinds(&scrub(&world).await), []);
    world.wait(HOUR).await;
    world.house.sweep().await.unwrap();
    assert_eq!(kinds(&scrub(&world).await), []);
}

/// Pushes, moves, deletes, collections and sweeps without any grace, while scrubs run.
async fn an_instance_that_lives_has_no_findings(base: Base) {
    let limits = Limits { grace: Duration::ZERO, read_grace: Duration::ZERO, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    furnish(&world).await;
    let over = CancellationToken::new();
    let clients = async {
        for round in 0..12_u64 {
            let registry = world.registry();
            let tag = ["a", "b"][usize::from(round % 2 == 1)];
            // A collection without grace may take a blob between its push and its manifest's.
            let config = push(&registry, "app", &noise(round, 40)).await;
            let layer = push(&registry, "app", &noise(round + 100, 70_000)).await;
            let _raced = put(&registry, "app", &by_tag(tag), &image(&config, &[layer])).await;
            let at = registry.start_upload(&repo("app"), None).await.unwrap();
            let at = append(&registry, "app", at, &noise(round, 1000)).await;
            let at = append(&registry, "app", at, &noise(round + 1, 1000)).await;
            if round % 2 == 0 {
                registry.cancel_upload(&repo("app"), at.ticket).await.unwrap();
            } else {
                let whole = [noise(round, 1000), noise(round + 1, 1000)].concat();
                let digest = crate::support::sha256(&whole);
                let name = repo("app");
                registry.finish_upload(&name, at.ticket, &digest, None, body(b"")).await.unwrap();
            }
            if let Ok(stat) = registry.stat_manifest(&repo("app"), &by_tag("a")).await {
                registry.delete_manifest(&repo("app"), &stat.digest).await.unwrap();
            }
            world.clock.advance(Duration::from_millis(1));
            world.house.collect(CollectMode::Act).await.unwrap();
            world.house.sweep().await.unwrap();
        }
        over.cancel();
    };
    let scrubs = async {
        let mut count = 0;
        while !over.is_cancelled() {
            assert_eq!(kinds(&scrub(&world).await), []);
            count += 1;
        }
        assert!(count > 1, "{count} scrubs");
    };
    tokio::join!(clients, scrubs);
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn a_flipped_bit_in_a_part_is_found_quarantined_and_healed_by_a_push(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(1, 300_000);
    let digest = push(&registry, "app", &content).await;
    let sound = push(&registry, "app", b"another").await;
    let largest =
        world.part_files().into_iter().max_by_key(|file| fs::metadata(file).unwrap().len());
    flip(&largest.unwrap(), 250_000);
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Blob, FindingKind::PartDamaged)]);
    assert_eq!(report.blobs_quarantined, 1);
    let stat = registry.stat_blob(&repo("app"), &digest).await;
    assert!(matches!(stat, Err(RegistryError::BlobUnknown)), "{stat:?}");
    assert_eq!(pull(&registry, "app", &sound).await.unwrap(), b"another");
    let again = scrub(&world).await;
    assert_eq!(kinds(&again), [(ScrubTable::Blob, FindingKind::Quarantined)]);
    assert_eq!(again.blobs_quarantined, 0);
    push(&registry, "app", &content).await;
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn a_missing_part_is_found_and_healed_by_a_push(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    let part = part_of(&world.part_files()[0]);
    fs::remove_file(&world.part_files()[0]).unwrap();
    let report = scrub(&world).await;
    assert_eq!(
        kinds(&report),
        [
            (ScrubTable::Blob, FindingKind::PartMissing),
            (ScrubTable::File, FindingKind::FileMissing)
        ]
    );
    assert_eq!(report.findings[1].row, Some(part.into()));
    assert!(report.findings[0].sentence.contains(&part.to_string()), "{report:?}");
    assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
    push(&registry, "app", b"content").await;
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn a_cut_and_a_lengthened_part_are_found(base: Base) {
    for change in [-1_i64, 1] {
        let world = World::new(&base).await;
        push(&world.registry(), "app", &noise(1, 100_000)).await;
        let file = fs::OpenOptions::new().write(true).open(&world.part_files()[0]).unwrap();
        let length = file.metadata().unwrap().len().checked_add_signed(change).unwrap();
        file.set_len(length).unwrap();
        let report = scrub(&world).await;
        assert_eq!(kinds(&report), [(ScrubTable::Blob, FindingKind::PartDamaged)], "{change}");
    }
}

async fn swapped_parts_are_found(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    for seed in 1..=3 {
        push(&registry, "app", &noise(seed, 1000)).await;
    }
    let files = world.part_files();
    let spare = world.dir().join("spare");
    fs::rename(&files[0], &spare).unwrap();
    fs::rename(&files[1], &files[0]).unwrap();
    fs::rename(&spare, &files[1]).unwrap();
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Blob, FindingKind::PartDamaged); 2]);
    assert_eq!(report.blobs_quarantined, 2);
}

async fn a_damaged_part_of_an_upload_is_found(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let at = registry.start_upload(&repo("app"), None).await.unwrap();
    append(&registry, "app", at, b"content").await;
    flip(&world.part_files()[0], 50);
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Upload, FindingKind::PartDamaged)]);
    assert_eq!(report.findings[0].row, Some(at.ticket.id.into()));
    fs::remove_file(&world.part_files()[0]).unwrap();
    let report = scrub(&world).await;
    assert_eq!(
        kinds(&report),
        [
            (ScrubTable::Upload, FindingKind::PartMissing),
            (ScrubTable::File, FindingKind::FileMissing)
        ]
    );
}

/// Flips a bit in the middle of a sealed column of every row.
fn flip_column(world: &World, base: &Base, table: &str, column: &str) {
    match base {
        Base::Sqlite => {
            let database = world.sqlite();
            let mut statement = database
                .prepare(&format!("SELECT rowid, {column} FROM {table} WHERE {column} NOTNULL"))
                .unwrap();
            let rows: Vec<(i64, Vec<u8>)> = statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            for (id, mut sealed) in rows {
                let middle = sealed.len() / 2;
                sealed[middle] ^= 0x80;
                let sql = format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1");
                assert_eq!(database.execute(&sql, rusqlite::params![id, sealed]).unwrap(), 1);
            }
        }
        Base::Postgres { .. } => world.tamper(&format!(
            "UPDATE {table} SET {column} = set_byte({column}, length({column}) / 2, \
             get_byte({column}, length({column}) / 2) # 128) WHERE {column} IS NOT NULL"
        )),
    }
}

async fn a_flipped_bit_is_found_in_every_sealed_column(base: Base) {
    use FindingKind::{PartUnnamed, RowDamaged};
    use ScrubTable::{Blob, Link, Manifest, Part, Record, Registry, Repository, Tag, Upload, Wrap};
    // One config and one layer: two blobs, parts and links.
    type Expected = &'static [(ScrubTable, FindingKind)];
    let cases: [(&str, &str, Expected); 10] = [
        ("registry", "sealed", &[(Registry, RowDamaged)]),
        ("wrap", "sealed", &[(Wrap, RowDamaged)]),
        ("instance_record", "sealed", &[(Record, RowDamaged)]),
        ("repository", "sealed", &[(Repository, RowDamaged)]),
        ("manifest", "sealed", &[(Manifest, RowDamaged)]),
        ("manifest", "content", &[(Manifest, RowDamaged)]),
        ("tag", "sealed", &[(Tag, RowDamaged)]),
        (
            "blob",
            "sealed",
            &[(Blob, RowDamaged), (Blob, RowDamaged), (Part, PartUnnamed), (Part, PartUnnamed)],
        ),
        ("blob_link", "sealed", &[(Link, RowDamaged); 2]),
        ("upload", "sealed", &[(Upload, RowDamaged), (Part, PartUnnamed)]),
    ];
    let world = World::new(&base).await;
    let registry = world.registry();
    push_image(&registry, "app", "latest", 1).await;
    let at = registry.start_upload(&repo("app"), None).await.unwrap();
    append(&registry, "app", at, b"content").await;
    let opened = instance::open(&world.store, &[(SlotKind::File, world.secret())]).unwrap();
    let records = Records::new(world.store.clone(), opened.keys, world.entropy());
    tokio::task::spawn_blocking(move || records.put("owner", b"", b"somebody").unwrap())
        .await
        .unwrap();
    for (table, column, expected) in cases {
        flip_column(&world, &base, table, column);
        let report = scrub(&world).await;
        assert_eq!(kinds(&report), expected, "{table}.{column}");
        assert!(report.findings.iter().all(|finding| finding.row.is_some()), "{report:?}");
        // Flipped back.
        flip_column(&world, &base, table, column);
        assert_eq!(kinds(&scrub(&world).await), [], "{table}.{column}");
    }
}

async fn a_tag_that_an_attacker_moved_is_found(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    push_image(&registry, "app", "good", 1).await;
    push_image(&registry, "app", "bad", 2).await;
    world.tamper("UPDATE tag SET manifest_id = (SELECT min(manifest_id) FROM manifest)");
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Tag, FindingKind::RowDamaged)]);
}

async fn a_link_that_an_attacker_moved_is_found(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    push(&registry, "app", b"one").await;
    push(&registry, "other", b"two").await;
    world.tamper("UPDATE blob_link SET blob_id = (SELECT min(blob_id) FROM blob)");
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Link, FindingKind::RowDamaged)]);
}

async fn missing_edges_are_put_back(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (_, config, layer) = push_image(&registry, "app", "latest", 1).await;
    world.tamper("DELETE FROM edge WHERE kind = 'layer'");
    registry.delete_blob(&repo("app"), &config).await.unwrap_err();
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Manifest, FindingKind::EdgeMissing)]);
    assert!(report.findings[0].repaired);
    let refused = registry.delete_blob(&repo("app"), &layer).await;
    assert!(matches!(refused, Err(RegistryError::BlobInUse)), "{refused:?}");
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn edges_of_another_repository_are_brought_home(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (_, config, layer) = push_image(&registry, "app", "latest", 1).await;
    push(&registry, "other", b"content").await;
    world.tamper(
        "UPDATE edge SET repository_id = (SELECT max(r.repository_id) FROM repository r \
         WHERE r.repository_id <> edge.repository_id)",
    );
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Manifest, FindingKind::EdgeMissing)]);
    assert!(report.findings[0].repaired);
    for blob in [config, layer] {
        let refused = registry.delete_blob(&repo("app"), &blob).await;
        assert!(matches!(refused, Err(RegistryError::BlobInUse)), "{refused:?}");
    }
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn a_surplus_edge_is_found_and_stays(base: Base) {
    let world = World::new(&base).await;
    push_image(&world.registry(), "app", "latest", 1).await;
    let (manifest, repository) = only_manifest(&world).await;
    let foreign =
        edge::Edge { kind: edge::EdgeKind::Layer, child_index: BlindIndex::from_bytes([7; 32]) };
    let plant = world
        .store
        .write(None, move |txn| edge::insert_many(txn, manifest, repository, &[foreign]));
    plant.await.unwrap();
    for _ in 0..2 {
        let report = scrub(&world).await;
        assert_eq!(kinds(&report), [(ScrubTable::Manifest, FindingKind::EdgeSurplus)]);
        assert_eq!(report.findings[0].row, Some(manifest.into()));
        assert!(!report.findings[0].repaired);
    }
}

/// The manifest of a world that has one.
async fn only_manifest(world: &World) -> (ManifestId, RepositoryId) {
    let id = world.id;
    let found = world.store.read(move |txn| walk::manifests(txn, id, None, 9)).await;
    let found: Vec<_> = found.map_err(|error: StoreError| error).unwrap();
    assert_eq!(found.len(), 1);
    (found[0].0.manifest_id, found[0].0.repository_id)
}

async fn a_manifest_without_its_blobs_is_found(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    push_image(&registry, "app", "latest", 1).await;
    world.tamper("DELETE FROM blob_link");
    let report = scrub(&world).await;
    assert_eq!(kinds(&report), [(ScrubTable::Manifest, FindingKind::ChildMissing)]);
    assert!(report.findings[0].sentence.starts_with("2 blobs"), "{report:?}");
    push_image(&registry, "app", "latest", 1).await;
    assert_eq!(kinds(&scrub(&world).await), []);
}

async fn files_without_rows_and_strangers_are_found_and_stay(base: Base) {
    let world = World::new(&base).await;
    push(&world.registry(), "app", b"content").await;
    let orphan = PartId::from_bytes([0xcd; 16]);
    let parts = world.dir().join("parts");
    let strangers = [parts.join("notes.txt"), parts.join("ff").join("core")];
    fs::write(file_of(&world, orphan), b"bytes").unwrap();
    for stranger in &strangers {
        fs::write(stranger, b"bytes").unwrap();
    }
    for _ in 0..2 {
        let report = scrub(&world).await;
        assert_eq!(
            kinds(&report),
            [
                (ScrubTable::File, FindingKind::Stranger),
                (ScrubTable::File, FindingKind::FileUnknown),
                (ScrubTable::File, FindingKind::Stranger),
            ]
        );
        assert_eq!(report.findings[1].row, Some(orphan.into()));
        assert!(report.findings[0].sentence.contains("notes.txt"));
        assert!(report.findings[2].sentence.contains("ff/core"));
    }
    assert!(strangers.iter().all(|path| path.exists()) && file_of(&world, orphan).exists());
}

async fn a_live_part_that_nobody_names_is_found(base: Base) {
    let world = World::new(&base).await;
    push(&world.registry(), "app", b"content").await;
    let (id, part) = (world.id, PartId::from_bytes([0xee; 16]));
    let plant = world.store.write(None, move |txn| {
        let until = txn.now();
        part::insert_writing(txn, id, &[part], until)?;
        part::make_live(txn, &[part])
    });
    plant.await.unwrap();
    let report = scrub(&world).await;
    assert_eq!(
        kinds(&report),
        [
            (ScrubTable::Part, FindingKind::PartUnnamed),
            (ScrubTable::File, FindingKind::FileMissing)
        ]
    );
    assert!(report.findings.iter().all(|finding| finding.row == Some(part.into())));
    fs::write(file_of(&world, part), b"bytes").unwrap();
    assert_eq!(kinds(&scrub(&world).await), [(ScrubTable::Part, FindingKind::PartUnnamed)]);
    assert!(file_of(&world, part).exists());
}

async fn a_named_part_that_is_not_live_is_found(base: Base) {
    let world = World::new(&base).await;
    push(&world.registry(), "app", b"content").await;
    let part = part_of(&world.part_files()[0]);
    for state in ["dead", "writing"] {
        world.tamper(&format!("UPDATE part SET state = '{state}'"));
        let report = scrub(&world).await;
        assert_eq!(kinds(&report), [(ScrubTable::Part, FindingKind::PartNotLive)]);
        assert_eq!(report.findings[0].row, Some(part.into()));
    }
    world.tamper("DELETE FROM part");
    assert_eq!(
        kinds(&scrub(&world).await),
        [
            (ScrubTable::Part, FindingKind::PartNotLive),
            (ScrubTable::File, FindingKind::FileUnknown)
        ]
    );
}

async fn parts_in_every_other_state_are_no_findings(base: Base) {
    let mut world = World::new(&base).await;
    let id = world.id;
    let parts = [1, 2, 3, 4].map(|n| PartId::from_bytes([n; 16]));
    let plant = world.store.write(None, move |txn| {
        let until = txn.now() + HOUR;
        part::insert_writing(txn, id, &parts, until)?;
        part::make_dead(txn, &parts[2..])
    });
    plant.await.unwrap();
    // One of each with its file, one without.
    for part in [parts[0], parts[2]] {
        fs::write(file_of(&world, part), b"bytes").unwrap();
    }
    assert_eq!(kinds(&scrub(&world).await), []);
    world.wait(HOUR * 2).await;
    assert_eq!(kinds(&scrub(&world).await), []);
}

/// Cuts a scrub off at its `n`-th report of progress, then lets others go on, each cut off in the
/// same way, until one comes to the end.
async fn in_pieces(world: &World, n: u64) -> ScrubReport {
    for piece in 0.. {
        assert!(piece < 10_000, "a scrub in pieces comes to its end");
        let cancel = CancellationToken::new();
        let told = AtomicU64::new(0);
        let progress = |_: &ScrubProgress| {
            if told.fetch_add(1, Ordering::Relaxed) == n {
                cancel.cancel();
            }
        };
        let options = ScrubOptions { rate: None, resume: piece > 0 };
        let report = world.house.scrub(options, &progress, &cancel).await.unwrap();
        assert_eq!(report.resumed, piece > 0);
        if report.complete {
            return report;
        }
    }
    unreachable!("the loop ends by itself")
}

fn sorted(report: &ScrubReport) -> Vec<Finding> {
    let mut findings = report.findings.clone();
    findings.sort_by_key(|finding| (finding.table, finding.row, finding.sentence.clone()));
    findings
}

async fn a_scrub_that_is_cut_off_anywhere_goes_on_and_finds_the_same(base: Base) {
    let world = World::new(&base).await;
    furnish(&world).await;
    let second = world.house.create(&"second".parse().unwrap(), None).await.unwrap();
    let other = world.house.open_inside(second).unwrap();
    push_image(&other, "app", "latest", 5).await;
    // Damage of every lasting kind: what is put right or marked would be gone for the next scrub.
    for file in world.part_files().iter().take(3) {
        flip(file, 45);
    }
    scrub(&world).await;
    fs::write(world.dir().join("parts").join("core"), b"bytes").unwrap();
    fs::write(file_of(&world, PartId::from_bytes([0x80; 16])), b"bytes").unwrap();
    flip_column(&world, &base, "tag", "sealed");
    flip_column(&world, &base, "manifest", "content");
    flip_column(&world, &base, "wrap", "sealed");
    let whole = scrub(&world).await;
    assert!(whole.findings_total > 8, "{whole:?}");
    // The first piece must get beyond what is read as one piece, or no piece does.
    for n in [9, 10, 11, 13, 17, 23, 40] {
        let pieces = in_pieces(&world, n).await;
        assert_eq!(sorted(&pieces), sorted(&whole), "{n}");
        assert_eq!(pieces.findings_total, whole.findings_total);
        assert_eq!(pieces.registries, 2);
    }
}

async fn a_scrub_that_does_not_resume_begins_again(base: Base) {
    let world = World::new(&base).await;
    furnish(&world).await;
    let stop_at = |table| {
        let cancel = CancellationToken::new();
        let at = cancel.clone();
        let progress = move |progress: &ScrubProgress| {
            if progress.table == table {
                at.cancel();
            }
        };
        (cancel, progress)
    };
    let (cancel, progress) = stop_at(ScrubTable::File);
    let options = ScrubOptions::default();
    let cut = world.house.scrub(options, &progress, &cancel).await.unwrap();
    assert!(!cut.complete);
    let (cancel, progress) = stop_at(ScrubTable::Tag);
    let cut = world.house.scrub(options, &progress, &cancel).await.unwrap();
    assert!(!cut.complete && !cut.resumed);
    // The later start counts, and the end forgets it.
    let tables = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&tables);
    let progress = move |progress: &ScrubProgress| seen.lock().unwrap().push(progress.table);
    let options = ScrubOptions { resume: true, ..ScrubOptions::default() };
    let cancel = CancellationToken::new();
    let rest = world.house.scrub(options, &progress, &cancel).await.unwrap();
    assert!(rest.complete && rest.resumed);
    let first = tables.lock().unwrap()[0];
    assert!(first == ScrubTable::Tag || first == ScrubTable::Blob, "{first:?}");
    let next = world.house.scrub(options, &|_| {}, &cancel).await.unwrap();
    assert!(next.complete && !next.resumed, "nothing was left to resume");
}

async fn damaged_progress_begins_again(base: Base) {
    let world = World::new(&base).await;
    furnish(&world).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let cut = world.house.scrub(ScrubOptions::default(), &|_| {}, &cancel).await.unwrap();
    assert!(!cut.complete);
    flip_column(&world, &base, "instance_record", "sealed");
    let options = ScrubOptions { resume: true, ..ScrubOptions::default() };
    let report = world.house.scrub(options, &|_| {}, &CancellationToken::new()).await.unwrap();
    assert!(report.complete && !report.resumed);
    assert_eq!(kinds(&report), []);
}

async fn a_locked_registry_is_left_out_and_counted(base: Base) {
    let world = World::new(&base).await;
    furnish(&world).await;
    let open = world.house.create(&"opened".parse().unwrap(), None).await.unwrap();
    let other = world.house.open_inside(open).unwrap();
    push_image(&other, "app", "latest", 5).await;
    flip_column(&world, &base, "tag", "sealed");
    world.lock().await;
    let report = scrub(&world).await;
    assert_eq!((report.registries, report.registries_locked), (1, 1));
    assert_eq!(kinds(&report), [(ScrubTable::Tag, FindingKind::RowDamaged)]);
    assert_eq!(report.findings[0].registry, Some(open));
    world.unlock().await;
    assert_eq!(scrub(&world).await.findings_total, 2 + 1, "two tags of the other one");
}

async fn one_scrub_runs_at_a_time_and_ends_while_it_waits(base: Base) {
    let world = World::new(&base).await;
    push(&world.registry(), "app", &noise(1, 100_000)).await;
    let cancel = CancellationToken::new();
    let slow = ScrubOptions { rate: Some(1), resume: false };
    let told = |_: &ScrubProgress| {};
    let mut first = Box::pin(world.house.scrub(slow, &told, &cancel));
    until_it_waits(&mut first).await;
    let second = world.house.scrub(ScrubOptions::default(), &|_| {}, &cancel).await;
    assert!(matches!(second, Err(ScrubError::Running)), "{second:?}");
    cancel.cancel();
    let report = first.await.unwrap();
    assert!(!report.complete);
    assert_eq!(kinds(&scrub(&world).await), []);
}

/// A reader finds the damage while the scrub does.
async fn damage_under_a_scrub_that_goes_on_beside_clients_is_told_once(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(1, 200_000);
    let digest = push(&registry, "app", &content).await;
    flip(&world.part_files()[0], 150_000);
    let reading = async {
        for _ in 0..3 {
            assert!(pull(&registry, "app", &digest).await.is_err());
        }
    };
    let (report, ()) = tokio::join!(scrub(&world), reading);
    assert_eq!(report.findings_total, 1, "{report:?}");
    world.house.drain().await;
    assert_eq!(kinds(&scrub(&world).await), [(ScrubTable::Blob, FindingKind::Quarantined)]);
    // A repository that is known still takes the push that heals.
    let id = world.id;
    let repositories = world.store.read(move |txn| repository::changed_since(txn, id, 0, 9)).await;
    let repositories: Option<_> = repositories.map_err(|error: StoreError| error).unwrap();
    assert_eq!(repositories.map(|changes| changes.rows.len()), Some(1));
    push(&registry, "app", &content).await;
    let put = put(&registry, "app", &by_digest(digest), b"{}").await;
    assert!(put.is_err(), "a blob is no manifest");
    assert_eq!(kinds(&scrub(&world).await), []);
}
