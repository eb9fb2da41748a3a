//! `ChangeSubscription`: each later charge is for another amount.

use serde::Deserialize;

use super::subscription::{Reply, stream};
use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// Its stream.
    pub stream_id: String,
    /// Of each later charge: millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// Whether the next charge also has the difference for what is left of the running period.
    #[serde(default, deserialize_with = "super::input::flag")]
    pub prorate: bool,
}

/// Changes.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to change subscription";
    let Request { stream_id, amount, prorate } = request;
    let stream = stream(&stream_id).map_err(|error| error.during(what))?;
    let subscription = context
        .service
        .subscriptions()
        .change_amount(stream, amount, prorate)
        .await
        .map_err(|error| super::failed(error, what))?;
    Ok(Reply { subscription: Box::new(subscription) }.into())
}
