//! Documents and token endpoints.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockyard_access::issuer::{FORM_BYTES_MAX, WRONG_USER_CODES_MAX};

use super::*;

#[tokio::test]
async fn documents_say_what_is_configured() {
    let login = Login::new().await;
    let client = login.client();
    let tenant = login.tenant();
    for (path, issuer) in [
        (
            format!("/{tenant}/v2.0/.well-known/openid-configuration"),
            format!("{ORIGIN}/{tenant}/v2.0"),
        ),
        (format!("/{tenant}/.well-known/openid-configuration"), format!("{ORIGIN}/{tenant}/")),
        (
            "/common/v2.0/.well-known/openid-configuration".to_owned(),
            format!("{ORIGIN}/{tenant}/v2.0"),
        ),
    ] {
        let reply = client.get(&path).await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.json()["issuer"], issuer);
        assert_eq!(reply.header("cache-control"), "public, max-age=300");
        let keys = reply.json()["jwks_uri"].as_str().unwrap().replace(ORIGIN, "");
        let keys = client.get(&keys).await.json();
        let key = keys["keys"][0].as_object().unwrap();
        let words: Vec<&str> = key.keys().map(String::as_str).collect();
        assert_eq!(words, ["alg", "e", "kid", "kty", "n", "use", "x5t"]);
    }
    let realm = client.get("/common/userrealm/a%40b?api-version=1.0").await;
    insta::assert_snapshot!(realm.text());
    let asked = format!("{ORIGIN}/common/oauth2/v2.0/authorize");
    let path = format!("/common/discovery/instance?authorization_endpoint={asked}");
    assert_eq!(client.get(&path).await.json()["metadata"][0]["preferred_cache"], HOST);
    let other = "/common/discovery/instance?authorization_endpoint=https://evil.test/x";
    assert_eq!(client.get(other).await.json()["error_codes"][0], 50_049);
}

#[tokio::test]
async fn a_forged_host_is_found_nowhere() {
    let login = Login::new().await;
    let path = "/common/v2.0/.well-known/openid-configuration";
    for host in ["login.yard.example:1", "LOGIN.yard.example", "login.yard.example.:8443"] {
        let client = Client { host: host.to_owned(), ..login.client() };
        let reply = client.get(path).await;
        assert_eq!(reply.status, 200, "{host}");
        assert!(!reply.text().contains(host), "{host}");
        assert!(reply.text().contains(ORIGIN));
        let forwarded = [("x-forwarded-host", "evil.test"), ("forwarded", "host=evil.test")];
        let reply = client.send("GET", path, &forwarded, "").await;
        assert!(!reply.text().contains("evil.test"));
    }
    for host in ["login.yard.example.evil.test", "evil.test", "xlogin.yard.example"] {
        let client = Client { host: host.to_owned(), ..login.client() };
        assert_eq!(client.get(path).await.status, 421, "{host}");
    }
}

#[tokio::test]
async fn a_program_gets_a_token_in_both_versions() {
    let login = Login::new().await;
    let (client, founding) = (login.client(), &login.house.founding);
    let (id, secret) = (founding.client.to_string(), founding.secret.dangerous_expose());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_info", "1"),
        ("client_id", id.as_str()),
        ("client_secret", secret),
        ("scope", MANAGEMENT),
    ];
    let reply = login.token(&form).await;
    assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"));
    let json = reply.json();
    let words: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(words, ["access_token", "expires_in", "ext_expires_in", "token_type"]);
    assert_eq!((&json["expires_in"], &json["token_type"]), (&3599.into(), &"Bearer".into()));
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    let form = [("grant_type", "client_credentials"), ("resource", "https://vault.yard.example")];
    let headers = [("authorization", basic.as_str())];
    let reply = post(&client, "/yard.example/oauth2/token", &headers, &form).await;
    let json = reply.json();
    assert_eq!(json["expires_in"], "3599");
    assert_eq!(json["resource"], "https://vault.yard.example:8443");
    assert_eq!(claims(json["access_token"].as_str().unwrap())["ver"], "1.0");
}

#[tokio::test]
async fn refusals_are_in_oauths_words() {
    let login = Login::new().await;
    let id = login.house.founding.client.to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id.as_str()),
        ("client_secret", "x"),
        ("scope", MANAGEMENT),
    ];
    let reply = login.token(&form).await;
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("www-authenticate"), "Basic realm=\"lockyard\"");
    let mut json = reply.json();
    let correlation = json["correlation_id"].take();
    assert_eq!(json["trace_id"].take(), correlation);
    assert_eq!(reply.header("x-correlation-id"), correlation.as_str().unwrap());
    insta::assert_snapshot!(json);
    let reply = login.token(&[("grant_type", "magic")]).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["error"]),
        (400, &"unsupported_grant_type".into())
    );
    let client = login.client();
    let unknown = post(&client, "/consumers/oauth2/v2.0/token", &[], &form).await;
    assert_eq!(unknown.json()["error_codes"][0], 90_002);
    let twice = [("grant_type", "password"), ("grant_type", "refresh_token")];
    assert_eq!(login.token(&twice).await.json()["error"], "invalid_request");
}

#[tokio::test]
async fn what_is_no_form_is_refused() {
    let login = Login::new().await;
    let client = login.client();
    let path = "/common/oauth2/v2.0/token";
    let body = "grant_type=client_credentials";
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x", ""] {
        let reply = client.send("POST", path, &[("content-type", kind)], body).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["error"]),
            (400, &"invalid_request".into()),
            "{kind}"
        );
    }
    assert_eq!(client.send("POST", path, &[], body).await.status, 400);
    let reply = client.send("POST", path, &[FORM], "a".repeat(FORM_BYTES_MAX + 1)).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["error"]), (413, &"invalid_request".into()));
    assert_eq!(client.send("POST", path, &[FORM], "a".repeat(FORM_BYTES_MAX)).await.status, 400);
    for bytes in [&b"\xff\xfe=%ff%fe&%00=%"[..], b"&&&===", b"%"] {
        assert_eq!(client.send("POST", path, &[FORM], bytes.to_vec()).await.status, 400);
    }
    let two = [FORM, ("authorization", "Basic eDp5"), ("authorization", "Basic eDp5")];
    assert_eq!(client.send("POST", path, &two, body).await.status, 400);
    let bearer = [FORM, ("authorization", "Bearer x")];
    assert_eq!(client.send("POST", path, &bearer, body).await.status, 400);
}

#[tokio::test]
async fn each_endpoint_answers_its_methods() {
    let login = Login::new().await;
    let client = login.client();
    for (path, method, allowed) in [
        ("/common/oauth2/v2.0/token", "GET", "POST"),
        ("/common/oauth2/devicecode", "PUT", "POST"),
        ("/common/discovery/keys", "POST", "GET, HEAD"),
        ("/common/oauth2/v2.0/authorize", "DELETE", "GET, HEAD, POST"),
        ("/device", "OPTIONS", "GET, HEAD, POST"),
    ] {
        let reply = client.send(method, path, &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, allowed), "{path}");
    }
    for path in ["/", "/v2/", "/common", "/common/oauth2/v2.0/"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn whoever_must_wait_is_told_how_long() {
    let login = Login::new().await;
    for _ in 0..WRONG_USER_CODES_MAX {
        drop(login.house.issuer.device_ask("BBBB-BBBB").await);
    }
    let page = login.client().get("/device").await;
    let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
    let token = cookie.split_once('=').unwrap().1.to_owned();
    let form = [("form_token", token.as_str()), ("user_code", "BBBB-BBBB")];
    let reply = post(&login.client(), "/device", &[("cookie", &cookie)], &form).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, "60"));
}
