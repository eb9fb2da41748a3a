//! What is in wallets, and what they are asked for.

use std::time::Duration;

use napi::Result;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet;

use super::seconds;
use crate::error::invalid;
use crate::limits;

/// How a wallet is linked.
#[napi(object)]
pub struct WalletLinkOptions {
    /// Whether the link may be one that can spend; true when absent. When not, the wallet is asked
    /// what the link may do before the first call after each connect, and one that can spend is not
    /// used.
    pub allow_spending: Option<bool>,
    /// A SQLite file of the wallet's own, in which the encryption agreed on is remembered: it is
    /// then never replaced with an older one, not even after a restart.
    pub database: Option<String>,
}

/// What a wallet is and can do.
#[napi(object)]
pub struct WalletDescription {
    /// What to call it: `nwc`, `simulated`, or a name of an app's own.
    pub kind: String,
    /// `bitcoin`, `testnet`, `signet` or `regtest`, when known.
    pub network: Option<String>,
    /// NIP-47 names of what it can do: `make_invoice`, `pay_invoice`, `lookup_invoice`, …
    pub methods: Vec<String>,
    /// Whether it tells of incoming payments by itself.
    pub notifies: bool,
    /// Whether the most that a payment may cost on top is kept before anything is sent.
    pub caps_fees: bool,
}

impl From<wallet::WalletInfo> for WalletDescription {
    fn from(info: wallet::WalletInfo) -> Self {
        let wallet::WalletInfo { kind, network, methods, notifies, caps_fees } = info;
        Self { kind, network, methods, notifies, caps_fees }
    }
}

/// What is in a wallet, and when that was true.
#[napi(object)]
pub struct WalletBalance {
    /// In millisatoshi.
    pub amount_msat: BigInt,
    /// In seconds since the Unix epoch.
    pub at: i64,
}

impl From<wallet::Balance> for WalletBalance {
    fn from(balance: wallet::Balance) -> Self {
        let wallet::Balance { amount, at } = balance;
        Self { amount_msat: amount.as_u64().into(), at: seconds(at) }
    }
}

/// An invoice to make.
#[napi(object)]
pub struct InvoiceOrder {
    /// More than zero.
    pub amount_msat: BigInt,
    /// For the payer.
    pub description: Option<String>,
    /// How long it can be paid.
    pub expiry_seconds: i64,
}

impl InvoiceOrder {
    pub(crate) fn checked(self) -> Result<wallet::NewInvoice> {
        let Self { amount_msat, description, expiry_seconds } = self;
        let amount = limits::amount("the amount", &amount_msat, 1)?;
        limits::optional("the description", description.as_ref(), limits::SENTENCE)?;
        let expiry = u64::try_from(expiry_seconds)
            .ok()
            .filter(|_| (1..=limits::LIFETIME).contains(&expiry_seconds));
        let expiry = expiry.ok_or_else(|| invalid("the expiry is no number of seconds"))?;
        let (amount, expiry) = (Millisats::new(amount), Duration::from_secs(expiry));
        Ok(wallet::NewInvoice { amount, description, expiry })
    }
}

/// A payment in a wallet's own books.
#[napi(object)]
pub struct WalletPayment {
    /// 64 hex digits.
    pub payment_hash: String,
    /// Whether it left this wallet; it came into it otherwise.
    pub outgoing: bool,
    /// Where it stands.
    #[napi(ts_type = "'pending' | 'settled' | 'failed'")]
    pub state: String,
    /// 64 hex digits whose hash is the payment hash; of one that is settled, when the wallet says.
    pub preimage: Option<String>,
    /// When the money moved, in seconds since the Unix epoch.
    pub settled_at: Option<i64>,
    /// Without fees.
    pub amount_msat: BigInt,
    /// Of one that left.
    pub fee_msat: BigInt,
    /// When the invoice or the payment was made, in seconds since the Unix epoch.
    pub created_at: i64,
}

impl From<wallet::WalletPayment> for WalletPayment {
    fn from(payment: wallet::WalletPayment) -> Self {
        let wallet::WalletPayment { payment_hash, direction, state, amount, fee, created_at } =
            payment;
        let (state, preimage, settled_at) = match state {
            wallet::PaymentState::Pending => ("pending", None, None),
            wallet::PaymentState::Failed => ("failed", None, None),
            wallet::PaymentState::Settled { preimage, at } => {
                ("settled", preimage.map(hex::encode), Some(seconds(at)))
            }
        };
        Self {
            payment_hash: payment_hash.to_string(),
            outgoing: direction == wallet::Direction::Outgoing,
            state: state.to_owned(),
            preimage,
            settled_at,
            amount_msat: amount.as_u64().into(),
            fee_msat: fee.as_u64().into(),
            created_at: seconds(created_at),
        }
    }
}

/// Which payments to list: settled ones at least.
#[napi(object)]
pub struct PaymentQuery {
    /// Made at this moment or later, in seconds since the Unix epoch.
    pub since: i64,
    /// Only those that left, or only those that came in.
    pub outgoing: Option<bool>,
    /// Skip this many.
    pub offset: u32,
    /// At most this many.
    pub limit: u32,
}

impl PaymentQuery {
    pub(crate) fn checked(self) -> Result<wallet::ListPayments> {
        let Self { since, outgoing, offset, limit } = self;
        let since = u64::try_from(since).map_err(|_| invalid("a moment is not negative"))?;
        if !(1..=limits::PAYMENTS).contains(&limit) {
            return Err(invalid(&format!("the limit must be from 1 to {}", limits::PAYMENTS)));
        }
        let direction = outgoing.map(|outgoing| {
            if outgoing { wallet::Direction::Outgoing } else { wallet::Direction::Incoming }
        });
        Ok(wallet::ListPayments { since: Timestamp::from_secs(since), direction, offset, limit })
    }
}

/// The name of a payment, from hex digits.
pub(crate) fn payment_hash(text: &str) -> Result<wallet::PaymentHash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| invalid("the payment hash must be 64 hex digits"))?;
    Ok(wallet::PaymentHash(bytes))
}
