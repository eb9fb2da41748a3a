//! `ResumeStream`: attaches to a stream that was opened before, on another socket or before a
//! restart. All its events after the cursor follow, each once.

use portal_core::primitives::{ErrorCode, StreamId};
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};
use crate::error::CommandError;

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Which stream.
    pub stream_id: String,
    /// The index of the last event that is known; all events follow when absent.
    #[serde(default, deserialize_with = "super::input::cursor")]
    pub after: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The stream.
    pub stream_id: StreamId,
    /// How many events it had at this moment.
    pub events: u64,
    /// Whether more can come.
    pub open: bool,
}

/// Finds the stream.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let Request { stream_id, after } = request;
    let stream = input::stream(&stream_id)?;
    let info = context
        .service
        .streams()
        .info(stream)
        .await
        .map_err(|error| super::failed(error, "Failed to resume stream"))?;
    let (events, open) = match info {
        Some(info) => (info.events, info.open || input::is_always_open(stream)),
        None if input::is_always_open(stream) => (0, true),
        None => {
            return Err(CommandError::new(
                ErrorCode::StreamNotFound,
                "Failed to resume stream: there is no stream with this id",
            ));
        }
    };
    let reply = Reply { stream_id: stream, events, open };
    Ok(Outcome::Attach { stream, after, reply: reply.into(), all: true, again: true })
}
