//! Manifests: no bytes panic, and nothing that is too large, too deep or too wide is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_oci::{MANIFEST_BYTES_MAX, Manifest, MediaType};

fuzz_target!(|bytes: &[u8]| {
    for media_type in [
        None,
        Some("application/vnd.oci.image.manifest.v1+json"),
        Some("application/vnd.oci.image.index.v1+json"),
        Some("application/vnd.docker.distribution.manifest.list.v2+json"),
    ] {
        let media_type = media_type.and_then(|text| text.parse::<MediaType>().ok());
        if Manifest::parse(media_type.as_ref(), bytes).is_ok() {
            assert!(bytes.len() <= MANIFEST_BYTES_MAX);
        }
    }
});
