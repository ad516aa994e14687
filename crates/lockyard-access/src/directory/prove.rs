//! Proving who one is: by a secret, or by a password.
//!
//! Nobody learns from an answer, or from the time that it takes, whether somebody is here: a name
//! that nobody has costs a stretch as well and is locked out like any other. What an issuer checks
//! itself, a signature say, it makes a proof of with [`Proof::new`].

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use lockyard_base::{Entropy, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    ClientId, Cost, CredentialId, Directory, Presented, PrincipalKind, ProveError,
    limit::{SECRETS_MAX, STRETCHES_AT_ONCE, STRETCHES_WAITING_MAX},
    password::PasswordHash,
    principal::{Means, folded},
    secret,
};
use crate::PrincipalId;

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By a client secret.
    Secret,
    /// By an assertion that a certificate of theirs verifies.
    Certificate,
    /// By a token of a foreign issuer.
    Federated,
    /// By a password.
    Password,
    /// By being the resource.
    ManagedIdentity,
}

/// That somebody has just proved who they are. Only this crate makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub(crate) principal: PrincipalId,
    pub(crate) credential: CredentialId,
    pub(crate) method: Method,
    pub(crate) at: Timestamp,
}

impl Proof {
    /// A proof that this crate has seen; whoever calls this has checked it.
    pub(crate) const fn new(
        principal: PrincipalId,
        credential: CredentialId,
        method: Method,
        at: Timestamp,
    ) -> Self {
        Self { principal, credential, method, at }
    }

    /// Who.
    pub const fn principal(&self) -> PrincipalId {
        self.principal
    }

    /// By which credential.
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    /// How.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// When.
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

impl Directory {
    /// Proves an application by one of its secrets. Takes microseconds and does not block.
    pub fn prove_secret(&self, client: ClientId, secret: &Presented) -> Result<Proof, ProveError> {
        let (hashed, now, snapshot) =
            (secret::hash(secret.as_bytes()), self.now(), self.snapshot());
        let kept = snapshot.application(client).map_or(&[][..], |one| one.secrets.as_slice());
        // As many comparisons for an application that is not here, or has fewer secrets.
        let (mut right, mut valid) = (None, None);
        for place in 0..SECRETS_MAX {
            let one = kept.get(place);
            let is = one.map_or_else(|| self.turns.no_secret(&hashed), |one| one.is(&hashed));
            if let (true, Some(one)) = (is, one) {
                right = Some(one.id);
                if one.starts <= now && now < one.expires {
                    valid = Some(one.id);
                }
            }
        }
        let principal = snapshot
            .by_client(client)
            .filter(|principal| principal.kind == PrincipalKind::ServicePrincipal);
        let (Some(_), Some(principal)) = (right, principal) else { return Err(ProveError::Wrong) };
        let credential = valid.ok_or(ProveError::Expired)?;
        if !principal.enabled {
            return Err(ProveError::Disabled);
        }
        Ok(Proof::new(principal.id, credential, Method::Secret, now))
    }

    /// Proves a user by their password.
    ///
    /// Stretching takes its time and 64 MiB: some run at once, some wait, more are refused as
    /// [`ProveError::Busy`].
    pub async fn prove_password(
        self: &Arc<Self>,
        upn: &str,
        password: Presented,
    ) -> Result<Proof, ProveError> {
        let place = self.turns.place().await?;
        let name = folded(upn);
        self.blocking(move |this| {
            let proof = this.prove_password_in_turn(&name, &password);
            drop(place);
            proof
        })
        .await
    }

    /// Does what [`Directory::prove_password`] does, for clients that send the password with each
    /// request: what was proved within [`PROOF_LIFE`](super::limit::PROOF_LIFE) and before the last change of the directory
    /// is not stretched again. The proof says when it was.
    pub async fn prove_password_again(
        self: &Arc<Self>,
        upn: &str,
        password: Presented,
    ) -> Result<Proof, ProveError> {
        let name = folded(upn);
        if let Some(proof) = self.remembered_proof(&name, &password) {
            return Ok(proof);
        }
        let place = self.turns.place().await?;
        self.blocking(move |this| {
            // Requests that came together wait for the first of them.
            if let Some(proof) = this.remembered_proof(&name, &password) {
                return Ok(proof);
            }
            // Taken before: a change meanwhile makes it too old to be remembered.
            let version = this.snapshot().version();
            let proof = this.prove_password_in_turn(&name, &password)?;
            drop(place);
            this.remembered.put(version, &name, &password, proof);
            Ok(proof)
        })
        .await
    }

    fn remembered_proof(&self, name: &str, password: &Presented) -> Option<Proof> {
        self.remembered.get(self.snapshot().version(), self.now(), name, password)
    }

    fn prove_password_in_turn(
        &self,
        name: &str,
        password: &Presented,
    ) -> Result<Proof, ProveError> {
        // One guess at a name at a time: many at once must not all be free.
        let turn = self.turns.of(name);
        let alone = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = self.failures(name)?;
        if let Some(failures) = failures.filter(|failures| self.now() < failures.until) {
            return Err(ProveError::Locked { until: failures.until });
        }
        let snapshot = self.snapshot();
        let user = snapshot.by_upn(name);
        let means = user.and_then(|user| snapshot.entry(user.id)).map(|entry| &entry.means);
        let kept = match means {
            Some(Means::Password { credential, hash: Some(hash) }) => Some((*credential, hash)),
            Some(_) | None => None,
        };
        let right = kept.map_or(&self.turns.nobody, |(_, hash)| hash).is(password);
        let (Some(user), Some((credential, _)), true) = (user, kept, right) else {
            self.count_failure(name, failures, user.is_some())?;
            return Err(ProveError::Wrong);
        };
        if failures.is_some() {
            self.forget_failures(name)?;
        }
        drop(alone);
        // The stretch took its time: what was true before need not be true now.
        let present = self.snapshot();
        match present.principal(user.id) {
            Some(_) if !present.has_credential(user.id, credential) => Err(ProveError::Wrong),
            Some(user) if !user.enabled => Err(ProveError::Disabled),
            Some(user) => Ok(Proof::new(user.id, credential, Method::Password, self.now())),
            None => Err(ProveError::Wrong),
        }
    }
}

/// Whose turn it is to be stretched.
pub(super) struct Turns {
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    by_name: Vec<Mutex<()>>,
    /// What passwords of nobody are held against.
    nobody: PasswordHash,
}

/// How many names can be tried at once; names that share a lock wait for each other.
const NAMES: usize = 64;

impl Turns {
    pub(super) fn new(cost: Cost, entropy: &dyn Entropy) -> Self {
        Self {
            running: Arc::new(Semaphore::new(STRETCHES_AT_ONCE)),
            waiting: Arc::default(),
            by_name: (0..NAMES).map(|_| Mutex::default()).collect(),
            nobody: PasswordHash::of_nobody(cost, entropy),
        }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ProveError> {
        let counted = Counted::new(&self.waiting);
        if counted.before >= STRETCHES_WAITING_MAX {
            return Err(ProveError::Busy);
        }
        let place = Arc::clone(&self.running).acquire_owned().await;
        drop(counted);
        place.map_err(|_| ProveError::Busy)
    }

    fn of(&self, name: &str) -> &Mutex<()> {
        let hash = secret::hash(name.as_bytes());
        &self.by_name[usize::from(hash[0]) % NAMES]
    }

    /// A comparison that costs what a real one costs, and fails.
    fn no_secret(&self, hashed: &[u8; 32]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.nobody.hash.ct_eq(hashed).into()
    }
}

/// Counts one while it lives.
struct Counted {
    before: usize,
    count: Arc<AtomicUsize>,
}

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        Self { before: count.fetch_add(1, Ordering::Relaxed), count: Arc::clone(count) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
