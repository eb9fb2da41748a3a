//! Lightning wallets that an app brings, in JavaScript.
//!
//! One function of the app is called for everything, with a text and for a text: JSON, so that
//! what comes back is read by one strict reader. `lib.js` stands between it and the object that the
//! app wrote. What the app says is checked by the core before anybody relies on it; a call that
//! does not come back ends with a timeout.
//!
//! The function does not keep the process alive. When the process ends, or the app throws something
//! that is no [`Fault`], what became of a payment is unknown, never "not paid".

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use napi::Status;
use napi::bindgen_prelude::Promise;
use napi::threadsafe_function::ThreadsafeFunction;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{
    Balance, Direction, EventSource, Invoice, LightningWallet, ListPayments, NewInvoice,
    PayInvoice, PayOutcome, PaymentHash, PaymentState, WalletError, WalletEvent, WalletInfo,
    WalletPayment,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Calls that wait for Node's loop; more are refused.
pub const QUEUE: usize = 1024;
/// The longest answer that is read.
const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The app's function.
pub type Call = ThreadsafeFunction<String, Promise<String>, String, Status, false, true, QUEUE>;

/// The app's wallet as the core knows wallets.
pub struct AppWallet {
    call: Call,
    events: Arc<EventSource>,
}

/// What the app's function answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer<T> {
    Value(T),
    Fault(Fault),
}

/// Why the app's wallet did not do as asked.
#[derive(Deserialize)]
struct Fault {
    kind: String,
    code: Option<String>,
    reason: Option<String>,
}

impl Fault {
    fn of(self, what: &'static str) -> WalletError {
        let Self { kind, code, reason } = self;
        let reason = reason.unwrap_or_default();
        match kind.as_str() {
            "timeout" => WalletError::Timeout,
            "unreachable" => WalletError::Unreachable,
            "refused" => {
                let code = code.unwrap_or_else(|| "OTHER".to_owned());
                WalletError::Refused { code, message: reason }
            }
            "unsupported" => WalletError::Unsupported { what },
            _ => WalletError::BadAnswer { what: reason },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    kind: String,
    network: Option<String>,
    methods: Vec<String>,
    #[serde(default)]
    notifies: bool,
    #[serde(default)]
    caps_fees: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    #[serde(deserialize_with = "msat")]
    amount_msat: Millisats,
    at: u64,
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Outcome {
    Settled {
        preimage: String,
        #[serde(default, deserialize_with = "msat")]
        fee_msat: Millisats,
    },
    Pending,
    Failed {
        #[serde(default)]
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    payment_hash: String,
    outgoing: bool,
    state: String,
    preimage: Option<String>,
    settled_at: Option<u64>,
    #[serde(deserialize_with = "msat")]
    amount_msat: Millisats,
    #[serde(default, deserialize_with = "msat")]
    fee_msat: Millisats,
    created_at: u64,
}

impl TryFrom<Payment> for WalletPayment {
    type Error = WalletError;

    fn try_from(payment: Payment) -> Result<Self, WalletError> {
        let Payment {
            payment_hash,
            outgoing,
            state,
            preimage,
            settled_at,
            amount_msat,
            fee_msat,
            created_at,
        } = payment;
        let created_at = Timestamp::from_secs(created_at);
        Ok(Self {
            payment_hash: PaymentHash(bytes32(&payment_hash).ok_or_else(|| bad("no hash"))?),
            direction: if outgoing { Direction::Outgoing } else { Direction::Incoming },
            state: match state.as_str() {
                "pending" => PaymentState::Pending,
                "failed" => PaymentState::Failed,
                "settled" => PaymentState::Settled {
                    // One that is none proves nothing; the wallet's word stands without it.
                    preimage: preimage.as_deref().and_then(bytes32),
                    at: settled_at.map_or(created_at, Timestamp::from_secs),
                },
                _ => return Err(bad("no state of a payment")),
            },
            amount: amount_msat,
            fee: fee_msat,
            created_at,
        })
    }
}

/// Something that happened, told without being asked.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Told {
    Settled { payment: Box<Payment> },
    Reconnected,
    Disconnected,
}

impl AppWallet {
    /// The wallet behind this function, which tells of events here.
    pub fn new(call: Call, events: Arc<EventSource>) -> Self {
        Self { call, events }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        what: &'static str,
        params: Value,
    ) -> Result<T, WalletError> {
        let request = json!({ "method": method, "params": params }).to_string();
        let answer = match self.call.call_async_catch(request).await {
            Ok(promise) => promise.await,
            Err(error) => Err(error),
        };
        // Node ends, its queue is full, or `lib.js` is not what called us.
        let text = answer.map_err(|_| WalletError::Unreachable)?;
        if text.len() > MAX_ANSWER {
            return Err(bad("an answer that is too long"));
        }
        match serde_json::from_str(&text).map_err(|_| bad("no answer to what was asked"))? {
            Answer::Value(value) => Ok(value),
            Answer::Fault(fault) => Err(fault.of(what)),
        }
    }
}

/// Passes on what the app tells; what cannot be read is left out.
pub fn tell(events: &EventSource, text: &str) {
    if text.len() > MAX_ANSWER {
        return;
    }
    match serde_json::from_str(text) {
        Ok(Told::Reconnected) => events.send(WalletEvent::Reconnected),
        Ok(Told::Disconnected) => events.send(WalletEvent::Disconnected),
        Ok(Told::Settled { payment }) => match WalletPayment::try_from(*payment) {
            Ok(payment) if matches!(payment.state, PaymentState::Settled { .. }) => {
                events.send(WalletEvent::Settled(payment));
            }
            Ok(_) => tracing::warn!("the app's wallet tells of a payment that is not settled"),
            Err(error) => tracing::warn!(%error, "the app's wallet tells of a payment"),
        },
        Err(_) => tracing::warn!("the app's wallet tells of something that cannot be read"),
    }
}

#[async_trait]
impl LightningWallet for AppWallet {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        let Description { kind, network, methods, notifies, caps_fees } =
            self.ask("info", "get_info", json!([])).await?;
        Ok(WalletInfo { kind, network, methods, notifies, caps_fees })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let Held { amount_msat, at } = self.ask("balance", "get_balance", json!([])).await?;
        Ok(Balance { amount: amount_msat, at: Timestamp::from_secs(at) })
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let order = json!({
            "amountMsat": request.amount.as_u64().to_string(),
            "description": request.description,
            "expirySeconds": request.expiry.as_secs(),
        });
        let text: String = self.ask("makeInvoice", "make_invoice", json!([order])).await?;
        Ok(Bolt11::parse(&text).map_err(|_| bad("no invoice"))?.into())
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        let params = json!([payment_hash.to_string()]);
        let known: Option<Payment> = self.ask("lookup", "lookup_invoice", params).await?;
        known.map(TryInto::try_into).transpose()
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        let amount = |amount: Option<Millisats>| amount.map(|it| it.as_u64().to_string());
        let order = json!({
            "invoice": request.bolt11,
            "paymentHash": request.payment_hash.to_string(),
            "amountMsat": amount(request.amount),
            "maxFeeMsat": amount(request.max_fee),
            "timeoutSeconds": request.timeout.as_secs().max(1),
        });
        Ok(match self.ask("pay", "pay_invoice", json!([order])).await? {
            Outcome::Settled { preimage, fee_msat } => PayOutcome::Settled {
                preimage: bytes32(&preimage).ok_or_else(|| bad("no preimage"))?,
                fee: fee_msat,
            },
            Outcome::Pending => PayOutcome::Pending,
            Outcome::Failed { reason } => PayOutcome::Failed { reason },
        })
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let query = json!({
            "since": query.since.as_secs(),
            "outgoing": query.direction.map(|direction| direction == Direction::Outgoing),
            "offset": query.offset,
            "limit": query.limit,
        });
        let listed: Vec<Value> = self.ask("list", "list_transactions", json!([query])).await?;
        // One that cannot be read must not hide the others.
        let read = |payment| serde_json::from_value::<Payment>(payment).ok()?.try_into().ok();
        Ok(listed.into_iter().filter_map(read).collect())
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.events.listen()
    }

    async fn shutdown(&self) {
        self.events.close();
        let ended: Result<Value, WalletError> = self.ask("shutdown", "shutdown", json!([])).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "the app's wallet did not end");
        }
    }
}

fn bytes32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn bad(what: &str) -> WalletError {
    WalletError::BadAnswer { what: what.to_owned() }
}

/// An amount: decimal digits, as `lib.js` writes a `bigint`.
fn msat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Millisats, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Millisats::new).map_err(|_| serde::de::Error::custom("not an amount"))
}
