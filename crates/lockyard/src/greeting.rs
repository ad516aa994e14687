//! What a server says on standard output when it is ready.
//!
//! Ports, where things lie, what somebody should change before this is more than a trial, and for
//! `quickstart` commands to copy.

use std::path::{Path, PathBuf};

use lockyard_registry::RegistrySummary;

use crate::{
    config::{ServeConfig, ServiceSource},
    data_dir::DataDir,
    instance::bootstrap_file,
    run_file::Addresses,
    say::{say, warn},
};

/// What there is to say.
#[derive(Debug)]
pub(crate) struct Greeting<'g> {
    pub(crate) config: &'g ServeConfig,
    pub(crate) addresses: Addresses,
    pub(crate) public_port: u16,
    pub(crate) local_authority: bool,
    pub(crate) dir: &'g DataDir,
    pub(crate) default_registry: &'g RegistrySummary,
    /// How the default registry stands, in words.
    pub(crate) standing: String,
    pub(crate) quickstart: bool,
}

/// Says it.
pub(crate) fn greet(greeting: &Greeting<'_>) {
    for line in summary(greeting) {
        say(line);
    }
    for line in warnings(greeting) {
        warn(line);
    }
    if greeting.quickstart {
        for line in recipe(greeting) {
            say(line);
        }
    }
}

fn summary(greeting: &Greeting<'_>) -> Vec<String> {
    let Greeting { config, addresses, public_port, dir, default_registry, .. } = greeting;
    let name = &default_registry.name;
    let port = if *public_port == 443 { String::new() } else { format!(":{public_port}") };
    let domain = &config.domain;
    let mut lines = vec![
        format!("Lockyard is ready (process {}).", std::process::id()),
        format!("  this machine   localhost:{}/<repository>", addresses.http.port()),
        format!("  registries     https://<registry>.cr.{domain}{port} on {}", addresses.https),
        format!("  health         http://{}/readyz, /healthz, /metrics", addresses.ops),
    ];
    if let Some(proxy) = addresses.connect_proxy {
        lines.push(format!("  without DNS    HTTPS_PROXY=http://{proxy}"));
    }
    if greeting.local_authority {
        let file = dir.authority_certificate();
        lines.push(format!("  trust          {}", file.display()));
    }
    lines.push(format!("  data           {}", dir.path().display()));
    lines.push(format!("  registry       {name}: {}", greeting.standing));
    lines
}

fn warnings(greeting: &Greeting<'_>) -> Vec<String> {
    let Greeting { config, addresses, dir, .. } = greeting;
    let mut lines = Vec::new();
    let bootstrap = bootstrap_file(dir);
    if bootstrap.exists() {
        lines.push(format!(
            "the owner's credentials lie in {}: keep them safe and delete the file",
            bootstrap.display()
        ));
    }
    if let ServiceSource::Beside(path) = &config.data.service {
        lines.push(format!(
            "the service key {} lies beside what it protects: move it elsewhere and give it with \
             --service-key",
            path.display()
        ));
    }
    if config.data.vault_key_beside {
        lines.push(format!(
            "the vault key {} lies beside the registries: whoever holds this directory holds all \
             keys; move it elsewhere and give it with --vault-key",
            config.data.vault_key.display()
        ));
    }
    if !config.http_login {
        lines.push(format!(
            "every user of this machine can pull and push on {}; --http-login asks for the \
             owner's credentials",
            addresses.http
        ));
    }
    lines
}

fn recipe(greeting: &Greeting<'_>) -> Vec<String> {
    let Greeting { config, addresses, default_registry, .. } = greeting;
    let Some(key) = &default_registry.customer_key else {
        return vec![
            String::new(),
            "The default registry was made without a customer key, and stays so. To see what a"
                .to_owned(),
            "customer key does, run quickstart with another --data-dir.".to_owned(),
        ];
    };
    let port = addresses.http.port();
    let image = format!("localhost:{port}/hello:1");
    let lockyard = format!("{} vault key", program().display());
    let data = format!("--data-dir {}", config.data.data_dir.display());
    let vault = if config.data.vault_key_beside {
        String::new()
    } else {
        format!(" --vault-key {}", config.data.vault_key.display())
    };
    let key = &key.key;
    let text = format!(
        "
Push an image that you have, with whichever tool you have:

  docker tag hello-world {image} && docker push {image}
  podman push --tls-verify=false hello-world {image}
  skopeo copy --dest-tls-verify=false docker://docker.io/library/hello-world docker://{image}

Pull it back:

  docker pull {image}
  podman pull --tls-verify=false {image}
  skopeo copy --src-tls-verify=false docker://{image} dir:hello

It is sealed under the RSA key `{key}` of the embedded vault. Take the key away, and see
the pull refused; give it back, and see it work again:

  {lockyard} disable {key} {data}{vault}
  skopeo inspect --tls-verify=false docker://{image}
  {lockyard} enable {key} {data}{vault}
  skopeo inspect --tls-verify=false docker://{image}
"
    );
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    if config.http_login {
        lines.push(
            "--http-login is on: log in first, with clientId and clientSecret from".to_owned(),
        );
        lines.push(format!("bootstrap.json, to localhost:{port}"));
    }
    lines
}

/// How this program is called, as seen from the working directory.
fn program() -> PathBuf {
    let Ok(path) = std::env::current_exe() else { return "lockyard".into() };
    let path = without_fate(path);
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(relative) if here != Path::new("") => Path::new(".").join(relative),
        Ok(_) | Err(_) => path,
    }
}

/// The path of a program, also of one that was replaced since it began: the system puts that behind
/// its path.
fn without_fate(path: PathBuf) -> PathBuf {
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(text) => text.into(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_called_by_its_path() {
        for (told, path) in [
            ("/bin/lockyard (deleted)", "/bin/lockyard"),
            ("/bin/lockyard", "/bin/lockyard"),
            ("/a (deleted)/lockyard", "/a (deleted)/lockyard"),
        ] {
            assert_eq!(without_fate(told.into()), Path::new(path));
        }
    }
}
