//! `CancelSubscription`: there will be no more charges, and the person is told.

use portal_core::primitives::StreamId;
use portal_core::subscriptions::SubscriptionInfo;
use serde::{Deserialize, Serialize};

use super::subscription::stream;
use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Its stream.
    pub stream_id: String,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// Its stream.
    pub stream_id: StreamId,
    /// The subscription; `null` when the person had not agreed to it yet.
    pub subscription: Option<Box<SubscriptionInfo>>,
}

/// Cancels.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to cancel subscription";
    let Request { stream_id, reason } = request;
    let stream = stream(&stream_id).map_err(|error| error.during(what))?;
    let subscription = context
        .service
        .subscriptions()
        .cancel(stream, reason)
        .await
        .map_err(|error| super::failed(error, what))?;
    let subscription = subscription.map(Box::new);
    Ok(Reply { stream_id: stream, subscription }.into())
}
