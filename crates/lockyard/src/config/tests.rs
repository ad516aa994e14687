//! Which setting wins, and what is refused.

use std::path::Path;

use super::*;

fn serve(flags: ServeFlags, file: &str) -> Result<ServeConfig, ConfigError> {
    let file = Settings::parse(Path::new("lockyard.toml"), file)?;
    ServeConfig::from_parts(flags, file, &Environment::default())
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let flags = ServeFlags { https: Some(local(1)), ..ServeFlags::default() };
    let config = serve(
        flags,
        "https = '127.0.0.1:2'\nhttp = '127.0.0.1:3'\nhttp-login = true\nlog-format = 'json'",
    )
    .expect("valid");
    assert_eq!(config.https, local(1));
    assert_eq!(config.http, LoopbackAddr::local(3));
    assert_eq!(config.ops, local(9464));
    assert!(config.http_login);
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn a_collector_is_a_url_and_its_headers_need_one() {
    let file = "audit-otlp = 'http://sink.corp:4318/v1/logs'\naudit-otlp-headers = 'h'";
    let config = serve(ServeFlags::default(), file).expect("valid");
    let collector = config.audit_otlp.expect("it is named");
    assert_eq!(collector.url(), "http://sink.corp:4318/v1/logs");
    let error = serve(ServeFlags::default(), "audit-otlp-headers = 'h'").expect_err("for whom?");
    assert!(matches!(error, ConfigError::NoCollector), "{error:?}");
    let error = serve(ServeFlags::default(), "audit-otlp = 'https://u:s3cret@a/'").expect_err("no");
    let told = error.to_string();
    assert!(told.contains("https://host/path"), "{told}");
}

#[test]
fn an_unknown_word_in_the_file_is_refused_by_its_name_and_line() {
    let error = serve(ServeFlags::default(), "http-login = true\nhtps = 'x'\n").expect_err("typo");
    let text = error.to_string();
    assert!(text.contains("line 2") && text.contains("`htps`"), "{text}");
}

#[test]
fn a_wrong_value_in_the_file_is_refused_with_what_it_should_be() {
    for (file, words) in [
        ("http = '0.0.0.0:5000'", "loopback"),
        ("domain = 'a b'", "no domain"),
        ("https = 'here'", "socket address"),
        ("https = 8443", "line 1"),
        ("= 1", "line 1"),
    ] {
        let text = serve(ServeFlags::default(), file).expect_err(file).to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn half_a_certificate_is_refused() {
    let error = serve(ServeFlags::default(), "tls-cert = 'a.pem'").expect_err("no key");
    assert!(matches!(error, ConfigError::HalfCertificate), "{error}");
}

#[test]
fn the_service_key_comes_from_the_flag_then_the_file_then_systemd_then_the_data_directory() {
    let world = tempfile::tempdir().expect("a directory");
    std::fs::write(world.path().join(CREDENTIAL), "x").expect("written");
    let systemd = Environment { credentials: Some(world.path().to_owned()) };
    let source = |flags: DataFlags, file: &str, env: &Environment| {
        let file = Settings::parse(Path::new("f"), file).expect("valid");
        DataConfig::from_parts(flags, &file, env).map(|config| config.service)
    };
    let flag = || DataFlags { service_key: Some("/flag".into()), ..DataFlags::default() };
    let none = DataFlags::default;
    let file = "passphrase-file = '/words'";
    assert_eq!(source(flag(), file, &systemd).ok(), Some(ServiceSource::File("/flag".into())));
    assert_eq!(
        source(none(), file, &systemd).ok(),
        Some(ServiceSource::Passphrase("/words".into()))
    );
    let credential = ServiceSource::Credential(world.path().join(CREDENTIAL));
    assert_eq!(source(none(), "", &systemd).ok(), Some(credential));
    let data = DataFlags { data_dir: Some("/data".into()), ..none() };
    let beside = ServiceSource::Beside("/data/service.key".into());
    assert_eq!(source(data, "", &Environment::default()).ok(), Some(beside));
    let both = "passphrase-file = '/words'\nservice-key = '/key'";
    assert!(matches!(source(none(), both, &systemd), Err(ConfigError::TwoSecrets)));
}
