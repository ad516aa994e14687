//! Everything that can be done to a sealed stream at rest: it is always noticed.

use lockyard_base::SeededEntropy;
use lockyard_seal::{Damaged, Header, MainKey, Position, SegmentSize};
use proptest::prelude::*;

use crate::support::{AAD, FIRST, OTHER, SMALL, apart, key, opens, plaintext, sealed, together};

#[test]
fn every_changed_bit_of_a_short_stream_is_damaged() {
    let stream = sealed(1, 100);
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut changed = stream.clone();
            changed[at] ^= 1 << bit;
            assert!(!opens(&changed), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn every_changed_bit_of_a_stream_of_three_segments_is_damaged() {
    let mut stream = sealed(1, FIRST + OTHER + 500);
    for at in 0..stream.len() {
        for bit in 0..8 {
            stream[at] ^= 1 << bit;
            assert!(!opens(&stream), "bit {bit} of byte {at}");
            stream[at] ^= 1 << bit;
        }
    }
    assert!(opens(&stream), "nothing but the changes made it fail");
}

#[test]
fn a_stream_cut_at_any_byte_is_damaged() {
    for len in [FIRST + OTHER + 500, FIRST + 2 * OTHER] {
        let stream = sealed(1, len);
        for cut in 0..stream.len() {
            assert!(!opens(&stream[..cut]), "{cut} of {}", stream.len());
        }
    }
}

#[test]
fn a_stream_cut_at_its_front_or_with_a_byte_left_out_is_damaged() {
    let stream = sealed(1, FIRST + 200);
    for at in 0..stream.len() {
        assert!(at == 0 || !opens(&stream[at..]), "{at} bytes cut off in front");
        let mut without = stream.clone();
        without.remove(at);
        assert!(!opens(&without), "byte {at} left out");
    }
}

#[test]
fn bytes_put_behind_a_stream_are_damaged() {
    for len in [0, 100, FIRST, FIRST + OTHER] {
        let stream = sealed(1, len);
        for extra in [1, 15, 16, 17, 4096, 5000] {
            let longer = [stream.clone(), vec![0; extra]].concat();
            assert!(!opens(&longer), "{extra} bytes behind {len}");
        }
        assert!(!opens(&[stream.clone(), stream].concat()));
    }
}

#[test]
fn a_swapped_dropped_or_repeated_segment_is_damaged() {
    let (header, segments) = apart(&sealed(1, FIRST + 4 * OTHER));
    assert_eq!(segments.len(), 5);
    for a in 0..5 {
        let mut dropped = segments.clone();
        dropped.remove(a);
        assert!(!opens(&together(&header, &dropped)), "{a} dropped");
        for b in 0..5 {
            let mut repeated = segments.clone();
            repeated.insert(b, segments[a].clone());
            assert!(!opens(&together(&header, &repeated)), "{a} repeated at {b}");
            if a != b {
                let mut swapped = segments.clone();
                swapped.swap(a, b);
                assert!(!opens(&together(&header, &swapped)), "{a} and {b} swapped");
            }
        }
    }
}

#[test]
fn a_segment_from_another_stream_of_the_same_key_and_binding_is_damaged() {
    let len = FIRST + 2 * OTHER;
    let ((header, mine), (foreign_header, foreign)) =
        (apart(&sealed(1, len)), apart(&sealed(2, len)));
    assert!(!opens(&together(&foreign_header, &mine)));
    for at in 0..mine.len() {
        let mut mixed = mine.clone();
        mixed[at].clone_from(&foreign[at]);
        assert!(!opens(&together(&header, &mixed)), "segment {at}");
    }
}

#[test]
fn a_stream_whose_last_flags_are_wrong_is_damaged() {
    // Sealed by someone who holds the key: the flag is checked even where lengths agree.
    let header = Header::generate(&SeededEntropy::new(3));
    let cipher = key().cipher(&header, AAD);
    let segment = |index, last, len: usize| {
        let mut segment = plaintext(len);
        let tag = cipher.seal_in_place(Position { index, last }, &mut segment);
        [segment, tag.to_vec()].concat()
    };
    for (first, second, right) in
        [(false, true, true), (false, false, false), (true, true, false), (true, false, false)]
    {
        let segments = [segment(0, first, FIRST), segment(1, second, 77)];
        assert_eq!(opens(&together(header.as_bytes(), &segments)), right, "{first} {second}");
    }
    let ends_early = together(header.as_bytes(), &[segment(0, false, 77)]);
    assert!(!opens(&ends_early));
    let empty_last = [segment(0, false, FIRST), segment(1, true, 0)];
    assert!(!opens(&together(header.as_bytes(), &empty_last)), "it is not canonical");
}

#[test]
fn another_key_binding_or_segment_size_is_damaged() {
    for len in [0, 10, FIRST, FIRST + OTHER + 9] {
        let stream = sealed(1, len);
        assert!(key().open(SMALL, AAD, &stream).is_ok());
        let other = MainKey::generate(&SeededEntropy::new(77));
        assert_eq!(other.open(SMALL, AAD, &stream).err(), Some(Damaged));
        for aad in [&b""[..], &AAD[1..], &AAD[..AAD.len() - 1], &[AAD, b"\0"].concat()] {
            assert_eq!(key().open(SMALL, aad, &stream).err(), Some(Damaged), "{aad:?}");
        }
        // A stream of one segment looks the same in every size; that is why the size is bound.
        for log2 in 13..=24 {
            let size = SegmentSize::from_log2(log2).unwrap();
            assert_eq!(key().open(size, AAD, &stream).is_ok(), len <= FIRST, "{len} 2^{log2}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn segments_in_any_other_order_or_number_are_damaged(
        order in prop::collection::vec(0usize..4, 0..7)
    ) {
        let (header, segments) = apart(&sealed(1, FIRST + 2 * OTHER + 300));
        let picked: Vec<_> = order.iter().map(|&index| segments[index].clone()).collect();
        prop_assert_eq!(opens(&together(&header, &picked)), order == [0, 1, 2, 3]);
    }

    #[test]
    fn any_splice_of_a_stream_is_damaged(
        len in 0usize..9000, at in any::<usize>(), gone in 0usize..300,
        put in prop::collection::vec(any::<u8>(), 0..300)
    ) {
        let stream = sealed(1, len);
        let at = at % (stream.len() + 1);
        let mut spliced = stream.clone();
        spliced.splice(at..(at + gone).min(stream.len()), put);
        prop_assert_eq!(opens(&spliced), spliced == stream);
    }
}
