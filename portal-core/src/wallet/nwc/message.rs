//! The messages of NIP-47, read with tolerance: wallets differ, and one that uses a code, a state
//! or a number that we have not seen before is still understood as far as possible.
//!
//! Nothing here decides what a message means for money; `books` does.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

mod results;

pub use self::results::{
    BalanceResult, BudgetResult, InfoResult, Notification, Paid, Transaction, TransactionList,
};

/// Longest text of a wallet that is kept for people.
const MAX_MESSAGE: usize = 256;

/// Kind of the event in which a wallet says what it can do.
pub const KIND_INFO: u16 = 13_194;
/// Kind of a request.
pub const KIND_REQUEST: u16 = 23_194;
/// Kind of a response.
pub const KIND_RESPONSE: u16 = 23_195;
/// Kind of a notification sealed with NIP-04.
pub const KIND_NOTIFICATION_NIP04: u16 = 23_196;
/// Kind of a notification sealed with NIP-44.
pub const KIND_NOTIFICATION_NIP44: u16 = 23_197;

/// The message cannot be read. Says nothing of what was in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a nip-47 message")]
pub struct NotAMessage;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `get_info`
    GetInfo,
    /// `get_balance`
    GetBalance,
    /// `make_invoice`
    MakeInvoice(MakeInvoice),
    /// `pay_invoice`
    PayInvoice(PayInvoiceParams),
    /// `lookup_invoice`
    LookupInvoice(LookupInvoice),
    /// `list_transactions`
    ListTransactions(ListTransactions),
    /// `get_budget`, which not every wallet has
    GetBudget,
    /// `make_hold_invoice`
    MakeHoldInvoice(MakeHoldInvoice),
    /// `settle_hold_invoice`
    SettleHoldInvoice(SettleHoldInvoice),
    /// `cancel_hold_invoice`
    CancelHoldInvoice(CancelHoldInvoice),
    /// Any other, which is refused.
    Other {
        /// Its name.
        method: String,
    },
}

/// Parameters of `make_invoice`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeInvoice {
    /// In msat.
    pub amount: u64,
    /// For the payer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// SHA-256 of a longer description, 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description_hash: Option<String>,
    /// In seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<u64>,
}

/// Parameters of `pay_invoice`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayInvoiceParams {
    /// The text.
    pub invoice: String,
    /// In msat, for an invoice without an amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
}

/// Parameters of `lookup_invoice`: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupInvoice {
    /// Hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_hash: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
}

/// Parameters of `list_transactions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTransactions {
    /// Inclusive, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Inclusive, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// At most this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Skip this many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Whether to tell of unpaid invoices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<bool>,
    /// `incoming` or `outgoing`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
}

/// Parameters of `make_hold_invoice`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeHoldInvoice {
    /// As of any other invoice.
    #[serde(flatten)]
    pub invoice: MakeInvoice,
    /// Hexadecimal.
    pub payment_hash: String,
}

/// Parameters of `settle_hold_invoice`. `Debug` does not show the preimage.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleHoldInvoice {
    /// Hexadecimal.
    pub preimage: String,
}

impl fmt::Debug for SettleHoldInvoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleHoldInvoice").finish_non_exhaustive()
    }
}

/// Parameters of `cancel_hold_invoice`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelHoldInvoice {
    /// Hexadecimal.
    pub payment_hash: String,
}

impl Request {
    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        match self {
            Self::GetInfo => "get_info",
            Self::GetBalance => "get_balance",
            Self::MakeInvoice(_) => "make_invoice",
            Self::PayInvoice(_) => "pay_invoice",
            Self::LookupInvoice(_) => "lookup_invoice",
            Self::ListTransactions(_) => "list_transactions",
            Self::GetBudget => "get_budget",
            Self::MakeHoldInvoice(_) => "make_hold_invoice",
            Self::SettleHoldInvoice(_) => "settle_hold_invoice",
            Self::CancelHoldInvoice(_) => "cancel_hold_invoice",
            Self::Other { method } => method,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let params = match self {
            Self::GetInfo | Self::GetBalance | Self::GetBudget | Self::Other { .. } => {
                Ok(json!({}))
            }
            Self::MakeInvoice(params) => serde_json::to_value(params),
            Self::PayInvoice(params) => serde_json::to_value(params),
            Self::LookupInvoice(params) => serde_json::to_value(params),
            Self::ListTransactions(params) => serde_json::to_value(params),
            Self::MakeHoldInvoice(params) => serde_json::to_value(params),
            Self::SettleHoldInvoice(params) => serde_json::to_value(params),
            Self::CancelHoldInvoice(params) => serde_json::to_value(params),
        };
        let params = params.expect("plain structs have a JSON form");
        json!({ "method": self.method(), "params": params }).to_string()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NotAMessage`] when it is not a request, or a method we know has wrong parameters.
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        #[derive(Deserialize)]
        struct Wire {
            method: String,
            #[serde(default)]
            params: Value,
        }
        fn read<T: serde::de::DeserializeOwned>(params: Value) -> Result<T, NotAMessage> {
            let params = if params.is_null() { Value::Object(Map::new()) } else { params };
            serde_json::from_value(params).map_err(|_| NotAMessage)
        }
        let Wire { method, params } = serde_json::from_str(text).map_err(|_| NotAMessage)?;
        Ok(match method.as_str() {
            "get_info" => Self::GetInfo,
            "get_balance" => Self::GetBalance,
            "make_invoice" => Self::MakeInvoice(read(params)?),
            "pay_invoice" => Self::PayInvoice(read(params)?),
            "lookup_invoice" => Self::LookupInvoice(read(params)?),
            "list_transactions" => Self::ListTransactions(read(params)?),
            "get_budget" => Self::GetBudget,
            "make_hold_invoice" => Self::MakeHoldInvoice(read(params)?),
            "settle_hold_invoice" => Self::SettleHoldInvoice(read(params)?),
            "cancel_hold_invoice" => Self::CancelHoldInvoice(read(params)?),
            _ => Self::Other { method: printable(&method) },
        })
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word we do not know, as the other side wrote it.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($text => Self::$variant,)+
                    _ => Self::Other(printable(word)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(match Value::deserialize(deserializer)? {
                    Value::String(word) => Self::from(word.as_str()),
                    other => Self::Other(printable(&other.to_string())),
                })
            }
        }
    };
}

words! {
    /// Why a wallet says no.
    Code {
        /// Too many requests.
        RateLimited = "RATE_LIMITED",
        /// The method is not known.
        NotImplemented = "NOT_IMPLEMENTED",
        /// Not enough money.
        InsufficientBalance = "INSUFFICIENT_BALANCE",
        /// The budget of this connection is used up.
        QuotaExceeded = "QUOTA_EXCEEDED",
        /// This connection may not do that.
        Restricted = "RESTRICTED",
        /// There is no such connection.
        Unauthorized = "UNAUTHORIZED",
        /// Something broke.
        Internal = "INTERNAL",
        /// Something else.
        Unspecified = "OTHER",
        /// The payment failed for good.
        PaymentFailed = "PAYMENT_FAILED",
        /// No such payment.
        NotFound = "NOT_FOUND",
        /// The wallet cannot read this cipher.
        UnsupportedEncryption = "UNSUPPORTED_ENCRYPTION",
    }
}

words! {
    /// Where a payment stands, by the wallet's word.
    State {
        /// Not yet.
        Pending = "pending",
        /// Paid.
        Settled = "settled",
        /// The money is held and not yet taken.
        Accepted = "accepted",
        /// Too late.
        Expired = "expired",
        /// It will not happen.
        Failed = "failed",
    }
}

words! {
    /// What a notification is about.
    NotificationType {
        /// Money came.
        PaymentReceived = "payment_received",
        /// Money left.
        PaymentSent = "payment_sent",
        /// Money waits for a hold invoice to be settled or cancelled.
        HoldInvoiceAccepted = "hold_invoice_accepted",
    }
}

/// What a wallet answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The method that it answers.
    pub result_type: String,
    /// The result, or why there is none.
    pub outcome: Result<Value, Refusal>,
}

/// The error of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// For people, cut to a bearable length.
    pub message: String,
}

impl Response {
    /// Writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        match &self.outcome {
            Ok(result) => {
                json!({ "result_type": self.result_type, "error": null, "result": result })
            }
            Err(Refusal { code, message }) => json!({
                "result_type": self.result_type,
                "error": { "code": code, "message": message },
                "result": null,
            }),
        }
        .to_string()
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NotAMessage`] when there is neither a result nor an error.
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            result_type: Value,
            #[serde(default)]
            error: Value,
            #[serde(default)]
            result: Value,
        }
        let wire: Wire = serde_json::from_str(text).map_err(|_| NotAMessage)?;
        let result_type = wire.result_type.as_str().map_or_else(String::new, printable);
        let outcome = match (wire.error, wire.result) {
            (Value::Null, Value::Null) => return Err(NotAMessage),
            (Value::Null, result) => Ok(result),
            (Value::Object(error), _) => {
                let word = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or("");
                Err(Refusal { code: Code::from(word("code")), message: printable(word("message")) })
            }
            (Value::String(message), _) => {
                Err(Refusal { code: Code::Other(String::new()), message: printable(&message) })
            }
            _ => return Err(NotAMessage),
        };
        Ok(Self { result_type, outcome })
    }

    /// Reads the result as this type.
    ///
    /// # Errors
    /// [`NotAMessage`] when it is not of this type.
    pub fn read<T: serde::de::DeserializeOwned>(result: Value) -> Result<T, NotAMessage> {
        serde_json::from_value(result).map_err(|_| NotAMessage)
    }
}

/// Without control characters and cut to a bearable length.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests;
