//! `ListTicketEvents`: what happened to tickets that were given away, in order, with a cursor.
//! Whoever would ask again and again says how long it may wait for the next one.

use serde::{Deserialize, Serialize};

use super::{Context, Outcome, Result};

/// What is asked.
#[derive(Clone, Deserialize)]
pub struct Request {
    /// The number of the last event that is known.
    #[serde(default)]
    pub after: Option<u64>,
    /// How long to wait when there is none behind that, in seconds; at most half a minute.
    #[serde(default)]
    pub wait: Option<u64>,
}

/// What is answered.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// At most a hundred, in order.
    pub events: Vec<Entry>,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Its number: go on behind it.
    pub number: u64,
    /// When it was noticed, in seconds since the epoch.
    pub at: u64,
    /// What happened.
    pub event: serde_json::Value,
}

const WHAT: &str = "Failed to list ticket events";

/// Lists them.
#[cfg(feature = "cashu")]
pub(super) async fn handle(request: Request, context: Context<'_>) -> Result<Outcome> {
    use std::time::Duration;

    use portal_core::primitives::ErrorCode;

    use super::failed;
    use crate::error::CommandError;

    const PAGE: usize = 100;
    const LONGEST: u64 = 30;
    let wallet = context.tickets(WHAT)?;
    let after = request.after.unwrap_or(0);
    let events = match request.wait.map_or(0, |wait| wait.min(LONGEST)) {
        0 => wallet.events(after, PAGE).await,
        wait => {
            let next = wallet.next_events(after, PAGE);
            let next = tokio::time::timeout(Duration::from_secs(wait), next);
            match context.stopping.run_until_cancelled(next).await {
                Some(Ok(found)) => found,
                Some(Err(_)) | None => Ok(Vec::new()),
            }
        }
    };
    let events = events.map_err(|error| failed(error.into(), WHAT))?;
    let events = events
        .into_iter()
        .map(|(number, at, event)| {
            let event = serde_json::to_value(event)
                .map_err(|_| CommandError::new(ErrorCode::Internal, "an event has no form"))?;
            Ok(Entry { number, at: at.as_secs(), event })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Reply { events }.into())
}

/// Refuses: there is no wallet.
#[cfg(not(feature = "cashu"))]
pub(super) async fn handle(_: Request, _: Context<'_>) -> Result<Outcome> {
    Err(super::no_tickets(WHAT))
}
