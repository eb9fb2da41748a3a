//! `ListenLightningAddress`: hears of payments to the Lightning addresses of this daemon, from now
//! on. With `after` also of those that were missed.

use portal_core::primitives::StreamId;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Default, Deserialize)]
pub struct Request {
    /// The index of the last payment that is known.
    #[serde(default, deserialize_with = "super::input::cursor")]
    pub after: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The stream of all these payments, always the same one.
    pub stream_id: StreamId,
    /// The index of the last payment before this call, which is not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_index: Option<u64>,
}

/// Finds the stream and where it stands.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let stream = context.service.payments().receipts();
    let again = context.idempotency.is_some() || request.after.is_some();
    let after = match request.after {
        Some(after) => Some(after),
        None => context.once(|| context.last_index(stream, "Failed to listen")).await?,
    };
    let reply = Reply { stream_id: stream, last_index: after };
    Ok(Outcome::Attach { stream, after, reply: reply.into(), all: true, again })
}
