//! Makes `docs/spec/vectors/keys.json`, always the same.

use lockyard_base::{Entropy, Epoch, PartId, RegistryId, RepositoryId, RowId, SeededEntropy};
use lockyard_seal::{
    Bound, IndexKey, IndexKind, MainKey, SegmentSize, hkdf, hkdf_expand, pae, part_aad,
};

use crate::vectors::{Blind, BoundPart, BoundRow, EpochKeys, Hex, Keys, Pae, Purpose};

const ABOUT: &str = "Vectors of docs/spec/keys.md. Bytes are hexadecimal; row ids, part ids and \
    scopes are text.";

pub(crate) const KINDS: [(&str, IndexKind); 5] = [
    ("repository", IndexKind::Repository),
    ("tag", IndexKind::Tag),
    ("digest", IndexKind::Digest),
    ("registry", IndexKind::Registry),
    ("record", IndexKind::Record),
];

pub(crate) fn keys() -> Keys {
    let entropy: &dyn Entropy = &SeededEntropy::new(0x4e75);
    Keys {
        about: ABOUT.to_owned(),
        pae: encodings(),
        bound_row: rows(),
        bound_part: parts(),
        blind_index: blind(entropy),
        service_purpose: purposes(entropy),
        registry_key: vec![
            registry_key(entropy, 1, Customer::Without),
            registry_key(entropy, 1, Customer::With),
            registry_key(entropy, 0x0102_0304_0506_0708, Customer::With),
        ],
    }
}

fn encodings() -> Vec<Pae> {
    let lists: [&[&[u8]]; 7] = [
        &[],
        &[b""],
        &[b"", b""],
        &[b"test"],
        &[b"ab", b"c"],
        &[b"a", b"bc"],
        &[&[0x55; 300], b"\0"],
    ];
    lists
        .into_iter()
        .map(|pieces| Pae {
            pieces: pieces.iter().map(Hex::from).collect(),
            encoded: Hex(pae(pieces)),
        })
        .collect()
}

fn rows() -> Vec<BoundRow> {
    let plain = Bound {
        table: "repository",
        column: "sealed",
        registry: RegistryId::from_bytes([0xa1; 16]),
        epoch: Epoch::FIRST,
        row: RowId::from_bytes([0xb2; 16]),
        index: &[0xc3; 32],
        clear: &[],
    };
    let places = [
        plain,
        Bound { index: &[], ..plain },
        Bound { epoch: Epoch::new(u64::MAX), clear: &[b"one", b"", &[0, 1]], ..plain },
        Bound {
            table: "instance_record",
            registry: RegistryId::from_bytes([0; 16]),
            epoch: Epoch::new(0),
            clear: &[b"directory"],
            ..plain
        },
    ];
    places
        .iter()
        .map(|place| BoundRow {
            table: place.table.to_owned(),
            column: place.column.to_owned(),
            registry: Hex::from(place.registry.as_bytes()),
            epoch: place.epoch.number(),
            row: place.row.to_string(),
            index: Hex::from(place.index),
            clear: place.clear.iter().map(Hex::from).collect(),
            aad: Hex(place.aad()),
        })
        .collect()
}

fn parts() -> Vec<BoundPart> {
    [12, 16, 24]
        .into_iter()
        .map(|log2_segment| {
            let size = SegmentSize::from_log2(log2_segment).expect("a known size");
            let registry = RegistryId::from_bytes([0xa1; 16]);
            let part = PartId::from_bytes([0xd4; 16]);
            BoundPart {
                log2_segment,
                registry: Hex::from(registry.as_bytes()),
                part: part.to_string(),
                aad: Hex(part_aad(size, registry, part)),
            }
        })
        .collect()
}

fn blind(entropy: &dyn Entropy) -> Vec<Blind> {
    let key = IndexKey::generate(entropy);
    let scope = RepositoryId::from_bytes([0xe5; 16]);
    let digest = b"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let cases: [(usize, Option<RepositoryId>, &[u8]); 8] = [
        (0, None, b"library/alpine"),
        (1, Some(scope), b"latest"),
        (1, None, b"latest"),
        (2, Some(scope), digest),
        (2, None, digest),
        (3, None, b"lockyard"),
        (4, None, b"owner"),
        (4, None, b""),
    ];
    cases
        .into_iter()
        .map(|(kind, scope, value)| Blind {
            index_key: Hex::from(key.dangerous_expose()),
            kind: KINDS[kind].0.to_owned(),
            scope: scope.map(|id| id.to_string()),
            value: Hex::from(value),
            index: Hex::from(key.blind(KINDS[kind].1, scope, value).as_bytes()),
        })
        .collect()
}

const SERVICE_SHARE: &str = "lockyard/v1/service-share";

fn purposes(entropy: &dyn Entropy) -> Vec<Purpose> {
    let service_key = entropy.bytes::<32>();
    [SERVICE_SHARE, "lockyard/v1/instance"]
        .into_iter()
        .map(|info| Purpose {
            service_key: Hex::from(service_key),
            info: info.to_owned(),
            derived: Hex::from(*hkdf(b"", &service_key, info.as_bytes())),
        })
        .collect()
}

enum Customer {
    With,
    Without,
}

/// Follows `docs/spec/keys.md` step by step; the keyring derives the same in its own words.
fn registry_key(entropy: &dyn Entropy, epoch: u64, customer: Customer) -> EpochKeys {
    let registry = RegistryId::random(entropy);
    let epoch = Epoch::new(epoch);
    let (service_key, service_share) = (entropy.bytes::<32>(), entropy.bytes::<32>());
    let (customer_share, info) = match customer {
        Customer::With => (Some(entropy.bytes::<32>()), "lockyard/v1/registry+customer"),
        Customer::Without => (None, "lockyard/v1/registry"),
    };
    let wrapping = MainKey::from_bytes(&hkdf(b"", &service_key, SERVICE_SHARE.as_bytes()));
    let service_share_aad = pae(&[b"service share", registry.as_bytes(), &epoch.to_be_bytes()]);

    let salt = [&registry.as_bytes()[..], &epoch.to_be_bytes()].concat();
    let ikm =
        [&service_share[..], customer_share.as_ref().map_or(&[], |share| &share[..])].concat();
    let registry_key = hkdf(&salt, &ikm, info.as_bytes());
    let row_key = hkdf_expand(&registry_key, b"lockyard/v1/row");

    let index_key = entropy.bytes::<32>();
    let row = RowId::random(entropy);
    let index_key_aad = Bound {
        table: "index_key",
        column: "sealed",
        registry,
        epoch,
        row,
        index: b"",
        clear: &[],
    }
    .aad();
    let seal = |key: &MainKey, aad: &[u8], secret: &[u8]| {
        Hex(key.seal(entropy, SegmentSize::ROW, aad, secret))
    };
    EpochKeys {
        registry: Hex::from(registry.as_bytes()),
        epoch: epoch.number(),
        service_key: Hex::from(service_key),
        service_share: Hex::from(service_share),
        sealed_service_share: seal(&wrapping, &service_share_aad, &service_share),
        service_share_aad: Hex(service_share_aad),
        customer_share: customer_share.map(Hex::from),
        salt: Hex(salt),
        info: info.to_owned(),
        registry_key: Hex::from(*registry_key),
        check: Hex::from(*hkdf_expand(&registry_key, b"lockyard/v1/check")),
        row_key: Hex::from(*row_key),
        index_key: Hex::from(index_key),
        index_key_row: row.to_string(),
        sealed_index_key: seal(&MainKey::from_bytes(&row_key), &index_key_aad, &index_key),
        index_key_aad: Hex(index_key_aad),
    }
}
