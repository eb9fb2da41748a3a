//! Recurring payments: kinds 28005, 28006 and 28007.

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::{Currency, ExchangeRate};
use crate::primitives::{RequestId, Timestamp};

/// Kind 28005 with `payment_type` = `Recurring`: "may I charge you by this calendar?".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurringPaymentRequest {
    /// The amount of each charge; millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    pub currency: Currency,
    /// When to charge.
    pub recurrence: Recurrence,
    /// The rate at the time of asking when `currency` is fiat.
    #[serde(default)]
    pub current_exchange_rate: Option<ExchangeRate>,
    /// When the request ends, by the clock of its author.
    pub expires_at: Timestamp,
    /// Opaque; tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Echoed by the answer.
    pub request_id: RequestId,
}

/// When, how often and until when a subscription is charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recurrence {
    /// No charge after this.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The rule. Its time zone does not cross the wire.
    pub calendar: Calendar,
    /// No more charges than this.
    #[serde(default)]
    pub max_payments: Option<u32>,
    /// The first charge.
    pub first_payment_due: Timestamp,
}

/// Kind 28006: the answer to a recurring payment request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurringPaymentResponse {
    /// The request that is answered.
    pub request_id: RequestId,
    /// Yes or no.
    pub status: RecurringStatus,
}

/// Yes or no to a subscription. The object carries its own member `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RecurringStatus {
    /// The person agreed to at most this.
    Confirmed {
        /// Chosen by the wallet; every later charge names it.
        subscription_id: String,
        /// The amount agreed to.
        authorized_amount: u64,
        /// Its unit.
        authorized_currency: Currency,
        /// The rule agreed to.
        authorized_recurrence: Recurrence,
    },
    /// The person said no.
    Rejected {
        /// Why, if they said.
        #[serde(default)]
        reason: Option<String>,
    },
}

/// Kind 28007: the subscription ends. No answer; nothing in it proves who may send it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRecurringPayment {
    /// The subscription.
    pub subscription_id: String,
    /// Why, if they say.
    #[serde(default)]
    pub reason: Option<String>,
    /// True when the service closes, false when the person does.
    pub by_service: bool,
}
