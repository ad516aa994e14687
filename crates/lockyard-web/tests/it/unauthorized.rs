//! Every endpoint with every method: nobody learns anything without a login.

use axum::body::Body;

use crate::support::{World, sha256};

#[tokio::test]
async fn nothing_answers_without_a_login() {
    let world = World::new().await;
    let mut client = world.https("contoso.cr.yard.example");
    let digest = client.push("app", b"content").await;
    client.login = None;
    let upload = "00000000000000000000000000000000";
    let paths = [
        "/v2".to_owned(),
        "/v2/".to_owned(),
        "/v2/_catalog".to_owned(),
        "/acr/v1/_catalog".to_owned(),
        "/v2/app/tags/list".to_owned(),
        "/v2/app/manifests/latest".to_owned(),
        format!("/v2/app/manifests/{digest}"),
        format!("/v2/app/referrers/{digest}"),
        format!("/v2/app/blobs/{digest}"),
        format!("/v2/app/blobs/{}", sha256(b"not there")),
        "/v2/app/blobs/uploads/".to_owned(),
        format!("/v2/app/blobs/uploads/{upload}"),
        "/".to_owned(),
        "/v2/BAD NAME/tags/list".replace(' ', "%20"),
    ];
    for path in &paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let reply = client.send(method, path, &[], Body::empty()).await;
            assert_eq!(reply.status, 401, "{method} {path}");
            assert!(reply.header("www-authenticate").starts_with("Bearer realm="));
        }
    }
}

#[tokio::test]
async fn other_methods_are_told_which_ones_there_are() {
    let world = World::new().await;
    let client = world.http();
    let digest = sha256(b"");
    for (path, allowed) in [
        ("/v2/".to_owned(), "GET, HEAD"),
        ("/v2/_catalog".to_owned(), "GET, HEAD"),
        ("/acr/v1/_catalog".to_owned(), "GET, HEAD"),
        ("/v2/a/tags/list".to_owned(), "GET, HEAD"),
        ("/v2/a/manifests/b".to_owned(), "GET, HEAD, PUT, DELETE"),
        (format!("/v2/a/referrers/{digest}"), "GET, HEAD"),
        (format!("/v2/a/blobs/{digest}"), "GET, HEAD, DELETE"),
        ("/v2/a/blobs/uploads/".to_owned(), "POST"),
        ("/v2/a/blobs/uploads/x".to_owned(), "GET, HEAD, PATCH, PUT, DELETE"),
    ] {
        let reply = client.send("OPTIONS", &path, &[], Body::empty()).await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, allowed), "{path}");
    }
    insta::assert_snapshot!(client.post("/v2/").await.error());
    insta::assert_snapshot!(client.get("/index.html").await.error());
}
