//! Plain HTTP: health, version, the public name, and reading a stream again. The other routes of
//! the REST dialect have their own issue.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use chrono::{DateTime, SecondsFormat};
use portal_core::event::StreamEvent;
use portal_core::primitives::ErrorCode;
use portal_core::wallet::WalletState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::Peer;
use crate::commands::input;
use crate::error::CommandError;
use crate::state::AppState;

/// The largest body.
const MAX_BODY: usize = 256 * 1024;

/// The most events of one answer.
const MAX_EVENTS: usize = 1000;

/// How long a caller who is refused for a while should wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The routes without a socket.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/health", get(|| async { "OK" }))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .route("/.well-known/nostr.json", get(nostr_json))
        .route("/events/{stream_id}", get(events))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// 401 in the form of the first daemons, with what ours adds.
pub(super) fn unauthorized(error: &CommandError) -> Response {
    let CommandError { code, message, retryable, details: _ } = error;
    let body = json!({"error": message, "code": code, "message": message, "retryable": retryable});
    answer(error, body)
}

/// Any other refusal in the form of the REST dialect.
pub(super) fn refusal(error: &CommandError) -> Response {
    let CommandError { code, message, retryable, details } = error;
    let mut body = json!({
        "success": false, "error": message, "code": code, "message": message,
        "retryable": retryable,
    });
    if let Some(details) = details {
        body["details"] = Value::clone(details);
    }
    answer(error, body)
}

fn answer(error: &CommandError, body: Value) -> Response {
    let mut response = (error.status(), Json(body)).into_response();
    match error.status() {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        StatusCode::UNAUTHORIZED => {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        _ => {}
    }
    response
}

/// Whether the process should be left alone. Says no only when a restart would help.
async fn livez(State(state): State<AppState>) -> (StatusCode, &'static str) {
    if state.service.node().is_alive().await {
        (StatusCode::OK, "OK")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the driver has stopped")
    }
}

/// Whether logins and payments would work now, and what is in their way.
async fn readyz(State(state): State<AppState>) -> Response {
    let health = state.readiness.look(Instant::now(), state.service.health()).await;
    let stopping = state.stopping.is_cancelled();
    let ready = health.is_ready() && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wallet = match (&health.wallet, health.wallet_state) {
        (None, _) => "none",
        (Some(Ok(())), _) => "ok",
        // What only the operator can mend has a word of its own.
        (
            Some(Err(_)),
            Some(
                state @ (WalletState::NotAnswering { .. }
                | WalletState::Rejected
                | WalletState::MaySpend),
            ),
        ) => state.word(),
        (Some(Err(_)), _) => "unavailable",
    };
    let body = json!({
        "ready": ready,
        "stopping": stopping,
        "driver": health.alive,
        "storage": health.storage.is_ok(),
        "relays": {"connected": health.relays_connected(), "total": health.own_relays().count()},
        "wallet": wallet,
    });
    (status, Json(body)).into_response()
}

async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION"), "git_commit": env!("PORTAL_GIT_COMMIT")}))
}

#[derive(Deserialize)]
struct NameQuery {
    name: Option<String>,
}

/// NIP-05: which key stands behind a name of this domain. Browsers of other sites ask too.
async fn nostr_json(State(state): State<AppState>, Query(query): Query<NameQuery>) -> Response {
    let key = state.service.main_key().to_hex();
    let names: serde_json::Map<String, Value> = state
        .names
        .iter()
        .filter(|own| query.name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(own)))
        .map(|own| (own.clone(), json!(key)))
        .collect();
    let relays: Vec<String> = state
        .service
        .relays()
        .status()
        .iter()
        .filter(|status| !status.leased)
        .map(|status| status.relay.as_str().to_owned())
        .collect();
    let body = if names.is_empty() {
        json!({"names": {}})
    } else {
        json!({"names": names, "relays": {key.as_str(): relays}})
    };
    let anyone = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    ([anyone], Json(body)).into_response()
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default, deserialize_with = "input::cursor_text")]
    after: Option<u64>,
}

/// One event in the form of the REST dialect.
#[derive(Serialize)]
struct EventOut<'a> {
    index: u64,
    timestamp: String,
    #[serde(flatten)]
    body: &'a portal_core::event::PortalEvent,
}

impl<'a> EventOut<'a> {
    fn new(event: &'a StreamEvent) -> Self {
        let time = i64::try_from(event.at_millis).ok().and_then(DateTime::from_timestamp_millis);
        let timestamp =
            time.unwrap_or(DateTime::UNIX_EPOCH).to_rfc3339_opts(SecondsFormat::Millis, false);
        Self { index: event.index, timestamp, body: &event.body }
    }
}

/// What happened on a stream, from its first event or after one that is known.
async fn events(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Path(stream_id): Path<String>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Response {
    let speaker = state.gate.speaker(peer.address.ip(), &headers);
    if let Err(error) = state.gate.admit(speaker, &headers).await {
        return unauthorized(&error);
    }
    let Ok(Query(query)) = query else {
        return refusal(&CommandError::new(
            ErrorCode::InvalidRequest,
            "`after` must be the index of an event",
        ));
    };
    match read_events(&state, &stream_id, query.after).await {
        Ok(data) => Json(json!({"success": true, "data": data})).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn read_events(
    state: &AppState,
    stream_id: &str,
    after: Option<u64>,
) -> Result<Value, CommandError> {
    let stream = input::stream(stream_id)?;
    let streams = state.service.streams();
    if streams.info(stream).await?.is_none() && !input::is_always_open(stream) {
        return Err(CommandError::new(
            ErrorCode::StreamNotFound,
            "there is no stream with this id",
        ));
    }
    let events = streams.events(stream, after, MAX_EVENTS).await?;
    let more = events.len() == MAX_EVENTS;
    let events: Vec<EventOut<'_>> = events.iter().map(EventOut::new).collect();
    Ok(json!({"stream_id": stream_id, "events": events, "has_more": more}))
}

#[cfg(test)]
mod tests {
    use portal_core::event::{PaymentUpdate, PortalEvent};
    use portal_core::primitives::StreamId;

    use super::*;

    #[test]
    fn events_are_flat_and_have_the_time_as_text() {
        let event = StreamEvent {
            stream: StreamId::from_uuid(uuid::Uuid::nil()),
            index: 2,
            at_millis: 1_773_921_600_123,
            body: PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Timeout },
        };
        assert_eq!(
            serde_json::to_value(EventOut::new(&event)).expect("serialises"),
            json!({"index": 2, "timestamp": "2026-03-19T12:00:00.123+00:00",
                "type": "payment_status_update", "status": {"status": "timeout"}})
        );
        let mut event = event;
        event.at_millis = u64::MAX;
        assert_eq!(EventOut::new(&event).timestamp, "1970-01-01T00:00:00.000+00:00");
    }

    #[test]
    fn refusals_say_the_same_in_old_and_new_words() {
        let response = unauthorized(&CommandError::authentication_failed());
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let limited = CommandError::new(ErrorCode::RateLimited, "slowly");
        let response = refusal(&limited);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
