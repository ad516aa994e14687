//! Reading and deleting blobs.

use axum::body::Body;

use crate::support::{MANIFEST, World, sha256};

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed() {
    let world = World::new().await;
    let client = world.http();
    for content in [&b""[..], b"{}", b"some bytes"] {
        let digest = client.push("team/app", content).await;
        let target = format!("/v2/team/app/blobs/{digest}");
        for (reply, body) in
            [(client.head(&target).await, &b""[..]), (client.get(&target).await, content)]
        {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.body, body);
            assert_eq!(reply.header("content-type"), "application/octet-stream");
            assert_eq!(reply.header("content-length"), content.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest.to_string());
            assert_eq!(reply.header("etag"), format!("\"{digest}\""));
            assert_eq!(reply.header("accept-ranges"), "bytes");
            assert_eq!(reply.header("x-content-type-options"), "nosniff");
            assert_eq!(reply.header("content-security-policy"), "sandbox");
            assert_eq!(reply.header("content-encoding"), "");
        }
    }
}

#[tokio::test]
async fn ranges_are_served_and_refused() {
    let world = World::new().await;
    let client = world.http();
    let content: Vec<u8> = (0..2048_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let digest = client.push("app", &content).await;
    let target = format!("/v2/app/blobs/{digest}");
    for (range, expected) in [
        ("bytes=500-1499", Some(500..1500)),
        ("bytes=500-", Some(500..2048)),
        ("bytes=-500", Some(1548..2048)),
        ("bytes=-5000", Some(0..2048)),
        ("bytes=2000-5000", Some(2000..2048)),
        ("bytes=0-0", Some(0..1)),
        ("bytes=2047-2047", Some(2047..2048)),
        ("bytes=2048-", None),
        ("bytes=5000-10000", None),
        ("bytes=500-0", None),
        ("bytes=-0", None),
    ] {
        let reply = client.send("GET", &target, &[("range", range)], Body::empty()).await;
        match expected {
            Some(bytes) => {
                assert_eq!(reply.status, 206, "{range}");
                assert_eq!(reply.body, content[bytes.clone()], "{range}");
                let last = bytes.end - 1;
                let part = format!("bytes {}-{last}/2048", bytes.start);
                assert_eq!(reply.header("content-range"), part);
                assert_eq!(reply.header("content-length"), bytes.len().to_string());
            }
            None => assert_eq!(reply.status, 416, "{range}"),
        }
    }
    for range in ["lines=1-2", "bytes=a-b", "bytes=0-1,4-5", ""] {
        let reply = client.send("GET", &target, &[("range", range)], Body::empty()).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 2048), "{range}");
    }
    let reply = client.send("GET", &target, &[("range", "bytes=2048-")], Body::empty()).await;
    assert_eq!(reply.header("content-range"), "bytes */2048");
    insta::assert_snapshot!(reply.error());
}

#[tokio::test]
async fn a_range_of_nothing_is_the_whole_of_it() {
    let world = World::new().await;
    let client = world.http();
    let digest = client.push("app", b"").await;
    let target = format!("/v2/app/blobs/{digest}");
    let reply = client.send("GET", &target, &[("range", "bytes=0-")], Body::empty()).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-length")), (200, "0"));
}

#[tokio::test]
async fn conditions_on_the_entity_tag_are_honoured() {
    let world = World::new().await;
    let client = world.http();
    let digest = client.push("app", b"content").await;
    let target = format!("/v2/app/blobs/{digest}");
    let tag = format!("\"{digest}\"");
    let get = async |headers: &[(&str, &str)]| {
        client.send("GET", &target, headers, Body::empty()).await.status.as_u16()
    };
    assert_eq!(get(&[("if-none-match", &tag)]).await, 304);
    assert_eq!(get(&[("if-none-match", &format!("\"a\", W/{tag}"))]).await, 304);
    assert_eq!(get(&[("if-none-match", "\"a\"")]).await, 200);
    assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", &tag)]).await, 206);
    assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", "\"a\"")]).await, 200);
    let missing = format!("/v2/app/blobs/{}", sha256(b"missing"));
    let reply = client.send("GET", &missing, &[("if-none-match", "*")], Body::empty()).await;
    assert_eq!(reply.status, 404);
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_is_told_apart() {
    let world = World::new().await;
    let client = world.http();
    let _digest = client.push("app", b"content").await;
    let missing = sha256(b"missing");
    insta::assert_snapshot!(
        "blob_missing",
        client.get(&format!("/v2/app/blobs/{missing}")).await.error()
    );
    let elsewhere = format!("/v2/other/blobs/{}", sha256(b"content"));
    assert_eq!(client.get(&elsewhere).await.status, 404);
    for (path, name) in [
        ("/v2/app/blobs/sha256:bad".to_owned(), "digest_malformed"),
        (format!("/v2/app/blobs/md5:{}", "0".repeat(32)), "digest_unsupported"),
        (format!("/v2/UPPER/blobs/{missing}"), "name_malformed"),
        (format!("/v2/{}/blobs/{missing}", "a".repeat(256)), "name_too_long"),
    ] {
        insta::assert_snapshot!(name, client.get(&path).await.error());
    }
}

#[tokio::test]
async fn a_blob_is_deleted_unless_a_manifest_names_it() {
    let world = World::new().await;
    let client = world.http();
    let digest = client.push("app", b"content").await;
    let target = format!("/v2/app/blobs/{digest}");
    let delete = async |target: &str| client.send("DELETE", target, &[], Body::empty()).await;
    assert_eq!(delete(&target).await.status, 202);
    assert_eq!(client.head(&target).await.status, 404);
    assert_eq!(delete(&target).await.status, 404);
    let manifest = client.image("app", "").await;
    let kind = [("content-type", MANIFEST)];
    let reply = client.send("PUT", "/v2/app/manifests/v1", &kind, manifest).await;
    assert_eq!(reply.status, 201);
    let config = format!("/v2/app/blobs/{}", sha256(b"{}"));
    let reply = delete(&config).await;
    assert_eq!(reply.header("allow"), "GET, HEAD");
    insta::assert_snapshot!(reply.error());
    assert_eq!(client.head(&config).await.status, 200);
}
