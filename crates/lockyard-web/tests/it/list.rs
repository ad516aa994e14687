//! Lists and their pages.

use crate::support::{World, sha256};

#[tokio::test]
async fn tags_come_in_pages_that_follow_each_other() {
    let world = World::new().await;
    let client = world.http();
    for tag in ["b", "a", "c", "B", "a-1"] {
        let _digest = client.push_image("team/app", tag, "").await;
    }
    let all = client.get("/v2/team/app/tags/list").await;
    assert_eq!(all.header("content-type"), "application/json");
    assert_eq!(all.header("link"), "");
    assert_eq!(all.text(), r#"{"name":"team/app","tags":["B","a","a-1","b","c"]}"#);
    let mut target = "/v2/team/app/tags/list?n=2".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = client.get(&target).await;
        pages.push(page.json()["tags"].to_string());
        let Some(link) = page.headers.get("link") else { break };
        let link = link.to_str().unwrap();
        let next = link.strip_prefix('<').and_then(|l| l.strip_suffix(r#">; rel="next""#));
        next.unwrap().clone_into(&mut target);
        assert!(target.starts_with("/v2/team/app/tags/list?n=2&last="), "{target}");
    }
    assert_eq!(pages, [r#"["B","a"]"#, r#"["a-1","b"]"#, r#"["c"]"#]);
}

#[tokio::test]
async fn the_catalog_is_where_azures_libraries_look_for_it_too() {
    let world = World::new().await;
    let client = world.http();
    for name in ["a", "b", "c"] {
        let _digest = client.push_image(name, "v1", "").await;
    }
    for path in ["/v2/_catalog", "/acr/v1/_catalog"] {
        let page = client.get(&format!("{path}?n=2")).await;
        assert_eq!(page.text(), r#"{"repositories":["a","b"]}"#);
        let next = format!(r#"<{path}?n=2&last=b>; rel="next""#);
        assert_eq!(page.header("link"), next);
    }
}

#[tokio::test]
async fn odd_page_sizes_are_taken_as_they_are_meant() {
    let world = World::new().await;
    let client = world.http();
    let _digest = client.push_image("app", "v1", "").await;
    let get = async |query: &str| client.get(&format!("/v2/app/tags/list?{query}")).await;
    let none = get("n=0").await;
    assert_eq!((none.text(), none.header("link")), (r#"{"name":"app","tags":[]}"#, ""));
    assert_eq!(get("n=99999999999999999999").await.json()["tags"][0], "v1");
    assert_eq!(get("n=1").await.header("link"), "");
    assert_eq!(get("last=v1").await.text(), r#"{"name":"app","tags":[]}"#);
    insta::assert_snapshot!(get("n=-1").await.error());
}

#[tokio::test]
async fn an_unknown_repository_has_no_tags_and_no_referrers() {
    let world = World::new().await;
    let client = world.http();
    insta::assert_snapshot!(client.get("/v2/nosuch/tags/list").await.error());
    let reply = client.get(&format!("/v2/nosuch/referrers/sha256:{}", "0".repeat(64))).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/vnd.oci.image.index.v1+json");
    assert_eq!(
        reply.text(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
    );
    assert_eq!(client.get("/v2/nosuch/referrers/latest").await.status, 400);
}

#[tokio::test]
async fn the_catalog_lists_repositories_in_pages() {
    let world = World::new().await;
    let client = world.http();
    assert_eq!(client.get("/v2/_catalog").await.text(), r#"{"repositories":[]}"#);
    for name in ["b", "a/b", "a"] {
        let _digest = client.push_image(name, "v1", "").await;
    }
    let all = client.get("/v2/_catalog").await;
    assert_eq!(all.text(), r#"{"repositories":["a","a/b","b"]}"#);
    let page = client.get("/v2/_catalog?n=2").await;
    assert_eq!(page.header("link"), r#"</v2/_catalog?n=2&last=a%2Fb>; rel="next""#);
    let page = client.get("/v2/_catalog?n=2&last=a%2Fb").await;
    assert_eq!((page.text(), page.header("link")), (r#"{"repositories":["b"]}"#, ""));
}

#[tokio::test]
async fn referrers_come_in_pages() {
    let world = World::new().await;
    let client = world.http();
    let subject = sha256(b"a subject that was never pushed");
    for n in 0..101 {
        let more = format!(
            r#","annotations":{{"n":"{n}"}},"artifactType":"a/b","subject":{{"mediaType":"a/b","digest":"{subject}","size":1}}"#
        );
        let manifest = client.image("app", &more).await;
        let target = format!("/v2/app/manifests/{}", sha256(manifest.as_bytes()));
        let kind = [("content-type", crate::support::MANIFEST)];
        assert_eq!(client.send("PUT", &target, &kind, manifest).await.status, 201);
    }
    let first = client.get(&format!("/v2/app/referrers/{subject}?artifactType=a/b")).await;
    assert_eq!(first.json()["manifests"].as_array().unwrap().len(), 100);
    let link = first.header("link");
    let next = link.strip_prefix('<').and_then(|l| l.strip_suffix(r#">; rel="next""#)).unwrap();
    assert!(next.contains("artifactType=a%2Fb"), "{next}");
    let second = client.get(next).await;
    assert_eq!(second.json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(second.header("link"), "");
    assert_eq!(second.header("oci-filters-applied"), "artifactType");
    let reply = client.get(&format!("/v2/app/referrers/{subject}?after=nonsense")).await;
    assert_eq!(reply.status, 400);
}
