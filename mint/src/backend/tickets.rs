//! Tickets: whoever may ask for a quote has paid it by asking.
//!
//! Nothing is kept here. What a quote is for stands in the identifier that the mint stores with
//! it, so that the answer after a restart is the answer before it:
//!
//! ```text
//! quote            identifier                      is
//! portal, bolt11   ticket:<unit>:<amount>:<random> paid, always
//! burn             burn:<unit>:<amount>:<quote>    done, once the mint has taken the proofs
//! ```
//!
//! The `bolt11` method is for wallets that know no other. Its invoice is one of regtest, signed by
//! a key of the moment, so that nobody can pay it by mistake. It names an amount for `sat` only,
//! where wallets compare it.
//! A burn is a melt by the method `portal`: its request is `burn:<amount>` or
//! `burn:<amount>:<reference>`, and nothing comes back for the proofs.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use cdk::nuts::{CurrencyUnit, MeltQuoteState};
use cdk_common::Amount;
use cdk_common::payment::{
    Bolt11Settings, CreateIncomingPaymentResponse, Error, Event, IncomingPaymentOptions,
    MakePaymentResponse, MintPayment, OutgoingPaymentOptions, PaymentIdentifier,
    PaymentQuoteResponse, SettingsResponse, WaitPaymentResponse,
};
use futures_util::{Stream, stream};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use portal_core::env::Env;
use secp256k1::hashes::{Hash as _, sha256};
use secp256k1::{Message, SECP256K1, SecretKey};

use super::refused;
use crate::auth::PORTAL;

/// Pays every quote at once.
pub struct TicketBackend {
    env: Env,
}

impl TicketBackend {
    /// Needs nothing but a clock and randomness, for the invoices.
    #[must_use]
    pub const fn new(env: Env) -> Self {
        Self { env }
    }

    /// An invoice of regtest that nobody can pay.
    fn invoice(&self, amount: &Amount<CurrencyUnit>, description: &str) -> Result<String, Error> {
        let key = loop {
            if let Ok(key) = SecretKey::from_slice(&self.env.bytes::<32>()) {
                break key;
            }
        };
        // Nobody knows a preimage: these are random bytes, not the hash of any.
        let hash = sha256::Hash::from_byte_array(self.env.bytes());
        let short: String = description.chars().take(100).collect();
        let now = Duration::from_millis(self.env.now_millis());
        let mut invoice = InvoiceBuilder::new(Currency::Regtest)
            .description(short)
            .payment_hash(hash)
            .payment_secret(PaymentSecret(self.env.bytes()))
            .duration_since_epoch(now)
            .min_final_cltv_expiry_delta(18);
        if *amount.unit() == CurrencyUnit::Sat {
            let msat = amount.value().checked_mul(1000).ok_or(Error::AmountMismatch)?;
            invoice = invoice.amount_milli_satoshis(msat);
        }
        invoice
            .build_signed(|digest: &Message| SECP256K1.sign_ecdsa_recoverable(digest, &key))
            .map(|invoice| invoice.to_string())
            .map_err(|cause| Error::Backend(Box::new(cause)))
    }

    fn incoming(
        &self,
        amount: &Amount<CurrencyUnit>,
        request: impl FnOnce(&str) -> Result<String, Error>,
        expiry: Option<u64>,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        if amount.value() == 0 {
            return Err(refused("an amount of zero"));
        }
        let random = self.env.alphanumeric(22);
        let id = format!("ticket:{}:{}:{random}", amount.unit(), amount.value());
        Ok(CreateIncomingPaymentResponse {
            request: request(&id)?,
            request_lookup_id: PaymentIdentifier::CustomId(id),
            expiry,
            extra_json: None,
        })
    }
}

/// What a burn's request says: `burn:<amount>` with a reference or without.
fn burned(request: &str) -> Option<u64> {
    let rest = request.strip_prefix("burn:")?;
    let (amount, _reference) = rest.split_once(':').unwrap_or((rest, ""));
    plain_number(amount)
}

/// Digits only: no sign, no spaces.
fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok().filter(|amount| *amount > 0) } else { None }
}

/// Unit and amount of an identifier.
fn identified(prefix: &str, identifier: &PaymentIdentifier) -> Option<Amount<CurrencyUnit>> {
    let PaymentIdentifier::CustomId(id) = identifier else { return None };
    let mut parts = id.strip_prefix(prefix)?.split(':');
    let unit: CurrencyUnit = parts.next()?.parse().ok()?;
    Some(Amount::new(plain_number(parts.next()?)?, unit))
}

fn spent(identifier: &PaymentIdentifier) -> Option<MakePaymentResponse> {
    Some(MakePaymentResponse {
        total_spent: identified("burn:", identifier)?,
        payment_lookup_id: identifier.clone(),
        payment_proof: None,
        status: MeltQuoteState::Paid,
    })
}

#[async_trait]
impl MintPayment for TicketBackend {
    type Err = Error;

    async fn get_settings(&self) -> Result<SettingsResponse, Error> {
        Ok(SettingsResponse {
            unit: "ticket".to_owned(),
            bolt11: Some(Bolt11Settings {
                mpp: false,
                amountless: false,
                invoice_description: true,
            }),
            bolt12: None,
            onchain: None,
            custom: HashMap::from([(PORTAL.to_owned(), "{}".to_owned())]),
        })
    }

    async fn create_incoming_payment_request(
        &self,
        options: IncomingPaymentOptions,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        match options {
            IncomingPaymentOptions::Bolt11(options) => {
                let about = options.description.unwrap_or_else(|| "tickets".to_owned());
                let request = |_: &str| self.invoice(&options.amount, &about);
                self.incoming(&options.amount, request, options.unix_expiry)
            }
            IncomingPaymentOptions::Custom(options) if options.method == PORTAL => {
                let amount = options.amount.ok_or_else(|| refused("no amount"))?;
                self.incoming(&amount, |id| Ok(id.to_owned()), options.unix_expiry)
            }
            IncomingPaymentOptions::Custom(_)
            | IncomingPaymentOptions::Bolt12(_)
            | IncomingPaymentOptions::Onchain(_) => Err(Error::UnsupportedPaymentOption),
        }
    }

    async fn get_payment_quote(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<PaymentQuoteResponse, Error> {
        let OutgoingPaymentOptions::Custom(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let amount = burned(&options.request)
            .filter(|_| options.method == PORTAL)
            .ok_or_else(|| refused("not a burn"))?;
        if options.amount.as_ref().is_some_and(|asked| asked.value() != amount) {
            return Err(Error::AmountMismatch);
        }
        let id = format!("burn:{unit}:{amount}:{}", options.quote_id);
        Ok(PaymentQuoteResponse {
            request_lookup_id: Some(PaymentIdentifier::CustomId(id)),
            amount: Amount::new(amount, unit.clone()),
            fee: Amount::new(0, unit.clone()),
            state: MeltQuoteState::Unpaid,
            extra_json: None,
            estimated_blocks: None,
            fee_options: None,
        })
    }

    async fn make_payment(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<MakePaymentResponse, Error> {
        let OutgoingPaymentOptions::Custom(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let amount = burned(&options.request).ok_or_else(|| refused("not a burn"))?;
        let id = format!("burn:{unit}:{amount}:{}", options.quote_id);
        spent(&PaymentIdentifier::CustomId(id)).ok_or_else(|| refused("not a burn"))
    }

    async fn wait_payment_event(&self) -> Result<Pin<Box<dyn Stream<Item = Event> + Send>>, Error> {
        // Nothing ever happens by itself. A stream that ended would be opened again and again.
        Ok(Box::pin(stream::pending()))
    }

    fn is_payment_event_stream_active(&self) -> bool {
        false
    }

    fn cancel_payment_event_stream(&self) {}

    async fn check_incoming_payment_status(
        &self,
        identifier: &PaymentIdentifier,
    ) -> Result<Vec<WaitPaymentResponse>, Error> {
        let payment_amount = identified("ticket:", identifier).ok_or(Error::UnknownPaymentState)?;
        Ok(vec![WaitPaymentResponse {
            payment_identifier: identifier.clone(),
            payment_amount,
            payment_id: identifier.to_string(),
        }])
    }

    async fn check_outgoing_payment(
        &self,
        identifier: &PaymentIdentifier,
    ) -> Result<MakePaymentResponse, Error> {
        spent(identifier).ok_or(Error::UnknownPaymentState)
    }
}

#[cfg(test)]
mod tests {
    use cdk_common::payment::{Bolt11IncomingPaymentOptions, CustomOutgoingPaymentOptions};
    use portal_core::env::mock;
    use portal_core::primitives::Timestamp;
    use portal_core::wallet::bolt11::Bolt11;

    use super::*;

    fn backend() -> TicketBackend {
        TicketBackend::new(mock::env(Timestamp::from_secs(1_800_000_000), 1).0)
    }

    fn vip(amount: u64) -> Amount<CurrencyUnit> {
        Amount::new(amount, CurrencyUnit::custom("vip"))
    }

    fn burn(request: &str) -> OutgoingPaymentOptions {
        OutgoingPaymentOptions::Custom(Box::new(CustomOutgoingPaymentOptions {
            method: PORTAL.to_owned(),
            request: request.to_owned(),
            amount: None,
            max_fee_amount: None,
            timeout_secs: None,
            melt_options: None,
            extra_json: None,
            quote_id: cdk_common::QuoteId::new(),
        }))
    }

    #[tokio::test]
    async fn a_quote_is_paid_by_what_it_is_called() {
        let made = backend()
            .create_incoming_payment_request(IncomingPaymentOptions::Bolt11(
                Bolt11IncomingPaymentOptions {
                    description: None,
                    amount: vip(3),
                    unix_expiry: Some(1_800_003_600),
                },
            ))
            .await
            .expect("made");
        let invoice = Bolt11::parse(&made.request).expect("an invoice");
        assert!(invoice.text.starts_with("lnbcrt1"), "of regtest, over no amount");
        // Another process asks: nothing but the identifier is known.
        let paid =
            backend().check_incoming_payment_status(&made.request_lookup_id).await.expect("known");
        assert_eq!(paid.len(), 1);
        assert_eq!(paid[0].payment_amount, vip(3));
    }

    #[tokio::test]
    async fn what_is_no_ticket_is_never_paid() {
        for id in ["", "ticket:", "ticket:vip:0:x", "ticket:vip:-1:x", "burn:vip:1:x", "vip:1"] {
            let id = PaymentIdentifier::CustomId(id.to_owned());
            assert!(backend().check_incoming_payment_status(&id).await.is_err(), "{id}");
        }
        let hash = PaymentIdentifier::PaymentHash([0; 32]);
        assert!(backend().check_incoming_payment_status(&hash).await.is_err());
    }

    #[tokio::test]
    async fn a_burn_takes_what_its_request_says_and_is_done_also_after_a_crash() {
        let unit = CurrencyUnit::custom("vip");
        let backend = backend();
        let quote = backend.get_payment_quote(&unit, burn("burn:2:door-4")).await.expect("a burn");
        assert_eq!((quote.amount, quote.fee.value()), (vip(2), 0));
        let id = quote.request_lookup_id.expect("named");
        let after = backend.check_outgoing_payment(&id).await.expect("known");
        assert_eq!((after.status, after.total_spent), (MeltQuoteState::Paid, vip(2)));
        for request in ["burn", "burn:", "burn:0", "burn:+1", "burn: 1", "burn:x:1", "pay:1"] {
            assert!(backend.get_payment_quote(&unit, burn(request)).await.is_err(), "{request}");
        }
    }
}
