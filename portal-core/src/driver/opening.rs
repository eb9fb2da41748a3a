//! How a conversation is opened.

use std::sync::Arc;

use super::claims::ClaimGuard;
use super::hub::EventSink;
use crate::conversation::Conversation;
use crate::primitives::StreamId;
use crate::storage::Write;

/// A conversation to open.
pub struct Opening {
    /// The conversation.
    pub conversation: Conversation,
    /// Its stream, or a new one.
    pub stream: Option<StreamId>,
    /// Saved with it.
    pub idempotency: Option<FirstUse>,
    /// Hears everything from the start.
    pub attach: Option<Arc<dyn EventSink>>,
    /// Saved in the same batch: all of it or nothing. Listeners hear of the events in it.
    pub beside: Vec<Write>,
}

/// The first use of an idempotency key.
pub struct FirstUse {
    /// The key.
    pub key: String,
    /// Holds the key until the conversation is durable, also when whoever opens it goes away.
    pub guard: ClaimGuard,
    /// A hash of the command.
    pub command_hash: [u8; 32],
    /// What the caller is told beside the stream.
    pub answer: Option<String>,
}

impl Opening {
    /// A conversation on a new stream, with nobody listening yet.
    #[must_use]
    pub const fn of(conversation: Conversation) -> Self {
        Self { conversation, stream: None, idempotency: None, attach: None, beside: Vec::new() }
    }
}
