//! Keys through the data plane: versions, attributes, listings, imports, backups.

use std::time::Duration;

use lockyard_base::Clock as _;
use lockyard_keyring::{KeyName, VaultAddress};
use lockyard_vault::{
    Curve, EncryptionAlgorithm, KeyChange, KeyOperation, KeyOperations, KeySettings, KeyShape,
    KeyTarget, PageRequest, Placement, PrivateJwk, PublicKey, RecoveryLevel, SignatureAlgorithm,
    Tags, Validity, VaultChange, VaultError, VaultRequest, VaultRootKey,
};
use proptest::prelude::*;

use crate::support::{QUICK, RSA, TENANT, World, admin, guid, key, make, place, put, told};

const OAEP: EncryptionAlgorithm = EncryptionAlgorithm::RsaOaep256;

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn first(world: &World) -> (std::sync::Arc<lockyard_vault::Vault>, VaultAddress) {
    let vault = world.open();
    let address = make(&vault, "kvone", VaultChange::default());
    (vault, address)
}

#[test]
fn a_bundle_tells_what_was_asked_for_or_the_defaults() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let made = plane.create_key(&name("One"), RSA, &KeySettings::default()).unwrap();
    assert_eq!(made.operations, KeyOperations::all());
    assert_eq!((made.shape, made.hsm, made.tags.is_empty()), (RSA, false, true));
    let PublicKey::Rsa { n, e } = &made.public else { panic!("{made:?}") };
    assert_eq!((n.len(), e.as_slice()), (256, &[1, 0, 1][..]));
    let attributes = made.attributes;
    assert!(attributes.enabled && attributes.validity == Validity::default());
    assert_eq!((attributes.created, attributes.updated), (world.clock.wall(), world.clock.wall()));
    assert_eq!(attributes.recovery_level, RecoveryLevel::RecoverablePurgeable);
    assert_eq!(attributes.recoverable_days, 90);
    let now = world.clock.wall();
    let settings = KeySettings {
        hsm: true,
        operations: Some([KeyOperation::WrapKey, KeyOperation::UnwrapKey].into_iter().collect()),
        enabled: false,
        validity: Validity { not_before: Some(now), expires: Some(now + Duration::from_secs(9)) },
        tags: Tags::for_key([("a".to_owned(), "b".to_owned())].into()).unwrap(),
    };
    let made = plane.create_key(&name("two"), RSA, &settings).unwrap();
    assert_eq!(Some(&made.operations), settings.operations.as_ref());
    assert_eq!((made.hsm, made.attributes.enabled), (true, false));
    assert_eq!((made.attributes.validity, &made.tags), (settings.validity, &settings.tags));
    assert_eq!(plane.key(&name("TWO"), None).unwrap(), made, "names have no case");
    assert_eq!(made.id.key.name.as_str(), "two");
    for (curve, length) in
        [(Curve::P256, 32), (Curve::P384, 48), (Curve::P521, 66), (Curve::P256K, 32)]
    {
        let key = name(&format!("ec-{length}-{}", curve.as_str().len()));
        let made = plane.create_key(&key, KeyShape::Ec(curve), &KeySettings::default()).unwrap();
        assert_eq!(made.operations, KeyOperations::signing());
        let PublicKey::Ec { curve: of, x, y } = &made.public else { panic!("{made:?}") };
        assert_eq!((*of, x.len(), y.len()), (curve, length, length));
        let digest = vec![7; curve.algorithm().digest_len()];
        let signed = plane.sign(&key, None, curve.algorithm(), &digest).unwrap();
        let verified = plane.verify(&key, None, curve.algorithm(), &digest, &signed.value).unwrap();
        assert!(verified.value && verified.id == made.id);
    }
    drop(vault);
    let vault = world.open();
    assert_eq!(admin(&vault, &address).key(&name("two"), None).unwrap(), made, "after a restart");
}

#[test]
fn what_a_kind_of_key_cannot_do_is_refused() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let settings = KeySettings {
        operations: Some([KeyOperation::WrapKey].into_iter().collect()),
        ..KeySettings::default()
    };
    assert_eq!(told(plane.create_key(&name("ec"), QUICK, &settings)), "400 BadParameter");
    assert_eq!(told(plane.key(&name("ec"), None)), "404 KeyNotFound", "nothing was made");
    plane.create_key(&name("ec"), QUICK, &KeySettings::default()).unwrap();
    let change = KeyChange { operations: settings.operations, ..KeyChange::default() };
    assert_eq!(told(plane.update_key(&name("ec"), None, &change)), "400 BadParameter");
    assert_eq!(
        told(plane.wrap_key(&name("ec"), None, OAEP, b"k")),
        "403 Forbidden/KeyOperationForbidden"
    );
    for wrong in [SignatureAlgorithm::Es384, SignatureAlgorithm::Rs256, SignatureAlgorithm::Es256K]
    {
        let digest = vec![0; wrong.digest_len()];
        assert_eq!(told(plane.sign(&name("ec"), None, wrong, &digest)), "400 BadParameter");
    }
    plane.create_key(&name("rsa"), RSA, &KeySettings::default()).unwrap();
    for garbage in [&[][..], &[0; 255], &[0; 256], &[0xff; 256], &[0; 9000]] {
        assert_eq!(told(plane.unwrap_key(&name("rsa"), None, OAEP, garbage)), "400 BadParameter");
    }
    assert_eq!(told(plane.encrypt(&name("rsa"), None, OAEP, &[0; 191])), "400 BadParameter");
}

#[test]
fn a_use_without_a_version_means_the_newest_and_old_ones_still_work() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let release = name("release");
    let one = plane.create_key(&release, RSA, &KeySettings::default()).unwrap().id;
    let old = plane.wrap_key(&release, None, OAEP, b"share").unwrap();
    assert_eq!(old.id, one);
    world.clock.advance(Duration::from_secs(5));
    let two = plane.rotate_key(&release).unwrap();
    assert_eq!(two.attributes.created, world.clock.wall());
    let new = plane.wrap_key(&release, None, OAEP, b"share").unwrap();
    assert_eq!(new.id, two.id);
    assert_ne!(one, two.id);
    let opened = plane.unwrap_key(&release, Some(&one.version), OAEP, &old.value).unwrap();
    assert_eq!(opened.value.as_slice(), b"share");
    let wrong = plane.unwrap_key(&release, None, OAEP, &old.value);
    assert_eq!(told(wrong), "400 BadParameter", "another version did not wrap it");
    let unknown = "0".repeat(32).parse().unwrap();
    assert_eq!(told(plane.key(&release, Some(&unknown))), "404 KeyNotFound");
    let other = plane.create_key(&name("other"), QUICK, &KeySettings::default()).unwrap();
    let crossed = plane.key(&release, Some(&other.id.version));
    assert_eq!(told(crossed), "404 KeyNotFound", "a version belongs to its key");
}

#[test]
fn updates_change_what_they_state_and_the_newest_version_unless_told() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let release = name("release");
    let old = plane.create_key(&release, QUICK, &KeySettings::default()).unwrap();
    let new = plane.create_key(&release, QUICK, &KeySettings::default()).unwrap();
    let now = world.clock.wall();
    world.clock.advance(Duration::from_secs(3));
    let tags = Tags::for_key([("x".to_owned(), String::new())].into()).unwrap();
    let change = KeyChange {
        enabled: Some(false),
        expires: Some(now),
        tags: Some(tags.clone()),
        ..KeyChange::default()
    };
    let changed = plane.update_key(&release, None, &change).unwrap();
    assert_eq!((&changed.id, &changed.tags), (&new.id, &tags));
    assert_eq!(changed.attributes.validity.expires, Some(now));
    assert_eq!(changed.attributes.updated, world.clock.wall());
    assert_eq!(plane.key(&release, Some(&old.id.version)).unwrap(), old, "the other is as it was");
    let again = KeyChange { enabled: Some(true), ..KeyChange::default() };
    let again = plane.update_key(&release, Some(&new.id.version), &again).unwrap();
    assert_eq!((again.attributes.validity.expires, &again.tags), (Some(now), &tags));
    let empty = KeyChange { not_before: Some(now), ..KeyChange::default() };
    assert_eq!(told(plane.update_key(&release, None, &empty)), "400 BadParameter");
    let sign = |n: u8| {
        told(plane.sign(&release, Some(&old.id.version), SignatureAlgorithm::Es256, &[n; 32]))
    };
    assert_eq!(sign(1), "ok");
    vault.disable(&KeyTarget::Version(old.id.clone())).unwrap();
    assert_eq!(sign(2), "403 Forbidden/KeyDisabled", "although it was in memory");
}

#[test]
fn listings_come_in_pages() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let mut wanted = Vec::new();
    for n in 0..30 {
        // Letters of both cases, made in an order that is not theirs.
        let text = format!("{}{:02}", if n % 2 == 0 { "K" } else { "k" }, (n * 7) % 30);
        plane.create_key(&name(&text), QUICK, &KeySettings::default()).unwrap();
        wanted.push(text);
    }
    wanted.sort_by_key(|text| text.to_ascii_lowercase());
    let gone = wanted.remove(4);
    plane.delete_key(&name(&gone)).unwrap();
    for (limit, pages) in [(None, 2), (Some(1), 29), (Some(10), 3), (Some(25), 2)] {
        let mut request = PageRequest { limit, after: None };
        let mut found = Vec::new();
        for page in 1.. {
            let listed = plane.keys(&request).unwrap();
            found.extend(listed.items.into_iter().map(|item| item.name.as_str().to_owned()));
            request.after = listed.next.map(|token| token.as_str().parse().expect("reads back"));
            if request.after.is_none() {
                assert_eq!(page, pages, "{limit:?}");
                break;
            }
        }
        assert_eq!(found, wanted, "{limit:?}");
    }
    for limit in [0, 26, usize::MAX] {
        let request = PageRequest { limit: Some(limit), after: None };
        assert_eq!(told(plane.keys(&request)), "400 BadParameter", "{limit}");
    }
    let deleted = plane.deleted_keys(&PageRequest::default()).unwrap();
    assert_eq!((deleted.items[0].name.as_str(), deleted.next), (gone.as_str(), None));
    let release = name(&wanted[0]);
    let mut made = vec![plane.key(&release, None).unwrap().id.version];
    for _ in 0..26 {
        made.push(plane.create_key(&release, QUICK, &KeySettings::default()).unwrap().id.version);
    }
    made.reverse();
    let one = plane.versions(&release, &PageRequest::default()).unwrap();
    let two = plane.versions(&release, &PageRequest { limit: None, after: one.next }).unwrap();
    assert_eq!(two.next, None);
    let found: Vec<_> =
        one.items.into_iter().chain(two.items).filter_map(|item| item.version).collect();
    assert_eq!(found, made, "newest first");

    // A key that is not there, or not any more, has none; the service says no more than that.
    for absent in [name("nothing"), name(&gone)] {
        let page = plane.versions(&absent, &PageRequest::default()).unwrap();
        assert_eq!((page.items.len(), page.next), (0, None), "{absent}");
    }
}

fn jwk(byte: u8) -> PrivateJwk {
    use p256::elliptic_curve::sec1::ToSec1Point as _;
    let secret = p256::SecretKey::from_slice(&[byte; 32]).unwrap();
    let point = secret.public_key().to_sec1_point(false);
    PrivateJwk::Ec {
        curve: Curve::P256,
        x: point.x().unwrap().to_vec(),
        y: point.y().unwrap().to_vec(),
        d: secret.to_bytes().to_vec().into(),
    }
}

#[test]
fn an_imported_key_is_the_one_that_was_given_and_prints_nothing() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let given = jwk(5);
    assert_eq!(format!("{given:?}"), "PrivateJwk(…)");
    let taken = plane.import_key(&name("mine"), &given, &KeySettings::default()).unwrap();
    let PrivateJwk::Ec { x: wanted, .. } = &given else { unreachable!() };
    assert!(matches!(&taken.public, PublicKey::Ec { x, .. } if x == wanted));
    let second = plane.import_key(&name("mine"), &jwk(6), &KeySettings::default()).unwrap();
    assert_eq!(plane.key(&name("mine"), None).unwrap(), second, "a new version");
    let PrivateJwk::Ec { curve, x, d, .. } = jwk(5) else { unreachable!() };
    let broken = PrivateJwk::Ec { curve, y: x.clone(), x, d };
    let refused = plane.import_key(&name("mine"), &broken, &KeySettings::default());
    assert_eq!(told(refused), "400 BadParameter");
    let secret = [5; 32];
    for (path, content) in world.files() {
        assert!(!content.windows(32).any(|window| window == secret), "{}", path.display());
    }
}

#[test]
fn a_backup_brings_back_everything_under_its_old_names() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let release = name("Release");
    let now = world.clock.wall();
    let settings = KeySettings {
        hsm: true,
        validity: Validity { not_before: None, expires: Some(now) },
        tags: Tags::for_key([("a".to_owned(), "b".to_owned())].into()).unwrap(),
        ..KeySettings::default()
    };
    let one = plane.create_key(&release, RSA, &settings).unwrap();
    let two = plane.create_key(&release, RSA, &KeySettings::default()).unwrap();
    vault.disable(&KeyTarget::Version(one.id.clone())).unwrap();
    let one = plane.key(&release, Some(&one.id.version)).unwrap();
    let wrapped = plane.wrap_key(&release, None, OAEP, b"share").unwrap().value;
    let blob = plane.backup_key(&release).unwrap();
    for word in
        [&b"Release"[..], b"share", TENANT.as_bytes(), b"RSA", one.id.version.as_str().as_bytes()]
    {
        assert!(!blob.windows(word.len()).any(|window| window == word), "{word:?} can be read");
    }
    assert_eq!(told(plane.restore_key(&blob)), "409 Conflict");
    // Into another vault of the subscription, beside the original.
    let second = make(&vault, "kvtwo", VaultChange::default());
    let restored = admin(&vault, &second).restore_key(&blob).unwrap();
    assert_eq!(restored.id.version, two.id.version);
    assert_eq!(restored.id.key.vault, second);
    let back = admin(&vault, &second).key(&release, Some(&one.id.version)).unwrap();
    assert_eq!((&back.attributes, &back.tags, back.hsm), (&one.attributes, &one.tags, true));
    let opened = admin(&vault, &second).unwrap_key(&release, None, OAEP, &wrapped).unwrap();
    assert_eq!(opened.value.as_slice(), b"share");
    admin(&vault, &second).delete_key(&release).unwrap();
    assert_eq!(
        told(admin(&vault, &second).restore_key(&blob)),
        "409 Conflict/ObjectIsDeletedButRecoverable"
    );
    // Not into another subscription or tenant.
    for (tenant, subscription) in [(TENANT, guid(1)), (guid(1), guid(0x55))] {
        let place = Placement::new(tenant, subscription, "rg1", "eastus").unwrap();
        let elsewhere: VaultAddress =
            format!("kv{}", tenant.to_string().replace('-', "").get(..4).unwrap()).parse().unwrap();
        let mut everyone = crate::support::policy(crate::support::ADMIN, &["all"]);
        everyone.tenant = tenant;
        let change = VaultChange { policies: Some(vec![everyone]), ..VaultChange::default() };
        vault.put_vault(&elsewhere, VaultRequest { place, ..put(change) }).unwrap();
        let mut caller = crate::support::caller(crate::support::ADMIN);
        caller.tenant = tenant;
        let plane = vault.data_plane(&elsewhere, caller, &lockyard_vault::NoRoles);
        let Err(VaultError::BadParameter(text)) = plane.restore_key(&blob) else {
            panic!("it was restored");
        };
        assert!(text.contains("another tenant or subscription"), "{text}");
    }
}

#[test]
fn a_backup_outlives_its_directory_but_not_its_root_key() {
    let world = World::new();
    let (vault, address) = first(&world);
    let release = name("release");
    let made =
        admin(&vault, &address).create_key(&release, QUICK, &KeySettings::default()).unwrap();
    let blob = admin(&vault, &address).backup_key(&release).unwrap();
    let other = World::new();
    std::fs::copy(world.key_file(), other.key_file()).unwrap();
    let elsewhere = other.open();
    let address = make(&elsewhere, "kvnew", VaultChange::default());
    let restored = admin(&elsewhere, &address).restore_key(&blob).unwrap();
    assert_eq!((restored.id.version, restored.public), (made.id.version, made.public));
    let stranger = World::new();
    let root = VaultRootKey::from_bytes(&[3; 32]);
    let foreign = stranger.try_open_with(&root).unwrap();
    let address = make(&foreign, "kvnew", VaultChange::default());
    assert_eq!(told(admin(&foreign, &address).restore_key(&blob)), "400 BadParameter");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_changed_backup_is_refused(place in any::<prop::sample::Index>(), bit in 0_u8..8, cut in any::<bool>()) {
        static SCENE: std::sync::OnceLock<(World, std::sync::Arc<lockyard_vault::Vault>, Vec<u8>)> =
            std::sync::OnceLock::new();
        let (_, vault, blob) = SCENE.get_or_init(|| {
            let world = World::new();
            let (vault, address) = first(&world);
            admin(&vault, &address).create_key(&name("k"), QUICK, &KeySettings::default()).unwrap();
            let blob = admin(&vault, &address).backup_key(&name("k")).unwrap();
            make(&vault, "kvtwo", VaultChange::default());
            (world, vault, blob)
        });
        let mut changed = blob.clone();
        let place = place.index(blob.len());
        if cut {
            changed.truncate(place);
        } else {
            changed[place] ^= 1_u8 << bit;
        }
        let second = "kvtwo".parse().unwrap();
        prop_assert_eq!(told(admin(vault, &second).restore_key(&changed)), "400 BadParameter");
    }

    #[test]
    fn no_token_makes_a_listing_fail_otherwise_than_politely(text in "[0-9a-f]{0,12}|.{0,20}") {
        if let Ok(token) = text.parse() {
            static SCENE: std::sync::OnceLock<(World, std::sync::Arc<lockyard_vault::Vault>)> =
                std::sync::OnceLock::new();
            let (_, vault) = SCENE.get_or_init(|| {
                let world = World::new();
                let (vault, address) = first(&world);
                admin(&vault, &address).create_key(&name("k"), QUICK, &KeySettings::default()).unwrap();
                (world, vault)
            });
            let page = PageRequest { limit: None, after: Some(token) };
            let plane = admin(vault, &"kvone".parse().unwrap()).versions(&name("k"), &page).map(drop);
            let keys = admin(vault, &"kvone".parse().unwrap()).keys(&page).map(drop);
            for answer in [told(plane), told(keys)] {
                prop_assert!(answer == "ok" || answer == "400 BadParameter", "{}", answer);
            }
        }
    }
}

#[test]
fn random_bytes_have_a_limit_and_need_a_right() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    for (count, expected) in
        [(0, "400 BadParameter"), (1, "ok"), (128, "ok"), (129, "400 BadParameter")]
    {
        let drawn = plane.random(count);
        assert!(drawn.as_ref().map_or(true, |bytes| bytes.len() == count));
        assert_eq!(told(drawn), expected, "{count}");
    }
    assert_ne!(*plane.random(32).unwrap(), *plane.random(32).unwrap());
    let nobody = crate::support::caller(guid(1));
    let plane = vault.data_plane(&address, nobody, &lockyard_vault::NoRoles);
    assert_eq!(told(plane.random(1)), "403 Forbidden/ForbiddenByPolicy");
}

#[test]
fn a_key_has_at_most_a_thousand_versions_and_can_still_be_backed_up() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    let many = name("many");
    let made = plane.create_key(&many, QUICK, &KeySettings::default()).unwrap();
    // Beside the vault, which would take a while: 997 rows that look like versions.
    let key = rusqlite::Connection::open(world.directory().join("vault.db")).unwrap();
    let id = hex::decode(made.id.version.as_str()).unwrap();
    key.execute(
        "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < 999)
         INSERT INTO key_version SELECT key_id, randomblob(16), i, kind, enabled, not_before,
             expires, sealed_key, sealed_record FROM key_version, n WHERE version_id = ?1",
        [&id],
    )
    .unwrap();
    assert_eq!(told(plane.create_key(&many, QUICK, &KeySettings::default())), "ok", "the 1000th");
    let refused = plane.create_key(&many, QUICK, &KeySettings::default());
    assert_eq!(told(refused), "400 BadParameter");
    assert_eq!(told(plane.key(&many, Some(&made.id.version))), "ok");
}

#[test]
fn a_vault_has_at_most_ten_thousand_keys_and_a_directory_as_many_vaults() {
    let world = World::new();
    let (vault, address) = first(&world);
    let plane = admin(&vault, &address);
    plane.create_key(&name("one"), QUICK, &KeySettings::default()).unwrap();
    // Beside the vault: rows that are only counted.
    let database = rusqlite::Connection::open(world.directory().join("vault.db")).unwrap();
    let series = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 9998)";
    let fill = |insert: &str| database.execute(&format!("{series} {insert}"), []).unwrap();
    fill(
        "INSERT INTO key SELECT randomblob(16), vault_id, randomblob(32), sealed_name, created_at,
             purge_at, rotate_at, sealed_record FROM key, n",
    );
    let create = |text| told(plane.create_key(&name(text), QUICK, &KeySettings::default()));
    assert_eq!(create("last"), "ok", "the 10,000th");
    assert_eq!(create("more"), "400 BadParameter");
    assert_eq!(create("one"), "ok", "a version is no key");
    fill(
        "INSERT INTO vault SELECT randomblob(16), randomblob(32), sealed_name, created_at,
             purge_at, sealed_record FROM vault, n",
    );
    let create = |text: &str| told(vault.create_vault(&text.parse().unwrap()));
    assert_eq!(create("kvlast"), "ok", "the 10,000th");
    assert_eq!(create("kvmore"), "400 BadRequest");
}

#[test]
fn the_control_plane_makes_a_key_once() {
    let world = World::new();
    let (vault, _) = first(&world);
    let id = key("kvone", "template");
    let made = vault.ensure_key(&id, QUICK, &KeySettings::default()).unwrap();
    let again = vault.ensure_key(&id, RSA, &KeySettings::default()).unwrap();
    assert_eq!(again, made, "whatever is asked for the second time");
    assert_eq!(vault.key(&id, None).unwrap(), made);
    assert_eq!(place().location, "eastus");
}
