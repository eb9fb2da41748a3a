//! What wallets answer and tell: results, and the notifications that come without being asked.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{NotAMessage, NotificationType, State, printable};

/// Result of `pay_invoice`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// Hexadecimal.
    #[serde(default, deserialize_with = "text")]
    pub preimage: Option<String>,
    /// In msat.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub fees_paid: Option<u64>,
}

/// Result of `get_balance`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceResult {
    /// In msat.
    #[serde(default, deserialize_with = "number")]
    pub balance: Option<u64>,
}

/// Result of `get_budget`; empty when the connection has no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetResult {
    /// In msat.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub used_budget: Option<u64>,
    /// In msat.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub total_budget: Option<u64>,
    /// In Unix seconds.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<u64>,
    /// `daily`, `weekly`, `monthly`, `yearly` or `never`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub renewal_period: Option<String>,
}

/// Result of `get_info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoResult {
    /// Name of the node.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// `mainnet`, `testnet`, `signet` or `regtest`.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What this connection may do.
    #[serde(default, deserialize_with = "list")]
    pub methods: Vec<String>,
    /// What it tells without being asked.
    #[serde(default, deserialize_with = "list")]
    pub notifications: Vec<String>,
}

/// Result of `make_invoice` and `lookup_invoice`, entry of a list, content of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// `incoming` or `outgoing`.
    #[serde(default, rename = "type", deserialize_with = "text")]
    pub direction: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The text.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// For the payer.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Hexadecimal; some wallets tell it before the payment.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub preimage: Option<String>,
    /// Hexadecimal.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "Option::is_none")]
    pub payment_hash: Option<String>,
    /// In msat.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// In msat.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub fees_paid: Option<u64>,
    /// In Unix seconds.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// In Unix seconds.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// In Unix seconds.
    #[serde(default, deserialize_with = "number", skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<u64>,
}

/// Result of `list_transactions`; entries that are no objects of this form are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionList {
    /// Newest first.
    #[serde(deserialize_with = "transactions")]
    pub transactions: Vec<Transaction>,
}

/// What a wallet tells without being asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// What it is about.
    pub notification_type: NotificationType,
    /// The payment.
    pub notification: Transaction,
}

impl Notification {
    /// Reads one.
    ///
    /// # Errors
    /// [`NotAMessage`] when it is none.
    pub fn parse(text: &str) -> Result<Self, NotAMessage> {
        serde_json::from_str(text).map_err(|_| NotAMessage)
    }
}

/// A whole number that is not negative, as a number or as a text; anything else is no number.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64().or_else(|| {
            // Numbers up to 2^53 that a JavaScript wallet wrote as `1e3` or `1000.0`.
            let number = number.as_f64()?;
            (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number))
                .then(|| format!("{number:.0}").parse().ok())
                .flatten()
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// A text; anything else is none.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// A list of texts, also as one text with spaces.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(printable).collect(),
        Value::String(words) => words.split_whitespace().map(printable).collect(),
        _ => Vec::new(),
    })
}

fn transactions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Transaction>, D::Error> {
    let items = Vec::<Value>::deserialize(deserializer)?;
    Ok(items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect())
}
