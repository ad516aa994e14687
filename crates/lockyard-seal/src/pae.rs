//! PASETO's pre-authentication encoding: many byte strings become one, without ambiguity.
//!
//! Whatever is bound to sealed bytes, and whatever a blind index hashes, goes through here first.
//! Plain concatenation would let `("ab", "c")` and `("a", "bc")` stand for each other.

/// Encodes `pieces` so that different lists never give the same bytes.
///
/// `LE64(count)`, then for each piece `LE64(length)` and its bytes; the top bit of each number is
/// clear (PASETO, `docs/01-Protocol-Versions/Common.md`, "PAE Definition").
pub fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let total = pieces.iter().fold(NUMBER_LEN, |sum, piece| sum + NUMBER_LEN + piece.len());
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&number(pieces.len()));
    for piece in pieces {
        out.extend_from_slice(&number(piece.len()));
        out.extend_from_slice(piece);
    }
    assert_eq!(out.len(), total, "the encoding is as long as was reckoned");
    out
}

const NUMBER_LEN: usize = 8;

fn number(value: usize) -> [u8; NUMBER_LEN] {
    const TOP_BIT: u64 = 1 << 63;
    let value = u64::try_from(value).expect("lengths in memory fit 64 bits");
    (value & !TOP_BIT).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_paseto_specification_hold() {
        assert_eq!(pae(&[]), b"\x00\x00\x00\x00\x00\x00\x00\x00");
        assert_eq!(pae(&[b""]), b"\x01\0\0\0\0\0\0\0\x00\0\0\0\0\0\0\0");
        assert_eq!(pae(&[b"test"]), b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0test");
    }

    fn decode(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut take = |count: usize| {
            let (head, tail) = bytes.split_at(count);
            bytes = tail;
            head.to_vec()
        };
        let mut read = |count: Option<usize>| match count {
            None => take(8),
            Some(count) => take(count),
        };
        let number = |raw: Vec<u8>| {
            usize::try_from(u64::from_le_bytes(raw.try_into().expect("eight bytes"))).unwrap()
        };
        let count = number(read(None));
        let pieces = (0..count)
            .map(|_| {
                let len = number(read(None));
                read(Some(len))
            })
            .collect();
        assert!(bytes.is_empty(), "nothing follows the last piece");
        pieces
    }

    proptest! {
        #[test]
        fn every_list_can_be_read_back_so_no_two_lists_collide(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12)
        ) {
            let borrowed: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(decode(&pae(&borrowed)), pieces);
        }

        #[test]
        fn moving_a_border_between_pieces_changes_the_encoding(
            joined in prop::collection::vec(any::<u8>(), 1..40), a in 0usize..40, b in 0usize..40
        ) {
            let (a, b) = (a % (joined.len() + 1), b % (joined.len() + 1));
            prop_assume!(a != b);
            prop_assert_ne!(
                pae(&[&joined[..a], &joined[a..]]),
                pae(&[&joined[..b], &joined[b..]])
            );
        }
    }
}
