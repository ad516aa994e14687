//! Sealed copies of keys, out and back in.

use http::StatusCode;
use lockyard_arm::{Body, BodyError};
use lockyard_audit::Operation;
use lockyard_keyring::KeyName;
use serde_json::json as value;
use zeroize::Zeroizing;

use super::{
    Answer, Asked, json,
    key::shown,
    record::Deed,
    told::{bytes, encoded},
};

/// `POST /keys/{name}/backup`.
pub(super) async fn backup(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::read(Operation::KEY_BACKUP, asked.id(&name, None));
    let blob = asked.act(deed, move |plane| plane.backup_key(&name)).await?;
    Ok(json(StatusCode::OK, &value!({ "value": encoded(&blob) })))
}

/// `POST /keys/restore`.
pub(super) async fn restore(asked: &Asked<'_>, blob: Zeroizing<Vec<u8>>) -> Answer {
    let deed = Deed::change(Operation::KEY_RESTORE, &asked.vault);
    let back = asked.act(deed, move |plane| plane.restore_key(&blob)).await?;
    Ok(shown(asked, &back))
}

/// The sealed copy that a body gives back.
pub(super) fn to_restore(body: &Body<'_>) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    bytes(body, "value")
}
