//! A Lightning address of our own (LUD-16): anybody may ask for an invoice over any amount within
//! bounds (LUD-06), and whether it was paid (LUD-21).
//!
//! What is paid appears on the stream of receipts (`ListenLightningAddress`), also after a restart.
//!
//! Strangers make our wallet work here, so what one address may cause in a minute is bounded, and
//! so is how many invoices wait for their money. Only invoices that were made here can be asked
//! about: a payment hash that somebody else gives away must not tell what our wallet knows.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use portal_core::primitives::Millisats;
use portal_core::service::NewWalkIn;
use portal_core::wallet::{PaymentHash, PaymentState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::server::Peer;
use crate::config::LightningAddressConfig;
use crate::rate_limit::PerMinute;
use crate::state::AppState;

/// How many invoices one address may ask for in a minute; questions about them count as well.
const PER_MINUTE: u32 = 120;
/// How long an invoice can be paid.
const EXPIRY: Duration = Duration::from_secs(600);
/// How long the wallet may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Invoices that can be asked about; the oldest are forgotten first.
const REMEMBERED: usize = 10_000;

/// What the routes need beside the service.
pub struct LightningAddress {
    config: LightningAddressConfig,
    asked: PerMinute,
    made: Mutex<VecDeque<(PaymentHash, String)>>,
}

impl LightningAddress {
    /// An address with these names.
    #[must_use]
    pub fn new(config: LightningAddressConfig) -> Self {
        Self { config, asked: PerMinute::new(PER_MINUTE), made: Mutex::default() }
    }

    /// What payers read, as the text that invoices carry the hash of.
    fn metadata(&self, name: &str) -> String {
        let host = self.config.url.host_str().unwrap_or_default();
        let host = match self.config.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        json!([
            ["text/plain", self.config.description],
            ["text/identifier", format!("{name}@{host}")],
        ])
        .to_string()
    }

    fn knows(&self, name: &str) -> bool {
        self.config.names.iter().any(|own| own == name)
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.config.url)
    }

    fn remember(&self, hash: PaymentHash, invoice: String) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= REMEMBERED {
            made.pop_front();
        }
        made.push_back((hash, invoice));
    }

    fn invoice(&self, hash: PaymentHash) -> Option<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|(own, _)| *own == hash).map(|(_, invoice)| invoice.clone())
    }

    /// Counts a question; `false` when there were too many.
    fn admit(&self, address: IpAddr, now_millis: u64) -> bool {
        let free = self.asked.check(address, now_millis).is_ok();
        if free {
            self.asked.note(address, now_millis);
        }
        free
    }
}

/// The routes; they answer 404 when no address is configured.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/.well-known/lnurlp/{name}", get(offer))
        .route("/lnurlp/{name}", get(invoice))
        .route("/lnurlp/{name}/verify/{payment_hash}", get(verify))
}

#[derive(Deserialize)]
struct Asked {
    amount: Option<String>,
}

async fn offer(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    let address = match known(&state, &peer, &headers, &name) {
        Ok(address) => address,
        Err((status, reason)) => return failure(status, reason),
    };
    let LightningAddressConfig { least, most, .. } = &address.config;
    answer(
        StatusCode::OK,
        json!({
            "tag": "payRequest",
            "callback": address.address(&format!("lnurlp/{name}")),
            "minSendable": least,
            "maxSendable": most,
            "metadata": address.metadata(&name),
        }),
    )
}

async fn invoice(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let address = match known(&state, &peer, &headers, &name) {
        Ok(address) => address,
        Err((status, reason)) => return failure(status, reason),
    };
    let LightningAddressConfig { least, most, .. } = &address.config;
    let amount = asked.amount.and_then(|text| text.parse().ok()).map(Millisats::new);
    let Some(amount) = amount.filter(|amount| (least..=most).contains(&amount)) else {
        let reason = format!("`amount` must be between {least} and {most} msat");
        return failure(StatusCode::OK, &reason);
    };
    let metadata = address.metadata(&name);
    let payments = state.service.payments();
    let new = NewWalkIn { name: name.clone(), amount, metadata, expiry: EXPIRY };
    let making = payments.walk_in(new);
    match tokio::time::timeout(PATIENCE, making).await {
        Ok(Ok(made)) => {
            let path = format!("lnurlp/{name}/verify/{}", made.payment_hash);
            let body = json!({
                "pr": made.bolt11, "routes": [], "disposable": false,
                "verify": address.address(&path),
            });
            address.remember(made.payment_hash, made.bolt11);
            answer(StatusCode::OK, body)
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "no invoice for a payer of the Lightning address");
            failure(StatusCode::OK, "no invoice can be made now")
        }
        Err(_) => failure(StatusCode::OK, "the wallet does not answer"),
    }
}

async fn verify(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Path((name, payment_hash)): Path<(String, String)>,
) -> Response {
    let address = match known(&state, &peer, &headers, &name) {
        Ok(address) => address,
        Err((status, reason)) => return failure(status, reason),
    };
    let mut hash = [0; 32];
    let asked = hex::decode_to_slice(&payment_hash, &mut hash).ok().map(|()| PaymentHash(hash));
    let Some((hash, invoice)) = asked.and_then(|hash| Some((hash, address.invoice(hash)?))) else {
        return failure(StatusCode::OK, "Not found");
    };
    let payments = state.service.payments();
    match tokio::time::timeout(PATIENCE, payments.look_up(hash)).await {
        Ok(Ok(found)) => {
            let settled = found.and_then(|payment| match payment.state {
                PaymentState::Settled { preimage, .. } => Some(preimage.map(hex::encode)),
                PaymentState::Pending | PaymentState::Failed => None,
            });
            answer(
                StatusCode::OK,
                json!({
                    "status": "OK", "settled": settled.is_some(),
                    "preimage": settled.flatten(), "pr": invoice,
                }),
            )
        }
        Ok(Err(_)) | Err(_) => failure(StatusCode::OK, "the wallet cannot say now"),
    }
}

/// The address, when this name is one of its own and the caller has not asked too often.
fn known<'a>(
    state: &'a AppState,
    peer: &Peer,
    headers: &HeaderMap,
    name: &str,
) -> Result<&'a LightningAddress, (StatusCode, &'static str)> {
    let address = state
        .lightning_address
        .as_ref()
        .filter(|address| address.knows(name))
        .ok_or((StatusCode::NOT_FOUND, "there is no such name here"))?;
    let speaker = state.gate.speaker(peer.address.ip(), headers);
    if !address.admit(speaker, state.env.now_millis()) {
        return Err((StatusCode::TOO_MANY_REQUESTS, "too many questions, wait a minute"));
    }
    Ok(address)
}

/// LUD-01: errors are documents, and wallets read them whatever the status.
fn failure(status: StatusCode, reason: &str) -> Response {
    answer(status, json!({ "status": "ERROR", "reason": reason }))
}

/// Browsers of other sites ask too.
fn answer(status: StatusCode, body: Value) -> Response {
    let anyone = (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    (status, [anyone], Json(body)).into_response()
}
