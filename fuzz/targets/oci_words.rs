//! Names, tags, digests, references and ranges: no text panics, and what parses is written so that
//! it parses to itself.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use lockyard_oci::{
    ByteRange, ContentRange, Digest, MediaType, PageSize, Reference, RegistryName, RepositoryName,
    Tag,
};

fn stable<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "written differently than read");
    }
}

fuzz_target!(|text: &str| {
    stable::<Digest>(text);
    stable::<RepositoryName>(text);
    stable::<Tag>(text);
    stable::<Reference>(text);
    stable::<RegistryName>(text);
    stable::<MediaType>(text);
    drop(PageSize::parse_within(Some(text), PageSize::MAX, PageSize::MAX));
    drop(text.parse::<ContentRange>());
    let Some(range) = ByteRange::parse(text) else { return };
    for total in [0, 1, 1 << 40, u64::MAX] {
        if let Ok(bytes) = range.resolve(total) {
            assert!(bytes.start <= bytes.end && bytes.end <= total, "outside of the content");
        }
    }
});
