//! Requests that cdk serves, with a look at them first where the configuration asks for one: whose
//! quotes are issued, what is left of units with a cap, and what is melted at once.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::Response;
use cdk_common::QuoteId;
use serde::Deserialize;

use super::{Refusal, Shared, forward, read, whole};
use crate::units::Backing;

/// Batches beyond this are not even looked at; what is allowed says the configuration.
const MAX_BATCH: usize = 1000;

#[derive(Deserialize)]
struct One {
    quote: QuoteId,
}

#[derive(Deserialize)]
struct Many {
    quotes: Vec<QuoteId>,
}

#[derive(Deserialize)]
struct Inputs {
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    amount: u64,
}

pub(super) async fn mint(
    shared: &Arc<Shared>,
    lightning_only: bool,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, content) = read(request).await?;
    let One { quote } = parse(&content)?;
    issue(shared, lightning_only, &[quote], whole(parts, content)).await
}

pub(super) async fn batch(
    shared: &Arc<Shared>,
    lightning_only: bool,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, content) = read(request).await?;
    let Many { quotes } = parse(&content)?;
    if quotes.len() > MAX_BATCH {
        return Err(Refusal::too_large());
    }
    issue(shared, lightning_only, &quotes, whole(parts, content)).await
}

/// Issues, if whoever asks may have it and enough is left, and notes that it was done.
async fn issue(
    shared: &Arc<Shared>,
    lightning_only: bool,
    quotes: &[QuoteId],
    request: Request,
) -> Result<Response, Refusal> {
    let database = shared.mint.localstore();
    let now = shared.env.now().as_secs();
    let find = async |id: &QuoteId| {
        database.get_mint_quote(id).await.map_err(|error| {
            tracing::error!(%error, "the books cannot be read");
            Refusal::broken()
        })
    };
    for id in quotes {
        if let Some(quote) = find(id).await? {
            let unit = shared.units.get(&quote.unit.to_string());
            if lightning_only && unit.is_none_or(|unit| unit.backing != Backing::Lightning) {
                return Err(Refusal::token_needed());
            }
            shared.supply.confirm(&quote, now, &database).await?;
        }
    }
    let response = forward(shared, request).await;
    if response.status().is_success() {
        for id in quotes {
            // What cannot be read now is found when its promise ends.
            if let Ok(Some(quote)) = find(id).await {
                shared.supply.issued(&quote).await;
            }
        }
    }
    Ok(response)
}

/// Melts, if the books can hold the sum.
pub(super) async fn melt(shared: &Arc<Shared>, request: Request) -> Result<Response, Refusal> {
    let (parts, content) = read(request).await?;
    let Inputs { inputs } = parse(&content)?;
    let sum = inputs.iter().fold(0_u64, |sum, input| sum.saturating_add(input.amount));
    match shared.melt_inputs_max {
        Some(most) if sum > most => Err(Refusal::too_much(most)),
        Some(_) | None => Ok(forward(shared, whole(parts, content)).await),
    }
}

fn parse<'a, T: Deserialize<'a>>(content: &'a Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(content)
        .map_err(|_| Refusal::malformed("a member is missing or has the wrong type"))
}
