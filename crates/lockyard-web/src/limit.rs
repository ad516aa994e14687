//! The limits of the HTTP faces, each with its reason.
//!
//! What one registry may hold is not limited here but in the registry room; these bound what a
//! stranger can make the process spend before anybody has looked at who is asking.

use std::time::Duration;

/// The longest request target in bytes; the longest name, digest and query together need a tenth.
pub const URL_BYTES_MAX: usize = 8 << 10;

/// The most headers of one request.
pub const HEADERS_MAX: usize = 100;

/// The most bytes of one request's headers, names and values together.
pub const HEADER_BYTES_MAX: usize = 32 << 10;

/// The most connections of one listener; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4096;

/// The most requests at once on one HTTP/2 connection.
pub const STREAMS_MAX: u32 = 250;

/// How long a TLS handshake may take.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a request's headers may take, and how long a connection may wait for its next request.
///
/// Longer than Go's clients keep an idle connection (90 s): they should be the ones to close it,
/// or a push may begin on a connection that we are just giving up.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(120);

/// How long a connection may lie still, with nothing read and nothing written.
///
/// Long enough for the slowest finish of an upload, short enough that a client which never reads
/// does not hold its buffers for ever.
pub const STILL_TIME_MAX: Duration = Duration::from_secs(600);

/// How long open requests may run on when the process ends.
pub const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(20);

/// How much of a refused request's body is read before the answer goes out.
///
/// Most clients read the answer only when they have sent everything; closing on them would turn
/// our reason into their "connection reset".
pub const LINGER_BYTES_MAX: usize = 4 << 20;

/// How long a refused request's body is read.
pub const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// The most tunnels of the CONNECT listener at once.
pub const TUNNELS_MAX: usize = 512;

/// The longest body of a call to Resource Manager in bytes: Azure's limit of a template.
pub const ARM_BODY_BYTES_MAX: usize = 4 << 20;

/// The longest body of a call to Graph in bytes; a thousand ids have a twentieth of it.
pub const GRAPH_BODY_BYTES_MAX: usize = 1 << 20;

/// The longest body of a call to a key vault in bytes; an RSA key to import has a tenth of it.
pub const VAULT_BODY_BYTES_MAX: usize = 64 << 10;

/// The longest body with a backup of a key: the largest backup, in base64.
pub const VAULT_BACKUP_BODY_BYTES_MAX: usize = 12 << 20;

/// How long clients are asked to wait when the registry cannot be used for the moment: the
/// interval at which a locked registry asks its vault again.
pub const RETRY_AFTER_SECONDS: &str = "10";
