//! `PauseSubscription`: nothing is charged until it is resumed.

use super::subscription::{Named, Reply, stream};
use super::{Context, Outcome, Result};

/// What is asked.
pub type Request = Named;

/// Pauses.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to pause subscription";
    let stream = stream(&request.stream_id).map_err(|error| error.during(what))?;
    let subscription = context
        .service
        .subscriptions()
        .pause(stream)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { subscription: Box::new(subscription) }.into())
}
