//! Pushing blobs in all the ways that clients have.

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use lockyard_oci::{Algorithm, Digest};

use crate::support::{Client, Reply, World, sha256};

const UPLOADS: &str = "/v2/app/blobs/uploads/";

async fn begin(client: &Client) -> String {
    let reply = client.post(UPLOADS).await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.header("range"), "0-0");
    assert!(reply.header("location").starts_with(UPLOADS), "relative: {reply:?}");
    reply.header("location").to_owned()
}

async fn patch(client: &Client, location: &str, range: &str, body: &'static [u8]) -> Reply {
    let headers: &[(&str, &str)] = if range.is_empty() { &[] } else { &[("content-range", range)] };
    client.send("PATCH", location, headers, body).await
}

async fn finish(client: &Client, location: &str, content: &[u8]) -> Reply {
    let digest = sha256(content);
    let target = format!("{location}&digest={digest}");
    let reply = client.send("PUT", &target, &[], Body::empty()).await;
    if reply.status == 201 {
        assert_eq!(reply.header("location"), format!("/v2/app/blobs/{digest}"));
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
        let blob = client.get(reply.header("location")).await;
        assert_eq!(blob.body, content);
    }
    reply
}

#[tokio::test]
async fn a_blob_may_come_in_one_request_or_two() {
    let world = World::new().await;
    let client = world.http();
    let _digest = client.push("app", b"one request").await;
    let location = begin(&client).await;
    let digest = sha256(b"two requests");
    let target = format!("{location}&digest={}", digest.to_string().replace(':', "%3A"));
    let reply = client.send("PUT", &target, &[], &b"two requests"[..]).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let blob = client.get(&format!("/v2/app/blobs/{digest}")).await;
    assert_eq!(blob.text(), "two requests");
}

#[tokio::test]
async fn a_blob_may_come_in_pieces_however_they_are_announced() {
    let world = World::new().await;
    let client = world.http();
    let mut location = begin(&client).await;
    for (range, piece, answer) in [
        ("0-4", &b"01234"[..], "0-4"),
        ("bytes 5-9/*", b"56789", "0-9"),
        ("bytes=10-14", b"abcde", "0-14"),
        ("", b"fghij", "0-19"),
    ] {
        let reply = patch(&client, &location, range, piece).await;
        assert_eq!((reply.status.as_u16(), reply.header("range")), (202, answer), "{reply:?}");
        reply.header("location").clone_into(&mut location);
        let status = client.get(&location).await;
        assert_eq!((status.status.as_u16(), status.header("range")), (204, answer));
        assert_eq!(status.header("location"), location);
    }
    assert_eq!(finish(&client, &location, b"0123456789abcdefghij").await.status, 201);
    assert_eq!(client.get(&location).await.status, 404);
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_appended() {
    let world = World::new().await;
    let client = world.http();
    let location = begin(&client).await;
    let pieces = ["some ", "pieces"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
    let body = Body::from_stream(stream::iter(pieces));
    let reply = client.send("PATCH", &location, &[], body).await;
    assert_eq!((reply.status.as_u16(), reply.header("range")), (202, "0-10"));
    assert_eq!(finish(&client, reply.header("location"), b"some pieces").await.status, 201);
}

#[tokio::test]
async fn a_piece_out_of_order_is_told_where_the_session_stands() {
    let world = World::new().await;
    let client = world.http();
    let first = begin(&client).await;
    let refused = patch(&client, &first, "5-9", b"56789").await;
    assert_eq!((refused.status.as_u16(), refused.header("range")), (416, "0-0"));
    let reply = patch(&client, refused.header("location"), "0-4", b"01234").await;
    let second = reply.header("location").to_owned();
    for (location, range) in [(&second, "0-4"), (&second, "6-10"), (&first, "0-4"), (&first, "")] {
        let refused = patch(&client, location, range, b"56789").await;
        assert_eq!((refused.status.as_u16(), refused.header("range")), (416, "0-4"), "{range}");
        assert_eq!(refused.header("location"), second);
    }
    let target = format!("{second}&digest={}", sha256(b"0123456789"));
    let range = [("content-range", "7-11")];
    let refused = client.send("PUT", &target, &range, &b"56789"[..]).await;
    assert_eq!((refused.status.as_u16(), refused.header("location")), (416, second.as_str()));
    insta::assert_snapshot!(refused.error());
    let range = [("content-range", "5-9")];
    assert_eq!(client.send("PUT", &target, &range, &b"56789"[..]).await.status, 201);
}

#[tokio::test]
async fn a_piece_must_be_as_long_as_it_says() {
    let world = World::new().await;
    let client = world.http();
    let location = begin(&client).await;
    let headers = [("content-range", "0-9"), ("content-length", "5")];
    let reply = client.send("PATCH", &location, &headers, &b"01234"[..]).await;
    insta::assert_snapshot!("length_mismatch", reply.error());
    let reply = patch(&client, &location, "zero-nine", b"01234").await;
    insta::assert_snapshot!("chunk_malformed", reply.error());
    assert_eq!(client.get(&location).await.header("range"), "0-0");
}

#[tokio::test]
async fn a_wrong_digest_is_refused_in_every_way_of_pushing() {
    let world = World::new().await;
    let client = world.http();
    let wrong = sha256(b"something else");
    let target = format!("{UPLOADS}?digest={wrong}");
    let reply = client.send("POST", &target, &[], &b"content"[..]).await;
    insta::assert_snapshot!("digest_mismatch", reply.error());
    let location = begin(&client).await;
    let target = format!("{location}&digest={wrong}");
    assert_eq!(client.send("PUT", &target, &[], &b"content"[..]).await.status, 400);
    let location = begin(&client).await;
    let reply = patch(&client, &location, "", b"content").await;
    assert_eq!(finish(&client, reply.header("location"), b"something else").await.status, 400);
    let reply = client.send("PUT", &begin(&client).await, &[], Body::empty()).await;
    insta::assert_snapshot!("digest_missing", reply.error());
    assert_eq!(client.head(&format!("/v2/app/blobs/{wrong}")).await.status, 404);
}

#[tokio::test]
async fn a_session_can_be_cancelled() {
    let world = World::new().await;
    let client = world.http();
    let location = begin(&client).await;
    let cancel = async || client.send("DELETE", &location, &[], Body::empty()).await;
    assert_eq!(cancel().await.status, 204);
    insta::assert_snapshot!(cancel().await.error());
    for method in ["GET", "PATCH"] {
        assert_eq!(client.send(method, &location, &[], &b"x"[..]).await.status, 404);
    }
    for id in ["x", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(client.get(&format!("{UPLOADS}{id}")).await.status, 404, "{id}");
    }
    let reply =
        client.get(&format!("{UPLOADS}0123456789abcdef0123456789abcdef?generation=x")).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_blob_is_mounted_or_else_an_upload_begins() {
    let world = World::new().await;
    let client = world.http();
    let digest = client.push("source", b"content").await;
    let mount = async |query: String| client.post(&format!("{UPLOADS}?{query}")).await;
    for query in [format!("mount={digest}&from=nowhere"), format!("mount={digest}&from=BAD")] {
        let reply = mount(query).await;
        assert_eq!(reply.status, 202);
        assert!(reply.header("location").contains("/blobs/uploads/"));
    }
    let reply = mount(format!("mount={}", sha256(b"missing"))).await;
    assert_eq!(reply.status, 202);
    for query in [format!("mount={digest}&from=source"), format!("mount={digest}")] {
        let reply = mount(query).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.header("location"), format!("/v2/app/blobs/{digest}"));
        assert_eq!(reply.header("docker-content-digest"), digest.to_string());
    }
    assert_eq!(client.get(&format!("/v2/app/blobs/{digest}")).await.text(), "content");
    assert_eq!(mount("mount=bad".to_owned()).await.status, 400);
}

#[tokio::test]
async fn sha512_may_be_announced_or_not() {
    let world = World::new().await;
    let client = world.http();
    for (query, content) in
        [("?digest-algorithm=sha512", &b"announced"[..]), ("", b"not announced")]
    {
        let reply = client.post(&format!("{UPLOADS}{query}")).await;
        assert_eq!(reply.status, 202);
        let reply = client.send("PATCH", reply.header("location"), &[], content.to_vec()).await;
        let digest = Digest::of(Algorithm::Sha512, content);
        let target = format!("{}&digest={digest}", reply.header("location"));
        assert_eq!(client.send("PUT", &target, &[], Body::empty()).await.status, 201);
        assert_eq!(client.get(&format!("/v2/app/blobs/{digest}")).await.body, content);
    }
    assert_eq!(client.post(&format!("{UPLOADS}?digest-algorithm=md5")).await.status, 400);
}
