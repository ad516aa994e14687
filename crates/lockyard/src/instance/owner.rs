//! The owner's credentials: made at the first start, and written down once for whoever started it.
//!
//! `bootstrap.json` is written before the owner is stored. If a first start is cut off between the
//! two, nobody was ever let in by the file, and the next start makes both anew.

use std::path::PathBuf;

use lockyard_access::Records;
use lockyard_registry::owner::Owner;
use lockyard_web::Credentials;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    data_dir::DataDir,
    failure::{Failure, OrFail as _, Outcome},
    machine::Machine,
    private_file,
};

/// Where clients reach this instance, as `bootstrap.json` says it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// Azure Resource Manager.
    pub(crate) management: String,
    /// The token issuer.
    pub(crate) login: String,
    /// The certificate to trust, if it is our own authority's.
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bootstrap<'b> {
    tenant_id: String,
    subscription_id: String,
    client_id: String,
    client_secret: &'b str,
    management_endpoint: &'b str,
    login_endpoint: &'b str,
    ca_file: Option<String>,
}

/// The owner, for the faces.
#[derive(Debug)]
pub(crate) struct OwnerLogin(Owner);

impl Credentials for OwnerLogin {
    fn verify(&self, client_id: &str, secret: &str) -> bool {
        self.0.verify(client_id, secret)
    }
}

/// Finds the owner, or makes one if this instance is not `complete` yet.
pub(crate) fn owner(
    records: &Records,
    dir: &DataDir,
    endpoints: &Endpoints,
    machine: &Machine,
    complete: bool,
) -> Outcome<OwnerLogin> {
    if let Some(owner) = Owner::load(records).or_fail()? {
        return Ok(OwnerLogin(owner));
    }
    if complete {
        // Making another owner here would let whoever deletes a row become it.
        return Err(Failure::text("the owner's record is missing from the database")
            .advise("restore the database from a backup"));
    }
    let (owner, secret) = Owner::generate(&*machine.entropy);
    let file = bootstrap_file(dir);
    let failed = |error: std::io::Error| {
        Failure::new(&error).context(&format!("cannot write `{}`", file.display()))
    };
    private_file::remove(&file).map_err(failed)?;
    let contents = Bootstrap {
        tenant_id: owner.tenant.to_string(),
        subscription_id: owner.subscription.to_string(),
        client_id: owner.client.to_string(),
        client_secret: secret.dangerous_expose(),
        management_endpoint: &endpoints.management,
        login_endpoint: &endpoints.login,
        ca_file: endpoints.ca_file.as_ref().map(|path| path.display().to_string()),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer_pretty(&mut *text, &contents).or_fail()?;
    text.push(b'\n');
    private_file::create(&file, &text).map_err(failed)?;
    owner.store(records).or_fail()?;
    Ok(OwnerLogin(owner))
}

/// Where the owner's credentials are written at the first start.
pub(crate) fn bootstrap_file(dir: &DataDir) -> PathBuf {
    dir.path().join("bootstrap.json")
}
