//! Sealed streams: bytes that nobody sealed never open, and never panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_seal::{Layout, MainKey, SegmentSize};

fuzz_target!(|bytes: &[u8]| {
    let key = MainKey::from_bytes(&[7; 32]);
    for size in [SegmentSize::CURRENT, SegmentSize::ROW] {
        assert!(key.open(size, b"bound", bytes).is_err(), "a forgery opened");
        if let Ok(layout) = Layout::of_ciphertext(size, bytes.len() as u64) {
            assert_eq!(layout.ciphertext_len(), bytes.len() as u64);
            drop(Layout::of_plaintext(size, layout.plaintext_len()));
        }
    }
});
