//! The directory's beginning: an owner and a first person, made at the first start, and written
//! down once for whoever started it.
//!
//! `bootstrap.json` is written before the directory is stored. If a first start is cut off between
//! the two, nobody was ever let in by the file, and the next start makes both anew.

use std::{path::PathBuf, sync::Arc};

use lockyard_access::{
    Directory, Records,
    directory::{Cost, Founding, OwnerReset},
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    config::Domain,
    data_dir::DataDir,
    failure::{Failure, OrFail as _, Outcome},
    machine::Machine,
    private_file,
};

/// Where clients reach this instance, as `bootstrap.json` says it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    /// The domain of all names, and of the first person's.
    pub(crate) domain: Domain,
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
    user_name: &'b str,
    password: &'b str,
    management_endpoint: &'b str,
    login_endpoint: &'b str,
    ca_file: Option<String>,
}

/// The most that is read of `bootstrap.json`.
const BOOTSTRAP_BYTES_MAX: u64 = 64 << 10;

/// `bootstrap.json` with other credentials; the rest stays as it was.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renewed<'r> {
    client_id: String,
    client_secret: &'r str,
    user_name: &'r str,
    password: &'r str,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// Opens the directory, or founds one if this instance is not `complete` yet.
pub(crate) fn directory(
    records: &Records,
    dir: &DataDir,
    endpoints: &Endpoints,
    machine: &Machine,
    complete: bool,
) -> Outcome<Arc<Directory>> {
    let (clock, entropy) = (Arc::clone(&machine.clock), Arc::clone(&machine.entropy));
    let domain = endpoints.domain.as_str();
    let founded = Directory::is_founded(records).or_fail()?
        || Directory::carry_over(records, &*clock, &*entropy, domain).or_fail()?.is_some();
    if founded {
        return Directory::open(records.clone(), clock, entropy).or_fail();
    }
    if complete {
        // Making another owner here would let whoever deletes a row become it.
        return Err(Failure::text("the directory is missing from the database")
            .advise("restore the database from a backup"));
    }
    let founding = Founding::generate(&*entropy, domain);
    write_down(dir, endpoints, &founding)?;
    Directory::found(records.clone(), clock, entropy, &founding, Cost::default()).or_fail()
}

/// Writes what is shown once.
fn write_down(dir: &DataDir, endpoints: &Endpoints, founding: &Founding) -> Outcome {
    let file = bootstrap_file(dir);
    let failed = |error: std::io::Error| {
        Failure::new(&error).context(&format!("cannot write `{}`", file.display()))
    };
    private_file::remove(&file).map_err(failed)?;
    let contents = Bootstrap {
        tenant_id: founding.tenant.to_string(),
        subscription_id: founding.subscription.to_string(),
        client_id: founding.client.to_string(),
        client_secret: founding.secret.dangerous_expose(),
        user_name: &founding.upn,
        password: founding.password.dangerous_expose(),
        management_endpoint: &endpoints.management,
        login_endpoint: &endpoints.login,
        ca_file: endpoints.ca_file.as_ref().map(|path| path.display().to_string()),
    };
    private_file::create(&file, &in_json(&contents)?).map_err(failed)
}

/// Where the owner's credentials are written at the first start.
pub(crate) fn bootstrap_file(dir: &DataDir) -> PathBuf {
    dir.path().join("bootstrap.json")
}

/// Puts new credentials into `bootstrap.json` if it was not deleted; returns whether it was there.
pub(crate) fn renew_bootstrap(dir: &DataDir, reset: &OwnerReset) -> Outcome<bool> {
    let file = bootstrap_file(dir);
    let old = match private_file::read_secret(&file, BOOTSTRAP_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        read => read.or_fail()?,
    };
    let mut rest: serde_json::Map<_, _> = serde_json::from_slice(&old).or_fail()?;
    for renewed in ["clientId", "clientSecret", "userName", "password"] {
        rest.remove(renewed);
    }
    let contents = Renewed {
        client_id: reset.client.to_string(),
        client_secret: reset.secret.dangerous_expose(),
        user_name: &reset.upn,
        password: reset.password.dangerous_expose(),
        rest,
    };
    private_file::replace(&file, &in_json(&contents)?).or_fail()?;
    Ok(true)
}

/// The file's bytes; wiped on drop, and reserved whole so that growing leaves no copies behind.
fn in_json(contents: &impl Serialize) -> Outcome<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer_pretty(&mut *text, contents).or_fail()?;
    text.push(b'\n');
    Ok(text)
}
