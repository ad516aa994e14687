//! The owner of this instance: the first credential, made at the first start.
//!
//! The secret has 256 random bits, so a plain SHA-256 of it is stored (DESIGN 12): there is nothing
//! to guess and nothing to stretch. It is shown once, in `bootstrap.json`, and can be replaced.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_access::Records;
use lockyard_base::{Entropy, Guid};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    RegistryError,
    fields::{FieldReader, FieldWriter},
};

const KIND: &str = "owner";
const NAME: &[u8] = b"";

/// Who owns this instance, and how to know them.
#[derive(Clone, PartialEq, Eq)]
pub struct Owner {
    /// The tenant that everything here belongs to.
    pub tenant: Guid,
    /// The one subscription of that tenant.
    pub subscription: Guid,
    /// The owner's client id: the user name of a Basic login.
    pub client: Guid,
    secret_hash: [u8; 32],
}

/// The owner's client secret, to be shown once; wiped on drop.
pub struct OwnerSecret(Zeroizing<String>);

impl OwnerSecret {
    fn generate(entropy: &dyn Entropy) -> Self {
        let bits = Zeroizing::new(entropy.bytes::<32>());
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bits.as_slice())))
    }

    /// The text to hand to the owner.
    pub fn dangerous_expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerSecret(…)")
    }
}

impl Owner {
    /// Makes an owner and its secret; nothing is stored yet.
    pub fn generate(entropy: &dyn Entropy) -> (Self, OwnerSecret) {
        let secret = OwnerSecret::generate(entropy);
        let owner = Self {
            tenant: Guid::random(entropy),
            subscription: Guid::random(entropy),
            client: Guid::random(entropy),
            secret_hash: hash(secret.dangerous_expose()),
        };
        (owner, secret)
    }

    /// Gives the owner another secret; the old one stops working when this owner is stored.
    pub fn replace_secret(&mut self, entropy: &dyn Entropy) -> OwnerSecret {
        let secret = OwnerSecret::generate(entropy);
        self.secret_hash = hash(secret.dangerous_expose());
        secret
    }

    /// The stored owner, or `None` before the first start has made one.
    pub fn load(records: &Records) -> Result<Option<Self>, RegistryError> {
        let Some(value) = records.get(KIND, NAME)? else { return Ok(None) };
        let mut fields = FieldReader::new(&value)?;
        let mut guid = || -> Result<Guid, RegistryError> {
            let bytes = fields.field()?.try_into().map_err(|_| DAMAGED)?;
            Ok(Guid::from_bytes(bytes))
        };
        let (tenant, subscription, client) = (guid()?, guid()?, guid()?);
        let secret_hash = fields.field()?.try_into().map_err(|_| DAMAGED)?;
        fields.end()?;
        Ok(Some(Self { tenant, subscription, client, secret_hash }))
    }

    /// Stores this owner in place of any other.
    pub fn store(&self, records: &Records) -> Result<(), RegistryError> {
        let fields = FieldWriter::with_capacity(128)
            .field(self.tenant.as_bytes())
            .field(self.subscription.as_bytes())
            .field(self.client.as_bytes())
            .field(&self.secret_hash);
        Ok(records.put(KIND, NAME, fields.as_slice())?)
    }

    /// Whether these are the owner's credentials. Takes the same time for every wrong answer.
    pub fn verify(&self, client: &str, secret: &str) -> bool {
        let right_client = client.parse::<Guid>().is_ok_and(|client| client == self.client);
        let right_secret = bool::from(hash(secret).ct_eq(&self.secret_hash));
        right_client & right_secret
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({})", self.client)
    }
}

fn hash(secret: &str) -> [u8; 32] {
    digest(&SHA256, secret.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

const DAMAGED: RegistryError = RegistryError::Damaged("the owner's record");

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn only_the_owners_own_credentials_verify() {
        let entropy = SeededEntropy::new(1);
        let (mut owner, secret) = Owner::generate(&entropy);
        let client = owner.client.to_string();
        assert!(owner.verify(&client, secret.dangerous_expose()));
        assert!(owner.verify(&client.to_uppercase(), secret.dangerous_expose()));
        assert!(!owner.verify(&client, ""));
        assert!(!owner.verify("", secret.dangerous_expose()));
        assert!(!owner.verify(&owner.tenant.to_string(), secret.dangerous_expose()));
        let next = owner.replace_secret(&entropy);
        assert!(!owner.verify(&client, secret.dangerous_expose()));
        assert!(owner.verify(&client, next.dangerous_expose()));
    }
}
