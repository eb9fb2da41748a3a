//! `ListSubscriptions`: the subscriptions that are charged by the schedule, oldest first.

use portal_core::primitives::StreamId;
use portal_core::storage::schedule::ScheduleFilter;
use portal_core::subscriptions::SubscriptionInfo;
use serde::{Deserialize, Serialize};

use super::subscription::stream;
use super::{Context, Outcome, Result, input};

/// The most in one answer.
const MOST: usize = 1000;
/// As many as come when nobody says how many.
const USUAL: usize = 100;

/// What is asked.
#[derive(Clone, Default, Deserialize)]
pub struct Request {
    /// Only those of this person.
    #[serde(default)]
    pub main_key: Option<String>,
    /// Only those that have not ended.
    #[serde(default, deserialize_with = "super::input::flag")]
    pub open: bool,
    /// Those after this stream.
    #[serde(default)]
    pub after: Option<String>,
    /// At most so many.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// The subscriptions.
    pub subscriptions: Vec<SubscriptionInfo>,
    /// Ask again with this as `after`; absent when these were the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<StreamId>,
}

/// Lists.
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    let what = "Failed to list subscriptions";
    let Request { main_key, open, after, limit } = request;
    let owner = main_key.map(|text| input::key(&text, "main key")).transpose()?;
    let after = after.filter(|text| !text.is_empty());
    let after = after.map(|text| stream(&text)).transpose().map_err(|error| error.during(what))?;
    let limit = limit.unwrap_or(USUAL).clamp(1, MOST);
    let subscriptions = context
        .service
        .subscriptions()
        .list(ScheduleFilter { owner, open }, after, limit)
        .await
        .map_err(|error| super::failed(error, what))?;
    let full = subscriptions.len() == limit;
    let next = subscriptions.last().filter(|_| full).map(|last| last.stream_id);
    Ok(Reply { subscriptions, next }.into())
}
