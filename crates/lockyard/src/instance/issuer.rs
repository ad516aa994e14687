//! The token issuer of an instance, and its way to other issuers.

use std::sync::Arc;

use lockyard_access::{Directory, Issuer, Origins, Records, issuer::Setup};
use lockyard_egress::{Egress, Policy, Roots};
use lockyard_web::{FixedHost, Names};

use crate::{
    config::ServeConfig,
    failure::{OrFail as _, Outcome},
    machine::Machine,
};

/// Opens the issuer that publishes these names. Blocks.
pub(crate) fn issuer(
    records: &Records,
    directory: &Arc<Directory>,
    names: &Names,
    config: &ServeConfig,
    machine: &Machine,
) -> Outcome<Arc<Issuer>> {
    let policy = Policy::new(config.egress_allow.clone());
    let setup = Setup {
        records: records.clone(),
        directory: Arc::clone(directory),
        egress: Arc::new(Egress::new(policy, roots(config)?)),
        clock: Arc::clone(&machine.clock),
        entropy: Arc::clone(&machine.entropy),
        origins: origins(names),
    };
    Issuer::open(setup).or_fail()
}

/// Whose certificates are believed in requests to other servers. Blocks.
pub(crate) fn roots(config: &ServeConfig) -> Outcome<Roots> {
    match &config.egress_roots {
        Some(path) => Roots::system().and_file(path).or_fail(),
        None => Ok(Roots::system()),
    }
}

fn origins(names: &Names) -> Origins {
    Origins {
        login: names.origin(FixedHost::Login),
        management: names.origin(FixedHost::Management),
        graph: names.origin(FixedHost::Graph),
        vault: format!("https://{}", names.suffix("vault")),
        domain: names.domain().to_owned(),
    }
}
