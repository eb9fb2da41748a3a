//! The part of the library that is used, with types.
//!
//! Every name here is compared with the description that the library carries
//! ([`crate::contract`]), so that a mistake is found when the library is opened and not when money
//! moves.

use std::sync::Arc;

use portal_core::primitives::Secret;
use portal_core::wallet::PaymentHash;
use uniffi_meta::Type;
use uuid::Uuid;

use crate::codec::{Misfit, Value};
use crate::error::CallError;
use crate::ffi::{Given, Object};
use crate::library::BreezLibrary;

/// The crate in the library.
pub(crate) const NAMESPACE: &str = "breez_sdk_spark";
/// The wallet object, as symbols spell it.
pub(crate) const OBJECT: &str = "breezsdk";

/// A payment in the library's books.
#[derive(Clone)]
pub(crate) struct SdkPayment {
    pub id: String,
    pub incoming: bool,
    pub status: SdkStatus,
    pub amount_sats: u64,
    pub fees_sats: u64,
    /// Seconds since the epoch.
    pub timestamp: u64,
    /// When it went over Lightning and the library knows how.
    pub lightning: Option<SdkLightning>,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SdkStatus {
    Completed,
    Pending,
    Failed,
}

/// How a payment went over Lightning.
#[derive(Clone)]
pub(crate) struct SdkLightning {
    pub payment_hash: PaymentHash,
    /// As the library says, not compared with the hash yet.
    pub preimage: Option<String>,
    /// What was paid.
    pub invoice: String,
}

/// What the library tells its listener, as far as it matters here.
pub(crate) enum SdkEvent {
    Succeeded(SdkPayment),
    Changed(SdkPayment),
    Synced,
    Other,
}

/// What a payment will cost, with what the library wants back to send it.
pub(crate) struct Prepared {
    pub amount_sats: u64,
    pub fee_sats: u64,
    response: Value,
}

/// Which payments to list.
pub(crate) struct Query {
    pub since: u64,
    pub incoming: Option<bool>,
    pub offset: u32,
    pub limit: u32,
}

/// Which address to ask for.
#[derive(Clone, Copy)]
pub(crate) enum AddressKind {
    Bitcoin,
    Spark,
}

impl SdkPayment {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let lightning = match value.maybe("details")? {
            Some(Value::Variant(name, _)) if name == "Lightning" => {
                let details = value.get("details")?;
                let htlc = details.get("htlc_details")?;
                let mut hash = [0; 32];
                hex::decode_to_slice(htlc.get_text("payment_hash")?, &mut hash)
                    .map_err(|_| Misfit::at("payment_hash"))?;
                let preimage = htlc.maybe("preimage")?;
                Some(SdkLightning {
                    payment_hash: PaymentHash(hash),
                    preimage: preimage.and_then(Value::as_text).map(str::to_owned),
                    invoice: details.get_text("invoice")?.to_owned(),
                })
            }
            Some(_) | None => None,
        };
        Ok(Self {
            id: value.get_text("id")?.to_owned(),
            incoming: value.get_variant("payment_type")? == "Receive",
            status: match value.get_variant("status")? {
                "Completed" => SdkStatus::Completed,
                "Failed" => SdkStatus::Failed,
                _ => SdkStatus::Pending,
            },
            amount_sats: value.get_number("amount")?,
            fees_sats: value.get_number("fees")?,
            timestamp: value.get_number("timestamp")?,
            lightning,
        })
    }
}

impl SdkEvent {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let Value::Variant(name, _) = value else { return Err(Misfit::at("SdkEvent")) };
        let payment = || SdkPayment::read(value.get("payment")?);
        Ok(match name.as_str() {
            "PaymentSucceeded" => Self::Succeeded(payment()?),
            "PaymentFailed" | "PaymentPending" => Self::Changed(payment()?),
            "Synced" => Self::Synced,
            _ => Self::Other,
        })
    }
}

/// A wallet in the library.
pub(crate) struct Sdk {
    library: BreezLibrary,
    object: Object,
}

impl Sdk {
    /// The library's own configuration for a network, to be changed.
    pub(crate) fn default_config(
        library: &BreezLibrary,
        network: &str,
    ) -> Result<Value, CallError> {
        const NAME: &str = "default_config";
        let argument = encode(library, NAME, &Value::variant(network, []))?;
        let given = library.native.call(NAME, &argument);
        value(library, NAME, given.map_err(|raised| CallError::read(library, NAME, raised))?)
    }

    /// Opens a wallet. Succeeds without a network as well.
    pub(crate) async fn connect(
        library: &BreezLibrary,
        config: Value,
        words: Secret<String>,
        storage: &str,
    ) -> Result<Self, CallError> {
        const NAME: &str = "connect";
        let seed = Value::variant(
            "Mnemonic",
            [("mnemonic", Value::Secret(words)), ("passphrase", Value::None)],
        );
        let request = Value::record([
            ("config", config),
            ("seed", seed),
            ("storage_dir", Value::text(storage)),
        ]);
        let argument = encode(library, NAME, &request)?;
        let given = library.native.run(NAME, None, Some(&argument)).await;
        match given.map_err(|raised| CallError::read(library, NAME, raised))? {
            Given::Object(object) => Ok(Self { library: library.clone(), object }),
            Given::Nothing | Given::Value(_) => Err(Misfit::at(NAME).into()),
        }
    }

    /// What is in it and who it is, from the library's own books. Never asks it to be in sync: it
    /// would wait for ever without a network.
    pub(crate) async fn info(&self) -> Result<(String, u64), CallError> {
        let request = Value::record([("ensure_synced", Value::Flag(false))]);
        let info = self.call("BreezSdk.get_info", &request).await?;
        Ok((info.get_text("identity_pubkey")?.to_owned(), info.get_number("balance_sats")?))
    }

    /// A call that really goes to the operators: fails when they cannot be reached.
    pub(crate) async fn probe(&self) -> Result<(), CallError> {
        const NAME: &str = "BreezSdk.get_user_settings";
        let given = self.library.native.run(NAME, Some(&self.object), None).await;
        given.map(|_| ()).map_err(|raised| CallError::read(&self.library, NAME, raised))
    }

    /// Brings the library's books up to date. Succeeds also when that did not work.
    pub(crate) async fn sync(&self) -> Result<(), CallError> {
        self.call("BreezSdk.sync_wallet", &Value::record([])).await.map(|_| ())
    }

    /// An invoice.
    pub(crate) async fn invoice(
        &self,
        sats: u64,
        description: &str,
        expiry_secs: u32,
    ) -> Result<String, CallError> {
        let method = Value::variant(
            "Bolt11Invoice",
            [
                ("description", Value::text(description)),
                ("amount_sats", Value::Unsigned(sats)),
                ("expiry_secs", Value::Unsigned(u64::from(expiry_secs))),
            ],
        );
        self.receive(method).await
    }

    /// An address to be paid at.
    pub(crate) async fn address(&self, kind: AddressKind) -> Result<String, CallError> {
        let name = match kind {
            AddressKind::Bitcoin => "BitcoinAddress",
            AddressKind::Spark => "SparkAddress",
        };
        self.receive(Value::variant(name, [])).await
    }

    async fn receive(&self, method: Value) -> Result<String, CallError> {
        let request = Value::record([("payment_method", method)]);
        let made = self.call("BreezSdk.receive_payment", &request).await?;
        Ok(made.get_text("payment_request")?.to_owned())
    }

    /// Asks for the fee. Sends nothing.
    pub(crate) async fn prepare(
        &self,
        bolt11: &str,
        sats: Option<u64>,
    ) -> Result<Prepared, CallError> {
        let request = Value::record([
            ("payment_request", Value::variant("Input", [("input", Value::text(bolt11))])),
            ("amount", Value::optional(sats, |sats| Value::text(sats.to_string()))),
        ]);
        let response = self.call("BreezSdk.prepare_send_payment", &request).await?;
        let method = response.get("payment_method")?;
        if response.get_variant("payment_method")? != "Bolt11Invoice" {
            return Err(Misfit::at("payment_method").into());
        }
        Ok(Prepared {
            amount_sats: response.get_number("amount")?,
            fee_sats: method.get_number("lightning_fee_sats")?,
            response,
        })
    }

    /// Sends what was prepared, under a key that makes a repetition harmless.
    ///
    /// # Cancel safety
    /// Not cancel safe: run it to its end.
    pub(crate) async fn send(
        &self,
        prepared: Prepared,
        key: Uuid,
        wait_secs: u32,
    ) -> Result<SdkPayment, CallError> {
        let options = Value::variant(
            "Bolt11Invoice",
            [
                ("prefer_spark", Value::Flag(false)),
                ("completion_timeout_secs", Value::Unsigned(u64::from(wait_secs))),
            ],
        );
        let request = Value::record([
            ("prepare_response", prepared.response),
            ("options", options),
            ("idempotency_key", Value::text(key.to_string())),
        ]);
        let sent = self.call("BreezSdk.send_payment", &request).await?;
        Ok(SdkPayment::read(sent.get("payment")?)?)
    }

    /// A payment by its id. An id that is not known is an error of the library, which has no
    /// variant of its own: see [`CallError::not_found`].
    pub(crate) async fn payment(&self, id: &str) -> Result<SdkPayment, CallError> {
        let request = Value::record([("payment_id", Value::text(id))]);
        let found = self.call("BreezSdk.get_payment", &request).await?;
        Ok(SdkPayment::read(found.get("payment")?)?)
    }

    /// Payments over Lightning in the library's own books, newest first.
    pub(crate) async fn payments(&self, query: &Query) -> Result<Vec<SdkPayment>, CallError> {
        let kind = |incoming| if incoming { "Receive" } else { "Send" };
        let lightning = Value::variant("Lightning", [("htlc_status", Value::None)]);
        let request = Value::record([
            (
                "type_filter",
                Value::optional(query.incoming, |incoming| {
                    Value::List(vec![Value::variant(kind(incoming), [])])
                }),
            ),
            ("payment_details_filter", Value::List(vec![lightning])),
            ("from_timestamp", Value::Unsigned(query.since)),
            ("offset", Value::Unsigned(u64::from(query.offset))),
            ("limit", Value::Unsigned(u64::from(query.limit))),
            ("sort_ascending", Value::Flag(false)),
        ]);
        let listed = self.call("BreezSdk.list_payments", &request).await?;
        let payments = listed.get_list("payments")?.iter().map(SdkPayment::read);
        Ok(payments.collect::<Result<_, _>>()?)
    }

    /// Has `sink` told of events. It runs on a thread of the library and must return at once.
    pub(crate) async fn listen(
        &self,
        sink: impl Fn(SdkEvent) + Send + Sync + 'static,
    ) -> Result<(), CallError> {
        const NAME: &str = "BreezSdk.add_event_listener";
        let interface = Arc::clone(&self.library.interface);
        let event = Type::Enum { module_path: NAMESPACE.to_owned(), name: "SdkEvent".to_owned() };
        let sink = Box::new(move |bytes: &[u8]| {
            let read = interface.decode(&event, bytes).and_then(|value| SdkEvent::read(&value));
            match read {
                Ok(event) => sink(event),
                Err(misfit) => {
                    tracing::warn!(%misfit, "an event of the Breez library is unreadable")
                }
            }
        });
        let given = self.object.native().listen(NAME, &self.object, sink).await;
        given.map(|_| ()).map_err(|raised| CallError::read(&self.library, NAME, raised))
    }

    /// Ends the library's connections and tasks.
    pub(crate) async fn disconnect(&self) -> Result<(), CallError> {
        const NAME: &str = "BreezSdk.disconnect";
        let given = self.library.native.run(NAME, Some(&self.object), None).await;
        given.map(|_| ()).map_err(|raised| CallError::read(&self.library, NAME, raised))
    }

    async fn call(&self, name: &'static str, request: &Value) -> Result<Value, CallError> {
        let argument = encode(&self.library, name, request)?;
        let given = self.library.native.run(name, Some(&self.object), Some(&argument)).await;
        value(&self.library, name, given.map_err(|it| CallError::read(&self.library, name, it))?)
    }
}

fn encode(
    library: &BreezLibrary,
    name: &'static str,
    argument: &Value,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Misfit> {
    let function = library.interface.functions.get(name).ok_or_else(|| Misfit::at(name))?;
    let ty = function.inputs.first().ok_or_else(|| Misfit::at(name))?;
    library.interface.encode(ty, argument)
}

fn value(library: &BreezLibrary, name: &'static str, given: Given) -> Result<Value, CallError> {
    let function = library.interface.functions.get(name).ok_or_else(|| Misfit::at(name))?;
    match (given, &function.returns) {
        (Given::Value(bytes), Some(ty)) => Ok(library.interface.decode(ty, &bytes)?),
        (Given::Nothing | Given::Object(_) | Given::Value(_), _) => Err(Misfit::at(name).into()),
    }
}
