//! How much a directory holds, and how long its words are. Azure's own figures where it has some.

use std::time::Duration;

/// The most users, service principals, managed identities and groups together.
pub const PRINCIPALS_MAX: usize = 20_000;
/// The most applications.
pub const APPLICATIONS_MAX: usize = 10_000;
/// The most role assignments.
pub const ASSIGNMENTS_MAX: usize = 4_000;
/// The most custom roles.
pub const ROLES_MAX: usize = 500;
/// The most secrets of an application.
pub const SECRETS_MAX: usize = 20;
/// The most certificates of an application.
pub const CERTIFICATES_MAX: usize = 20;
/// The most federated credentials of an application.
pub const FEDERATED_MAX: usize = 20;
/// The most audiences of a federated credential.
pub const AUDIENCES_MAX: usize = 10;
/// The most redirect URIs, and the most identifier URIs, of an application.
pub const URIS_MAX: usize = 256;
/// The longest URI, issuer, subject or audience in bytes.
pub const URI_BYTES_MAX: usize = 600;
/// The most direct members of a group.
pub const MEMBERS_MAX: usize = 5_000;
/// How many groups may lie inside each other, the outermost included.
pub const GROUP_DEPTH_MAX: usize = 8;
/// The longest display name in characters.
pub const NAME_CHARS_MAX: usize = 256;
/// The longest part before the `@` of the name that a user signs in with, in bytes.
pub const UPN_NAME_BYTES_MAX: usize = 64;
/// The longest name that a user signs in with, in bytes. Azure has 113; this has room for the longest
/// domain that an instance may have, 190 bytes.
pub const UPN_BYTES_MAX: usize = UPN_NAME_BYTES_MAX + 1 + 190;
/// The shortest password in characters.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The longest password in bytes.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// The longest certificate in bytes, as DER.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// The longest life of a secret.
pub const SECRET_LIFE_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// How many wrong passwords in a row lock an account.
pub const FAILURES_FREE: u32 = 5;
/// How long the first lock holds; each further failure doubles it.
pub const LOCK_FIRST: Duration = Duration::from_secs(60);
/// How long a lock holds at most: one guess in this time is what an attacker is left with.
pub const LOCK_MAX: Duration = Duration::from_secs(15 * 60);
/// After how long without a failure all failures are forgotten.
pub const FORGET_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many passwords are stretched at once; each takes 64 MiB.
pub const STRETCHES_AT_ONCE: usize = 2;
/// How many proofs by password may wait for their turn; more are refused.
pub const STRETCHES_WAITING_MAX: usize = 64;
/// How many proofs by password are remembered; one more makes all of them forgotten.
pub const PROOFS_MAX: usize = 1_000;
/// How long a proof by password is remembered.
pub const PROOF_LIFE: Duration = Duration::from_secs(5 * 60);
