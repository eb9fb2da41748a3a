//! `CalculateNextOccurrence`: when a calendar is due next. The moment asked about counts, as it
//! always did; with `exclusive` it does not, which is what a scheduler wants.

use portal_core::primitives::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result, input};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The rule.
    pub calendar: String,
    /// Not before this moment.
    #[serde(deserialize_with = "Timestamp::lenient")]
    pub from: Timestamp,
    /// Not at this moment either.
    #[serde(default, deserialize_with = "super::input::flag")]
    pub exclusive: bool,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// `null` when it is never due again.
    pub next_occurrence: Option<Timestamp>,
}

/// Calculates.
pub(super) async fn handle(request: Request, _: Context<'_>) -> Result<Outcome> {
    let Request { calendar, from, exclusive } = request;
    let calendar = input::calendar(&calendar)?;
    let next_occurrence =
        if exclusive { calendar.next_after(from) } else { calendar.next_from(from) };
    Ok(Reply { next_occurrence }.into())
}
