//! Backups of keys: opaque blobs that only a vault with the same root key brings back.
//!
//! A blob holds all versions of a key, private halves included, sealed under a key of its own that
//! is derived from the root key, so that it outlives the loss of the vault's directory. It names
//! tenant and subscription inside, and is restored nowhere else (normative: `docs/spec/vault.md`).

use lockyard_base::{Entropy, Guid, RowId};
use lockyard_keyring::{KeyId, KeyName};
use lockyard_seal::{MainKey, SegmentSize, pae};
use rusqlite::Transaction;
use zeroize::Zeroizing;

use super::{FoundVersion, KeyBundle, rows::VersionRow};
use crate::{
    Vault, VaultError,
    crypto::{KeyShape, NewPrivate},
    keys::create::VERSIONS_MAX,
    stored,
    vaults::{FoundVault, Placement},
};

const MAGIC: &[u8] = b"LkyB\x01";
/// The longest blob that is read: [`VERSIONS_MAX`] versions of the largest keys fit.
const BLOB_LEN_MAX: usize = 8 << 20;

/// Seals backups; wiped on drop.
pub(crate) struct BackupKey(MainKey);

impl BackupKey {
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(MainKey::from_bytes(bytes))
    }

    fn seal(&self, entropy: &dyn Entropy, content: &[u8]) -> Vec<u8> {
        let sealed = self.0.seal(entropy, SegmentSize::ROW, &aad(), content);
        [MAGIC, &sealed].concat()
    }

    fn open(&self, blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if blob.len() > BLOB_LEN_MAX {
            return None;
        }
        self.0.open(SegmentSize::ROW, &aad(), blob.strip_prefix(MAGIC)?).ok()
    }
}

fn aad() -> Vec<u8> {
    pae(&[b"vault key backup", MAGIC])
}

impl Vault {
    /// A sealed copy of a live key with all its versions.
    pub(crate) fn backup_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<Vec<u8>, VaultError> {
        let found = self.live_key(transaction, vault, name)?;
        let mut versions = self.versions_in(transaction, &found)?;
        versions.reverse();
        let mut content = Writer::default();
        let Placement { tenant, subscription, .. } = &vault.properties.place;
        content.put(tenant.as_bytes());
        content.put(subscription.as_bytes());
        content.put(found.name.as_str().as_bytes());
        content.put(&stored::write_key(&found.record));
        for version in &versions {
            let row = &version.row;
            let private = self.open_private(&found, row)?;
            content.put(row.id.as_bytes());
            content.put(row.kind.as_bytes());
            content.put(&[u8::from(row.enabled)]);
            content.put_time(row.not_before);
            content.put_time(row.expires);
            content.put(&stored::write_version(&version.record));
            content.put(&private);
        }
        Ok(self.rows.backup.seal(&*self.entropy, &content.0))
    }

    /// Brings a key back with all its versions, their names and times included.
    pub(crate) fn restore_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        blob: &[u8],
    ) -> Result<KeyBundle, VaultError> {
        let content = self.rows.backup.open(blob).ok_or_else(not_ours)?;
        let (name, mut rest) = header(&content, &vault.properties.place)?;
        if self.check_name_free(transaction, vault, &name)?.is_some() {
            let vault = vault.properties.name.clone();
            return Err(VaultError::KeyExists(KeyId { vault, name }));
        }
        let record = stored::read_key(rest.take().ok_or_else(not_ours)?).ok_or_else(not_ours)?;
        let mut found = self.insert_key(transaction, vault.row(), &name, record.policy)?;
        found.record.created = record.created;
        self.update_key(transaction, &found)?;
        let mut ordinal = 0;
        let mut newest = None;
        while !rest.0.is_empty() {
            ordinal += 1;
            if ordinal > VERSIONS_MAX {
                return Err(not_ours());
            }
            let (mut version, private) = rest.version(ordinal).ok_or_else(not_ours)?;
            self.seal_version(&found, &mut version, private);
            self.store_version(transaction, &found, &version.row)?;
            newest = Some(version);
        }
        let newest = newest.ok_or_else(not_ours)?;
        let bundle = newest.bundle(&vault.properties, &found);
        self.plan_rotation(transaction, found, &newest)?;
        Ok(bundle)
    }
}

/// Reads what comes before the versions and checks where the key belongs.
fn header<'c>(content: &'c [u8], place: &Placement) -> Result<(KeyName, Reader<'c>), VaultError> {
    let mut reader = Reader(content);
    let guid = |bytes: &[u8]| bytes.try_into().ok().map(Guid::from_bytes);
    let tenant = reader.take().and_then(guid).ok_or_else(not_ours)?;
    let subscription = reader.take().and_then(guid).ok_or_else(not_ours)?;
    if (tenant, subscription) != (place.tenant, place.subscription) {
        return Err(VaultError::BadParameter(
            "the backup is of a vault in another tenant or subscription; restore it there"
                .to_owned(),
        ));
    }
    let name = reader.take().and_then(|name| std::str::from_utf8(name).ok());
    let name = name.and_then(|name| name.parse().ok()).ok_or_else(not_ours)?;
    Ok((name, reader))
}

fn not_ours() -> VaultError {
    VaultError::BadParameter(
        "the value is no backup that was made under this vault's root key".to_owned(),
    )
}

/// Writes byte strings, each behind its length; wiped on drop and whenever it grows.
#[derive(Default)]
struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn put(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a piece of a backup is short");
        let needed = self.0.len() + 4 + bytes.len();
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves its old content behind in memory.
            let mut grown = Zeroizing::new(Vec::with_capacity(needed * 2));
            grown.extend_from_slice(&self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn put_time(&mut self, time: Option<i64>) {
        match time {
            Some(time) => self.put(&time.to_be_bytes()),
            None => self.put(&[]),
        }
    }
}

/// A time in a backup is not written as times are.
struct Malformed;

/// Reads what [`Writer`] wrote.
struct Reader<'c>(&'c [u8]);

impl<'c> Reader<'c> {
    fn take(&mut self) -> Option<&'c [u8]> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (piece, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(piece)
    }

    fn take_time(&mut self) -> Result<Option<i64>, Malformed> {
        match self.take().ok_or(Malformed)? {
            [] => Ok(None),
            time => Ok(Some(i64::from_be_bytes(time.try_into().map_err(|_| Malformed)?))),
        }
    }

    fn version(&mut self, ordinal: i64) -> Option<(FoundVersion, &'c [u8])> {
        let id = RowId::from_bytes(self.take()?.try_into().ok()?);
        let kind = std::str::from_utf8(self.take()?).ok()?.to_owned();
        let shape = KeyShape::from_word(&kind)?;
        let enabled = match self.take()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let (not_before, expires) = (self.take_time().ok()?, self.take_time().ok()?);
        let record = stored::read_version(self.take()?)?;
        let private = self.take()?;
        let read = NewPrivate::from_pkcs8(shape, private).ok()?;
        if read.public != record.public {
            return None;
        }
        let row = VersionRow {
            id,
            ordinal,
            kind,
            enabled,
            not_before,
            expires,
            sealed_key: Vec::new(),
            sealed_record: Vec::new(),
        };
        Some((FoundVersion { row, shape, record }, private))
    }
}
