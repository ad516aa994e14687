//! What a request asks of a vault, read whole: after this nothing of it is text any more.

use http::Method;
use lockyard_control::read_rotation_policy;
use lockyard_keyring::{KeyName, KeyVersionName};
use lockyard_vault::{KeyChange, KeySettings, KeyShape, PrivateJwk, RotationPolicy};
use zeroize::Zeroizing;

use super::{
    backup,
    failure::VaultFailure,
    key,
    path::Target,
    random,
    told::Told,
    uses::{self, Use},
};

/// What is asked for.
pub(super) enum Verb {
    ListKeys,
    ListVersions(KeyName),
    ListDeleted,
    Show(KeyName, Option<KeyVersionName>),
    Create(KeyName, KeyShape, KeySettings),
    Import(KeyName, Box<PrivateJwk>, KeySettings),
    Update(KeyName, Option<KeyVersionName>, KeyChange),
    Delete(KeyName),
    Rotate(KeyName),
    ShowPolicy(KeyName),
    SetPolicy(KeyName, RotationPolicy),
    BackUp(KeyName),
    Restore(Zeroizing<Vec<u8>>),
    Use(Use, KeyName, Option<KeyVersionName>),
    Release(KeyName, Option<KeyVersionName>),
    Attest(KeyName, Option<KeyVersionName>),
    ShowDeleted(KeyName),
    Recover(KeyName),
    Purge(KeyName),
    Draw(usize),
}

impl Verb {
    /// Reads what a method means at a target that has it, with its body.
    pub(super) fn read(target: Target, method: &Method, told: &Told) -> Result<Self, VaultFailure> {
        let body = || told.body();
        Ok(match target {
            Target::Keys => Self::ListKeys,
            Target::Versions(name) => Self::ListVersions(name),
            Target::DeletedKeys => Self::ListDeleted,
            Target::Key(name, version) => match *method {
                Method::GET => Self::Show(name, version),
                Method::PATCH => Self::Update(name, version, key::to_change(&body()?)?),
                Method::PUT => {
                    let (private, settings) = key::to_import(&body()?)?;
                    Self::Import(name, Box::new(private), settings)
                }
                _ => Self::Delete(name),
            },
            Target::Create(name) => {
                let (shape, settings) = key::to_create(&body()?)?;
                Self::Create(name, shape, settings)
            }
            Target::Rotate(name) => Self::Rotate(name),
            Target::Backup(name) => Self::BackUp(name),
            Target::Restore => Self::Restore(backup::to_restore(&body()?)?),
            Target::Use(operation, name, version) => {
                Self::Use(uses::to_use(operation, &body()?)?, name, version)
            }
            Target::Release(name, version) => Self::Release(name, version),
            Target::Attestation(name, version) => Self::Attest(name, version),
            Target::RotationPolicy(name) => match *method {
                Method::GET => Self::ShowPolicy(name),
                _ => Self::SetPolicy(name, read_rotation_policy(&body()?)?),
            },
            Target::DeletedKey(name) => match *method {
                Method::GET => Self::ShowDeleted(name),
                _ => Self::Purge(name),
            },
            Target::Recover(name) => Self::Recover(name),
            Target::Random => Self::Draw(random::to_draw(&body()?)?),
        })
    }
}
