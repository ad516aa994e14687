//! Client credentials and passwords, and what their tokens say.

use serde_json::json;

use super::super::*;
use super::world::*;
use crate::directory::PrincipalKind;

#[tokio::test]
async fn a_program_gets_a_token_by_its_secret() {
    let world = World::new();
    let token = world.owners_token().await;
    let caller = world.verify(&token).unwrap();
    let snapshot = world.directory.snapshot();
    assert_eq!(caller.principal, snapshot.owner().1);
    assert_eq!(caller.client, world.founding.client);
    assert_eq!(caller.kind, PrincipalKind::ServicePrincipal);
    let (oid, tenant, now) = (caller.principal.to_string(), world.tenant(), world.now());
    let mut claims = claims(&token);
    let said = claims.as_object_mut().unwrap();
    assert_eq!(said.remove("uti").unwrap().as_str().unwrap().len(), 22);
    assert_eq!(
        claims,
        json!({
            "aud": "https://management.lock.test:8443",
            "iss": format!("https://login.lock.test:8443/{tenant}/v2.0"),
            "iat": now, "nbf": now, "exp": now + 3600,
            "tid": tenant, "oid": oid, "sub": oid, "ver": "2.0", "idtyp": "app",
            "azp": world.founding.client.to_string(), "azpacr": "1",
            "lockyard_credential": caller.credential.to_string(),
            "lockyard_proved": now * 1_000_000,
        })
    );
    let header = piece(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    assert_eq!(header["kid"], world.issuer.key_set()["keys"][0]["kid"]);
}

#[tokio::test]
async fn version_one_has_its_own_words() {
    let world = World::new();
    let client = world.founding.client.to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client.as_str()),
        ("client_secret", world.founding.secret.dangerous_expose()),
        ("resource", "https://management.azure.com/"),
    ];
    let reply = world.issuer.token(world.request(Version::V1, &form)).await.unwrap();
    assert!(reply.refresh_token.is_none() && reply.id_token.is_none());
    let claims = claims(&reply.access_token);
    assert_eq!(claims["iss"], format!("https://login.lock.test:8443/{}/", world.tenant()));
    assert_eq!((&claims["appid"], &claims["ver"]), (&json!(client), &json!("1.0")));
    assert_eq!((&claims["appidacr"], &claims["azp"]), (&json!("1"), &json!(null)));
    assert!(world.verify(&reply.access_token).is_ok());
    let form = [&form[..3], &[("scope", MANAGEMENT)]].concat();
    assert!(world.issuer.token(world.request(Version::V1, &form)).await.is_ok());
    let form = [&form[..3], &[("resource", "https://evil.test")]].concat();
    let refused = world.issuer.token(world.request(Version::V1, &form)).await;
    assert_eq!(number(refused), 500_011);
}

#[tokio::test]
async fn a_wrong_secret_has_the_number_that_az_knows() {
    let world = World::new();
    let client = world.founding.client.to_string();
    let secret = world.founding.secret.dangerous_expose();
    for (client, secret) in
        [(client.as_str(), "guessed"), (AZ, secret), ("no guid", secret), (&world.tenant(), secret)]
    {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("scope", MANAGEMENT),
        ];
        let refused = world.token(&form).await;
        assert!(
            matches!(&refused, Err(OAuthError::Refused { word: ErrorWord::InvalidClient, number: 7_000_215, text })
                if !text.contains(secret)),
            "{client}"
        );
    }
}

#[tokio::test]
async fn a_client_proves_itself_in_one_way() {
    let world = World::new();
    let client = world.founding.client.to_string();
    let secret = world.founding.secret.dangerous_expose();
    let basic = |user: &str| Basic { user: user.to_owned(), password: secret.to_owned().into() };
    let form = [("grant_type", "client_credentials"), ("scope", MANAGEMENT)];
    let mut request = world.request(Version::V2, &form);
    request.basic = Some(basic(&client));
    assert!(world.issuer.token(request).await.is_ok());
    let both = [&form[..], &[("client_secret", secret)]].concat();
    let mut request = world.request(Version::V2, &both);
    request.basic = Some(basic(&client));
    assert_eq!(word(world.issuer.token(request).await), "invalid_request");
    let other = [&form[..], &[("client_id", AZ)]].concat();
    let mut request = world.request(Version::V2, &other);
    request.basic = Some(basic(&client));
    assert_eq!(word(world.issuer.token(request).await), "invalid_request");
    let two = [
        &form[..],
        &[("client_id", client.as_str()), ("client_secret", secret), ("client_assertion", "x")],
    ]
    .concat();
    assert_eq!(word(world.token(&two).await), "invalid_request");
    let none = [&form[..], &[("client_id", client.as_str())]].concat();
    assert_eq!(number(world.token(&none).await), 7_000_218);
    let public = [&form[..], &[("client_id", AZ)]].concat();
    assert_eq!(word(world.token(&public).await), "unauthorized_client");
}

#[tokio::test]
async fn a_person_gets_tokens_that_say_who_they_are() {
    let world = World::new();
    let scope = format!("{MANAGEMENT} openid profile offline_access");
    let reply = world.persons_tokens(&scope).await;
    let caller = world.verify(&reply.access_token).unwrap();
    assert!(caller.is_person());
    assert_eq!(caller.client.to_string(), AZ);
    let access = claims(&reply.access_token);
    assert_eq!((&access["idtyp"], &access["scp"]), (&json!("user"), &json!("user_impersonation")));
    assert_eq!(access["preferred_username"], world.founding.upn.as_str());
    assert_eq!(access["azpacr"], "0");
    let id = claims(reply.id_token.as_ref().unwrap());
    assert_eq!((&id["aud"], &id["oid"]), (&json!(AZ), &json!(caller.principal.to_string())));
    assert_eq!(id["sid"], access["sid"]);
    assert_eq!(
        reply.scope.as_deref(),
        Some("openid profile offline_access https://management.lock.test:8443/.default")
    );
    assert!(reply.client_info.is_some() && reply.refresh_token.is_some());
    // Who somebody is opens nothing.
    let id = reply.id_token.unwrap();
    for audience in Audience::ALL {
        assert!(world.issuer.verify(&id, audience).is_err());
    }
    let reply = world.persons_tokens(MANAGEMENT).await;
    assert!(reply.refresh_token.is_none() && reply.id_token.is_none());
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let world = World::new();
    let ask = async |name: &str| {
        let form = [
            ("grant_type", "password"),
            ("client_id", AZ),
            ("username", name),
            ("password", "wrong"),
            ("scope", MANAGEMENT),
        ];
        match world.token(&form).await {
            Err(OAuthError::Refused { word, number, text }) => (word, number, text),
            other => panic!("{other:?}"),
        }
    };
    // Also after so many failures that both are locked.
    for _ in 0..10 {
        let (known, unknown) = (ask(&world.founding.upn).await, ask("nobody@lock.test").await);
        assert_eq!(known, unknown);
    }
    assert_eq!(ask(&world.founding.upn).await.1, 50_053);
}

#[tokio::test]
async fn what_a_request_lacks_is_named() {
    let world = World::new();
    assert_eq!(word(world.token(&[]).await), "invalid_request");
    assert_eq!(word(world.token(&[("grant_type", "magic")]).await), "unsupported_grant_type");
    for grant in ["client_credentials", "password", "refresh_token", "authorization_code"] {
        assert_eq!(word(world.token(&[("grant_type", grant)]).await), "invalid_request", "{grant}");
    }
    let form = [("grant_type", "password"), ("client_id", AZ), ("scope", "https://evil.test/x")];
    assert_eq!(word(world.token(&form).await), "invalid_scope");
}

#[tokio::test]
async fn there_is_one_tenant_by_four_names() {
    let world = World::new();
    let (id, upper) = (world.tenant(), world.tenant().to_uppercase());
    for name in [id.as_str(), &upper, "common", "Organizations", "lock.test"] {
        assert!(world.issuer.tenant(name).is_ok(), "{name}");
    }
    for name in ["", "consumers", "evil.test", "00000000-0000-0000-0000-000000000000", "../x"] {
        assert!(world.issuer.tenant(name).is_err(), "{name}");
    }
    let path = world.issuer.tenant("organizations").unwrap();
    let document = world.issuer.discovery(&path, Version::V2);
    let login = "https://login.lock.test:8443";
    assert_eq!(document["issuer"], format!("{login}/{id}/v2.0"));
    assert_eq!(document["token_endpoint"], format!("{login}/organizations/oauth2/v2.0/token"));
    assert_eq!(
        world.issuer.instance_discovery(&format!("{login}/common/oauth2/authorize")).unwrap()["metadata"]
            [0]["aliases"],
        json!(["login.lock.test:8443"])
    );
    assert!(world.issuer.instance_discovery("https://login.lock.test:8443.evil.test/").is_none());
}
