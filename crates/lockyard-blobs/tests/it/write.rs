//! Writing parts.

use lockyard_base::PartId;
use lockyard_blobs::{Call, PartError, PartWriter, WriteError};

use crate::support::{FIRST, NEXT, SEGMENT, World, content};

#[tokio::test]
async fn a_part_of_no_bytes_is_legal_and_is_a_header_and_a_tag() {
    let world = World::new();
    let list = world.blob(&[b""]);
    assert_eq!((list.len(), list.count()), (0, 1));
    let id = list.ids().next().expect("one part");
    assert_eq!(world.memory.get(id).expect("stored").len(), 40 + 16);
    assert_eq!(world.read_all(&list).await.expect("readable"), b"");
}

#[tokio::test]
async fn lengths_around_each_segment_boundary_read_back() {
    let world = World::new();
    for segments in 0..4 {
        let boundary = FIRST + segments * NEXT;
        for len in [boundary - 1, boundary, boundary + 1] {
            let plaintext = content(len, 1);
            let list = world.blob(&[&plaintext]);
            let id = list.ids().next().expect("one part");
            let stored = world.memory.get(id).expect("stored").len();
            let sealed_segments = if len > boundary { segments + 2 } else { segments + 1 };
            assert_eq!(stored, 40 + len + 16 * sealed_segments, "{len}");
            assert!(world.read_all(&list).await.expect("readable") == plaintext, "{len}");
        }
    }
}

#[test]
fn the_store_gets_batches_of_a_mebibyte_and_never_plaintext() {
    let world = World::new();
    let plaintext = vec![b'p'; 3 << 20];
    let part = world.seal(&plaintext).expect("sealed");
    let sizes: Vec<usize> = world
        .faults
        .calls()
        .into_iter()
        .filter_map(|call| if let Call::Append(_, len) = call { Some(len) } else { None })
        .collect();
    assert_eq!(sizes[..3], [16 * SEGMENT; 3]);
    assert_eq!(sizes.len(), 4);
    let stored = world.memory.get(part.id()).expect("stored");
    assert!(!stored.windows(16).any(|window| window == &plaintext[..16]));
}

#[test]
fn the_same_bytes_sealed_twice_have_nothing_in_common() {
    let world = World::new();
    let parts = [world.seal(&[0; 4096]), world.seal(&[0; 4096])].map(|part| part.expect("sealed"));
    let [a, b] = parts.map(|part| world.memory.get(part.id()).expect("stored"));
    let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    // One byte in 256 is equal by chance, and the length byte always.
    assert!(equal < 60, "{equal}");
}

#[test]
fn an_id_that_exists_is_never_written_again() {
    let world = World::new();
    let part = world.seal(b"first").expect("sealed");
    let before = world.memory.get(part.id());
    let again = PartWriter::begin(&world.cell.handle(), &world.store, part.id(), &world.entropy);
    assert!(matches!(
        again.expect_err("refused"),
        WriteError::Store(PartError::Exists(id)) if id == part.id()
    ));
    assert_eq!(world.memory.get(part.id()), before);
}

#[test]
fn a_part_that_is_given_up_leaves_nothing() {
    let world = World::new();
    let mut writer = world.writer().expect("begun");
    writer.write(&content(3 << 20, 1)).expect("written");
    assert_eq!(world.memory.count(), 1);
    drop(writer);
    assert_eq!(world.memory.count(), 0);
    let mut writer = world.writer().expect("begun");
    writer.write(b"some").expect("written");
    writer.abort().expect("aborted");
    assert_eq!(world.memory.count(), 0);
    assert_eq!(world.cell.live_ciphers(), 0);
}

#[tokio::test]
async fn a_part_opens_in_its_own_registry_and_under_its_own_id_only() {
    let world = World::new();
    let list = world.blob(&[b"mine"]);
    let id = list.ids().next().expect("one part");
    let mut row = Vec::new();
    list.encode(&mut row);
    let other = PartId::from_bytes([0xee; 16]);
    row[5..21].copy_from_slice(other.as_bytes());
    world.memory.put(other, world.memory.get(id).expect("stored"));
    let moved = lockyard_blobs::PartList::decode(&row).expect("valid");
    assert!(world.read_all(&moved).await.is_err());

    let mut foreign = World::new();
    foreign.cell = lockyard_keyring::testing::TestCell::filled(
        lockyard_base::RegistryId::from_bytes([8; 16]),
        7,
    );
    foreign.memory.put(id, world.memory.get(id).expect("stored"));
    assert!(foreign.read_all(&list).await.is_err());
    assert_eq!(world.read_all(&list).await.expect("its own"), b"mine");
}
