//! What anybody may read: the mint's information with its units, and the keys of a unit by its
//! name.

use std::sync::Arc;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cdk::nuts::KeysResponse;

use super::{Refusal, Shared};

pub(super) async fn info(shared: &Arc<Shared>) -> Result<Response, Refusal> {
    let now = shared.env.now().as_secs();
    let info = shared.mint.mint_info().await?.time(now);
    let mut info = serde_json::to_value(info).map_err(|_| Refusal::broken())?;
    let units: serde_json::Map<String, serde_json::Value> = shared
        .units
        .iter()
        .map(|(name, unit)| Ok((name.clone(), serde_json::to_value(unit.public())?)))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|_| Refusal::broken())?;
    if let Some(members) = info.as_object_mut() {
        members.insert("unit_info".to_owned(), units.into());
    }
    Ok(Json(info).into_response())
}

pub(super) fn unit(shared: &Arc<Shared>, name: &str) -> Result<Response, Refusal> {
    let unit = shared.units.get(name).ok_or_else(Refusal::no_unit)?;
    Ok(Json(unit.public()).into_response())
}

/// The active keys of a unit, when this is the name of one: deployed tools ask like that.
pub(super) fn keys_of(shared: &Arc<Shared>, of: &str) -> Option<Response> {
    let unit = shared.units.get(of)?;
    let KeysResponse { keysets } = shared.mint.pubkeys();
    let keysets = keysets.into_iter().filter(|set| set.unit == unit.currency).collect();
    Some(Json(KeysResponse { keysets }).into_response())
}

pub(super) async fn health(shared: &Arc<Shared>) -> Result<Response, Refusal> {
    shared.store.ping().await.map_err(|error| {
        tracing::warn!(%error, "the books cannot be read");
        Refusal::broken()
    })?;
    Ok("OK".into_response())
}

pub(super) async fn metrics(shared: &Arc<Shared>) -> Result<Response, Refusal> {
    let accounts = shared.store.accounts().await.map_err(|error| {
        tracing::warn!(%error, "the books cannot be summed up");
        Refusal::broken()
    })?;
    let text = shared.metrics.text(&accounts, &shared.units);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
