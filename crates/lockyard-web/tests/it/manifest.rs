//! Manifests and tags.

use axum::body::Body;
use lockyard_oci::MANIFEST_BYTES_MAX;

use crate::support::{MANIFEST, World, sha256};

const KIND: [(&str, &str); 1] = [("content-type", MANIFEST)];

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte() {
    let world = World::new().await;
    let client = world.http();
    let manifest = client.image("app", r#", "annotations" : {"a":"b"}"#).await;
    let digest = sha256(manifest.as_bytes());
    let kind = [("content-type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8")];
    let put = client.send("PUT", "/v2/app/manifests/v1", &kind, manifest.clone()).await;
    assert_eq!(put.status, 201);
    assert_eq!(put.header("location"), format!("/v2/app/manifests/{digest}"));
    assert_eq!(put.header("docker-content-digest"), digest.to_string());
    assert_eq!(put.header("oci-subject"), "");
    for target in ["/v2/app/manifests/v1".to_owned(), put.header("location").to_owned()] {
        for (reply, body) in
            [(client.head(&target).await, ""), (client.get(&target).await, manifest.as_str())]
        {
            assert_eq!((reply.status.as_u16(), reply.text()), (200, body));
            assert_eq!(reply.header("content-type"), MANIFEST);
            assert_eq!(reply.header("content-length"), manifest.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest.to_string());
            assert_eq!(reply.header("content-security-policy"), "sandbox");
        }
        let known = [("if-none-match", format!("\"{digest}\""))];
        let known = known.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = client.send("GET", &target, &known, Body::empty()).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (304, ""));
    }
}

#[tokio::test]
async fn a_put_by_digest_sets_the_tags_it_names() {
    let world = World::new().await;
    let client = world.http();
    let manifest = client.image("app", "").await;
    let digest = sha256(manifest.as_bytes());
    let target = format!("/v2/app/manifests/{digest}?tag=a&tag=b");
    let reply = client.send("PUT", &target, &KIND, manifest.clone()).await;
    assert_eq!((reply.status.as_u16(), reply.header("oci-tag")), (201, "a, b"));
    for tag in ["a", "b"] {
        assert_eq!(client.get(&format!("/v2/app/manifests/{tag}")).await.text(), manifest);
    }
    let target = format!("/v2/app/manifests/{digest}?tag=.bad");
    insta::assert_snapshot!(client.send("PUT", &target, &KIND, manifest).await.error());
}

#[tokio::test]
async fn a_subject_is_confirmed_and_listed() {
    let world = World::new().await;
    let client = world.http();
    let subject = client.push_image("app", "v1", "").await;
    let more = format!(
        r#","artifactType":"application/x.sig+json","subject":{{"mediaType":"{MANIFEST}","digest":"{subject}","size":1}}"#
    );
    let manifest = client.image("app", &more).await;
    let target = format!("/v2/app/manifests/{}", sha256(manifest.as_bytes()));
    let reply = client.send("PUT", &target, &KIND, manifest).await;
    assert_eq!(reply.header("oci-subject"), subject.to_string());
    let target = format!("/v2/app/referrers/{subject}");
    let reply = client.get(&target).await;
    assert_eq!(reply.header("content-type"), "application/vnd.oci.image.index.v1+json");
    assert_eq!(reply.header("oci-filters-applied"), "");
    assert_eq!(reply.json()["manifests"].as_array().unwrap().len(), 1);
    for (filter, found) in
        [("application/x.sig%2Bjson", 1), ("application/x.sig+json", 1), ("application/other", 0)]
    {
        let reply = client.get(&format!("{target}?artifactType={filter}")).await;
        assert_eq!(reply.header("oci-filters-applied"), "artifactType");
        assert_eq!(reply.json()["manifests"].as_array().unwrap().len(), found, "{filter}");
    }
}

#[tokio::test]
async fn bad_manifests_are_refused_with_a_reason() {
    let world = World::new().await;
    let client = world.http();
    let good = client.image("app", "").await;
    let missing = good.replace(&sha256(b"{}").to_string(), &sha256(b"missing").to_string());
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (name, kind, body, reference) in [
        ("manifest_not_json", MANIFEST, "nonsense", "v1"),
        ("manifest_without_config", MANIFEST, r#"{"schemaVersion":2,"layers":[]}"#, "v1"),
        ("manifest_schema_1", schema_1, r#"{"schemaVersion":1}"#, "v1"),
        ("manifest_unknown_type", "application/x-unknown", r#"{"schemaVersion":2}"#, "v1"),
        ("manifest_bad_type", "not a type", &good, "v1"),
        ("manifest_blob_unknown", MANIFEST, &missing, "v1"),
        ("manifest_bad_digest", MANIFEST, &good, "sha256:baddigeststring"),
        ("manifest_bad_tag", MANIFEST, &good, "-v1"),
    ] {
        let target = format!("/v2/app/manifests/{reference}");
        let kind = [("content-type", kind)];
        let reply = client.send("PUT", &target, &kind, body.to_owned()).await;
        insta::assert_snapshot!(name, reply.error());
    }
    let target = format!("/v2/app/manifests/{}", sha256(b"something else"));
    let reply = client.send("PUT", &target, &KIND, good).await;
    assert_eq!(reply.status, 400);
    assert_eq!(client.get("/v2/app/tags/list").await.status, 200);
}

#[tokio::test]
async fn a_manifest_may_have_4_mib_and_not_a_byte_more() {
    let world = World::new().await;
    let client = world.http();
    let bare = client.image("app", r#","x":"""#).await;
    for (bytes, status) in
        [(MANIFEST_BYTES_MAX - 1, 201), (MANIFEST_BYTES_MAX, 201), (MANIFEST_BYTES_MAX + 1, 413)]
    {
        let padding = "a".repeat(bytes - bare.len());
        let manifest = bare.replace(r#""x":"""#, &format!(r#""x":"{padding}""#));
        assert_eq!(manifest.len(), bytes);
        let reply = client.send("PUT", "/v2/app/manifests/big", &KIND, manifest).await;
        assert_eq!(reply.status, status, "{bytes}");
        if status == 413 {
            insta::assert_snapshot!(reply.error());
        }
    }
}

#[tokio::test]
async fn an_announced_giant_is_refused_before_it_is_read() {
    let world = World::new().await;
    let client = world.http();
    let headers = [("content-type", MANIFEST), ("content-length", "99999999999")];
    let headers = [headers[0], headers[1], ("expect", "100-continue")];
    let body =
        Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let reply = client.send("PUT", "/v2/app/manifests/v1", &headers, body).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn deleting_a_tag_leaves_its_manifest_and_deleting_the_manifest_its_tags() {
    let world = World::new().await;
    let client = world.http();
    let digest = client.push_image("app", "v1", "").await;
    let _digest = client.push_image("app", "v2", "").await;
    let delete = async |reference: &str| {
        client.send("DELETE", &format!("/v2/app/manifests/{reference}"), &[], Body::empty()).await
    };
    assert_eq!(delete("v1").await.status, 202);
    assert_eq!(client.head("/v2/app/manifests/v1").await.status, 404);
    assert_eq!(client.head("/v2/app/manifests/v2").await.status, 200);
    assert_eq!(delete("v1").await.status, 404);
    assert_eq!(delete(&digest.to_string()).await.status, 202);
    insta::assert_snapshot!(client.get("/v2/app/manifests/v2").await.error());
    assert_eq!(client.get(&format!("/v2/app/manifests/{digest}")).await.status, 404);
}

#[tokio::test]
async fn a_reference_that_cannot_be_is_not_there() {
    let world = World::new().await;
    let client = world.http();
    assert_eq!(client.get("/v2/app/manifests/.bad").await.status, 404);
    assert_eq!(client.get("/v2/app/manifests/sha256:baddigeststring").await.status, 400);
    assert_eq!(client.get("/v2/nosuch/manifests/latest").await.status, 404);
}
