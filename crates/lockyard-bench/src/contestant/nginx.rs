//! nginx as a file server: `sendfile` on plain HTTP, and TLS 1.3 with the certificate of all.

use std::{fs, path::PathBuf};

use super::{
    Contestant, Kind,
    stage::{Stage, answers, free_port, plain},
};
use crate::{
    failure::{During as _, Outcome},
    http::Endpoint,
    process::Server,
    tls,
};

pub(super) fn start(stage: &Stage, data: PathBuf) -> Outcome<Contestant> {
    let endpoint = plain(free_port()?);
    let mut secure = plain(free_port()?);
    let certificate = stage.certificate();
    secure.tls = Some(tls::trusting(&certificate.authority)?);
    let what = || format!("preparing `{}`", data.display());
    fs::create_dir_all(data.join("files")).during(what())?;
    let file = data.join("nginx.conf");
    fs::write(&file, config(stage, &data, &endpoint, &secure)).during(what())?;
    let log = stage.folder().join("nginx.log");
    let (prefix, conf) = (data.display().to_string(), file.display().to_string());
    let arguments = ["-p", &prefix, "-c", &conf, "-e", "stderr"];
    let mut server =
        Server::start(Kind::Nginx.name(), stage.program(Kind::Nginx)?, &arguments, &log)?;
    server.wait_for(|| answers(&endpoint))?;
    let tls = Some(secure);
    Ok(Contestant { kind: Kind::Nginx, plain: endpoint, tls, data, server: Some(server) })
}

fn config(stage: &Stage, data: &std::path::Path, plain: &Endpoint, secure: &Endpoint) -> String {
    // As root, workers would else become a user that cannot enter our folders.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {}/{name};\n", data.display()))
        .concat();
    let certificate = stage.certificate();
    let (shown, key) = (certificate.shown.display(), certificate.key.display());
    let (plain, secure, data) = (plain.address, secure.address, data.display());
    format!(
        "{user}
daemon off;
worker_processes auto;
pid {data}/nginx.pid;
error_log stderr error;
events {{
    worker_connections 4096;
}}
http {{
{temporary}
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    root {data}/files;
    keepalive_requests 1000000;
    server {{
        listen {plain};
    }}
    server {{
        listen {secure} ssl;
        ssl_protocols TLSv1.3;
        ssl_certificate {shown};
        ssl_certificate_key {key};
    }}
}}
"
    )
}
