//! Asking for quotes: who may have one for which unit, how many are left, and, for tickets, that
//! the answer says `PAID` at once.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use cdk::mint::{MintQuoteRequest, MintQuoteResponse};
use cdk::nuts::{MintQuoteBolt11Request, MintQuoteCustomRequest, PaymentMethod};
use cdk_common::QuoteId;
use serde_json::Value;

use super::{Refusal, Shared, body, forward, read, whole};
use crate::auth::{Grant, PORTAL, Quote};
use crate::units::Backing;

/// The largest request for a quote.
const MAX_QUOTE: usize = 64 * 1024;

pub(super) async fn new_mint_quote(
    shared: &Arc<Shared>,
    by: Quote,
    grant: Option<&Grant>,
    lightning_only: bool,
    request: Request,
) -> Result<Response, Refusal> {
    let content = body(request, MAX_QUOTE).await?;
    let request = match by {
        Quote::Bolt11 => MintQuoteRequest::Bolt11(parse::<MintQuoteBolt11Request>(&content)?),
        Quote::Portal => MintQuoteRequest::Custom {
            method: PaymentMethod::Custom(PORTAL.to_owned()),
            request: parse::<MintQuoteCustomRequest>(&content)?,
        },
    };
    let unit = request.unit().to_string();
    let found = shared.units.get(&unit).ok_or(cdk::Error::UnsupportedUnit)?;
    if lightning_only && found.backing != Backing::Lightning {
        return Err(Refusal::token_needed());
    }
    if grant.is_some_and(|grant| !grant.covers(&unit)) {
        return Err(Refusal::not_covered("this unit"));
    }
    let now = shared.env.now().as_secs();
    if found.expires_at.is_some_and(|end| end < now) {
        return Err(Refusal::ended());
    }
    let amount = request.amount().ok_or_else(|| Refusal::malformed("no amount"))?.to_u64();
    let make = async {
        let made = shared.mint.get_mint_quote(request).await?;
        let id = made.quote().clone();
        let until = made.expiry().unwrap_or(now);
        Ok::<_, Refusal>((made, id, until))
    };
    let database = shared.mint.localstore();
    let mut made = shared.supply.promise(&unit, amount, now, &database, make).await?;
    if found.backing == Backing::Tickets {
        made = shared.mint.check_mint_quote(made.quote()).await?;
    }
    Ok(response(made))
}

/// cdk answers; here only the token's units are looked at.
pub(super) async fn new_melt_quote(
    shared: &Arc<Shared>,
    grant: Option<&Grant>,
    request: Request,
) -> Result<Response, Refusal> {
    let Some(Grant { units: Some(_), .. }) = grant else {
        return Ok(forward(shared, request).await);
    };
    let (parts, content) = read(request).await?;
    let asked: Value = parse(&content)?;
    let unit = asked.get("unit").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    if grant.is_some_and(|grant| !grant.covers(unit.trim())) {
        return Err(Refusal::not_covered("this unit"));
    }
    Ok(forward(shared, whole(parts, content)).await)
}

fn parse<T: serde::de::DeserializeOwned>(content: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(content).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a member is missing or has the wrong type",
            _ => "it is not JSON",
        };
        Refusal::malformed(what)
    })
}

fn response(made: MintQuoteResponse<QuoteId>) -> Response {
    match made {
        MintQuoteResponse::Bolt11(quote) => Json(quote).into_response(),
        MintQuoteResponse::Bolt12(quote) => Json(quote).into_response(),
        MintQuoteResponse::Onchain(quote) => Json(quote).into_response(),
        MintQuoteResponse::Custom { response, .. } => Json(response).into_response(),
    }
}
