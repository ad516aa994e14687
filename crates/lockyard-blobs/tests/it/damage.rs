//! Changed, cut, lengthened, swapped: never served.

use futures_util::StreamExt as _;
use lockyard_base::PartId;
use lockyard_blobs::{PartList, ReadError};

use crate::support::{SEGMENT, World, content, runtime};

/// Replaces the stored part and expects that reading fails before a wrong byte comes out.
async fn check(world: &World, list: &PartList, plaintext: &[u8], stored: Vec<u8>, what: &str) {
    let id = list.ids().next().expect("a part");
    world.memory.put(id, stored);
    let (read, error) = world.read_all(list).await.expect_err(what);
    assert!(matches!(error, ReadError::Damaged(told) if told == id), "{what}: {error}");
    assert!(plaintext.starts_with(&read), "{what}: wrong bytes were served");
}

#[test]
fn every_changed_byte_is_damaged() {
    runtime().block_on(async {
        let world = World::new();
        let plaintext = content(9_000, 1);
        let list = world.small_segments(&plaintext);
        let id = list.ids().next().expect("a part");
        let sealed = world.memory.get(id).expect("stored");
        assert_eq!(sealed.len().div_ceil(4096), 3);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << (at % 8);
            check(&world, &list, &plaintext, changed, &format!("byte {at}")).await;
        }
        world.memory.put(id, sealed);
        assert!(world.read_all(&list).await.expect("restored") == plaintext);
        world.all_buffers_are_back().await;
    });
}

#[test]
fn every_truncation_is_damaged_before_the_first_byte() {
    runtime().block_on(async {
        let world = World::new();
        let plaintext = content(9_000, 1);
        let list = world.small_segments(&plaintext);
        let id = list.ids().next().expect("a part");
        let sealed = world.memory.get(id).expect("stored");
        for len in 0..sealed.len() {
            world.memory.put(id, sealed[..len].to_vec());
            let error = world.open(&list, 0..1).await.expect_err("cut");
            assert!(matches!(error, ReadError::Damaged(_)), "{len}: {error}");
        }
        for extra in [1, 16, 4096] {
            let longer = [sealed.as_slice(), &vec![0; extra]].concat();
            world.memory.put(id, longer);
            let error = world.open(&list, 0..1).await.expect_err("too long");
            assert!(matches!(error, ReadError::Damaged(_)), "{extra}: {error}");
        }
    });
}

#[tokio::test]
async fn swapped_doubled_and_dropped_segments_are_damaged() {
    let world = World::new();
    let plaintext = content(4 * 4096, 1);
    let list = world.small_segments(&plaintext);
    let id = list.ids().next().expect("a part");
    let sealed = world.memory.get(id).expect("stored");
    let segment = |index: usize| index * 4096..(index + 1) * 4096;
    let mut swapped = sealed.clone();
    swapped[segment(1)].copy_from_slice(&sealed[segment(2)]);
    swapped[segment(2)].copy_from_slice(&sealed[segment(1)]);
    check(&world, &list, &plaintext, swapped, "swapped").await;
    let mut doubled = sealed.clone();
    doubled[segment(2)].copy_from_slice(&sealed[segment(1)]);
    check(&world, &list, &plaintext, doubled, "doubled").await;
    let dropped = [&sealed[..4096], &sealed[2 * 4096..]].concat();
    check(&world, &list, &plaintext, dropped, "dropped").await;
}

#[tokio::test]
async fn two_parts_that_changed_places_are_damaged() {
    let world = World::new();
    let (a, b) = (content(1_000, 1), content(1_000, 2));
    let list = world.blob(&[&a, &b]);
    let ids: Vec<PartId> = list.ids().collect();
    let files: Vec<Vec<u8>> = ids.iter().map(|id| world.memory.get(*id).expect("stored")).collect();
    world.memory.put(ids[0], files[1].clone());
    world.memory.put(ids[1], files[0].clone());
    for range in [0..2_000, 0..1, 1_500..1_501] {
        let error = world.open(&list, range).await.expect_err("swapped");
        assert!(matches!(error, ReadError::Damaged(_)), "{error}");
    }
}

#[tokio::test]
async fn a_truncated_list_entry_does_not_make_a_shorter_blob() {
    let world = World::new();
    let list = world.small_segments(&content(9_000, 1));
    let mut row = Vec::new();
    list.encode(&mut row);
    // As if the length in the row said that the second segment was the last.
    let shorter = 2 * 4096 - 40 - 2 * 16_u64;
    let at = row.len() - 8;
    row[at..].copy_from_slice(&shorter.to_be_bytes());
    let id = list.ids().next().expect("a part");
    let mut stored = world.memory.get(id).expect("stored");
    stored.truncate(2 * 4096);
    world.memory.put(id, stored);
    let cut = PartList::decode(&row).expect("valid");
    let (_, error) = world.read_all(&cut).await.expect_err("the last flag is missing");
    assert!(matches!(error, ReadError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_missing_part_is_told_apart_and_named() {
    let world = World::new();
    let list = world.blob(&[&content(5 * SEGMENT, 1), b"second"]);
    let ids: Vec<PartId> = list.ids().collect();
    world.store.delete(ids[1]).expect("deleted");
    let (read, error) = world.read_all(&list).await.expect_err("the second part is gone");
    assert!(matches!(error, ReadError::Missing(id) if id == ids[1]), "{error}");
    assert_eq!(read.len(), 5 * SEGMENT);
    world.store.delete(ids[0]).expect("deleted");
    let error = world.open(&list, 0..1).await.expect_err("the first part is gone");
    assert!(matches!(error, ReadError::Missing(id) if id == ids[0]), "{error}");
}

#[tokio::test]
async fn damage_further_on_ends_the_stream_after_what_was_sound() {
    let world = World::new();
    let plaintext = content(20 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let id = list.ids().next().expect("a part");
    let mut stored = world.memory.get(id).expect("stored");
    stored[10 * SEGMENT] ^= 1;
    world.memory.put(id, stored);
    let mut stream = world.open(&list, 0..list.len()).await.expect("the beginning is sound");
    let mut read = Vec::new();
    let error = loop {
        match stream.next().await.expect("no quiet end") {
            Ok(piece) => read.extend_from_slice(&piece),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Damaged(_)), "{error}");
    assert!(stream.next().await.is_none());
    assert_eq!(read.len(), 10 * (SEGMENT - 16) - 40);
    assert!(plaintext.starts_with(&read));
    assert_eq!(world.cell.live_ciphers(), 0);
}
