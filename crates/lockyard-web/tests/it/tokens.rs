//! Tokens of registries: how they are asked for, what they are good for, and what they are not.

use std::time::Duration;

use axum::body::Body;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use lockyard_access::{decision::role_id, registry_token::SCOPES_MAX};
use lockyard_web::{FORM_BYTES_MAX, FORM_FIELDS_MAX};
use serde_json::Value;

use crate::support::{Client, Person, Reply, World, basic, sha256};

const HOST: &str = "contoso.cr.yard.example:8443";
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

/// Asks for an access token as most clients do.
async fn token(client: &Client, scopes: &[&str]) -> String {
    let mut target = format!("/oauth2/token?service={HOST}");
    for scope in scopes {
        target.push_str("&scope=");
        target.push_str(&scope.replace(' ', "%20"));
    }
    let reply = client.get(&target).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    word(&reply, "access_token")
}

fn word(reply: &Reply, name: &str) -> String {
    reply.json()[name].as_str().expect("a token").to_owned()
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

impl World {
    fn bearing(&self, token: &str) -> Client {
        self.asking(HOST, &format!("Bearer {token}"))
    }

    /// A service principal with a role on `contoso`, and its client.
    async fn with_role(&self, role: lockyard_access::RoleDefinitionId) -> (Person, Client) {
        let person = self.service_principal();
        self.give(person.id, role, "contoso").await;
        let client = self.asking(HOST, &person.basic());
        (person, client)
    }
}

#[tokio::test]
async fn a_challenge_leads_to_a_token_that_does_what_was_asked() {
    let world = World::new().await;
    let content = world.https(HOST).push("team/app", b"content").await;
    let target = format!("/v2/team/app/blobs/{content}");
    let (_, client) = world.with_role(role_id::ACR_PULL).await;
    let reply = world.stranger(HOST).get(&target).await;
    let host = "contoso.cr.yard.example:8443";
    let expected = format!(
        "Bearer realm=\"https://{host}/oauth2/token\",service=\"{host}\",\
         scope=\"repository:team/app:pull\""
    );
    assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, expected.as_str()));
    let reply = client.get("/oauth2/token?service=x&scope=repository:team/app:pull").await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let json = reply.json();
    assert_eq!(json["token"], json["access_token"]);
    assert_eq!((&json["expires_in"], &json["token_type"]), (&3600.into(), &"Bearer".into()));
    assert_eq!(json["issued_at"], "2023-11-14T22:13:20Z");
    assert_eq!(json.get("refresh_token"), None);
    let bearer = world.bearing(json["token"].as_str().unwrap());
    assert_eq!(bearer.get(&target).await.text(), "content");
    assert_eq!(bearer.get("/v2/").await.text(), "{}");
}

#[tokio::test]
async fn a_ping_is_asked_to_log_in_with_a_header_that_az_can_read() {
    let world = World::new().await;
    let reply = world.stranger(HOST).get("/v2/").await;
    let host = "contoso.cr.yard.example:8443";
    let expected = format!("Bearer realm=\"https://{host}/oauth2/token\",service=\"{host}\"");
    assert_eq!((reply.status.as_u16(), reply.header("www-authenticate")), (401, expected.as_str()));
    assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
    insta::assert_snapshot!("login_missing", reply.error());
    // The realm is ours, whatever port or spelling the request has.
    for host in
        ["contoso.cr.yard.example", "CONTOSO.cr.Yard.Example.:1", "contoso.cr.yard.example:9"]
    {
        let reply = world.stranger(host).get("/v2/").await;
        assert_eq!(reply.header("www-authenticate"), expected, "{host}");
    }
    for (host, own) in [
        ("localhost:8443", "localhost:8443"),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("localhost:9999", "localhost:8443"),
        ("localhost", "localhost:8443"),
    ] {
        let reply = world.stranger(host).get("/v2/").await;
        let realm = format!("Bearer realm=\"https://{own}/oauth2/token\",service=\"{own}\"");
        assert_eq!(reply.header("www-authenticate"), realm, "{host}");
    }
}

#[tokio::test]
async fn every_kind_of_credential_gets_a_token_and_comes_in_directly_too() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let target = format!("/v2/app/blobs/{content}");
    let (principal, user) = (world.service_principal(), world.user("ada"));
    for person in [&principal, &user] {
        world.give(person.id, role_id::ACR_PULL, "contoso").await;
        let direct = world.asking(HOST, &person.basic());
        assert_eq!(direct.get(&target).await.text(), "content");
        let access = token(&direct, &["repository:app:pull"]).await;
        assert_eq!(world.bearing(&access).get(&target).await.text(), "content");

        let form = [
            ("grant_type", "password"),
            ("service", HOST),
            ("scope", "repository:app:pull"),
            ("client_id", "docker"),
            ("username", &person.name),
            ("password", &person.secret),
            ("access_type", "offline"),
        ];
        let reply = world.stranger(HOST).form("/oauth2/token", &form).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let (access, refresh) = (word(&reply, "access_token"), word(&reply, "refresh_token"));
        assert_eq!(world.bearing(&access).get(&target).await.text(), "content");

        // A refresh token by the form, as a password for a token, and as a password directly.
        let form = [
            ("grant_type", "refresh_token"),
            ("service", HOST),
            ("scope", "repository:app:pull"),
            ("refresh_token", &refresh),
        ];
        let reply = world.stranger(HOST).form("/oauth2/token", &form).await;
        let again = word(&reply, "access_token");
        assert_eq!(world.bearing(&again).get(&target).await.text(), "content");
        let as_password = world.asking(HOST, &basic(TOKEN_USER, &refresh));
        let again = token(&as_password, &["repository:app:pull"]).await;
        assert_eq!(world.bearing(&again).get(&target).await.text(), "content");
        assert_eq!(as_password.get(&target).await.text(), "content");
        // An access token too, as far as it goes.
        let as_password = world.asking(HOST, &basic(TOKEN_USER, &access));
        assert_eq!(as_password.get(&target).await.text(), "content");
        assert_eq!(as_password.get("/v2/other/tags/list").await.status, 401);
    }
    let client = world.asking(HOST, &principal.basic());
    let offline = client.get("/oauth2/token?offline_token=true").await;
    assert!(!word(&offline, "refresh_token").is_empty());
}

#[tokio::test]
async fn a_token_grants_what_is_asked_and_allowed_and_be_it_nothing() {
    let world = World::new().await;
    let (_, client) = world.with_role(role_id::ACR_PULL).await;
    let pull = serde_json::json!([{ "type": "repository", "name": "app", "actions": ["pull"] }]);
    let access = |token: &str| claims(token)["access"].clone();
    for scopes in [
        &["repository:app:pull,push"][..],
        &["repository:app:pull%20repository:app:push"],
        &["repository:app:push", "repository:app:pull"],
        &["repository:app:fly,pull,push", "registry:None:*", "x:y:z", "artifact-repository:a:*"],
    ] {
        assert_eq!(access(&token(&client, scopes).await), pull, "{scopes:?}");
    }
    let nothing = token(&client, &["repository:app:push"]).await;
    assert_eq!(access(&nothing), serde_json::json!([]));
    assert_eq!(world.bearing(&nothing).get("/v2/").await.status, 200);
    let (_, without_role) = (0, world.asking(HOST, &world.service_principal().basic()));
    assert_eq!(
        access(&token(&without_role, &["repository:app:pull"]).await),
        serde_json::json!([])
    );
    let catalog = token(&client, &["registry:catalog:*"]).await;
    assert_eq!(world.bearing(&catalog).get("/v2/_catalog").await.status, 200);
    assert_eq!(world.bearing(&catalog).get("/v2/app/tags/list").await.status, 401);
}

#[tokio::test]
async fn a_person_is_told_what_they_may_not_and_which_role_would_let_them() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let (_, client) = world.with_role(role_id::ACR_PULL).await;
    let access = token(&client, &["repository:app:pull,push,delete"]).await;
    let bearer = world.bearing(&access);
    for (method, path) in [
        ("POST", "/v2/app/blobs/uploads/".to_owned()),
        ("PUT", "/v2/app/manifests/v1".to_owned()),
        ("POST", format!("/v2/app/blobs/uploads/?digest={content}")),
    ] {
        let reply = bearer.send(method, &path, &[], Body::empty()).await;
        insta::assert_snapshot!("may_not_push", reply.error());
    }
    let target = format!("/v2/app/blobs/{content}");
    let reply = bearer.send("DELETE", &target, &[], Body::empty()).await;
    insta::assert_snapshot!("may_not_delete", reply.error());
    let stranger = world.asking(HOST, &world.service_principal().basic());
    let reply = stranger.get(&format!("/v2/app/blobs/{content}")).await;
    insta::assert_snapshot!("may_not_pull", reply.error());
    let reply = stranger.get("/v2/_catalog").await;
    insta::assert_snapshot!("may_not_list", reply.error());
}

#[tokio::test]
async fn a_token_that_is_too_narrow_asks_for_a_wider_one() {
    let world = World::new().await;
    let owner = world.https(HOST);
    owner.push("app", b"content").await;
    let access = token(&owner, &["repository:app:pull"]).await;
    let bearer = world.bearing(&access);
    let reply = bearer.post("/v2/app/blobs/uploads/").await;
    assert_eq!(reply.status, 401);
    let header = reply.header("www-authenticate").to_owned();
    let more = ",scope=\"repository:app:pull,push\",error=\"insufficient_scope\"";
    assert!(header.ends_with(more), "{header}");
    insta::assert_snapshot!("token_too_narrow", reply.error());
    for path in ["/v2/other/tags/list", "/v2/_catalog"] {
        assert_eq!(bearer.get(path).await.status, 401, "{path}");
    }
    // A name that is none is told to be none, whatever the token.
    assert_eq!(bearer.get("/v2/NO/tags/list").await.status, 400);
}

#[tokio::test]
async fn a_mount_without_pull_on_its_source_becomes_an_upload() {
    let world = World::new().await;
    let owner = world.https(HOST);
    let content = owner.push("source", b"content").await;
    let mount = format!("/v2/app/blobs/uploads/?mount={content}&from=source");
    let narrow = token(&owner, &["repository:app:pull,push"]).await;
    assert_eq!(world.bearing(&narrow).post(&mount).await.status, 202);
    let reply = world.stranger(HOST).post(&mount).await;
    let scope = "scope=\"repository:app:pull,push repository:source:pull\"";
    assert!(reply.header("www-authenticate").ends_with(scope), "{reply:?}");
    let wide = token(&owner, &["repository:app:pull,push repository:source:pull"]).await;
    assert_eq!(world.bearing(&wide).post(&mount).await.status, 201);
}

#[tokio::test]
async fn a_token_is_good_for_nothing_but_its_own_use() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let (target, scope) = (format!("/v2/app/blobs/{content}"), "repository:app:pull");
    let (person, client) = world.with_role(role_id::OWNER).await;
    world.give(person.id, role_id::OWNER, "lockyard").await;
    let access = token(&client, &[scope]).await;
    let refresh = word(&client.get("/oauth2/token?offline_token=true").await, "refresh_token");
    // At another registry, where its holder has the same role.
    let other = "lockyard.cr.yard.example:8443";
    let there = world.asking(other, &format!("Bearer {access}"));
    let reply = there.get("/v2/").await;
    assert!(reply.header("www-authenticate").ends_with("error=\"invalid_token\""), "{reply:?}");
    insta::assert_snapshot!("token_of_another_registry", reply.error());
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
    assert_eq!(world.stranger(other).form("/oauth2/token", &form).await.status, 401);
    assert_eq!(world.asking(other, &basic(TOKEN_USER, &refresh)).get("/v2/").await.status, 401);
    // One kind for the other.
    assert_eq!(world.bearing(&refresh).get(&target).await.status, 401);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &access)];
    let reply = world.stranger(HOST).form("/oauth2/token", &form).await;
    insta::assert_snapshot!("access_token_for_a_refresh_token", reply.error());
    // Expired, and then the other kind.
    world.clock.advance(Duration::from_secs(3600));
    world.keyring.changed().await;
    let reply = world.bearing(&access).get(&target).await;
    insta::assert_snapshot!("token_expired", reply.error());
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh), ("scope", scope)];
    let reply = world.stranger(HOST).form("/oauth2/token", &form).await;
    assert_eq!(world.bearing(&word(&reply, "access_token")).get(&target).await.status, 200);
    for text in ["", "x", "a.b.c", "..", &format!("{access}x"), &"a".repeat(20_000)] {
        assert_eq!(world.bearing(text).get("/v2/").await.status, 401, "{text}");
    }
}

#[tokio::test]
async fn an_access_token_as_a_password_makes_nothing_wider_and_nothing_longer() {
    let world = World::new().await;
    let owner = world.https(HOST);
    let access = token(&owner, &["repository:app:pull"]).await;
    world.clock.advance(Duration::from_secs(3000));
    world.keyring.changed().await;
    let as_password = world.asking(HOST, &basic(TOKEN_USER, &access));
    let reply = as_password
        .get("/oauth2/token?scope=repository:app:pull,push&scope=registry:catalog:*&offline_token=true")
        .await;
    assert_eq!(reply.json().get("refresh_token"), None);
    assert_eq!(reply.json()["expires_in"], 600);
    let again = word(&reply, "access_token");
    let pull = serde_json::json!([{ "type": "repository", "name": "app", "actions": ["pull"] }]);
    assert_eq!(claims(&again)["access"], pull);
    assert_eq!(claims(&again)["exp"], claims(&access)["exp"]);
}

#[tokio::test]
async fn what_is_taken_away_ends_the_tokens_that_are_about() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let target = format!("/v2/app/blobs/{content}");
    let directory = &world.faces.directory;
    let scope = "repository:app:pull,push";
    let ask = async |token: &str| world.bearing(token).get(&target).await.status.as_u16();
    let renew = async |refresh: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        world.stranger(HOST).form("/oauth2/token", &form).await.status.as_u16()
    };

    let person = world.service_principal();
    let assignment = world.give(person.id, role_id::ACR_PULL, "contoso").await;
    let client = world.asking(HOST, &person.basic());
    let access = token(&client, &[scope]).await;
    let refresh = word(&client.get("/oauth2/token?offline_token=true").await, "refresh_token");
    assert_eq!((ask(&access).await, renew(&refresh).await), (200, 200));
    directory.unassign(assignment).unwrap();
    assert_eq!((ask(&access).await, renew(&refresh).await), (403, 200), "the role went");
    world.give(person.id, role_id::ACR_PULL, "contoso").await;
    directory.set_enabled(person.id, false).unwrap();
    assert_eq!((ask(&access).await, renew(&refresh).await), (401, 401), "disabled");
    insta::assert_snapshot!("login_ended", world.bearing(&access).get(&target).await.error());
    directory.set_enabled(person.id, true).unwrap();
    assert_eq!(ask(&access).await, 200);
    let snapshot = directory.snapshot();
    let secret = snapshot.application(person.client.unwrap()).unwrap().secrets[0].id;
    directory.remove_credential(person.client.unwrap(), secret).unwrap();
    assert_eq!((ask(&access).await, renew(&refresh).await), (401, 401), "the secret went");
    assert_eq!(client.get("/v2/").await.status, 401);

    let user = world.user("ada");
    world.give(user.id, role_id::ACR_PULL, "contoso").await;
    let access = token(&world.asking(HOST, &user.basic()), &[scope]).await;
    assert_eq!(ask(&access).await, 200);
    world.clock.advance(Duration::from_secs(1));
    directory.revoke_sessions(user.id).unwrap();
    assert_eq!(ask(&access).await, 401, "signed out everywhere");
    let access = token(&world.asking(HOST, &user.basic()), &[scope]).await;
    assert_eq!(ask(&access).await, 200);
    directory.delete_principal(user.id).unwrap();
    assert_eq!(ask(&access).await, 401, "deleted");
}

#[tokio::test]
async fn wrong_credentials_are_refused_alike_and_guessing_ends_soon() {
    let world = World::new().await;
    let (person, user) = (world.service_principal(), world.user("ada"));
    for (name, secret) in [
        (person.name.as_str(), "wrong"),
        ("7f951dda-4ed3-4680-a7ca-43fe172d538d", person.secret.as_str()),
        (user.name.as_str(), "wrong"),
        ("nobody@yard.example", "wrong"),
        ("", ""),
        (TOKEN_USER, "wrong"),
    ] {
        let client = world.asking(HOST, &basic(name, secret));
        for path in ["/oauth2/token?scope=repository:a:pull", "/v2/", "/v2/app/tags/list"] {
            let reply = client.get(path).await;
            assert_eq!(reply.status, 401, "{name} {path}");
        }
        if name != TOKEN_USER {
            insta::assert_snapshot!("wrong_for_a_token", client.get("/oauth2/token").await.error());
            insta::assert_snapshot!("login_wrong", client.get("/v2/").await.error());
        }
    }
    // A user's password is guessed at a few times, and then not even the right one helps.
    let mut guesses = 0;
    let reply = loop {
        let reply = world.asking(HOST, &basic(&user.name, "guess")).get("/v2/").await;
        guesses += 1;
        if reply.status != 401 {
            break reply;
        }
        assert!(guesses < 50, "guessing goes on and on");
    };
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
    assert_eq!(world.asking(HOST, &user.basic()).get("/v2/").await.status, 429);
    let form = [("grant_type", "password"), ("username", &user.name), ("password", &user.secret)];
    assert_eq!(world.stranger(HOST).form("/oauth2/token", &form).await.status, 429);
}

#[tokio::test]
async fn everybody_pulls_where_the_registry_says_so_and_nowhere_else() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let target = format!("/v2/app/blobs/{content}");
    let stranger = world.stranger(HOST);
    let empty = token(&stranger, &["repository:app:pull,push"]).await;
    assert_eq!(claims(&empty)["access"], serde_json::json!([]));
    assert_eq!(claims(&empty).get("sub"), None);
    assert_eq!(world.bearing(&empty).get(&target).await.status, 401);
    assert_eq!(world.bearing(&empty).get("/v2/").await.status, 401);
    let registry = "contoso".parse().unwrap();
    assert!(world.faces.registries.set_anonymous_pull(&registry, true).await.unwrap());
    let pull = token(&stranger, &["repository:app:pull,push", "registry:catalog:*"]).await;
    let bearer = world.bearing(&pull);
    for client in [&bearer, &stranger] {
        assert_eq!(client.get(&target).await.text(), "content");
        assert_eq!(client.get("/v2/_catalog").await.status, 200);
        assert_eq!(client.post("/v2/app/blobs/uploads/").await.status, 401);
        let deleted = client.send("DELETE", &target, &[], Body::empty()).await;
        assert_eq!(deleted.status, 401);
    }
    // Clients log in only where the first answer says so, and who has a login must get the chance.
    assert_eq!(stranger.get("/v2/").await.status, 401);
    assert_eq!(bearer.get("/v2/").await.status, 200);
    // The Azure SDK asks so.
    let form = [("grant_type", "password"), ("service", HOST), ("scope", "repository:app:pull")];
    let reply = stranger.form("/oauth2/token", &form).await;
    assert_eq!(world.bearing(&word(&reply, "access_token")).get(&target).await.status, 200);
    assert_eq!(reply.json().get("refresh_token"), None);
    // Somebody who logs in and has no role may do what everybody may.
    let guest = world.asking(HOST, &world.service_principal().basic());
    assert_eq!(guest.get(&target).await.text(), "content");
    assert_eq!(world.stranger("lockyard.cr.yard.example").get(&target).await.status, 401);
    assert!(world.faces.registries.set_anonymous_pull(&registry, false).await.unwrap());
    assert_eq!(bearer.get(&target).await.status, 401);
    assert_eq!(stranger.get(&target).await.status, 401);
}

#[tokio::test]
async fn who_may_not_learns_nothing_of_a_lock() {
    let world = World::new().await;
    world.https(HOST).push("app", b"content").await;
    world.vault.disable();
    world.keyring.changed().await;
    let path = "/v2/app/tags/list";
    let locked = world.https(HOST).get(path).await;
    assert_eq!(locked.status, 403);
    assert!(locked.text().contains("is locked"), "{locked:?}");
    assert_eq!(world.stranger(HOST).get(path).await.status, 401);
    let roleless = world.asking(HOST, &world.service_principal().basic()).get(path).await;
    assert_eq!(roleless.status, 403);
    assert!(!roleless.text().contains("locked"), "{roleless:?}");
    // Tokens are handed out all the same: they say nothing about content.
    token(&world.https(HOST), &["repository:app:pull"]).await;
}

#[tokio::test]
async fn bad_requests_for_tokens_are_told_what_is_wrong() {
    let world = World::new().await;
    let client = world.stranger(HOST);
    for (fields, name) in [
        (&[][..], "form_without_grant"),
        (&[("grant_type", "")], "form_without_grant"),
        (&[("grant_type", "client_credentials")], "form_with_another_grant"),
        (&[("grant_type", "refresh_token")], "form_without_refresh_token"),
        (
            &[("grant_type", "refresh_token"), ("refresh_token", "x")],
            "access_token_for_a_refresh_token",
        ),
        (&[("grant_type", "password"), ("username", "x")], "form_without_password"),
        (&[("grant_type", "password"), ("grant_type", "password")], "form_with_two_grants"),
    ] {
        insta::assert_snapshot!(name, client.form("/oauth2/token", fields).await.error());
    }
    for (fields, name) in [
        (&[("grant_type", "password")][..], "exchange_with_another_grant"),
        (&[("grant_type", "access_token")], "exchange_without_token"),
    ] {
        insta::assert_snapshot!(name, client.form("/oauth2/exchange", fields).await.error());
    }
    let body = "grant_type=password";
    for kind in ["application/json", "text/plain", ""] {
        let reply = client.send("POST", "/oauth2/token", &[("content-type", kind)], body).await;
        insta::assert_snapshot!("form_of_another_kind", reply.error());
    }
    let charset = [("content-type", "application/x-www-form-urlencoded; charset=UTF-8")];
    assert_eq!(client.send("POST", "/oauth2/token", &charset, body).await.status, 200);
    for (method, path) in [("PUT", "/oauth2/token"), ("GET", "/oauth2/exchange")] {
        let reply = client.send(method, path, &[], Body::empty()).await;
        assert_eq!(reply.status, 405, "{method} {path}");
    }
    for authorization in ["Basic ?", "Digest x", "Bearer", "Basic"] {
        let client = world.asking(HOST, authorization);
        assert_eq!(client.get("/oauth2/token").await.status, 401, "{authorization}");
        insta::assert_snapshot!("login_malformed", client.get("/v2/").await.error());
    }
    assert_eq!(world.stranger("nosuch.cr.yard.example").get("/oauth2/token").await.status, 404);
}

#[tokio::test]
async fn forms_and_scopes_have_an_end() {
    let world = World::new().await;
    let client = world.stranger(HOST);
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let of_length = |bytes: usize| format!("grant_type=password&x={}", "a".repeat(bytes - 22));
    let of_fields = |fields: usize| format!("grant_type=password{}", "&x=y".repeat(fields - 1));
    let of_scopes =
        |scopes: usize| format!("grant_type=password{}", "&scope=repository:a:pull".repeat(scopes));
    for (body, status) in [
        (of_length(FORM_BYTES_MAX - 1), 200),
        (of_length(FORM_BYTES_MAX), 200),
        (of_length(FORM_BYTES_MAX + 1), 413),
        (of_fields(FORM_FIELDS_MAX - 1), 200),
        (of_fields(FORM_FIELDS_MAX), 200),
        (of_fields(FORM_FIELDS_MAX + 1), 413),
        (of_scopes(SCOPES_MAX - 1), 200),
        (of_scopes(SCOPES_MAX), 200),
        (of_scopes(SCOPES_MAX + 1), 400),
    ] {
        let reply = client.send("POST", "/oauth2/token", &kind, body.clone()).await;
        assert_eq!(reply.status, status, "{} bytes", body.len());
        if status == 413 {
            insta::assert_snapshot!("form_too_large", reply.error());
        } else if status == 400 {
            insta::assert_snapshot!("too_many_scopes", reply.error());
        }
    }
}

#[tokio::test]
async fn the_token_with_the_most_scopes_still_fits_into_a_request() {
    let world = World::new().await;
    let scopes: Vec<String> =
        (0..SCOPES_MAX).map(|n| format!("repository:{}{n}:*", "a".repeat(60))).collect();
    let form = [("grant_type", "password"), ("scope", &scopes.join(" "))];
    let registry = "contoso".parse().unwrap();
    assert!(world.faces.registries.set_anonymous_pull(&registry, true).await.unwrap());
    let anonymous = world.stranger(HOST).form("/oauth2/token", &form).await;
    assert!(claims(&word(&anonymous, "token"))["access"].as_array().unwrap().len() == SCOPES_MAX);
    let name = world.login.strip_prefix("Basic ").unwrap();
    let text = String::from_utf8(STANDARD.decode(name).unwrap()).unwrap();
    let (name, secret) = text.split_once(':').unwrap();
    let scope = scopes.join(" ");
    let form = [
        ("grant_type", "password"),
        ("username", name),
        ("password", secret),
        ("scope", scope.as_str()),
    ];
    let reply = world.stranger(HOST).form("/oauth2/token", &form).await;
    let access = word(&reply, "access_token");
    assert_eq!(world.bearing(&access).get("/v2/").await.status, 200, "{} bytes", access.len());
}

#[tokio::test]
async fn a_body_that_is_no_blob_tells_no_digest_to_who_may_not_push() {
    let world = World::new().await;
    let (_, client) = world.with_role(role_id::ACR_PULL).await;
    let digest = sha256(b"content");
    let target = format!("/v2/app/blobs/uploads/?digest={digest}");
    let reply = client.send("POST", &target, &[], b"content".to_vec()).await;
    assert_eq!(reply.status, 403);
    assert_eq!(world.https(HOST).head(&format!("/v2/app/blobs/{digest}")).await.status, 404);
}

/// A token of the issuer for a program, by its secret.
async fn issued(world: &World, person: &Person, scope: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", person.name.as_str()),
        ("client_secret", person.secret.as_str()),
        ("scope", scope),
    ];
    let login = world.stranger("login.yard.example:8443");
    let reply = login.form("/organizations/oauth2/v2.0/token", &form).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    word(&reply, "access_token")
}

#[tokio::test]
async fn a_token_of_the_issuer_is_exchanged_and_opens_nothing_by_itself() {
    let world = World::new().await;
    let content = world.https(HOST).push("app", b"content").await;
    let target = format!("/v2/app/blobs/{content}");
    let (person, _) = world.with_role(role_id::ACR_PULL).await;
    let token = issued(&world, &person, "https://containerregistry.azure.net/.default").await;
    let stranger = world.stranger(HOST);
    let grant = [("grant_type", "access_token"), ("access_token", &token), ("tenant", "x")];
    let refresh = word(&stranger.form("/oauth2/exchange", &grant).await, "refresh_token");
    assert_eq!(claims(&refresh)["permissions"]["actions"], serde_json::json!(["read"]));
    let scope = ("scope", "repository:app:pull,push");
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh), scope];
    let access = word(&stranger.form("/oauth2/token", &form).await, "access_token");
    assert_eq!(world.bearing(&access).get(&target).await.text(), "content");
    assert_eq!(world.bearing(&access).post("/v2/app/blobs/uploads/").await.status, 403);
    // Without the step between, no longer than the token itself.
    let form = [("grant_type", "access_token"), ("access_token", &token), scope];
    let reply = stranger.form("/oauth2/token", &form).await;
    let access = word(&reply, "access_token");
    assert_eq!(world.bearing(&access).get(&target).await.text(), "content");
    assert!(claims(&access)["exp"].as_i64() <= claims(&token)["exp"].as_i64());

    // The issuer's tokens are none of the registry's, and those for others are none at all.
    assert_eq!(world.bearing(&token).get(&target).await.status, 401);
    let management = issued(&world, &person, "https://management.yard.example:8443/.default").await;
    assert_eq!(world.bearing(&management).get("/v2/").await.status, 401);
    assert_eq!(world.asking(HOST, &basic(TOKEN_USER, &token)).get("/v2/").await.status, 401);
    for wrong in [&management, &access, &refresh, "x"] {
        let form = [("grant_type", "access_token"), ("access_token", wrong)];
        for path in ["/oauth2/exchange", "/oauth2/token"] {
            assert_eq!(stranger.form(path, &form).await.status, 401, "{path}");
        }
    }
    // What is taken away ends what was exchanged, and the exchange.
    world.faces.directory.set_enabled(person.id, false).unwrap();
    assert_eq!(world.bearing(&access).get(&target).await.status, 401);
    assert_eq!(stranger.form("/oauth2/exchange", &grant).await.status, 401);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh)];
    assert_eq!(stranger.form("/oauth2/token", &form).await.status, 401);
}

#[tokio::test]
async fn a_password_that_goes_with_each_request_ends_with_what_it_proved() {
    let world = World::new().await;
    let user = world.user("ada");
    let client = world.asking(HOST, &user.basic());
    let directory = &world.faces.directory;
    for _ in 0..3 {
        assert_eq!(client.get("/v2/").await.status, 200);
    }
    // A lock keeps guesses out, and not who is in already.
    while world.asking(HOST, &basic(&user.name, "guess")).get("/v2/").await.status == 401 {}
    assert_eq!(client.get("/v2/").await.status, 200);
    assert_eq!(client.get("/v2/app/tags/list").await.status, 403, "no role");
    directory.set_enabled(user.id, false).unwrap();
    assert_eq!(client.get("/v2/").await.status, 429, "locked, and proved by nothing any more");
}
