//! Payments: the request that kinds 28000 and 28005 carry, and kind 28001 (28002 reads the same).

use serde::{Deserialize, Serialize};

use super::subscription::RecurringPaymentRequest;
use super::{Currency, ExchangeRate};
use crate::primitives::{RequestId, Timestamp};

/// What kinds 28000 and 28005 carry: a request for one payment or for many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "payment_type")]
pub enum PaymentRequest {
    /// One payment; kind 28000.
    Single(SinglePaymentRequest),
    /// A subscription; kind 28005.
    Recurring(RecurringPaymentRequest),
}

/// Kind 28000 with `payment_type` = `Single`: "please pay this invoice".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinglePaymentRequest {
    /// More than zero; millisatoshi or hundredths of the fiat unit.
    pub amount: u64,
    /// The unit of `amount`.
    pub currency: Currency,
    /// The rate used when `currency` is fiat.
    #[serde(default)]
    pub current_exchange_rate: Option<ExchangeRate>,
    /// BOLT11.
    pub invoice: String,
    /// Opaque; tells the wallet which session asks.
    #[serde(default)]
    pub auth_token: Option<String>,
    /// When the request ends, by the clock of its author.
    pub expires_at: Timestamp,
    /// The subscription that this charge belongs to.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Echoed by every status.
    pub request_id: RequestId,
}

/// Kind 28001: where the payment stands, by what the payer's wallet says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentResponse {
    /// The request that is answered.
    pub request_id: RequestId,
    /// The status.
    pub status: PaymentStatus,
}

/// What the payer claims. Only the payee's wallet knows about the money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The person agreed; the wallet is about to pay.
    Approved,
    /// The wallet says it paid.
    Success {
        /// 64 hex digits, when the wallet has it.
        #[serde(default)]
        preimage: Option<String>,
    },
    /// The person said no.
    Rejected {
        /// Why, if they said.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The wallet could not pay.
    Failed {
        /// Why, if it says.
        #[serde(default)]
        reason: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(json: &str) -> Option<PaymentStatus> {
        serde_json::from_str(json).ok()
    }

    #[test]
    fn a_status_without_members_may_be_a_word_or_an_object() {
        assert_eq!(status(r#""approved""#), Some(PaymentStatus::Approved));
        assert_eq!(status(r#"{"approved":null}"#), Some(PaymentStatus::Approved));
        assert_eq!(status(r#"{"success":{}}"#), Some(PaymentStatus::Success { preimage: None }));
        for bad in [r#""success""#, r#""rejected""#, r#"{"approved":{}}"#, r#"{"paid":{}}"#, "{}"] {
            assert_eq!(status(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_kind_of_request_is_told_by_payment_type() {
        let json = r#"{"payment_type":"Recurring","amount":10000,"currency":"Millisats",
            "recurrence":{"until":null,"calendar":"monthly","max_payments":12,
            "first_payment_due":"1701388800"},"expires_at":"1700003600","request_id":"r"}"#;
        let request: PaymentRequest = serde_json::from_str(json).expect("legal");
        assert!(matches!(&request, PaymentRequest::Recurring(request) if request.amount == 10000));
        let value = serde_json::to_value(&request).expect("serialises");
        assert_eq!(value["payment_type"], "Recurring");
        assert_eq!(value["recurrence"]["calendar"], "*-*-01 00:00:00");
        for bad in ["Single", "recurring", "Other"] {
            let json = json.replace("Recurring", bad);
            assert!(serde_json::from_str::<PaymentRequest>(&json).is_err(), "{bad}");
        }
        let float = json.replace("10000", "10000.0");
        assert!(serde_json::from_str::<PaymentRequest>(&float).is_err());
    }
}
