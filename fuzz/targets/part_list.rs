//! Part lists: what decodes is encoded to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_blobs::PartList;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(list) = PartList::decode(bytes) {
        let mut again = Vec::new();
        list.encode(&mut again);
        assert_eq!(again, bytes);
    }
});
