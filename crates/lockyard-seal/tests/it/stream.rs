//! Whole streams: what was sealed opens again, in one go, by segment, and from any offset.

use lockyard_base::SeededEntropy;
use lockyard_seal::{Damaged, Header, Layout, MainKey, Position, SegmentSize};
use proptest::prelude::*;

use crate::support::{AAD, FIRST, OTHER, SMALL, in_memory, key, opens, plaintext, sealed};

#[test]
fn a_stream_opens_again_at_every_boundary_length() {
    for log2 in [12, 13, 16, 18, 20] {
        let size = SegmentSize::from_log2(log2).unwrap();
        let (first, other) = (size.bytes() - 56, size.bytes() - 16);
        for border in [0, first, first + other, first + 2 * other] {
            for len in [border.saturating_sub(1), border, border + 1] {
                let content = plaintext(len);
                let stream = key().seal(&SeededEntropy::new(2), size, AAD, &content);
                let opened = key().open(size, AAD, &stream).expect("it was just sealed");
                assert_eq!(*opened, content, "{len} bytes in segments of 2^{log2}");
            }
        }
    }
}

#[test]
fn two_seals_of_one_plaintext_share_nothing() {
    let entropy = SeededEntropy::new(2);
    let (a, b) =
        (key().seal(&entropy, SMALL, AAD, &[0; 64]), key().seal(&entropy, SMALL, AAD, &[0; 64]));
    assert!(!a[1..].windows(8).any(|window| b.windows(8).any(|other| other == window)));
}

#[test]
fn a_stream_sealed_by_segment_is_the_stream_sealed_in_one_go() {
    for len in [0, 1, FIRST, FIRST + 1, FIRST + OTHER, FIRST + OTHER + 100] {
        let layout = Layout::of_plaintext(SMALL, len as u64).unwrap();
        let header = Header::generate(&SeededEntropy::new(9));
        let cipher = key().cipher(&header, AAD);
        let (mut content, mut stream) = (plaintext(len), header.as_bytes().to_vec());
        for index in 0..layout.segments() {
            let range = in_memory(layout.segment(index).plaintext);
            let tag = cipher.seal_in_place(layout.position(index), &mut content[range.clone()]);
            stream.extend_from_slice(&content[range]);
            stream.extend_from_slice(&tag);
        }
        assert_eq!(stream, sealed(9, len), "{len}");
    }
}

#[test]
fn one_key_with_other_associated_data_or_salt_is_another_cipher() {
    let (entropy, main) = (SeededEntropy::new(3), key());
    let (header, other) = (Header::generate(&entropy), Header::generate(&entropy));
    let position = Position { index: 0, last: true };
    let mut segment = [7u8; 32];
    let tag = main.cipher(&header, AAD).seal_in_place(position, &mut segment);
    let whole = [segment.as_slice(), &tag].concat();
    for cipher in [
        main.cipher(&header, b""),
        main.cipher(&other, AAD),
        MainKey::generate(&entropy).cipher(&header, AAD),
    ] {
        assert_eq!(cipher.open_in_place(position, &mut whole.clone()), Err(Damaged));
    }
    assert!(main.cipher(&header, AAD).open_in_place(position, &mut whole.clone()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_plaintext_opens_again(
        content in prop::collection::vec(any::<u8>(), 0..20_000),
        aad in prop::collection::vec(any::<u8>(), 0..300),
        seed in any::<u64>(), log2 in 12u8..=24
    ) {
        let size = SegmentSize::from_log2(log2).unwrap();
        let stream = key().seal(&SeededEntropy::new(seed), size, &aad, &content);
        let layout = Layout::of_plaintext(size, content.len() as u64).unwrap();
        prop_assert_eq!(stream.len() as u64, layout.ciphertext_len());
        let opened = key().open(size, &aad, &stream);
        prop_assert_eq!(opened.as_deref(), Ok(&content));
    }

    #[test]
    fn a_range_needs_no_segment_but_those_that_hold_it(
        len in 1usize..40_000, from in any::<usize>(), to in any::<usize>()
    ) {
        let stream = sealed(4, len);
        let (from, to) = (from % len, to % len);
        let (from, to) = (from.min(to), from.max(to));
        let layout = Layout::of_ciphertext(SMALL, stream.len() as u64).unwrap();
        let cipher = key().cipher(&Header::parse(&stream).unwrap(), AAD);
        let mut got = Vec::new();
        let segments = layout.holding(from as u64)..=layout.holding(to as u64);
        let start = layout.segment(*segments.start()).plaintext.start;
        for index in segments {
            let mut segment = stream[in_memory(layout.segment(index).ciphertext)].to_vec();
            got.extend_from_slice(cipher.open_in_place(layout.position(index), &mut segment).unwrap());
        }
        let skip = from - usize::try_from(start).unwrap();
        prop_assert_eq!(&got[skip..=skip + to - from], &plaintext(len)[from..=to]);
    }

    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..9000), header in any::<bool>()
    ) {
        if header && !bytes.is_empty() {
            bytes[0] = 40;
        }
        prop_assert!(!opens(&bytes));
    }
}
