//! Money.

use napi::Result;
use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use portal_core::payments::pay;
use portal_core::primitives::{CurrencyCode, RequestId};
use portal_core::protocol::{self, Currency};
use portal_core::service::NewSinglePayment;

use super::seconds;
use crate::error::failed;
use crate::limits;

/// The rate that an amount of a fiat currency was turned into bitcoin with. For display.
#[napi(object)]
pub struct ExchangeRate {
    /// Fiat units for one bitcoin.
    pub rate: f64,
    /// Who quoted it.
    pub source: String,
    /// When, in seconds since the Unix epoch.
    pub time: i64,
}

impl From<protocol::ExchangeRate> for ExchangeRate {
    fn from(rate: protocol::ExchangeRate) -> Self {
        let protocol::ExchangeRate { rate, source, time } = rate;
        Self { rate, source, time: seconds(time) }
    }
}

/// A payment to ask for.
#[napi(object)]
pub struct SinglePaymentContent {
    /// More than zero.
    pub amount: BigInt,
    /// `Millisats`, or the code of a fiat currency, whose amounts are hundredths.
    pub currency: String,
    /// What it is for.
    pub description: Option<String>,
    /// The subscription that this charge belongs to.
    pub subscription_id: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
    /// An id of your own; a random one otherwise.
    pub request_id: Option<String>,
}

impl SinglePaymentContent {
    pub(crate) fn checked(self) -> Result<NewSinglePayment> {
        let Self { amount, currency, description, subscription_id, auth_token, request_id } = self;
        let amount = limits::amount("the amount", &amount, 1)?;
        let currency = Currency::from(currency.as_str());
        if let Currency::Fiat(code) = &currency {
            CurrencyCode::parse(code).map_err(failed)?;
        }
        limits::optional("the description", description.as_ref(), limits::SENTENCE)?;
        limits::optional("the session token", auth_token.as_ref(), limits::TOKEN)?;
        for (what, id) in [("subscription", &subscription_id), ("request", &request_id)] {
            if let Some(id) = id {
                limits::text(&format!("the id of the {what}"), id, limits::NAME)?;
            }
        }
        Ok(NewSinglePayment {
            amount,
            currency,
            description,
            auth_token,
            subscription_id,
            request_id: request_id.map(RequestId::new),
        })
    }
}

/// An invoice that was paid.
#[napi(object)]
pub struct PaidInvoice {
    /// The proof: 64 hex digits whose hash is the payment hash.
    pub preimage: String,
    /// What it cost on top.
    pub fee_msat: BigInt,
}

impl From<pay::PaidInvoice> for PaidInvoice {
    fn from(paid: pay::PaidInvoice) -> Self {
        let pay::PaidInvoice { preimage, fee } = paid;
        Self { preimage, fee_msat: fee.as_u64().into() }
    }
}
