//! What is used of the library: functions, fields and variants, and their comparison with the
//! description that it carries.
//!
//! To move to another version: change `VERSION` in [`crate::library`], open that version, and change
//! here what it names, until nothing is left.

use crate::codec::{self, describe};
use crate::metadata::Interface;

/// Every function that is called, with the checksum of its signature.
pub(crate) const FUNCTIONS: &[(&str, u16)] = &[
    ("default_config", 62194),
    ("connect", 40345),
    ("BreezSdk.add_event_listener", 19224),
    ("BreezSdk.disconnect", 20026),
    ("BreezSdk.get_info", 6771),
    ("BreezSdk.get_payment", 11540),
    ("BreezSdk.get_user_settings", 38537),
    ("BreezSdk.list_payments", 39170),
    ("BreezSdk.prepare_send_payment", 34185),
    ("BreezSdk.receive_payment", 36984),
    ("BreezSdk.send_payment", 54349),
    ("BreezSdk.sync_wallet", 62870),
];

/// The only method of the listener that the library calls.
const ON_EVENT: (&str, u16) = ("EventListener.on_event", 24807);

/// Names of fields with their types.
type Fields = &'static [(&'static str, &'static str)];

/// Fields that are read or set, with their types.
const FIELDS: &[(&str, Fields)] = &[
    (
        "Config",
        &[
            ("api_key", "text?"),
            ("cross_chain_config", "CrossChainConfig?"),
            ("leaf_optimization_config", "LeafOptimizationConfig"),
            ("lnurl_domain", "text?"),
            ("network", "Network"),
            ("prefer_spark_over_lightning", "bool"),
            ("real_time_sync_server_url", "text?"),
            ("spark_config", "SparkConfig?"),
            ("stable_balance_config", "StableBalanceConfig?"),
            ("sync_interval_secs", "u32"),
            ("token_optimization_config", "TokenOptimizationConfig"),
            ("use_default_external_input_parsers", "bool"),
        ],
    ),
    ("LeafOptimizationConfig", &[("auto_enabled", "bool")]),
    ("TokenOptimizationConfig", &[("auto_enabled", "bool")]),
    (
        "SparkConfig",
        &[
            ("coordinator_identifier", "text"),
            ("signing_operators", "[SparkSigningOperator]"),
            ("ssp_config", "SparkSspConfig"),
            ("threshold", "u32"),
        ],
    ),
    (
        "SparkSigningOperator",
        &[("address", "text"), ("identifier", "text"), ("identity_public_key", "text")],
    ),
    ("SparkSspConfig", &[("base_url", "text"), ("identity_public_key", "text")]),
    ("ConnectRequest", &[("config", "Config"), ("seed", "Seed"), ("storage_dir", "text")]),
    ("GetInfoRequest", &[("ensure_synced", "bool?")]),
    ("GetInfoResponse", &[("balance_sats", "u64"), ("identity_pubkey", "text")]),
    ("GetPaymentRequest", &[("payment_id", "text")]),
    ("GetPaymentResponse", &[("payment", "Payment")]),
    (
        "ListPaymentsRequest",
        &[
            ("from_timestamp", "u64?"),
            ("limit", "u32?"),
            ("offset", "u32?"),
            ("payment_details_filter", "[PaymentDetailsFilter]?"),
            ("sort_ascending", "bool?"),
            ("type_filter", "[PaymentType]?"),
        ],
    ),
    ("ListPaymentsResponse", &[("payments", "[Payment]")]),
    (
        "Payment",
        &[
            ("amount", "u128"),
            ("details", "PaymentDetails?"),
            ("fees", "u128"),
            ("id", "text"),
            ("payment_type", "PaymentType"),
            ("status", "PaymentStatus"),
            ("timestamp", "u64"),
        ],
    ),
    ("SparkHtlcDetails", &[("payment_hash", "text"), ("preimage", "text?")]),
    ("PrepareSendPaymentRequest", &[("amount", "u128?"), ("payment_request", "PaymentRequest")]),
    ("PrepareSendPaymentResponse", &[("amount", "u128"), ("payment_method", "SendPaymentMethod")]),
    ("ReceivePaymentRequest", &[("payment_method", "ReceivePaymentMethod")]),
    ("ReceivePaymentResponse", &[("payment_request", "text")]),
    (
        "SendPaymentRequest",
        &[
            ("idempotency_key", "text?"),
            ("options", "SendPaymentOptions?"),
            ("prepare_response", "PrepareSendPaymentResponse"),
        ],
    ),
    ("SendPaymentResponse", &[("payment", "Payment")]),
    ("SyncWalletRequest", &[]),
];

/// Variants that are read or set, with the fields of them that are.
const VARIANTS: &[(&str, &str, Fields)] = &[
    ("Network", "Mainnet", &[]),
    ("Network", "Regtest", &[]),
    ("Seed", "Mnemonic", &[("mnemonic", "text"), ("passphrase", "text?")]),
    ("PaymentType", "Send", &[]),
    ("PaymentType", "Receive", &[]),
    ("PaymentStatus", "Completed", &[]),
    ("PaymentStatus", "Pending", &[]),
    ("PaymentStatus", "Failed", &[]),
    ("PaymentDetails", "Lightning", &[("htlc_details", "SparkHtlcDetails"), ("invoice", "text")]),
    ("PaymentDetailsFilter", "Lightning", &[("htlc_status", "[SparkHtlcStatus]?")]),
    ("PaymentRequest", "Input", &[("input", "text")]),
    (
        "ReceivePaymentMethod",
        "Bolt11Invoice",
        &[("amount_sats", "u64?"), ("description", "text"), ("expiry_secs", "u32?")],
    ),
    ("ReceivePaymentMethod", "BitcoinAddress", &[]),
    ("ReceivePaymentMethod", "SparkAddress", &[]),
    ("SendPaymentMethod", "Bolt11Invoice", &[("lightning_fee_sats", "u64")]),
    (
        "SendPaymentOptions",
        "Bolt11Invoice",
        &[("completion_timeout_secs", "u32?"), ("prefer_spark", "bool")],
    ),
    ("SdkEvent", "PaymentSucceeded", &[("payment", "Payment")]),
    ("SdkEvent", "PaymentFailed", &[("payment", "Payment")]),
    ("SdkEvent", "PaymentPending", &[("payment", "Payment")]),
    ("SdkEvent", "Synced", &[]),
    ("SdkError", "SparkError", &[("v0", "text")]),
    ("SdkError", "InsufficientFunds", &[]),
    ("SdkError", "InvalidInput", &[("v0", "text")]),
    ("SdkError", "NetworkError", &[("v0", "text")]),
    ("SdkError", "StorageError", &[("v0", "text")]),
    ("SdkError", "Generic", &[("v0", "text")]),
];

/// What is filled in when the record or variant is made here: every other field needs a default.
const MADE: &[&str] = &[
    "ConnectRequest",
    "GetInfoRequest",
    "GetPaymentRequest",
    "ListPaymentsRequest",
    "PrepareSendPaymentRequest",
    "ReceivePaymentRequest",
    "SendPaymentRequest",
    "SyncWalletRequest",
    "Seed.Mnemonic",
    "PaymentDetailsFilter.Lightning",
    "PaymentRequest.Input",
    "ReceivePaymentMethod.Bolt11Invoice",
    "ReceivePaymentMethod.BitcoinAddress",
    "ReceivePaymentMethod.SparkAddress",
    "SendPaymentOptions.Bolt11Invoice",
];

/// Compares everything above with what the library says.
///
/// # Errors
/// What differs first.
pub(crate) fn check(interface: &Interface) -> Result<(), String> {
    let listener: Vec<_> = interface
        .functions
        .iter()
        .filter(|(name, _)| name.starts_with("EventListener."))
        .map(|(name, function)| (name.as_str(), function.checksum))
        .collect();
    if listener != [ON_EVENT] {
        return Err("its listener is another one".to_owned());
    }
    let records = FIELDS
        .iter()
        .map(|(record, fields)| (record.to_string(), interface.records.get(*record), *fields));
    let variants = VARIANTS.iter().map(|(one, variant, fields)| {
        let variants = interface.enums.get(*one).into_iter().flatten();
        let found = variants.clone().find(|it| it.name == *variant).map(|it| &it.fields);
        (format!("{one}.{variant}"), found, *fields)
    });
    for (place, found, used) in records.chain(variants) {
        let found = found.ok_or_else(|| format!("it has no {place}"))?;
        let named = |index, field| codec::field_name(index, field);
        for (name, ty) in used {
            let field = found.iter().enumerate().find(|(index, it)| named(*index, it) == *name);
            let (_, field) = field.ok_or_else(|| format!("it has no {place}.{name}"))?;
            if describe(&field.ty) != *ty {
                return Err(format!("its {place}.{name} is {}", describe(&field.ty)));
            }
        }
        if MADE.contains(&place.as_str()) {
            let unknown = found.iter().enumerate().find(|(index, field)| {
                let name = named(*index, field);
                !used.iter().any(|(used, _)| *used == name) && codec::default(field).is_none()
            });
            if let Some((index, field)) = unknown {
                return Err(format!("it wants {place}.{}", named(index, field)));
            }
        }
    }
    Ok(())
}
