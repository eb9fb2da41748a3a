//! How a call that opens a stream is made, whoever it is for.

use std::sync::Arc;

use nostr::PublicKey;

use super::EventSink;
use crate::conversation::{Conversation, Peer};
use crate::driver::{Claim, FirstUse, Node, Opening};
use crate::error::Error;
use crate::primitives::StreamId;
use crate::storage::Write;

/// How a call that opens a stream is made. The default has no extras.
#[derive(Clone, Default)]
pub struct Call {
    /// The same key again attaches to the stream that the first call opened.
    pub idempotency: Option<Idempotency>,
    /// Hears every event of the stream.
    pub attach: Option<Arc<dyn EventSink>>,
}

/// A key chosen by the caller, and what it was used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// A hash of the command, so that the key is not used for another one.
    pub command_hash: [u8; 32],
}

/// A stream was opened, or had been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The stream.
    pub stream: StreamId,
    /// Whether an earlier call with the same idempotency key opened it.
    pub repeated: bool,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The main key.
    pub main_key: PublicKey,
    /// Keys the caller knows to be its subkeys.
    pub subkeys: Vec<PublicKey>,
}

impl Recipient {
    /// Someone of whom only the main key is known.
    #[must_use]
    pub const fn new(main_key: PublicKey) -> Self {
        Self { main_key, subkeys: Vec::new() }
    }

    /// The peer, with what was learned about it before.
    pub(super) async fn peer(&self, node: &Node) -> Result<Peer, Error> {
        for key in std::iter::once(&self.main_key).chain(&self.subkeys) {
            if !node.is_key(key) {
                return Err(Error::InvalidPublicKey);
            }
        }
        Ok(node.peer(self.main_key, self.subkeys.iter().copied()).await?)
    }
}

/// What is saved with a new stream, or not at all.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The stream, when it is known beforehand.
    pub stream: Option<StreamId>,
    /// The rest of the batch.
    pub writes: Vec<Write>,
}

impl Call {
    /// Opens the conversation that `make` prepares, unless the idempotency key was used before.
    pub(super) async fn open<F>(
        self,
        node: &Node,
        make: impl FnOnce() -> F,
    ) -> Result<Opened, Error>
    where
        F: Future<Output = Result<Conversation, Error>>,
    {
        self.open_beside(node, Beside::default(), make).await
    }

    /// The same with something that is saved in the same batch.
    pub(super) async fn open_beside<F>(
        self,
        node: &Node,
        beside: Beside,
        make: impl FnOnce() -> F,
    ) -> Result<Opened, Error>
    where
        F: Future<Output = Result<Conversation, Error>>,
    {
        let make = || async { Ok((make().await?, None)) };
        Ok(self.open_whole(node, beside, make).await?.0)
    }

    /// The same with something that the caller is told beside the stream: what `make` prepares, or
    /// what the first call was told.
    pub(super) async fn open_with_answer<F>(
        self,
        node: &Node,
        make: impl FnOnce() -> F,
    ) -> Result<(Opened, Option<String>), Error>
    where
        F: Future<Output = Result<(Conversation, Option<String>), Error>>,
    {
        self.open_whole(node, Beside::default(), make).await
    }

    async fn open_whole<F>(
        self,
        node: &Node,
        beside: Beside,
        make: impl FnOnce() -> F,
    ) -> Result<(Opened, Option<String>), Error>
    where
        F: Future<Output = Result<(Conversation, Option<String>), Error>>,
    {
        let Beside { stream, writes } = beside;
        let Some(Idempotency { key, command_hash }) = self.idempotency else {
            let (conversation, answer) = make().await?;
            let opening = Opening {
                stream,
                attach: self.attach,
                beside: writes,
                ..Opening::of(conversation)
            };
            let stream = node.open(opening).await?;
            return Ok((Opened { stream, repeated: false }, answer));
        };
        match node.claims().claim(node.store(), &key, command_hash).await? {
            Claim::Mine(guard) => {
                let (conversation, answer) = make().await?;
                let first = FirstUse { key, guard, command_hash, answer: answer.clone() };
                let opening = Opening {
                    stream,
                    attach: self.attach,
                    beside: writes,
                    idempotency: Some(first),
                    ..Opening::of(conversation)
                };
                let stream = node.open(opening).await?;
                Ok((Opened { stream, repeated: false }, answer))
            }
            Claim::Used(record) => {
                let stream = record.stream.ok_or(Error::IdempotencyConflict)?;
                if node.store().stream(stream).await?.is_none() {
                    return Err(Error::StreamNotFound);
                }
                if let Some(sink) = self.attach {
                    node.hub().attach(node.store(), stream, None, sink).await?;
                }
                Ok((Opened { stream, repeated: true }, record.answer))
            }
            Claim::Conflict => Err(Error::IdempotencyConflict),
        }
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("idempotency", &self.idempotency)
            .field("attached", &self.attach.is_some())
            .finish()
    }
}

/// A text of 1 to `most` bytes.
pub(super) fn bounded(text: &str, what: &'static str, most: usize) -> Result<(), Error> {
    if text.is_empty() || text.len() > most {
        return Err(Error::Length { what, most });
    }
    Ok(())
}
