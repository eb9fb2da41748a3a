//! `GetSubscription`: where a subscription stands.

use super::subscription::{Named, Reply, stream};
use super::{Context, Outcome, Result};

/// What is asked.
pub type Request = Named;

/// Looks.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to get subscription";
    let stream = stream(&request.stream_id).map_err(|error| error.during(what))?;
    let subscription = context
        .service
        .subscriptions()
        .get(stream)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { subscription: Box::new(subscription) }.into())
}
