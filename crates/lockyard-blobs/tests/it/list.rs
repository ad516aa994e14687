//! Part lists: what rows remember.

use lockyard_base::PartId;
use lockyard_blobs::{ListError, PARTS_PER_BLOB_MAX, PartList, PartWriter, SealedPart};
use proptest::prelude::*;
use static_assertions::assert_not_impl_any;

use crate::support::{World, encoded};

assert_not_impl_any!(SealedPart: Clone, PartialEq, std::fmt::Display);
assert_not_impl_any!(PartList: Clone, PartialEq, std::fmt::Display);
assert_not_impl_any!(PartWriter: Clone);

fn entry(seed: u8, len: u64) -> (PartId, u8, [u8; 32], u64) {
    (PartId::from_bytes([seed; 16]), 16, [seed; 32], len)
}

fn refused(bytes: &[u8]) -> ListError {
    PartList::decode(bytes).expect_err("not a part list")
}

#[test]
fn a_list_is_encoded_as_specified_and_reads_back() {
    let bytes = encoded(&[entry(1, 5), entry(2, 0), entry(3, 1 << 40)]);
    let list = PartList::decode(&bytes).expect("valid");
    assert_eq!((list.count(), list.len(), list.is_empty()), (3, (1 << 40) + 5, false));
    let ids: Vec<PartId> = [1, 2, 3].map(|seed| PartId::from_bytes([seed; 16])).into();
    assert_eq!(list.ids().collect::<Vec<_>>(), ids);
    let mut out = vec![9];
    list.encode(&mut out);
    assert_eq!(out[1..], bytes);
    assert_eq!(list.encoded_len(), bytes.len());
}

#[test]
fn a_list_without_parts_is_legal() {
    let mut out = Vec::new();
    PartList::new().encode(&mut out);
    assert_eq!(out, [1, 0, 0, 0, 0]);
    assert_eq!(PartList::decode(&out).expect("valid").count(), 0);
}

#[test]
fn every_cut_and_every_trailing_byte_is_refused() {
    let bytes = encoded(&[entry(1, 5), entry(2, 6)]);
    for len in 0..bytes.len() {
        assert_eq!(refused(&bytes[..len]), ListError::Malformed, "{len}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(refused(&longer), ListError::Malformed);
}

#[test]
fn unknown_versions_and_impossible_numbers_are_refused() {
    let mut bytes = encoded(&[entry(1, 5)]);
    for version in [0, 2, 255] {
        bytes[0] = version;
        assert_eq!(refused(&bytes), ListError::Version(version));
    }
    for log2 in [0, 11, 25, 255] {
        let (id, _, key, len) = entry(1, 5);
        assert_eq!(refused(&encoded(&[(id, log2, key, len)])), ListError::Malformed, "{log2}");
    }
    // 2^32 segments of 64 KiB hold less than this.
    assert_eq!(refused(&encoded(&[entry(1, u64::MAX)])), ListError::Malformed);
    assert_eq!(refused(&encoded(&[entry(1, 1 << 48)])), ListError::Malformed);
}

#[test]
fn lengths_that_overflow_together_are_refused() {
    // The longest part of the largest segments; 257 of them pass 2^64.
    let longest = (PartId::from_bytes([1; 16]), 24, [1; 32], (1 << 56) - (1 << 40));
    assert!(PartList::decode(&encoded(&vec![longest; 256])).is_ok());
    assert_eq!(refused(&encoded(&vec![longest; 257])), ListError::TooLong);
}

#[test]
fn a_blob_has_at_most_ten_thousand_parts() {
    let world = World::new();
    let mut list = PartList::decode(&encoded(&vec![entry(1, 1); PARTS_PER_BLOB_MAX - 1]))
        .expect("one below the limit");
    list.push(world.seal(b"x").expect("sealed")).expect("at the limit");
    assert_eq!(list.push(world.seal(b"x").expect("sealed")), Err(ListError::TooMany));
    assert_eq!(list.len(), PARTS_PER_BLOB_MAX as u64);
    let above = encoded(&vec![entry(1, 1); PARTS_PER_BLOB_MAX + 1]);
    assert_eq!(refused(&above), ListError::TooMany);
    // A count that would ask for more memory than there is.
    assert_eq!(refused(&[1, 255, 255, 255, 255]), ListError::TooMany);
}

#[test]
fn nothing_prints_a_key() {
    let list = PartList::decode(&encoded(&[entry(0xa5, 5)])).expect("valid");
    let shown = format!("{list:?}").replace(&"a5".repeat(16), "id");
    assert!(!shown.contains("a5") && !shown.contains("165"), "{shown}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_what_reads_encodes_to_the_same(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        count in 0_u8..4,
    ) {
        let mut framed = vec![1, 0, 0, 0, count];
        framed.extend_from_slice(&bytes);
        framed.resize(5 + usize::from(count) * 57, 0);
        for bytes in [&bytes, &framed] {
            if let Ok(list) = PartList::decode(bytes) {
                let mut out = Vec::new();
                list.encode(&mut out);
                prop_assert_eq!(&out, bytes);
            }
        }
    }
}
