//! Makes `docs/spec/vectors/sealed-stream.json`, always the same.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lockyard_base::{Entropy, Epoch, PartId, RegistryId, RowId, SeededEntropy};
use lockyard_seal::{
    Bound, FORMAT_VERSION, Header, MainKey, Position, SegmentSize, hkdf, pae, part_aad,
};

use crate::vectors::{Hex, Negative, Piece, Positive, Streams};

const ABOUT: &str = "Vectors of docs/spec/sealed-stream.md. Bytes are hexadecimal. Byte i of a \
    plaintext is (7i + i div 256) mod 256. A negative stream is the concatenation of its pieces: \
    [from, to] is that range of the positive stream it names, a string is other bytes. Tink's \
    reader opens those that have tink_reads, to a plaintext of that length.";

/// Plaintext bytes in the first and in every other full segment of 4 KiB.
const FIRST: usize = 4096 - 40 - 16;
const OTHER: usize = 4096 - 16;
/// The positive stream that most defects are shown on: four segments, the last one short.
const FOUR: &str = "four segments";

pub(crate) fn streams() -> Streams {
    let positive = positive();
    let negative = negative(&positive);
    Streams { about: ABOUT.to_owned(), positive, negative }
}

/// The plaintext that stands in the vectors by its length alone.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|at| (7 * at + at / 256).to_le_bytes()[0]).collect()
}

fn positive() -> Vec<Positive> {
    let entropy: &dyn Entropy = &SeededEntropy::new(0x5ea1);
    let registry = RegistryId::from_bytes([0x11; 16]);
    let four_kib = pae(&[&[FORMAT_VERSION], b"example"]);
    let row = Bound {
        table: "tag",
        column: "sealed",
        registry,
        epoch: Epoch::FIRST,
        row: RowId::from_bytes([0x22; 16]),
        index: &[0x33; 32],
        clear: &[],
    };
    let part = PartId::from_bytes([0x44; 16]);
    let row_size = SegmentSize::ROW.log2();
    let part_size = SegmentSize::from_log2(16).expect("64 KiB segments are understood");
    let cases: [(&str, u8, Vec<u8>, usize); 13] = [
        ("empty plaintext", 12, four_kib.clone(), 0),
        ("one byte", 12, four_kib.clone(), 1),
        ("one byte less than a full first segment", 12, four_kib.clone(), FIRST - 1),
        ("a full first segment", 12, four_kib.clone(), FIRST),
        ("one byte more than a full first segment", 12, four_kib.clone(), FIRST + 1),
        ("two full segments", 12, four_kib.clone(), FIRST + OTHER),
        ("one byte more than two full segments", 12, four_kib.clone(), FIRST + OTHER + 1),
        (FOUR, 12, four_kib, FIRST + 2 * OTHER + 100),
        ("no associated data", 12, Vec::new(), 16),
        ("long associated data", 12, plaintext(5000), 16),
        ("a row", row_size, row.aad(), 200),
        ("a part of two segments", 16, part_aad(part_size, registry, part), 65_536),
        ("the largest segment size", 24, vec![0xff], 33),
    ];
    cases
        .into_iter()
        .map(|(name, log2_segment, aad, plaintext_len)| {
            let main = MainKey::generate(entropy);
            let size = SegmentSize::from_log2(log2_segment).expect("a known size");
            let sealed = main.seal(entropy, size, &aad, &plaintext(plaintext_len));
            Positive {
                name: name.to_owned(),
                main_key: Hex::from(main.dangerous_expose()),
                aad: Hex(aad),
                log2_segment,
                plaintext_len,
                sealed: Hex(sealed),
            }
        })
        .collect()
}

fn negative(positive: &[Positive]) -> Vec<Negative> {
    let named = |name: &str| {
        positive.iter().find(|stream| stream.name == name).expect("a stream of this name")
    };
    let four = named(FOUR);
    let mut all = lengths(four, named("two full segments"));
    all.extend(changed_bytes(four));
    all.extend(rearranged(four));
    all.extend(foreign(four, named("one byte more than a full first segment")));
    all.extend(missealed(named("two full segments")));
    all.extend(misderived(named("two full segments")));
    all
}

/// Offsets of the segments of [`FOUR`]: header, then four segments.
const PLACES: [[usize; 2]; 4] = [[40, 4096], [4096, 8192], [8192, 12_288], [12_288, 12_288 + 116]];
const HEADER: Piece = Piece::Range([0, 40]);

fn lengths(four: &Positive, full: &Positive) -> Vec<Negative> {
    let end = four.sealed.0.len();
    assert_eq!(end, PLACES[3][1], "the places of the segments are right");
    let cut = |name, to| defect(name, four, vec![Piece::Range([0, to])]);
    vec![
        defect("nothing at all", four, vec![]),
        cut("cut within the header", 39),
        cut("a header and nothing else", 40),
        cut("cut within the only tag", 55),
        cut("a header and a tag", 56),
        cut("cut within the first segment", 4000),
        cut("cut behind the first segment", 4096),
        cut("cut a tag's length behind the second segment", 8192 + 16),
        cut("cut before the last segment", PLACES[3][0]),
        cut("cut before the last tag", end - 16),
        cut("one byte cut off", end - 1),
        defect("one byte appended", four, vec![Piece::Range([0, end]), Hex(vec![0]).into()]),
        defect(
            "a second stream appended",
            four,
            vec![Piece::Range([0, end]), Piece::Range([0, end])],
        ),
        Negative {
            tink_reads: Some(full.plaintext_len),
            ..defect(
                "sixteen zero bytes appended to full segments",
                full,
                vec![Piece::Range([0, 8192]), Hex(vec![0; 16]).into()],
            )
        },
    ]
}

fn changed_bytes(four: &Positive) -> Vec<Negative> {
    let end = four.sealed.0.len();
    let put = |name: &str, at: usize, byte: u8| {
        let pieces =
            vec![Piece::Range([0, at]), Hex(vec![byte]).into(), Piece::Range([at + 1, end])];
        defect(name, four, pieces)
    };
    let flip = |name: &str, at: usize, bit: u8| put(name, at, four.sealed.0[at] ^ (1 << bit));
    vec![
        put("header length 0", 0, 0),
        put("header length 24", 0, 24),
        put("header length 39", 0, 39),
        put("header length 41", 0, 41),
        flip("a bit of the salt's first byte changed", 1, 0),
        flip("a bit of the salt's last byte changed", 32, 7),
        flip("a bit of the nonce prefix's first byte changed", 33, 0),
        flip("a bit of the nonce prefix's last byte changed", 39, 7),
        flip("a bit of the first segment changed", 40, 3),
        flip("a bit of the first tag changed", 4095, 0),
        flip("a bit of the second segment changed", 5000, 5),
        flip("a bit of the last segment changed", PLACES[3][0], 1),
        flip("a bit of the last tag changed", end - 1, 7),
    ]
}

fn rearranged(four: &Positive) -> Vec<Negative> {
    let order = |name: &str, order: &[usize]| {
        let segments = order.iter().map(|&index| Piece::Range(PLACES[index]));
        defect(name, four, std::iter::once(HEADER).chain(segments).collect())
    };
    vec![
        order("first segment dropped", &[1, 2, 3]),
        order("second segment dropped", &[0, 2, 3]),
        order("third segment dropped", &[0, 1, 3]),
        order("second segment repeated", &[0, 1, 1, 2, 3]),
        order("second segment in place of the third", &[0, 1, 1, 3]),
        order("last segment repeated", &[0, 1, 2, 3, 3]),
        order("second and third segment swapped", &[0, 2, 1, 3]),
        order("third segment and last segment swapped", &[0, 1, 3, 2]),
        order("reversed segments", &[3, 2, 1, 0]),
    ]
}

/// Streams that open under another key, binding or size, or that another stream was mixed into.
fn foreign(four: &Positive, short: &Positive) -> Vec<Negative> {
    let whole = vec![Piece::Range([0, four.sealed.0.len()])];
    let plain = |name: &str| defect(name, four, whole.clone());
    let entropy: &dyn Entropy = &SeededEntropy::new(0xf0e);
    let size = SegmentSize::from_log2(four.log2_segment).expect("a known size");
    let main = MainKey::from_bytes(&four.main_key.array());
    let twin = main.seal(entropy, size, &four.aad.0, &plaintext(four.plaintext_len));
    let mixed = |name: &str, index: usize| {
        let [from, to] = PLACES[index];
        let pieces = vec![
            Piece::Range([0, from]),
            Hex::from(&twin[from..to]).into(),
            Piece::Range([to, four.sealed.0.len()]),
        ];
        defect(name, four, pieces)
    };
    let mut other_header = whole.clone();
    other_header[0] = Piece::Range([40, four.sealed.0.len()]);
    other_header.insert(0, Hex::from(&twin[..40]).into());
    vec![
        Negative { main_key: Some(Hex(entropy.bytes::<32>().to_vec())), ..plain("another key") },
        Negative { aad: Some(Hex(vec![])), ..plain("no associated data") },
        Negative {
            aad: Some(Hex::from([four.aad.0.as_slice(), &[0]].concat())),
            ..plain("associated data with a byte more")
        },
        Negative { log2_segment: Some(13), ..plain("segments taken to be 8 KiB") },
        Negative { log2_segment: Some(14), ..plain("segments taken to be 16 KiB") },
        Negative {
            log2_segment: Some(13),
            ..defect(
                "two segments taken to be one of 8 KiB",
                short,
                vec![Piece::Range([0, short.sealed.0.len()])],
            )
        },
        defect("the header of another stream of the same key", four, other_header),
        mixed("the second segment of another stream of the same key", 1),
        mixed("the last segment of another stream of the same key", 3),
    ]
}

/// Streams that someone who holds the key sealed in another way than the specification says.
fn missealed(full: &Positive) -> Vec<Negative> {
    let main = MainKey::from_bytes(&full.main_key.array());
    let header = Header::parse(&full.sealed.0).expect("the header of a positive stream");
    let cipher = main.cipher(&header, &full.aad.0);
    let content = plaintext(full.plaintext_len);
    let sealed = |index: u32, last: bool, content: &[u8]| {
        let mut segment = content.to_vec();
        let tag = cipher.seal_in_place(Position { index, last }, &mut segment);
        Piece::Bytes(Hex([segment, tag.to_vec()].concat()))
    };
    let (one, two) = content.split_at(FIRST);
    let first = || Piece::Range([0, 4096]);
    let second = || Piece::Range([4096, 8192]);
    vec![
        defect("last flag missing", full, vec![first(), sealed(1, false, two)]),
        Negative {
            tink_reads: Some(FIRST),
            ..defect(
                "last flag on every segment",
                full,
                vec![HEADER, sealed(0, true, one), second()],
            )
        },
        Negative {
            tink_reads: Some(FIRST),
            ..defect(
                "last flag on an early segment only",
                full,
                vec![HEADER, sealed(0, true, one), sealed(1, false, two)],
            )
        },
        Negative {
            tink_reads: Some(FIRST),
            ..defect(
                "an empty last segment behind a full one",
                full,
                vec![first(), sealed(1, true, b"")],
            )
        },
        defect(
            "a stream that ends without its last flag",
            full,
            vec![HEADER, sealed(0, false, &one[..100])],
        ),
        defect("counter from one", full, vec![HEADER, sealed(1, false, one), sealed(2, true, two)]),
        defect("a number left out", full, vec![first(), sealed(2, true, two)]),
        defect("counter little-endian", full, vec![first(), sealed(1 << 24, true, two)]),
    ]
}

/// Streams sealed by someone who read the derivation or the nonce wrongly.
fn misderived(full: &Positive) -> Vec<Negative> {
    let content = plaintext(100);
    let short_of = |name: &str, derived: &[u8; 32], aad: &[u8], nonce: [u8; 12]| {
        let segment = raw(derived, nonce, aad, &content);
        defect(name, full, vec![HEADER, Hex(segment).into()])
    };
    let prefix = &full.sealed.0[33..40];
    let nonce = |tail: [u8; 5]| -> [u8; 12] {
        [prefix, &tail].concat().try_into().expect("seven and five bytes")
    };
    let right = hkdf(&full.sealed.0[1..33], &full.main_key.0, &full.aad.0);
    let without_aad = hkdf(&full.sealed.0[1..33], &full.main_key.0, b"");
    let crossed = hkdf(&full.aad.0, &full.main_key.0, &full.sealed.0[1..33]);
    vec![
        short_of(
            "sealed under the main key itself",
            &full.main_key.array(),
            b"",
            nonce([0, 0, 0, 0, 1]),
        ),
        short_of("salt and associated data exchanged", &crossed, b"", nonce([0, 0, 0, 0, 1])),
        short_of(
            "associated data given to the cipher and not to the derivation",
            &without_aad,
            &full.aad.0,
            nonce([0, 0, 0, 0, 1]),
        ),
        short_of(
            "associated data given to the cipher as well",
            &right,
            &full.aad.0,
            nonce([0, 0, 0, 0, 1]),
        ),
        short_of("last flag before the counter", &right, b"", nonce([1, 0, 0, 0, 0])),
        short_of("last flag 255", &right, b"", nonce([0, 0, 0, 0, 255])),
    ]
}

fn raw(key: &[u8; 32], nonce: [u8; 12], aad: &[u8], content: &[u8]) -> Vec<u8> {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
    let mut segment = content.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut segment)
        .expect("a short segment can be sealed");
    segment
}

fn defect(name: &str, of: &Positive, sealed: Vec<Piece>) -> Negative {
    Negative {
        name: name.to_owned(),
        of: of.name.clone(),
        main_key: None,
        aad: None,
        log2_segment: None,
        tink_reads: None,
        sealed,
    }
}

impl From<Hex> for Piece {
    fn from(bytes: Hex) -> Self {
        Self::Bytes(bytes)
    }
}
