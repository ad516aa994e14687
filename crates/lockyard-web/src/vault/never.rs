//! What clients ask for and no vault here does; whoever asks is authorized and recorded as ever.

use std::convert::Infallible;

use lockyard_audit::Operation;
use lockyard_keyring::{KeyName, KeyVersionName};

use super::{
    Answer, Asked,
    record::{About, Deed},
};

impl About for Infallible {}

/// `POST /keys/{name}/{version?}/release`.
pub(super) async fn release(
    asked: &Asked<'_>,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Answer {
    let deed = Deed::read(Operation::KEY_RELEASE, asked.id(&name, version.as_ref()));
    let done = asked.act(deed, move |plane| plane.release_key(&name, version.as_ref()));
    match done.await? {}
}

/// `GET /keys/{name}/{version?}/attestation`.
pub(super) async fn attest(
    asked: &Asked<'_>,
    name: KeyName,
    version: Option<KeyVersionName>,
) -> Answer {
    let deed = Deed::read(Operation::KEY_ATTESTATION_GET, asked.id(&name, version.as_ref()));
    let done = asked.act(deed, move |plane| plane.key_attestation(&name, version.as_ref()));
    match done.await? {}
}
