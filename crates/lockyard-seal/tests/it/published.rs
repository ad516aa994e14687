//! The published vectors hold: those that should open do, the others do not, and the files are what
//! `examples/vectors.rs` prints.

use std::{fs, path::PathBuf};

use lockyard_base::{Epoch, PartId, RegistryId, RowId};
use lockyard_seal::{
    Bound, Damaged, IndexKey, MainKey, SegmentSize, hkdf, hkdf_expand, pae, part_aad,
};
use serde::de::DeserializeOwned;

use crate::{
    keys::{KINDS, keys},
    streams::{plaintext, streams},
    vectors::{Hex, Keys, Negative, Piece, Positive, Streams},
};

const STREAMS: &str = "sealed-stream.json";
const KEYS: &str = "keys.json";

fn published<T: DeserializeOwned>(name: &str) -> T {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/vectors").join(name);
    let text = fs::read_to_string(&path).expect("the vectors are part of the repository");
    serde_json::from_str(&text).expect("the published vectors have the published form")
}

/// The plaintext, unless the stream is damaged.
fn open(stream: &Positive) -> Option<Vec<u8>> {
    let main = MainKey::from_bytes(&stream.main_key.array());
    let size = SegmentSize::from_log2(stream.log2_segment).expect("a known size");
    match main.open(size, &stream.aad.0, &stream.sealed.0) {
        Ok(opened) => Some(opened.to_vec()),
        Err(Damaged) => None,
    }
}

/// The stream as a positive one would be, with the defect.
fn with_defect(negative: &Negative, positive: &Positive) -> Positive {
    assert_eq!(negative.of, positive.name);
    let pieces = negative.sealed.iter().map(|piece| match piece {
        Piece::Range([from, to]) => &positive.sealed.0[*from..*to],
        Piece::Bytes(bytes) => &bytes.0,
    });
    Positive {
        name: negative.name.clone(),
        main_key: negative.main_key.as_ref().unwrap_or(&positive.main_key).clone(),
        aad: negative.aad.as_ref().unwrap_or(&positive.aad).clone(),
        log2_segment: negative.log2_segment.unwrap_or(positive.log2_segment),
        plaintext_len: 0,
        sealed: Hex(pieces.collect::<Vec<_>>().concat()),
    }
}

#[test]
fn the_published_files_are_what_the_generator_makes() {
    let again = "cargo run -p lockyard-seal --example vectors -- sealed-stream (or keys)";
    assert!(published::<Streams>(STREAMS) == streams(), "differs from `{again}`");
    assert!(published::<Keys>(KEYS) == keys(), "differs from `{again}`");
}

#[test]
fn every_positive_stream_opens() {
    let streams = published::<Streams>(STREAMS);
    assert!(streams.positive.len() >= 13);
    for stream in &streams.positive {
        assert_eq!(open(stream), Some(plaintext(stream.plaintext_len)), "{}", stream.name);
    }
}

#[test]
fn every_negative_stream_is_damaged() {
    let streams = published::<Streams>(STREAMS);
    assert!(streams.negative.len() >= 50);
    for negative in &streams.negative {
        let positive = streams.positive.iter().find(|positive| positive.name == negative.of);
        let stream = with_defect(negative, positive.expect("a negative names a positive"));
        assert_eq!(open(&stream), None, "{}", negative.name);
    }
}

#[test]
fn no_two_vectors_share_a_name() {
    let streams = published::<Streams>(STREAMS);
    let mut names: Vec<&str> = streams.negative.iter().map(|stream| stream.name.as_str()).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_published_encodings_bindings_and_indexes_hold() {
    let keys = published::<Keys>(KEYS);
    for case in &keys.pae {
        let pieces: Vec<&[u8]> = case.pieces.iter().map(|piece| piece.0.as_slice()).collect();
        assert_eq!(pae(&pieces), case.encoded.0, "{case:?}");
    }
    for case in &keys.bound_row {
        let clear: Vec<&[u8]> = case.clear.iter().map(|piece| piece.0.as_slice()).collect();
        let place = Bound {
            table: &case.table,
            column: &case.column,
            registry: RegistryId::from_bytes(case.registry.array()),
            epoch: Epoch::new(case.epoch),
            row: RowId::from_bytes(Hex(hex::decode(&case.row).unwrap()).array()),
            index: &case.index.0,
            clear: &clear,
        };
        assert_eq!(place.aad(), case.aad.0, "{case:?}");
    }
    for case in &keys.bound_part {
        let size = SegmentSize::from_log2(case.log2_segment).unwrap();
        let part: PartId = case.part.parse().unwrap();
        let aad = part_aad(size, RegistryId::from_bytes(case.registry.array()), part);
        assert_eq!(aad, case.aad.0, "{case:?}");
    }
    for case in &keys.blind_index {
        let (_, kind) = KINDS.iter().find(|(name, _)| *name == case.kind).expect("a known kind");
        let scope = case.scope.as_ref().map(|scope| scope.parse().unwrap());
        let key = IndexKey::from_bytes(&case.index_key.array());
        assert_eq!(key.blind(*kind, scope, &case.value.0).as_bytes()[..], case.index.0, "{case:?}");
    }
}

#[test]
fn the_published_derivations_hold_and_what_they_seal_opens() {
    let keys = published::<Keys>(KEYS);
    for case in &keys.service_purpose {
        let derived = hkdf(b"", &case.service_key.0, case.info.as_bytes());
        assert_eq!(derived[..], case.derived.0, "{case:?}");
    }
    for case in &keys.registry_key {
        let wrapping = hkdf(b"", &case.service_key.0, b"lockyard/v1/service-share");
        let share = MainKey::from_bytes(&wrapping)
            .open(SegmentSize::ROW, &case.service_share_aad.0, &case.sealed_service_share.0)
            .expect("a sealed service share opens");
        assert_eq!(*share, case.service_share.0);

        let customer = case.customer_share.as_ref().map_or(&[][..], |share| &share.0);
        let registry_key = hkdf(&case.salt.0, &[&share, customer].concat(), case.info.as_bytes());
        assert_eq!(registry_key[..], case.registry_key.0);
        assert_eq!(hkdf_expand(&registry_key, b"lockyard/v1/check")[..], case.check.0);
        let row_key = hkdf_expand(&registry_key, b"lockyard/v1/row");
        assert_eq!(row_key[..], case.row_key.0);
        let index_key = MainKey::from_bytes(&row_key)
            .open(SegmentSize::ROW, &case.index_key_aad.0, &case.sealed_index_key.0)
            .expect("a sealed index key opens");
        assert_eq!(*index_key, case.index_key.0);
    }
}
