//! Debian's `docker-registry`, configured to do well: its cache on, its logs off.

use std::{fs, path::PathBuf};

use super::{
    Contestant, Kind,
    stage::{Stage, answers, free_port, plain},
};
use crate::{
    failure::{During as _, Outcome},
    process::Server,
};

pub(super) fn start(stage: &Stage, data: PathBuf) -> Outcome<Contestant> {
    let endpoint = plain(free_port()?);
    let what = || format!("preparing `{}`", data.display());
    fs::create_dir_all(&data).during(what())?;
    let file = data.join("config.yml");
    let (address, root) = (endpoint.address, data.display());
    let config = format!(
        "version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {root}
  cache:
    blobdescriptor: inmemory
  delete:
    enabled: true
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: {address}
"
    );
    fs::write(&file, config).during(what())?;
    let log = stage.folder().join("docker-registry.log");
    let program = stage.program(Kind::DockerRegistry)?;
    let arguments = ["serve", &file.display().to_string()];
    let mut server = Server::start(Kind::DockerRegistry.name(), program, &arguments, &log)?;
    server.wait_for(|| answers(&endpoint))?;
    let kind = Kind::DockerRegistry;
    Ok(Contestant { kind, plain: endpoint, tls: None, data, server: Some(server) })
}
