//! Service key slots: the same service key, sealed once for each way to open it.
//!
//! A slot is opened by a systemd credential, a key file, a passphrase or a recovery code. Changing
//! one rewrites one slot. A wrong secret fails the slot's AEAD and changes nothing. Normative
//! text: `docs/spec/keys.md`, "Service key slots".

use std::fmt;

use lockyard_base::{Entropy, RowId};
use lockyard_seal::{Damaged, MainKey, SegmentSize, hkdf, pae};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{ServiceKey, StretchCost};

/// The least entropy, in bytes, of a secret that no person types.
const SECRET_BYTES_MIN: usize = 32;

/// How a slot is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// A credential that systemd passes to the unit.
    Credential,
    /// A file that the operator keeps.
    File,
    /// Words that a person types; stretched with argon2id.
    Passphrase,
    /// A code that was shown once, to be kept on paper.
    Recovery,
}

impl SlotKind {
    /// The word that is stored and bound.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::File => "file",
            Self::Passphrase => "passphrase",
            Self::Recovery => "recovery",
        }
    }

    /// The kind that is stored under this word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Credential, Self::File, Self::Passphrase, Self::Recovery]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// What opens a slot; wiped on drop.
pub struct SlotSecret(Zeroizing<Vec<u8>>);

impl SlotSecret {
    /// Takes over the secret's bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Draws a secret of 256 random bits.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::new(entropy.bytes::<32>().to_vec())
    }

    /// The secret as the text that a key file holds and a recovery sheet shows: 64 hexadecimal
    /// digits.
    pub fn dangerous_text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    /// Reads the text form; white space around and between the digits is ignored.
    pub fn from_text(text: &str) -> Result<Self, SlotError> {
        let digits: Zeroizing<String> =
            Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
        let bytes = hex::decode(digits.as_bytes()).map_err(|_| SlotError::Text)?;
        let secret = Self::new(bytes);
        if secret.0.len() < SECRET_BYTES_MIN { Err(SlotError::Text) } else { Ok(secret) }
    }
}

impl fmt::Debug for SlotSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotSecret(…)")
    }
}

/// A slot could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlotError {
    /// The secret does not open the slot, or the slot was changed.
    #[error("the secret does not open this service key slot")]
    Wrong,
    /// The stored parameters are not ones that this version knows.
    #[error("the slot has parameters that this version does not know")]
    Params,
    /// A key file or recovery code has another form.
    #[error("a service key secret is at least 64 hexadecimal digits")]
    Text,
}

/// A service key sealed for one secret, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The slot's id.
    pub id: RowId,
    /// How it is opened.
    pub kind: SlotKind,
    /// Clear parameters of the stretching: `hkdf`, or `argon2id,<KiB>,<passes>,<lanes>`, then `,`
    /// and a hexadecimal salt. Bound to the sealed key.
    pub params: String,
    /// The sealed service key.
    pub sealed: Vec<u8>,
}

impl Slot {
    /// Seals `key` so that `secret` opens it.
    pub fn seal(
        key: &ServiceKey,
        kind: SlotKind,
        secret: &SlotSecret,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        Self::seal_as(RowId::random(entropy), key, kind, secret, entropy)
    }

    /// The same slot, holding another service key for the same `secret`.
    pub fn resealed(
        &self,
        key: &ServiceKey,
        secret: &SlotSecret,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        Self::seal_as(self.id, key, self.kind, secret, entropy)
    }

    fn seal_as(
        id: RowId,
        key: &ServiceKey,
        kind: SlotKind,
        secret: &SlotSecret,
        entropy: &dyn Entropy,
    ) -> Result<Self, SlotError> {
        let salt = hex::encode(entropy.bytes::<16>());
        let params = match kind {
            SlotKind::Passphrase => {
                let StretchCost { kib, passes, lanes } = StretchCost::default();
                format!("argon2id,{kib},{passes},{lanes},{salt}")
            }
            SlotKind::Credential | SlotKind::File | SlotKind::Recovery => format!("hkdf,{salt}"),
        };
        let sealed = stretch(&params, secret)?.seal(
            entropy,
            SegmentSize::ROW,
            &aad(id, kind, &params),
            key.expose(),
        );
        Ok(Self { id, kind, params, sealed })
    }

    /// Opens the slot.
    pub fn open(&self, secret: &SlotSecret) -> Result<ServiceKey, SlotError> {
        let opened = stretch(&self.params, secret)?
            .open(SegmentSize::ROW, &aad(self.id, self.kind, &self.params), &self.sealed)
            .map_err(|Damaged| SlotError::Wrong)?;
        ServiceKey::from_bytes(&opened).ok_or(SlotError::Wrong)
    }
}

fn aad(id: RowId, kind: SlotKind, params: &str) -> Vec<u8> {
    let id = id.to_string();
    pae(&[b"service slot", id.as_bytes(), kind.as_str().as_bytes(), params.as_bytes()])
}

fn stretch(params: &str, secret: &SlotSecret) -> Result<MainKey, SlotError> {
    let mut words = params.split(',');
    match words.next() {
        Some("hkdf") => {
            let salt = salt(words.next())?;
            Ok(MainKey::from_bytes(&hkdf(&salt, &secret.0, b"lockyard/v1/service-slot")))
        }
        Some("argon2id") => {
            let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
            let (Some(kib), Some(passes), Some(lanes)) = (number(), number(), number()) else {
                return Err(SlotError::Params);
            };
            let cost = StretchCost { kib, passes, lanes };
            let key = cost.stretch(&secret.0, &salt(words.next())?).ok_or(SlotError::Params)?;
            Ok(MainKey::from_bytes(&key))
        }
        _ => Err(SlotError::Params),
    }
}

fn salt(word: Option<&str>) -> Result<Vec<u8>, SlotError> {
    let salt = hex::decode(word.ok_or(SlotError::Params)?).map_err(|_| SlotError::Params)?;
    if salt.len() == 16 { Ok(salt) } else { Err(SlotError::Params) }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    fn check(kind: SlotKind, right: &[u8], wrong: &[u8]) {
        let entropy = SeededEntropy::new(7);
        let key = ServiceKey::generate(&entropy);
        let slot = Slot::seal(&key, kind, &SlotSecret::new(right.to_vec()), &entropy)
            .expect("our own parameters are valid");
        let opened = slot.open(&SlotSecret::new(right.to_vec())).expect("the right secret opens");
        assert_eq!(opened.expose(), key.expose());
        assert_eq!(slot.open(&SlotSecret::new(wrong.to_vec())).err(), Some(SlotError::Wrong));
    }

    #[test]
    fn each_kind_opens_with_its_secret_and_with_no_other() {
        check(SlotKind::File, &[1; 32], &[2; 32]);
        check(SlotKind::Credential, &[1; 32], &[1; 33]);
        check(SlotKind::Recovery, &[3; 32], &[4; 32]);
        check(SlotKind::Passphrase, b"correct horse", b"correct house");
    }

    #[test]
    fn a_slot_relabelled_as_another_kind_or_id_does_not_open() {
        let entropy = SeededEntropy::new(7);
        let key = ServiceKey::generate(&entropy);
        let secret = SlotSecret::new(vec![1; 32]);
        let slot = Slot::seal(&key, SlotKind::File, &secret, &entropy).expect("valid");
        let relabelled = Slot { kind: SlotKind::Recovery, ..slot.clone() };
        assert_eq!(relabelled.open(&secret).err(), Some(SlotError::Wrong));
        let moved = Slot { id: RowId::from_bytes([0; 16]), ..slot.clone() };
        assert_eq!(moved.open(&secret).err(), Some(SlotError::Wrong));
        for params in ["", "hkdf", "hkdf,zz", "argon2id,4294967295,3,4,00", "scrypt,1"] {
            let weird = Slot { params: params.to_owned(), ..slot.clone() };
            assert_eq!(weird.open(&secret).err(), Some(SlotError::Params), "{params}");
        }
    }

    #[test]
    fn a_key_file_reads_back_and_refuses_anything_short() {
        let secret = SlotSecret::generate(&SeededEntropy::new(1));
        let text = secret.dangerous_text();
        let read = SlotSecret::from_text(&format!(" {}\n", *text)).expect("its own text");
        assert_eq!(read.0, secret.0);
        assert_eq!(SlotSecret::from_text("abcd").err(), Some(SlotError::Text));
        assert_eq!(SlotSecret::from_text("not hex").err(), Some(SlotError::Text));
    }
}
