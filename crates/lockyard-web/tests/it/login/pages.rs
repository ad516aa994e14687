//! The pages, as a browser uses them and as somebody else's page tries to.

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const BACK: &str = "http://localhost:4321";

/// The address of the sign-in page, with more parameters.
fn address(more: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("client_id", AZ),
        ("response_type", "code"),
        ("redirect_uri", BACK),
        ("scope", "https://management.yard.example:8443/.default openid offline_access"),
        ("state", "a state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    query.extend_pairs(more);
    format!("/common/oauth2/v2.0/authorize?{}", query.finish())
}

/// A browser with the cookie and the token of a page's form.
struct Browser {
    client: Client,
    cookie: String,
    token: String,
}

impl Browser {
    async fn open(login: &Login, path: &str) -> (Self, Reply) {
        let client = login.client();
        let page = client.get(path).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
        let token = cookie.split_once('=').unwrap().1.to_owned();
        assert!(page.text().contains(&token));
        (Self { client, cookie, token }, page)
    }

    async fn submit(&self, path: &str, form: &[(&str, &str)]) -> Reply {
        let form = [&[("form_token", self.token.as_str())], form].concat();
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("origin", ORIGIN),
            ("sec-fetch-site", "same-origin"),
        ];
        post(&self.client, path, &headers, &form).await
    }
}

fn credentials(login: &Login) -> [(&str, &str); 3] {
    let founding = &login.house.founding;
    [
        ("username", &founding.upn),
        ("password", founding.password.dangerous_expose()),
        ("action", "sign-in"),
    ]
}

#[tokio::test]
async fn a_person_signs_in_and_is_led_back_with_a_code() {
    let login = Login::new().await;
    let (browser, page) = Browser::open(&login, &address(&[])).await;
    assert!(page.text().contains("Azure CLI"));
    let reply = browser.submit(&address(&[]), &credentials(&login)).await;
    assert_eq!(reply.status, 303);
    let location = reply.header("location").to_owned();
    let query = location.strip_prefix(&format!("{BACK}?")).unwrap();
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    assert_eq!(pairs[1], ("state".to_owned(), "a state".to_owned()));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", AZ),
        ("code", &pairs[0].1),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ];
    let reply = login.token(&form).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json = reply.json();
    for word in ["access_token", "refresh_token", "id_token", "client_info", "scope"] {
        assert!(json[word].is_string(), "{word}");
    }
}

#[tokio::test]
async fn a_page_lies_in_no_frame_and_loads_nothing() {
    let login = Login::new().await;
    let (_, page) = Browser::open(&login, &address(&[])).await;
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://localhost:4321;",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("script-src") && !page.text().contains("<script"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), value);
    }
    let cookie = page.header("set-cookie");
    assert!(cookie.starts_with("__Host-"), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
}

#[tokio::test]
async fn what_a_link_says_stays_a_text() {
    let login = Login::new().await;
    let evil = "\"><script>alert(1)</script>";
    let (browser, page) = Browser::open(&login, &address(&[("login_hint", evil)])).await;
    assert!(!page.text().contains("<script"), "{}", page.text());
    assert!(page.text().contains("&quot;&gt;&lt;script&gt;"));
    let form = [("username", evil), ("password", "x"), ("action", "sign-in")];
    let reply = browser.submit(&address(&[("login_hint", evil)]), &form).await;
    assert!(!reply.text().contains("<script"), "{}", reply.text());
    let refusal = login.client().get("/common/oauth2/v2.0/authorize?client_id=%3Cscript%3E").await;
    assert_eq!(refusal.status, 400);
    assert!(!refusal.text().contains("<script"));
    assert!(refusal.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn a_form_of_somebody_elses_page_is_refused() {
    let login = Login::new().await;
    let (browser, _) = Browser::open(&login, &address(&[])).await;
    let (path, good) = (address(&[]), credentials(&login));
    let token = [("form_token", browser.token.as_str())];
    let form = [&token[..], &good[..]].concat();
    let cookie = browser.cookie.as_str();
    let other = format!("__Host-lockyard-form={}", "A".repeat(43));
    let twice = format!("{cookie}; {other}");
    for (name, headers, form) in [
        ("no cookie", vec![], form.clone()),
        ("another cookie", vec![("cookie", other.as_str())], form.clone()),
        ("two cookies", vec![("cookie", twice.as_str())], form.clone()),
        ("no token", vec![("cookie", cookie)], good.to_vec()),
        (
            "an empty token",
            vec![("cookie", "__Host-lockyard-form=")],
            [&[("form_token", "")][..], &good[..]].concat(),
        ),
        (
            "a foreign origin",
            vec![("cookie", cookie), ("origin", "https://evil.test")],
            form.clone(),
        ),
        ("no origin to speak of", vec![("cookie", cookie), ("origin", "null")], form.clone()),
        (
            "a sibling's page",
            vec![("cookie", cookie), ("sec-fetch-site", "same-site")],
            form.clone(),
        ),
    ] {
        let reply = post(&browser.client, &path, &headers, &form).await;
        assert_eq!(reply.status, 403, "{name}");
        assert_eq!(reply.header("location"), "", "{name}");
    }
    assert_eq!(browser.submit(&path, &good).await.status, 303);
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again_and_leads_nowhere() {
    let login = Login::new().await;
    let (browser, _) = Browser::open(&login, &address(&[])).await;
    let form = [("username", "owner@yard.example"), ("password", "wrong"), ("action", "sign-in")];
    let reply = browser.submit(&address(&[]), &form).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (403, ""));
    assert!(reply.text().contains("the user name or the password is wrong"));
    assert!(!reply.text().contains("value=\"wrong\""));
    let cancelled = browser.submit(&address(&[]), &[("action", "cancel")]).await;
    assert!(cancelled.header("location").starts_with(&format!("{BACK}?error=access_denied")));
}

#[tokio::test]
async fn nobody_is_led_away_by_a_link() {
    let login = Login::new().await;
    let client = login.client();
    for evil in [
        "https://evil.test",
        "//evil.test",
        "http://localhost:1@evil.test",
        "javascript:alert(1)",
        "http://localhost.evil.test",
        "http://localhost:4321\r\nx: y",
    ] {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.append_pair("redirect_uri", evil);
        let good = form_urlencoded::Serializer::new(String::new())
            .append_pair("redirect_uri", BACK)
            .finish();
        let path = address(&[]).replace(&good, &encoded.finish());
        let reply = client.get(&path).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (400, ""), "{evil}");
        assert!(!reply.text().contains("evil"), "{evil}");
    }
    // The way back is known good, so that the refusal is the program's.
    let path = address(&[]).replace("S256", "plain");
    let reply = client.get(&path).await;
    assert!(reply.header("location").starts_with(&format!("{BACK}?error=invalid_request")));
}

#[tokio::test]
async fn an_answer_can_be_posted_with_and_without_scripts() {
    let login = Login::new().await;
    let path = address(&[("response_mode", "form_post")]);
    let (browser, _) = Browser::open(&login, &path).await;
    let reply = browser.submit(&path, &credentials(&login)).await;
    assert_eq!(reply.status, 200);
    let policy = reply.header("content-security-policy");
    assert!(policy.contains("script-src 'nonce-") && policy.contains(BACK), "{policy}");
    let text = reply.text();
    assert!(text.contains(&format!("<form method=post action=\"{BACK}\">")), "{text}");
    assert!(text.contains("name=code") && text.contains("<button>Go on</button>"), "{text}");
}

#[tokio::test]
async fn a_person_lets_a_device_in() {
    let login = Login::new().await;
    let form = [("client_id", AZ), ("scope", MANAGEMENT)];
    let client = login.client();
    let device = post(&client, "/organizations/oauth2/v2.0/devicecode", &[], &form).await.json();
    assert_eq!(device["verification_uri"], format!("{ORIGIN}/device"));
    assert_eq!((&device["interval"], &device["expires_in"]), (&5.into(), &900.into()));
    let poll = async || {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", AZ),
            ("device_code", device["device_code"].as_str().unwrap()),
        ];
        login.token(&form).await
    };
    assert_eq!(poll().await.json()["error"], "authorization_pending");
    let (browser, _) = Browser::open(&login, "/device").await;
    let code = device["user_code"].as_str().unwrap();
    let wrong = browser.submit("/device", &[("user_code", "BBBB-BBBB")]).await;
    assert_eq!(wrong.status, 403);
    let second = browser.submit("/device", &[("user_code", code)]).await;
    assert!(second.text().contains("Azure CLI"), "{}", second.text());
    let form = [&[("user_code", code)], &credentials(&login)[..]].concat();
    let mut bad = form.clone();
    bad[2].1 = "wrong";
    assert_eq!(browser.submit("/device", &bad).await.status, 403);
    assert_eq!(poll().await.json()["error"], "slow_down");
    let done = browser.submit("/device", &form).await;
    assert_eq!(done.status, 200);
    assert!(poll().await.json()["access_token"].is_string());
    // Somebody else's page cannot do the same.
    let stolen = post(&client, "/device", &[], &form).await;
    assert_eq!(stolen.status, 403);
}

#[tokio::test]
async fn signing_out_leads_only_where_it_may() {
    let login = Login::new().await;
    let founding = &login.house.founding;
    let form = [
        ("grant_type", "password"),
        ("client_id", AZ),
        ("username", &founding.upn),
        ("password", founding.password.dangerous_expose()),
        ("scope", "https://management.yard.example:8443/.default openid offline_access"),
    ];
    let tokens = login.token(&form).await.json();
    let hint = tokens["id_token"].as_str().unwrap();
    let client = login.client();
    let path = "/common/oauth2/v2.0/logout";
    let evil = format!("{path}?post_logout_redirect_uri=https://evil.test&id_token_hint={hint}");
    let reply = client.get(&evil).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (200, ""));
    let good = format!("{path}?post_logout_redirect_uri={BACK}&id_token_hint={hint}&state=x");
    assert_eq!(client.get(&good).await.header("location"), format!("{BACK}?state=x"));
    let refresh = [
        ("grant_type", "refresh_token"),
        ("client_id", AZ),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ];
    assert_eq!(login.token(&refresh).await.json()["error"], "invalid_grant");
}
