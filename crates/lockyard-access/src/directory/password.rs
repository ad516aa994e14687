//! Passwords: what people type is stretched with argon2id before anything is kept of it.

use lockyard_base::Entropy;
use lockyard_keyring::StretchCost;
use subtle::ConstantTimeEq as _;

use super::{
    ChangeError, Presented,
    limit::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN},
};

/// How dear a stretch is: by default as dear as that of the service key's passphrases (DESIGN 3).
pub type Cost = StretchCost;

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash {
    pub(super) cost: Cost,
    pub(super) salt: [u8; 16],
    pub(super) hash: [u8; 32],
}

impl PasswordHash {
    /// Stretches a new password.
    pub(super) fn new(
        password: &Presented,
        cost: Cost,
        entropy: &dyn Entropy,
    ) -> Result<Self, ChangeError> {
        let text = password.as_str();
        let long = text.chars().count() >= PASSWORD_CHARS_MIN;
        if !long || text.len() > PASSWORD_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(ChangeError::Password);
        }
        let salt = entropy.bytes::<16>();
        let hash = cost.stretch(text.as_bytes(), &salt).ok_or(ChangeError::Password)?;
        Ok(Self { cost, salt, hash: *hash })
    }

    /// One that no password has: stretching against it costs what it costs for a real one.
    pub(super) fn of_nobody(cost: Cost, entropy: &dyn Entropy) -> Self {
        Self { cost, salt: entropy.bytes(), hash: entropy.bytes() }
    }

    /// Whether this is the password; dear.
    pub(super) fn is(&self, password: &Presented) -> bool {
        // A longer one was never accepted; what is stretched stays bounded.
        let bytes = password.as_bytes();
        let shown = bytes.get(..PASSWORD_BYTES_MAX).unwrap_or(bytes);
        let right = match self.cost.stretch(shown, &self.salt) {
            Some(hash) => bool::from(hash.ct_eq(&self.hash)),
            None => false,
        };
        right & (bytes.len() <= PASSWORD_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    fn made(password: &str) -> Result<PasswordHash, ChangeError> {
        PasswordHash::new(&password.into(), Cost::NEGLIGIBLE, &SeededEntropy::new(1))
    }

    #[test]
    fn only_the_password_is_the_password() {
        let hash = made("correct horse").unwrap();
        assert!(hash.is(&"correct horse".into()));
        assert!(!hash.is(&"correct house".into()));
        assert!(!hash.is(&"".into()));
        let nobody = PasswordHash::of_nobody(Cost::NEGLIGIBLE, &SeededEntropy::new(1));
        assert!(!nobody.is(&"correct horse".into()));
    }

    #[test]
    fn a_password_is_neither_too_short_nor_too_long() {
        let length = |length: usize| made(&"p".repeat(length));
        assert!(length(PASSWORD_CHARS_MIN - 1).is_err());
        assert!(length(PASSWORD_CHARS_MIN).is_ok());
        assert!(length(PASSWORD_BYTES_MAX).is_ok());
        assert!(length(PASSWORD_BYTES_MAX + 1).is_err());
        let longest = length(PASSWORD_BYTES_MAX).unwrap();
        assert!(longest.is(&Presented::new("p".repeat(PASSWORD_BYTES_MAX))));
        assert!(!longest.is(&Presented::new("p".repeat(PASSWORD_BYTES_MAX + 1))));
    }

    #[test]
    fn a_stored_cost_cannot_exhaust_the_machine() {
        let mut hash = made("correct horse").unwrap();
        hash.cost.kib = u32::MAX;
        assert!(!hash.is(&"correct horse".into()));
    }
}
