//! Rotation: policies, the verb, and the job that acts on policies.
//!
//! A key's row holds the time at which the job is to look at it next; whatever changes that time
//! (a new version, a new expiry, another policy) plans it anew in the same transaction.

use lockyard_base::Timestamp;
use lockyard_keyring::{KeyId, KeyName, VersionedKeyId};
use rusqlite::Transaction;
use thiserror::Error;

use super::{FoundKey, FoundVersion, KeyBundle, KeySettings, Period, Validity};
use crate::{
    Vault, VaultError,
    crypto::{KeyShape, NewPrivate},
    vaults::FoundVault,
    words::words,
};

/// The shortest time between two rotations, and between a rotation and the expiry, in days.
const ROTATE_DAYS_MIN: i32 = 7;
/// The shortest life of a version, in days.
const EXPIRY_DAYS_MIN: i32 = 28;
const ACTIONS_MAX: usize = 2;

words! {
    /// What happens at a time in a version's life.
    LifetimeActionKind {
        /// A new version is made.
        Rotate = "Rotate",
        /// Somebody is told; kept and shown, nobody is told here.
        Notify = "Notify",
    }
}

/// When something happens in a version's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// This long after it was made.
    AfterCreate(Period),
    /// This long before it expires.
    BeforeExpiry(Period),
}

/// One line of a rotation policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifetimeAction {
    /// What happens.
    pub kind: LifetimeActionKind,
    /// When.
    pub trigger: Trigger,
}

/// What [`Vault::rotate_due`] did.
#[derive(Debug, Default)]
pub struct Rotations {
    /// The new versions.
    pub made: Vec<VersionedKeyId>,
    /// The keys that are due and could not be rotated, and why.
    pub failed: Vec<(KeyId, VaultError)>,
}

/// How a key is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// At most one of each kind.
    pub actions: Vec<LifetimeAction>,
    /// How long a version made by rotation lives.
    pub expiry: Option<Period>,
    /// When the policy was first set; `None` for the policy that keys have by default.
    pub created: Option<Timestamp>,
    /// When it last changed.
    pub updated: Option<Timestamp>,
}

/// A rotation policy breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{property}` {message}")]
pub struct PolicyError {
    property: &'static str,
    message: &'static str,
}

impl PolicyError {
    /// The path, within the policy, of what is wrong.
    pub fn property(&self) -> &'static str {
        self.property
    }

    /// What is wrong with it.
    pub fn message(&self) -> &'static str {
        self.message
    }
}

impl From<PolicyError> for VaultError {
    fn from(error: PolicyError) -> Self {
        Self::BadParameter(error.to_string())
    }
}

impl Default for RotationPolicy {
    /// What a key has before anybody sets a policy: a notice thirty days before expiry.
    fn default() -> Self {
        let month = "P30D".parse().expect("a valid period");
        let action = LifetimeAction {
            kind: LifetimeActionKind::Notify,
            trigger: Trigger::BeforeExpiry(month),
        };
        Self { actions: vec![action], expiry: None, created: None, updated: None }
    }
}

impl RotationPolicy {
    /// Checks the rules of BEHAVIOUR 2.4.
    pub fn check(&self) -> Result<(), PolicyError> {
        const ACTIONS: &str = "lifetimeActions";
        const TRIGGER: &str = "lifetimeActions.trigger";
        let refused = |property, message| Err(PolicyError { property, message });
        let count = |kind| self.actions.iter().filter(|action| action.kind == kind).count();
        if self.actions.len() > ACTIONS_MAX
            || LifetimeActionKind::ALL.iter().any(|kind| count(*kind) > 1)
        {
            return refused(ACTIONS, "must hold at most one Rotate and one Notify action");
        }
        let expiry = self.expiry.as_ref().map(Period::days_min);
        if expiry.is_some_and(|days| days < EXPIRY_DAYS_MIN) {
            return refused("attributes.expiryTime", "must be at least P28D");
        }
        for action in &self.actions {
            let (period, after_create) = match &action.trigger {
                Trigger::AfterCreate(period) => (period, true),
                Trigger::BeforeExpiry(period) => (period, false),
            };
            if period.days_min() < ROTATE_DAYS_MIN {
                return refused(TRIGGER, "must be at least P7D after or before");
            }
            let rotates = action.kind == LifetimeActionKind::Rotate;
            match expiry {
                Some(life) if period.days_min() + ROTATE_DAYS_MIN > life => {
                    return refused(TRIGGER, "must leave P7D within `attributes.expiryTime`");
                }
                None if rotates && !after_create => {
                    return refused(TRIGGER, "needs an `attributes.expiryTime` to rotate before");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn rotation(&self) -> Option<&Trigger> {
        let rotate = |action: &&LifetimeAction| action.kind == LifetimeActionKind::Rotate;
        self.actions.iter().find(rotate).map(|action| &action.trigger)
    }
}

/// When the job is to rotate a key whose newest version is this one.
pub(super) fn next_rotation(key: &FoundKey, newest: &FoundVersion) -> Option<i64> {
    let time = match key.record.policy.as_ref()?.rotation()? {
        Trigger::AfterCreate(period) => period.after(newest.record.created),
        Trigger::BeforeExpiry(period) => period.before(newest.validity().expires?),
    };
    Some(time.as_micros())
}

impl Vault {
    /// Plans a key's next rotation; to be called with the newest version after each change.
    pub(crate) fn plan_rotation(
        &self,
        transaction: &Transaction<'_>,
        mut key: FoundKey,
        newest: &FoundVersion,
    ) -> Result<(), VaultError> {
        let next = next_rotation(&key, newest);
        if key.rotate_at != next {
            key.rotate_at = next;
            self.update_key(transaction, &key)?;
        }
        Ok(())
    }

    /// Plans a key's next rotation by its newest version, whichever changed.
    pub(crate) fn plan_rotation_anew(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        key: FoundKey,
    ) -> Result<(), VaultError> {
        let newest = self.version_in(transaction, &vault.properties.name, &key, None)?;
        self.plan_rotation(transaction, key, &newest)
    }

    pub(crate) fn set_policy_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
        mut policy: RotationPolicy,
    ) -> Result<RotationPolicy, VaultError> {
        policy.check()?;
        let mut found = self.live_key(transaction, vault, name)?;
        let now = self.clock.wall();
        let before = found.record.policy.as_ref().and_then(|policy| policy.created);
        policy.created = Some(before.unwrap_or(now));
        policy.updated = Some(now);
        found.record.policy = Some(policy.clone());
        let newest = self.version_in(transaction, &vault.properties.name, &found, None)?;
        found.rotate_at = next_rotation(&found, &newest);
        self.update_key(transaction, &found)?;
        Ok(policy)
    }

    /// What a rotation of this key makes: its newest version again, with another private key and
    /// the expiry that its policy gives.
    pub(crate) fn next_version(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<(KeyShape, KeySettings), VaultError> {
        let found = self.live_key(transaction, vault, name)?;
        let newest = self.version_in(transaction, &vault.properties.name, &found, None)?;
        let expiry = found.record.policy.as_ref().and_then(|policy| policy.expiry.as_ref());
        let settings = KeySettings {
            hsm: newest.record.hsm,
            operations: Some(newest.record.operations),
            enabled: true,
            validity: Validity {
                not_before: None,
                expires: expiry.map(|period| period.after(self.clock.wall())),
            },
            tags: newest.record.tags,
        };
        Ok((newest.shape, settings))
    }

    /// Makes a new version of every live key whose policy says that it is time at `now`.
    ///
    /// A job; a key that changed meanwhile is left alone, and one that cannot be rotated keeps
    /// nobody else from it: it is told, and still due at the next run.
    pub fn rotate_due(&self, now: Timestamp) -> Result<Rotations, VaultError> {
        let due = self.database.read(|transaction| {
            let any: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM key WHERE rotate_at <= ?1)",
                [now.as_micros()],
                |row| row.get(0),
            )?;
            let mut due = Vec::new();
            if any {
                for vault in self.all_vaults(transaction)?.iter().filter(|vault| vault.is_live()) {
                    let keys = self.keys_in(transaction, vault)?;
                    let keys = keys.into_iter().filter(|key| is_due(key, now));
                    due.extend(
                        keys.map(|key| KeyId {
                            vault: vault.properties.name.clone(),
                            name: key.name,
                        }),
                    );
                }
            }
            Ok::<_, VaultError>(due)
        })?;
        let mut rotations = Rotations::default();
        for key in due {
            match self.rotate_if_due(&key, now) {
                Ok(done) => rotations.made.extend(done.map(|bundle| bundle.id)),
                Err(VaultError::VaultNotFound(_) | VaultError::KeyNotFound(_)) => {}
                Err(error) => rotations.failed.push((key, error)),
            }
        }
        Ok(rotations)
    }

    fn rotate_if_due(&self, key: &KeyId, now: Timestamp) -> Result<Option<KeyBundle>, VaultError> {
        let shape = self.database.read(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            self.next_version(transaction, &vault, &key.name).map(|(shape, _)| shape)
        })?;
        let private = NewPrivate::generate(shape)?;
        self.change(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            let found = self.live_key(transaction, &vault, &key.name)?;
            let (wanted, settings) = self.next_version(transaction, &vault, &key.name)?;
            if !is_due(&found, now) || wanted != shape {
                return Ok(None);
            }
            self.add_version(transaction, &vault, &key.name, &private, &settings).map(Some)
        })
    }
}

fn is_due(key: &FoundKey, now: Timestamp) -> bool {
    key.is_live() && key.rotate_at.is_some_and(|time| time <= now.as_micros())
}
