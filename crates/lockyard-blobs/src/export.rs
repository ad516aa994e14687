//! Hands out one part with its key, for whoever must prove or rescue with other tools.
//!
//! The only function of this room through which a blob key leaves it, which is why its name says
//! dangerous: `lockyard debug export-part --dangerous` alone calls it. What it yields opens with
//! any implementation of Tink's streaming AEAD.

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockyard_base::PartId;
use lockyard_keyring::{Locked, UnlockedRegistry};
use lockyard_seal::{KEY_LEN, MainKey, SegmentSize, part_aad};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{PartError, PartList, PartSource, PartStore};

/// A part's ciphertext and all that opens it.
pub struct DangerousExport {
    /// The part's id.
    pub part: PartId,
    /// The length of its plaintext in bytes.
    pub plaintext_len: u64,
    /// The sealed part as it is stored.
    pub ciphertext: Box<dyn PartSource>,
    /// The associated data that it is bound to.
    pub aad: Vec<u8>,
    /// A clear-text Tink keyset, in JSON, with one key of type `AesGcmHkdfStreamingKey`.
    pub keyset_json: Zeroizing<String>,
}

impl fmt::Debug for DangerousExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DangerousExport({})", self.part)
    }
}

/// A part could not be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The registry was locked.
    #[error("the registry is locked")]
    Locked,
    /// The list has fewer parts.
    #[error("the blob has no part of number {0}")]
    NoSuchPart(usize),
    /// The part is gone.
    #[error("part `{0}` is missing")]
    Missing(PartId),
    /// The part store failed.
    #[error("the part store failed")]
    Store(#[source] PartError),
}

/// Exports the part at `index` of `parts`, its key in the clear. Blocking.
///
/// The part is handed out as it is, damaged or not: whoever opens it finds out.
pub fn dangerous_export(
    unlocked: &UnlockedRegistry,
    store: &Arc<dyn PartStore>,
    parts: &PartList,
    index: usize,
) -> Result<DangerousExport, ExportError> {
    let part = parts.parts().get(index).ok_or(ExportError::NoSuchPart(index))?;
    unlocked.epoch().map_err(|Locked| ExportError::Locked)?;
    let ciphertext = store
        .open(part.id())
        .map_err(ExportError::Store)?
        .ok_or(ExportError::Missing(part.id()))?;
    let size = part.layout().size();
    Ok(DangerousExport {
        part: part.id(),
        plaintext_len: part.len(),
        ciphertext,
        aad: part_aad(size, unlocked.id(), part.id()),
        keyset_json: keyset(size, part.key()),
    })
}

/// A keyset has to number its keys; the number means nothing here.
const KEY_NUMBER: u32 = 1;

fn keyset(size: SegmentSize, key: &MainKey) -> Zeroizing<String> {
    let message = key_message(size, key);
    let mut value = Zeroizing::new(String::with_capacity(2 * message.len()));
    STANDARD.encode_string(message.as_slice(), &mut value);
    Zeroizing::new(format!(
        concat!(
            r#"{{"primaryKeyId":{number},"key":[{{"keyData":{{"#,
            r#""typeUrl":"type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey","#,
            r#""value":"{value}","keyMaterialType":"SYMMETRIC"}},"#,
            r#""status":"ENABLED","keyId":{number},"outputPrefixType":"RAW"}}]}}"#,
        ),
        number = KEY_NUMBER,
        value = *value,
    ))
}

/// The protocol buffer `AesGcmHkdfStreamingKey` (Tink, `proto/aes_gcm_hkdf_streaming.proto`):
/// version 0 is left out as proto3 does; 2: params {1: ciphertext_segment_size, 2:
/// derived_key_size, 3: hkdf_hash_type}; 3: key_value.
fn key_message(size: SegmentSize, key: &MainKey) -> Zeroizing<Vec<u8>> {
    const VARINT: u8 = 0;
    const BYTES: u8 = 2;
    const SHA256: usize = 3;

    let mut params = Vec::new();
    for (field, value) in [(1, size.bytes()), (2, KEY_LEN), (3, SHA256)] {
        params.push(field << 3 | VARINT);
        varint(&mut params, value);
    }
    let mut message = Zeroizing::new(Vec::with_capacity(64));
    message.push(2 << 3 | BYTES);
    varint(&mut message, params.len());
    message.extend_from_slice(&params);
    message.push(3 << 3 | BYTES);
    varint(&mut message, KEY_LEN);
    message.extend_from_slice(key.dangerous_expose());
    message
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit a byte");
        value >>= 7;
        out.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyset_is_what_tink_writes_for_the_same_key() {
        let keyset = keyset(SegmentSize::CURRENT, &MainKey::from_bytes(&[7; KEY_LEN]));
        let json: serde_json::Value = serde_json::from_str(&keyset).expect("JSON");
        let value = json["key"][0]["keyData"]["value"].as_str().expect("text");
        let mut expected = vec![0x12, 8, 0x08, 0x80, 0x80, 0x04, 0x10, 32, 0x18, 3, 0x1a, 32];
        expected.extend_from_slice(&[7; KEY_LEN]);
        assert_eq!(STANDARD.decode(value).expect("base64"), expected);
        assert_eq!(json["primaryKeyId"], json["key"][0]["keyId"]);
        assert_eq!(json["key"][0]["outputPrefixType"], "RAW");
    }
}
