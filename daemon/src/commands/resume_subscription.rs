//! `ResumeSubscription`: it is charged again; one that is past due is asked for at once.

use super::subscription::{Named, Reply, stream};
use super::{Context, Outcome, Result};

/// What is asked.
pub type Request = Named;

/// Resumes.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to resume subscription";
    let stream = stream(&request.stream_id).map_err(|error| error.during(what))?;
    let subscription = context
        .service
        .subscriptions()
        .resume(stream)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { subscription: Box::new(subscription) }.into())
}
