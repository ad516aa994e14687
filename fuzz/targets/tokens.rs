//! Bearer tokens: no text panics, and no text but a token that was issued is believed, whatever is
//! changed in one.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use lockyard_access::Audience;
use lockyard_fuzz::House;

thread_local! {
    static HOUSE: OnceCell<(House, String)> = const { OnceCell::new() };
}

const AUDIENCES: [Audience; 3] = [Audience::Management, Audience::Graph, Audience::Vault];

fuzz_target!(|bytes: &[u8]| {
    HOUSE.with(|cell| {
        let (house, good) = cell.get_or_init(|| {
            let house = House::new();
            let good = house.good();
            assert!(house.issuer.verify(&good, Audience::Management).is_ok(), "it was issued");
            (house, good)
        });
        let text = String::from_utf8_lossy(bytes);
        for candidate in [text.clone().into_owned(), changed(good, bytes), joined(good, &text)] {
            for audience in AUDIENCES {
                let verified = house.issuer.verify(&candidate, audience);
                let issued = candidate == *good && audience == Audience::Management;
                assert_eq!(verified.is_ok(), issued, "{candidate:?}");
            }
        }
    });
});

/// The good token with some of its letters replaced: pairs of a place and a letter.
fn changed(good: &str, bytes: &[u8]) -> String {
    let mut token: Vec<u8> = good.bytes().collect();
    for change in bytes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % token.len();
        token[place] = change[2] & 0x7f;
    }
    String::from_utf8_lossy(&token).into_owned()
}

/// Parts of another text under the good token's signature.
fn joined(good: &str, text: &str) -> String {
    let signature = good.rsplit('.').next().unwrap_or_default();
    format!("{text}.{signature}")
}
