//! The log's own keys, and the small file that they lie in, sealed.
//!
//! Who opens the log derives a secret for it from a key of its own (the vault from its root key).
//! The seal key and the signing key are random and sealed under that secret, so that another root
//! key costs one re-seal and leaves every record as it is.

use std::{fmt, io, path::Path};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use lockyard_base::{Entropy, NodeId};
use lockyard_blobs::Disk;
use lockyard_seal::{MainKey, SegmentSize, hkdf, pae};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    files,
    format::{self, Hash},
};

/// The name of the file in the log's directory.
pub(crate) const FILE: &str = "log.keys";

/// The most that is read of the file.
const FILE_BYTES_MAX: u64 = 4096;
const WRAP_INFO: &[u8] = b"lockyard/v1/audit/wrap";
const CHECK_INFO: &[u8] = b"lockyard/v1/audit/check";
const KEYS_DOMAIN: &[u8] = b"lockyard/v1/audit/keys";
const SEED_LEN: usize = 32;

/// What opens a log: 32 secret bytes that its holder derives for this purpose alone.
pub struct AuditSecret(Box<Zeroizing<[u8; 32]>>);

impl AuditSecret {
    /// The secret that has these bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(*bytes)))
    }

    fn derived(&self, node: NodeId, info: &[u8]) -> Zeroizing<[u8; 32]> {
        hkdf(node.as_bytes(), self.0.as_slice(), info)
    }
}

impl fmt::Debug for AuditSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditSecret(…)")
    }
}

/// The public half of the key that signs checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub(crate) [u8; 32]);

impl PublicKey {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What may be known about a log without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogIdentity {
    /// The node whose chain it is.
    pub(crate) node: NodeId,
    /// What its checkpoints are verified with.
    pub(crate) public: PublicKey,
}

/// The keys of one log; wiped on drop.
pub(crate) struct AuditKeys {
    pub(crate) identity: LogIdentity,
    seal: MainKey,
    signing: Ed25519KeyPair,
}

impl fmt::Debug for AuditKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditKeys").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The file: what is public about the log, and its keys, sealed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeysFile {
    format: u8,
    node: String,
    public_key: String,
    check: String,
    sealed: String,
}

/// The log's keys cannot be had; nothing was changed.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file system refuses.
    #[error("cannot use the audit trail's key file")]
    Io(#[source] io::Error),
    /// There are segments and no keys.
    #[error("the audit trail's key file is missing; restore it from a backup")]
    Missing,
    /// The file is not what was written.
    #[error("the audit trail's key file is damaged; restore it from a backup")]
    Damaged,
    /// It belongs to another root key.
    #[error("the audit trail was made with another key")]
    WrongSecret,
}

impl AuditKeys {
    /// Draws the keys of a new log and writes them; they are durable when this returns.
    pub(crate) fn create(
        disk: &dyn Disk,
        directory: &Path,
        secret: &AuditSecret,
        entropy: &dyn Entropy,
    ) -> io::Result<Self> {
        let node = NodeId::random(entropy);
        let seal = MainKey::generate(entropy);
        let seed = Zeroizing::new(entropy.bytes::<SEED_LEN>());
        let signing = signing_key(&seed);
        let identity = LogIdentity { node, public: public_key(&signing) };
        let mut plain = Zeroizing::new([0; 64]);
        plain[..32].copy_from_slice(seal.dangerous_expose());
        plain[32..].copy_from_slice(seed.as_slice());
        let wrapping = MainKey::from_bytes(&secret.derived(node, WRAP_INFO));
        let sealed =
            wrapping.seal(entropy, SegmentSize::ROW, &keys_aad(&identity), plain.as_slice());
        let file = KeysFile {
            format: format::FORMAT_VERSION,
            node: node.to_string(),
            public_key: identity.public.to_string(),
            check: hex::encode(secret.derived(node, CHECK_INFO).as_slice()),
            sealed: hex::encode(sealed),
        };
        let mut text = serde_json::to_vec_pretty(&file)?;
        text.push(b'\n');
        let path = directory.join(FILE);
        let file = disk.create(&path)?;
        file.write(&text, 0)?;
        file.sync_data()?;
        disk.sync_directory(directory)?;
        Ok(Self { identity, seal, signing })
    }

    /// Opens the keys of an existing log; `None` if there is no key file, or the torn beginning of
    /// one.
    pub(crate) fn open(
        disk: &dyn Disk,
        directory: &Path,
        secret: &AuditSecret,
    ) -> Result<Option<Self>, KeysError> {
        let Some((identity, file)) = read(disk, directory)? else { return Ok(None) };
        let check = hex::decode(&file.check).map_err(|_| KeysError::Damaged)?;
        let expected = secret.derived(identity.node, CHECK_INFO);
        verify_slices_are_equal(expected.as_slice(), &check).map_err(|_| KeysError::WrongSecret)?;
        let sealed = hex::decode(&file.sealed).map_err(|_| KeysError::Damaged)?;
        let wrapping = MainKey::from_bytes(&secret.derived(identity.node, WRAP_INFO));
        let plain = wrapping
            .open(SegmentSize::ROW, &keys_aad(&identity), &sealed)
            .map_err(|_| KeysError::Damaged)?;
        let (seal, rest) = plain.split_first_chunk::<32>().ok_or(KeysError::Damaged)?;
        let seed: &[u8; SEED_LEN] = rest.try_into().map_err(|_| KeysError::Damaged)?;
        let signing = signing_key(seed);
        if public_key(&signing) != identity.public {
            return Err(KeysError::Damaged);
        }
        Ok(Some(Self { identity, seal: MainKey::from_bytes(seal), signing }))
    }

    /// Seals an entry into its place.
    pub(crate) fn seal(
        &self,
        entropy: &dyn Entropy,
        sequence: u64,
        previous: &Hash,
        plaintext: &[u8],
    ) -> Vec<u8> {
        let aad = format::entry_aad(self.identity.node, sequence, previous);
        self.seal.seal(entropy, SegmentSize::ROW, &aad, plaintext)
    }

    /// Opens an entry; `None` unless it was sealed in exactly this place.
    pub(crate) fn open_entry(
        &self,
        sequence: u64,
        previous: &Hash,
        sealed: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let aad = format::entry_aad(self.identity.node, sequence, previous);
        self.seal.open(SegmentSize::ROW, &aad, sealed).ok()
    }

    /// Signs with Ed25519.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.signing.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

/// Reads what is public about the log in `directory`.
pub(crate) fn identity(disk: &dyn Disk, directory: &Path) -> Result<LogIdentity, KeysError> {
    read(disk, directory)?.map(|(identity, _)| identity).ok_or(KeysError::Missing)
}

fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<(LogIdentity, KeysFile)>, KeysError> {
    let text = match files::read(disk, &directory.join(FILE), FILE_BYTES_MAX) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(KeysError::Damaged),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeysError::Io(error)),
    };
    let file: KeysFile = serde_json::from_slice(&text).map_err(|_| KeysError::Damaged)?;
    if file.format != format::FORMAT_VERSION {
        return Err(KeysError::Damaged);
    }
    let node = file.node.parse().map_err(|_| KeysError::Damaged)?;
    let mut public = [0; 32];
    hex::decode_to_slice(&file.public_key, &mut public).map_err(|_| KeysError::Damaged)?;
    Ok(Some((LogIdentity { node, public: PublicKey(public) }, file)))
}

fn keys_aad(identity: &LogIdentity) -> Vec<u8> {
    let version = [format::FORMAT_VERSION];
    pae(&[KEYS_DOMAIN, &version, identity.node.as_bytes(), &identity.public.0])
}

fn signing_key(seed: &[u8; SEED_LEN]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are an Ed25519 seed")
}

fn public_key(key: &Ed25519KeyPair) -> PublicKey {
    let bytes = key.public_key().as_ref();
    PublicKey(bytes.try_into().expect("an Ed25519 public key has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivations_agree_with_the_vectors_of_the_specification() {
        let root: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).expect("small"));
        let secret = hkdf(&[], &root, b"lockyard/v1/vault/audit");
        let secret = AuditSecret::from_bytes(&secret);
        let node = std::array::from_fn(|at| 0xa0 + u8::try_from(at).expect("small"));
        let node = NodeId::from_bytes(node);
        let derived = |info: &[u8]| hex::encode(secret.derived(node, info).as_slice());
        assert_eq!(
            derived(CHECK_INFO),
            "b033f3b1cf188064e9731d46ebc0b3523653f9513f10758701bf2e81b89f4c92"
        );
        assert_eq!(
            derived(WRAP_INFO),
            "ca2914b1ba561351753d13468150affda612b051d45835b2cb7045bc9962771a"
        );
        let aad = keys_aad(&LogIdentity { node, public: PublicKey([0x77; 32]) });
        assert_eq!(
            hex::encode(format::sha256(&aad)),
            "29cd664ac980697b36aeab89ef2d01a60b6cdf17e4c5c8188afbfd34c821f8e1"
        );
    }
}
