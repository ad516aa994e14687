//! Counts what registries ask of key vaults, on their side of the seam.
//!
//! The vault's audit trail is written on the other side and knows nothing of these counts, so that
//! an operator, or a test, can hold one against the other.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_keyring::{
    CustomerShare, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, VersionedKeyId,
    WrappedShare,
};
use lockyard_web::KeyCalls;
use tokio::sync::watch;

/// A [`KeyProvider`] whose every call is counted.
#[derive(Clone)]
pub(crate) struct CountedProvider {
    provider: Arc<dyn KeyProvider>,
    calls: KeyCalls,
}

impl CountedProvider {
    /// Counts the calls of `provider` in `calls`.
    pub(crate) fn new(provider: Arc<dyn KeyProvider>, calls: KeyCalls) -> Self {
        Self { provider, calls }
    }

    fn begin(&self, operation: &'static str) -> Call<'_> {
        Call { calls: &self.calls, operation, outcome: Call::ABANDONED }
    }
}

impl fmt::Debug for CountedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountedProvider({:?})", self.provider)
    }
}

/// A call under way, counted when it is over; `abandoned` if nobody waited for its end.
struct Call<'c> {
    calls: &'c KeyCalls,
    operation: &'static str,
    outcome: &'static str,
}

impl Call<'_> {
    const ABANDONED: &'static str = "abandoned";

    fn ended<T>(mut self, result: Result<T, ProviderError>) -> Result<T, ProviderError> {
        self.outcome = match &result {
            Ok(_) => "done",
            Err(ProviderError::Denied(..)) => "denied",
            Err(ProviderError::Damaged(_)) => "damaged",
            Err(ProviderError::Unreachable(_)) => "unreachable",
        };
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.calls.count(self.operation, self.outcome);
    }
}

#[async_trait]
impl KeyProvider for CountedProvider {
    async fn wrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        let call = self.begin("wrapKey");
        call.ended(self.provider.wrap_key(caller, key, share).await)
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        let call = self.begin("unwrapKey");
        call.ended(self.provider.unwrap_key(caller, key, wrapped).await)
    }

    async fn versions(
        &self,
        caller: &Identity,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        let call = self.begin("versions");
        call.ended(self.provider.versions(caller, key).await)
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.provider.health().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.provider.changes()
    }
}

#[cfg(test)]
mod tests {
    use lockyard_keyring::Denial;

    use super::*;

    #[test]
    fn each_call_is_counted_once_by_its_end() {
        let calls = KeyCalls::default();
        let begin = || Call { calls: &calls, operation: "unwrapKey", outcome: Call::ABANDONED };
        let end = |result: Result<(), ProviderError>| drop(begin().ended(result));
        let text = String::new;
        end(Ok(()));
        end(Ok(()));
        end(Err(ProviderError::Denied(Denial::KeyDisabled, text())));
        end(Err(ProviderError::Damaged(text())));
        end(Err(ProviderError::Unreachable(text())));
        drop(begin());
        let counted = ["done", "denied", "damaged", "unreachable", "abandoned"]
            .map(|outcome| calls.counted("unwrapKey", outcome));
        assert_eq!(counted, [2, 1, 1, 1, 1]);
        assert_eq!(calls.counted("wrapKey", "done"), 0);
    }
}
