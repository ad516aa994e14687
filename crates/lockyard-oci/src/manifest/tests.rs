//! Manifests as clients push them, and as attackers would.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Algorithm, DigestError};

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn entry(media_type: &str, content: &str) -> Value {
    json!({
        "mediaType": media_type,
        "digest": digest(content).to_string(),
        "size": content.len(),
    })
}

/// An image with a config and these layers.
fn image(layers: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": entry(MediaType::OCI_CONFIG.as_str(), "config"),
        "layers": layers,
    })
}

fn index(entries: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": entries,
    })
}

fn layer(content: &str) -> Value {
    entry(MediaType::OCI_LAYER_GZIP.as_str(), content)
}

fn with(mut manifest: Value, field: &str, value: impl Into<Value>) -> Value {
    manifest[field] = value.into();
    manifest
}

fn without(mut manifest: Value, field: &str) -> Value {
    manifest.as_object_mut().unwrap().remove(field).unwrap();
    manifest
}

fn parse(manifest: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(None, manifest.to_string().as_bytes())
}

fn refusal(manifest: &Value) -> String {
    parse(manifest).unwrap_err().to_string()
}

fn kinds(manifest: &Manifest) -> Vec<ChildKind> {
    manifest.children().iter().map(Child::kind).collect()
}

#[test]
fn an_image_requires_its_config_and_its_layers_in_order() {
    let manifest = parse(&image(&[layer("one"), layer("two"), layer("one")])).unwrap();
    assert_eq!(manifest.kind(), ManifestKind::Image);
    assert_eq!(manifest.media_type(), &MediaType::OCI_MANIFEST);
    let required: Vec<_> = manifest.required().map(|(kind, digest)| (kind, *digest)).collect();
    let expected = [
        (ChildKind::Config, digest("config")),
        (ChildKind::Layer, digest("one")),
        (ChildKind::Layer, digest("two")),
        (ChildKind::Layer, digest("one")),
    ];
    assert_eq!(required, expected);
    assert_eq!(manifest.config().unwrap().digest(), &digest("config"));
}

#[test]
fn an_image_may_have_no_layers_and_go_may_write_that_as_null() {
    for layers in [json!([]), Value::Null] {
        let manifest = parse(&with(image(&[]), "layers", layers)).unwrap();
        assert_eq!(kinds(&manifest), [ChildKind::Config]);
    }
}

#[test]
fn a_foreign_layer_is_listed_but_not_required() {
    let by_type = entry(MediaType::DOCKER_FOREIGN_LAYER_GZIP.as_str(), "windows");
    let by_url = with(layer("elsewhere"), "urls", json!(["https://a.test/layer"]));
    let manifest = parse(&image(&[by_type, by_url, layer("here")])).unwrap();
    assert_eq!(
        kinds(&manifest),
        [ChildKind::Config, ChildKind::ForeignLayer, ChildKind::ForeignLayer, ChildKind::Layer]
    );
    assert_eq!(manifest.required().count(), 2);
}

#[test]
fn an_index_requires_none_of_its_entries_even_if_they_are_blobs() {
    let cache = index(&[
        entry(MediaType::OCI_LAYER_GZIP.as_str(), "a layer"),
        entry(MediaType::BUILDKIT_CACHE_CONFIG.as_str(), "cache"),
    ]);
    let manifest = parse(&cache).unwrap();
    assert_eq!(kinds(&manifest), [ChildKind::Entry, ChildKind::Entry]);
    assert_eq!(manifest.required().count(), 0);
    assert!(parse(&index(&[])).unwrap().children().is_empty());
}

#[test]
fn dockers_manifests_are_understood() {
    let docker = with(image(&[layer("l")]), "mediaType", MediaType::DOCKER_MANIFEST.as_str());
    assert_eq!(parse(&docker).unwrap().kind(), ManifestKind::Image);
    let list = with(index(&[]), "mediaType", MediaType::DOCKER_LIST.as_str());
    assert_eq!(parse(&list).unwrap().kind(), ManifestKind::Index);
}

#[test]
fn an_artifact_manifest_needs_no_schema_version() {
    let artifact = json!({
        "mediaType": MediaType::OCI_ARTIFACT.as_str(),
        "artifactType": "application/x.sbom",
        "blobs": [entry("text/plain", "blob")],
        "subject": entry(MediaType::OCI_MANIFEST.as_str(), "subject"),
    });
    let manifest = parse(&artifact).unwrap();
    assert_eq!(
        (manifest.kind(), kinds(&manifest)),
        (ManifestKind::Artifact, vec![ChildKind::Layer])
    );
    assert_eq!(manifest.artifact_type(), Some("application/x.sbom"));
    assert_eq!(manifest.subject().unwrap().digest(), &digest("subject"));
    assert!(parse(&without(artifact, "blobs")).unwrap().children().is_empty());
}

#[test]
fn the_artifact_type_of_an_image_falls_back_to_its_configs_media_type() {
    let plain = image(&[]);
    let typed = with(plain.clone(), "artifactType", "application/x.y");
    let unset = with(plain.clone(), "artifactType", "");
    assert_eq!(parse(&typed).unwrap().artifact_type(), Some("application/x.y"));
    assert_eq!(parse(&plain).unwrap().artifact_type(), Some(MediaType::OCI_CONFIG.as_str()));
    assert_eq!(parse(&unset).unwrap().artifact_type(), Some(MediaType::OCI_CONFIG.as_str()));
    let mut untyped = plain;
    untyped["config"]["mediaType"] = json!("");
    assert_eq!(parse(&untyped).unwrap().artifact_type(), None);
    assert_eq!(parse(&index(&[])).unwrap().artifact_type(), None);
    let typed = with(index(&[]), "artifactType", "application/x.y");
    assert_eq!(parse(&typed).unwrap().artifact_type(), Some("application/x.y"));
}

#[test]
fn a_referrer_is_described_with_its_artifact_type_and_annotations() {
    let referrer = with(image(&[]), "annotations", json!({"a": "b"}));
    let manifest = parse(&referrer).unwrap();
    assert_eq!(manifest.annotations()["a"], "b");
    let described = serde_json::to_string(&manifest.describe(digest("it"), 7)).unwrap();
    let expected = json!({
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "digest": digest("it").to_string(),
        "size": 7,
        "annotations": {"a": "b"},
        "artifactType": MediaType::OCI_CONFIG.as_str(),
    });
    assert_eq!(described.parse::<Value>().unwrap(), expected);
}

#[test]
fn header_and_field_must_agree_where_both_tell_the_media_type() {
    let header = |text: &str| text.parse::<MediaType>().unwrap();
    let bytes = image(&[]).to_string().into_bytes();
    let agreeing = header("application/vnd.oci.image.manifest.v1+json; charset=utf-8");
    assert!(Manifest::parse(Some(&agreeing), &bytes).is_ok());
    for other in [MediaType::DOCKER_MANIFEST, MediaType::OCI_INDEX, header("text/plain")] {
        let error = Manifest::parse(Some(&other), &bytes).unwrap_err();
        assert!(matches!(error, ManifestError::MediaTypeMismatch { .. }), "{other}");
    }
    for untold in [without(image(&[]), "mediaType"), with(image(&[]), "mediaType", "")] {
        let bytes = untold.to_string().into_bytes();
        let manifest = Manifest::parse(Some(&MediaType::DOCKER_MANIFEST), &bytes).unwrap();
        assert_eq!(manifest.media_type(), &MediaType::DOCKER_MANIFEST);
        let error = Manifest::parse(None, &bytes).unwrap_err();
        assert!(matches!(error, ManifestError::MediaTypeMissing));
    }
}

#[test]
fn schema_1_is_told_apart_however_it_shows() {
    let old = json!({"schemaVersion": 1, "name": "a/b", "tag": "t", "fsLayers": [], "history": []});
    let by_field = with(image(&[]), "mediaType", MediaType::DOCKER_SCHEMA_1.as_str());
    for manifest in [&old, &by_field] {
        assert!(matches!(parse(manifest), Err(ManifestError::SchemaOne)), "{manifest}");
    }
    for header in [MediaType::DOCKER_SCHEMA_1, MediaType::DOCKER_SCHEMA_1_SIGNED] {
        assert!(matches!(Manifest::parse(Some(&header), b"?"), Err(ManifestError::SchemaOne)));
    }
}

#[test]
fn other_schema_versions_and_media_types_are_refused() {
    for version in [json!(0), json!(3), Value::Null] {
        let error = parse(&with(image(&[]), "schemaVersion", version)).unwrap_err();
        assert!(matches!(error, ManifestError::SchemaVersion(_)));
    }
    assert_eq!(
        refusal(&with(image(&[]), "mediaType", "application/json")),
        "`application/json` is not the media type of a supported manifest"
    );
    assert_eq!(
        refusal(&with(image(&[]), "mediaType", "nonsense")),
        "the manifest's `mediaType` cannot be read"
    );
}

#[test]
fn what_a_media_type_requires_must_be_there() {
    assert_eq!(refusal(&without(image(&[]), "config")), "the manifest has no `config`");
    assert_eq!(refusal(&with(image(&[]), "config", Value::Null)), "the manifest has no `config`");
    assert_eq!(refusal(&without(image(&[]), "layers")), "the manifest has no `layers`");
    assert_eq!(refusal(&without(index(&[]), "manifests")), "the manifest has no `manifests`");
}

#[test]
fn a_manifest_with_the_children_of_two_kinds_is_ambiguous() {
    let both = with(image(&[layer("l")]), "manifests", json!([layer("m")]));
    assert_eq!(refusal(&both), "the manifest has `manifests`, which its media type does not have");
    let as_index = with(both, "mediaType", MediaType::OCI_INDEX.as_str());
    assert_eq!(refusal(&as_index), "the manifest has `config`, which its media type does not have");
    let layers = with(index(&[]), "layers", json!([layer("l")]));
    assert_eq!(refusal(&layers), "the manifest has `layers`, which its media type does not have");
    let empty = with(index(&[]), "layers", json!([]));
    assert!(parse(&empty).is_ok());
}

#[test]
fn the_values_of_the_fields_in_an_array_are_no_manifest() {
    let nothing = Value::Null;
    let values = json!([
        2,
        MediaType::OCI_INDEX.as_str(),
        nothing,
        nothing,
        nothing,
        [],
        nothing,
        nothing,
        nothing
    ]);
    assert!(matches!(parse(&values), Err(ManifestError::Json(_))));
    let layer =
        json!(["a/b", digest("l").to_string(), 1, nothing, nothing, nothing, nothing, nothing]);
    assert!(matches!(parse(&image(&[layer])), Err(ManifestError::Json(_))));
}

#[test]
fn a_field_given_twice_is_refused() {
    let twice = image(&[]).to_string().replacen('{', r#"{"layers":[],"#, 1);
    let error = Manifest::parse(None, twice.as_bytes()).unwrap_err();
    assert!(matches!(&error, ManifestError::Json(json) if json.to_string().contains("duplicate")));
}

#[test]
fn a_descriptor_that_cannot_be_followed_is_named_by_its_place() {
    let bad = |digest: &str| json!({"mediaType": "a/b", "digest": digest, "size": 1});
    let check = |manifest: &Value, expected: &str, cause: DescriptorError| {
        let ManifestError::Descriptor { place, source } = parse(manifest).unwrap_err() else {
            panic!("another error for {manifest}");
        };
        assert_eq!((place.to_string().as_str(), source), (expected, cause));
    };
    let unsupported = DescriptorError::Digest(DigestError::UnsupportedAlgorithm {
        algorithm: "blake3".to_owned(),
    });
    let malformed = DescriptorError::Digest(DigestError::Malformed);
    let negative = with(layer("l"), "size", -1);
    check(&image(&[layer("l"), bad("blake3:00")]), "layers[1]", unsupported.clone());
    check(&with(image(&[]), "config", bad("sha256:00")), "config", malformed.clone());
    check(&with(image(&[]), "subject", bad("blake3:00")), "subject", unsupported);
    check(&index(&[bad("nonsense")]), "manifests[0]", malformed);
    check(&image(&[negative]), "layers[0]", DescriptorError::NegativeSize(-1));
}

#[test]
fn unknown_fields_and_sha512_pass() {
    let sha512 = Digest::of(Algorithm::Sha512, b"l").to_string();
    let custom = with(layer("l"), "x-custom", json!({"deep": [1, 2.5, null, true]}));
    let long = json!({"mediaType": "a/b", "digest": sha512, "size": 1});
    let manifest = with(image(&[custom, long]), "org.example", json!({"a": [{}]}));
    assert_eq!(parse(&manifest).unwrap().children().len(), 3);
}

#[test]
fn a_manifest_may_have_4_mib_and_no_more() {
    let empty = with(image(&[]), "filler", "").to_string().len();
    for (bytes, accepted) in [
        (MANIFEST_BYTES_MAX - 1, true),
        (MANIFEST_BYTES_MAX, true),
        (MANIFEST_BYTES_MAX + 1, false),
    ] {
        let manifest = with(image(&[]), "filler", "x".repeat(bytes - empty)).to_string();
        assert_eq!(manifest.len(), bytes);
        match Manifest::parse(None, manifest.as_bytes()) {
            Ok(_) => assert!(accepted),
            Err(ManifestError::TooLarge(found)) => assert!(!accepted && found == bytes),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_manifest_may_nest_64_deep_and_no_more() {
    for (nested, accepted) in [(62, true), (63, true), (64, false), (1_000_000, false)] {
        let deep = format!("{}{}", "[".repeat(nested), "]".repeat(nested));
        let manifest = image(&[]).to_string().replacen('{', &format!(r#"{{"deep":{deep},"#), 1);
        match Manifest::parse(None, manifest.as_bytes()) {
            Ok(_) => assert!(accepted, "{nested}"),
            Err(ManifestError::TooDeep) => assert!(!accepted, "{nested}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn brackets_in_strings_are_not_depth() {
    let brackets = format!("\"{}\\", "[{".repeat(500));
    assert!(parse(&with(image(&[]), "note", brackets)).is_ok());
}

#[test]
fn a_manifest_may_have_10000_descriptors_and_no_more() {
    for (count, accepted) in
        [(DESCRIPTORS_MAX - 1, true), (DESCRIPTORS_MAX, true), (DESCRIPTORS_MAX + 1, false)]
    {
        match parse(&index(&vec![entry("a/b", "same"); count])) {
            Ok(manifest) => assert!(accepted && manifest.children().len() == count),
            Err(ManifestError::TooManyDescriptors(found)) => assert!(!accepted && found == count),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn what_is_not_one_json_object_is_refused() {
    let image = image(&[]).to_string();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "2",
        "\"a\"",
        &format!("{image}{image}"),
        image.trim_start_matches('{'),
    ] {
        let error = Manifest::parse(Some(&MediaType::OCI_MANIFEST), text.as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Json(_)), "{text:?}");
    }
    let binary = [b"{\"a\":\"\xff\",".as_slice(), &image.as_bytes()[1..]].concat();
    assert!(matches!(Manifest::parse(None, &binary), Err(ManifestError::NotText(_))));
    let bom = [b"\xef\xbb\xbf", image.as_bytes()].concat();
    assert!(matches!(Manifest::parse(None, &bom), Err(ManifestError::Json(_))));
}

/// JSON of any shape, with the names that mean something here among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        Just(json!(2)),
        any::<String>().prop_map(Value::from),
        Just(layer("l")),
        Just(json!(MediaType::OCI_MANIFEST.as_str())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec![
            "schemaVersion",
            "mediaType",
            "config",
            "layers",
            "manifests",
            "blobs",
            "subject",
            "annotations",
            "artifactType",
            "digest",
            "size",
            "urls",
            "platform",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(nesting).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        drop(Manifest::parse(None, &bytes));
        drop(Manifest::parse(Some(&MediaType::OCI_MANIFEST), &bytes));
    }

    #[test]
    fn no_json_makes_the_parser_panic(value in any_json(), field in "config|layers|subject|x") {
        for header in [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX, MediaType::OCI_ARTIFACT] {
            drop(Manifest::parse(Some(&header), value.to_string().as_bytes()));
        }
        drop(parse(&with(image(&[]), &field, value)));
    }

    #[test]
    fn no_change_of_a_byte_makes_the_parser_panic(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = image(&[layer("one"), layer("two")]).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(Manifest::parse(None, &bytes));
        drop(Manifest::parse(None, &bytes[..at]));
    }

    #[test]
    fn the_depth_of_json_is_its_nesting(value in any_json()) {
        prop_assert_eq!(depth(value.to_string().as_bytes()), nesting(&value));
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(depth(&pretty), nesting(&value));
    }

    #[test]
    fn every_layer_is_found_in_its_order(names in prop::collection::vec(".{0,8}", 0..20)) {
        let layers: Vec<_> = names.iter().map(|name| layer(name)).collect();
        let manifest = parse(&image(&layers)).unwrap();
        let found: Vec<_> = manifest.required().skip(1).map(|(_, digest)| *digest).collect();
        let expected: Vec<_> = names.iter().map(|name| digest(name)).collect();
        prop_assert_eq!(found, expected);
    }
}
