//! Takes a request's body in: hashes it and seals it into one part, at the same time.
//!
//! Three stages overlap: this task receives, one thread hashes, another seals and writes. A short
//! body needs none of them: what is to lie in a row is sealed at once. A body
//! that ends early is not an error here: what arrived is sealed, and the caller decides whether to
//! keep it. A lock ends it at once, whether or not the client sends.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use lockyard_base::{Entropy, PartId};
use lockyard_blobs::{PartStore, PartWriter, SealedPart, WriteError};
use lockyard_keyring::UnlockedRegistry;
use lockyard_oci::Hasher;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::RegistryError;

/// Pieces of body that may wait between two stages; a piece is what the connection read at once.
const QUEUE: usize = 4;
/// Bodies up to this length are taken in without the second thread.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// A request's body.
pub type Body = BoxStream<'static, Result<Bytes, BodyError>>;

/// A body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request's body was cut off")]
pub struct BodyError;

/// How a body begins.
pub(crate) enum Beginning {
    /// It has no byte.
    Empty,
    /// It is whole, and no longer than was asked.
    Short(Vec<Bytes>),
    /// It is longer, or breaks off: all of it, what was read included.
    Long(Body),
}

/// Reads a body until it is over or has more than `bytes_max` bytes.
pub(crate) async fn begin(
    mut body: Body,
    bytes_max: usize,
    revoked: &CancellationToken,
) -> Result<Beginning, RegistryError> {
    let (mut pieces, mut len) = (Vec::new(), 0);
    loop {
        let piece = tokio::select! {
            biased;
            () = revoked.cancelled() => return Err(RegistryError::LockedMeanwhile),
            piece = body.next() => piece,
        };
        let goes_on = match piece {
            None if pieces.is_empty() => return Ok(Beginning::Empty),
            None => return Ok(Beginning::Short(pieces)),
            Some(Ok(piece)) if piece.is_empty() => true,
            Some(Ok(piece)) => {
                len += piece.len();
                pieces.push(piece);
                len <= bytes_max
            }
            Some(Err(BodyError)) => {
                let read = pieces.into_iter().map(Ok).chain([Err(BodyError)]);
                return Ok(Beginning::Long(stream::iter(read.collect::<Vec<_>>()).boxed()));
            }
        };
        if !goes_on {
            let read = stream::iter(pieces.into_iter().map(Ok).collect::<Vec<_>>());
            return Ok(Beginning::Long(read.chain(body).boxed()));
        }
    }
}

/// Where a body goes.
pub(crate) struct Intake {
    pub(crate) parts: Arc<dyn PartStore>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) unlocked: UnlockedRegistry,
    pub(crate) part: PartId,
}

/// What came of a body.
pub(crate) struct Taken {
    /// The sealed part, durable; `None` if no byte arrived.
    pub(crate) part: Option<SealedPart>,
    /// The hash, continued over what arrived.
    pub(crate) hasher: Hasher,
    /// Whether the body was cut or was longer than allowed.
    pub(crate) end: BodyEnd,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// Whole.
    Whole,
    /// The client went away.
    Cut,
    /// It was longer than `bytes_max`; nothing past the limit was taken.
    TooLong,
    /// The registry was locked; nothing is kept.
    Locked,
}

impl Intake {
    /// Takes in at most `bytes_max` bytes. An empty body makes no part.
    pub(crate) async fn take(
        self,
        hasher: Hasher,
        mut body: Body,
        bytes_max: u64,
    ) -> Result<Taken, RegistryError> {
        let revoked = self.unlocked.revoked().clone();
        let mut budget = bytes_max;
        let mut head: Vec<Bytes> = Vec::new();
        let mut head_len = 0;
        let mut end = None;
        while head_len < SMALL_BYTES_MAX && end.is_none() {
            match next(&mut body, &mut budget, &revoked).await {
                Ok(piece) => {
                    head_len += piece.len();
                    head.push(piece);
                }
                Err(ended) => end = Some(ended),
            }
        }
        match end {
            Some(BodyEnd::Locked) => Err(RegistryError::LockedMeanwhile),
            Some(end) if head_len == 0 => Ok(Taken { part: None, hasher, end }),
            Some(end) => {
                let (part, hasher) = blocking(move || self.take_small(hasher, &head)).await??;
                Ok(Taken { part: Some(part), hasher, end })
            }
            None => self.take_large(hasher, head, body, budget).await,
        }
    }

    fn take_small(
        self,
        mut hasher: Hasher,
        pieces: &[Bytes],
    ) -> Result<(SealedPart, Hasher), RegistryError> {
        let mut writer = self.begin()?;
        for piece in pieces {
            hasher.update(piece);
            writer.write(piece)?;
        }
        Ok((writer.finish()?, hasher))
    }

    async fn take_large(
        self,
        mut hasher: Hasher,
        head: Vec<Bytes>,
        mut body: Body,
        mut budget: u64,
    ) -> Result<Taken, RegistryError> {
        let revoked = self.unlocked.revoked().clone();
        let (to_hash, mut hashing) = mpsc::channel::<Bytes>(QUEUE);
        let (to_seal, mut sealing) = mpsc::channel::<Bytes>(QUEUE);
        let hash = tokio::task::spawn_blocking(move || {
            while let Some(piece) = hashing.blocking_recv() {
                hasher.update(&piece);
            }
            hasher
        });
        let seal = tokio::task::spawn_blocking(move || {
            let mut writer = self.begin()?;
            while let Some(piece) = sealing.blocking_recv() {
                writer.write(&piece)?;
            }
            Ok::<_, RegistryError>(writer.finish()?)
        });
        let mut head = head.into_iter();
        let end = loop {
            let piece = match head.next() {
                Some(piece) => piece,
                None => match next(&mut body, &mut budget, &revoked).await {
                    Ok(piece) => piece,
                    Err(end) => break end,
                },
            };
            // A stage that is gone has failed; joining it tells why.
            if to_seal.send(piece.clone()).await.is_err() || to_hash.send(piece).await.is_err() {
                break BodyEnd::Cut;
            }
        };
        drop((to_hash, to_seal));
        if end == BodyEnd::Locked {
            // The writer finds its cipher gone and removes what it wrote.
            return Err(RegistryError::LockedMeanwhile);
        }
        let part = joined(seal.await)??;
        let hasher = joined(hash.await)?;
        Ok(Taken { part: Some(part), hasher, end })
    }

    fn begin(&self) -> Result<PartWriter, WriteError> {
        PartWriter::begin(&self.unlocked, &self.parts, self.part, &*self.entropy)
    }
}

/// The next piece of the body, or how it ended.
async fn next(
    body: &mut Body,
    budget: &mut u64,
    revoked: &CancellationToken,
) -> Result<Bytes, BodyEnd> {
    loop {
        let piece = tokio::select! {
            biased;
            () = revoked.cancelled() => return Err(BodyEnd::Locked),
            piece = body.next() => piece,
        };
        match piece {
            None => return Err(BodyEnd::Whole),
            Some(Err(BodyError)) => return Err(BodyEnd::Cut),
            Some(Ok(piece)) if piece.is_empty() => {}
            Some(Ok(piece)) => {
                *budget = budget.checked_sub(piece.len() as u64).ok_or(BodyEnd::TooLong)?;
                return Ok(piece);
            }
        }
    }
}

/// Runs `work` on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RegistryError> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> Result<T, RegistryError> {
    outcome.map_err(|error| RegistryError::Unavailable(Box::new(error)))
}

impl From<WriteError> for RegistryError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Locked => Self::LockedMeanwhile,
            WriteError::Store(source) => source.into(),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}
