//! The stored certificate authority of a domain, and its certificate as a file.

use lockyard_access::Records;

use crate::{
    config::Domain,
    data_dir::DataDir,
    failure::{Failure, OrFail as _, Outcome},
    machine::Machine,
    private_file,
    tls::Authority,
};

const KIND: &str = "certificate authority";

/// Opens the authority of `domain`, or makes and stores it; keeps `ca.pem` in step.
///
/// Each domain has an authority of its own, since a certificate is constrained to one. Whoever
/// changes the domain and changes it back finds the old one.
pub(crate) fn authority(
    records: &Records,
    dir: &DataDir,
    domain: &Domain,
    machine: &Machine,
) -> Outcome<Authority> {
    let name = domain.as_str().as_bytes();
    let authority = if let Some(stored) = records.get(KIND, name).or_fail()? {
        Authority::load(&stored).or_fail()?
    } else {
        let (authority, stored) =
            Authority::generate(domain, &*machine.clock, &*machine.entropy).or_fail()?;
        records.put(KIND, name, &stored).or_fail()?;
        authority
    };
    let file = dir.authority_certificate();
    let present = std::fs::read(&file).ok();
    if present.as_deref() != Some(authority.pem().as_bytes()) {
        if present.is_some() {
            tracing::warn!(
                "`ca.pem` was replaced: each domain has a certificate authority of its own"
            );
        }
        private_file::replace(&file, authority.pem().as_bytes()).map_err(|error| {
            Failure::new(&error).context(&format!("cannot write `{}`", file.display()))
        })?;
    }
    Ok(authority)
}
