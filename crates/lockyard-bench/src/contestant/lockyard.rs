//! This registry as `quickstart` starts it: sealed under a customer key of the embedded vault.

use std::{fs, net::SocketAddr, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Contestant, Kind,
    stage::{Stage, plain},
};
use crate::{
    failure::{During as _, Failure, Outcome},
    http::Endpoint,
    process::Server,
    tls,
};

/// The default registry's name, as `quickstart` makes it.
pub(super) const PUBLIC_NAME: &str = "lockyard.cr.localhost";
/// The token issuer's name.
pub(crate) const LOGIN_NAME: &str = "login.localhost";
/// Resource Manager's name.
pub(crate) const MANAGEMENT_NAME: &str = "management.localhost";
/// The name of the vault that a scenario makes.
pub(crate) const VAULT_NAME: &str = "bench.vault.localhost";

pub(super) fn start(stage: &Stage, data: PathBuf) -> Outcome<Contestant> {
    let certificate = stage.certificate();
    let text = |path: &std::path::Path| path.display().to_string();
    let (folder, shown, key) = (text(&data), text(&certificate.shown), text(&certificate.key));
    let any = "127.0.0.1:0";
    let mut arguments = vec!["quickstart", "--data-dir", &folder, "--log-level", "warn"];
    for listener in ["--http", "--https", "--ops"] {
        arguments.extend([listener, any]);
    }
    arguments.extend(["--tls-cert", &shown, "--tls-key", &key]);
    let log = stage.folder().join("lockyard.log");
    let program = stage.program(Kind::Lockyard)?;
    let mut server = Server::start(Kind::Lockyard.name(), program, &arguments, &log)?;
    let (run_file, id) = (data.join("run.json"), server.id());
    let run = || -> Option<serde_json::Value> {
        let run: serde_json::Value = serde_json::from_slice(&fs::read(&run_file).ok()?).ok()?;
        // The file of a server that was killed may lie there still.
        (run.get("pid")? == id).then_some(run)
    };
    server.wait_for(|| run().is_some())?;
    let run = run().ok_or_else(|| Failure::new("`run.json` is gone"))?;
    let address = |listener: &str| -> Outcome<SocketAddr> {
        let text = run.get(listener).and_then(|value| value.as_str()).unwrap_or_default();
        text.parse().during(format!("`{listener}` in `run.json`"))
    };
    let https = address("https")?;
    let tls = Endpoint {
        address: https,
        host: format!("{PUBLIC_NAME}:{}", https.port()),
        tls: Some(tls::trusting(&certificate.authority)?),
        authorization: Some(owner(&data)?),
    };
    let plain = plain(address("http")?);
    Ok(Contestant { kind: Kind::Lockyard, plain, tls: Some(tls), data, server: Some(server) })
}

/// The owner's credentials as a header's value.
fn owner(data: &std::path::Path) -> Outcome<String> {
    let file = data.join("bootstrap.json");
    let what = || format!("reading `{}`", file.display());
    let text = fs::read(&file).during(what())?;
    let bootstrap: serde_json::Value = serde_json::from_slice(&text).during(what())?;
    let word = |name: &str| bootstrap.get(name).and_then(|value| value.as_str());
    let (Some(user), Some(secret)) = (word("clientId"), word("clientSecret")) else {
        return Err(Failure::new(format!("`{}` holds no credentials", file.display())));
    };
    Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))))
}
