//! Assertions of clients: no text panics, and nobody is believed who signed nothing.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use lockyard_access::issuer::Parameters;
use lockyard_fuzz::{House, RESOURCE};

thread_local! {
    static HOUSE: OnceCell<(House, String)> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    HOUSE.with(|cell| {
        let (house, good) = cell.get_or_init(|| {
            let house = House::new();
            let good = house.good();
            (house, good)
        });
        // As it is, and as the claims or the header of something that is well-formed otherwise.
        let text: String = bytes.iter().map(|byte| encoded(*byte)).collect();
        let inner = base64(bytes);
        let mut parts = good.split('.');
        let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let signature = parts.next().unwrap_or_default();
        for assertion in
            [text, format!("{header}.{inner}.{signature}"), format!("{inner}.{claims}.{signature}")]
        {
            let form = format!(
                "grant_type=client_credentials&client_id={}&scope={RESOURCE}/.default\
                 &client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer\
                 &client_assertion={assertion}",
                house.founding.client
            );
            if let Ok(parameters) = Parameters::parse(form.as_bytes()) {
                assert!(house.token(parameters).is_none(), "a forgery was believed");
            }
        }
    });
});

fn encoded(byte: u8) -> String {
    format!("%{byte:02X}")
}

/// The bytes as a part of a token.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (place, byte)| bits | u32::from(*byte) << (16 - 8 * place));
        for letter in 0..=group.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * letter)) as usize & 63]));
        }
    }
    text
}
