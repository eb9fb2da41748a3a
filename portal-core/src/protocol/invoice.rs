//! Asking someone for an invoice: kinds 28008 and 28009.

use nostr::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Currency, ExchangeRate};
use crate::primitives::{RequestId, Timestamp};

/// Kind 28008: "give me an invoice, I want to pay you" (a payout, a refund).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvoiceRequest {
    /// Echoed by the answer.
    pub request_id: RequestId,
    /// Millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    pub currency: Currency,
    /// The rate when `currency` is fiat.
    #[serde(default)]
    pub current_exchange_rate: Option<ExchangeRate>,
    /// When the request ends, by the clock of its author.
    pub expires_at: Timestamp,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// The BOLT11 invoice that is given back, for a refund.
    #[serde(default)]
    pub refund_invoice: Option<String>,
}

/// A request as its receiver saw it: answers echo it in this wrapper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Echo<T> {
    /// The request.
    pub inner: T,
    /// The main key of whoever asked, as far as known.
    pub main_key: PublicKey,
    /// The key that signed the request.
    pub recipient: PublicKey,
}

/// Kind 28009: the invoice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvoiceResponse {
    /// The request that is answered.
    pub request: Echo<InvoiceRequest>,
    /// BOLT11.
    pub invoice: String,
    /// 64 hex digits, when the wallet says.
    #[serde(default)]
    pub payment_hash: Option<String>,
}
