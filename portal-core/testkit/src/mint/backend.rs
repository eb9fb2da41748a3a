//! A payment backend whose quotes are paid at once: nothing is paid, and nothing is kept.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use cdk::nuts::{CurrencyUnit, MeltQuoteState};
use cdk_common::Amount;
use cdk_common::payment::{
    Bolt11Settings, CreateIncomingPaymentResponse, Error, Event, IncomingPaymentOptions,
    MakePaymentResponse, MintPayment, OutgoingPaymentOptions, PaymentIdentifier,
    PaymentQuoteResponse, SettingsResponse, WaitPaymentResponse,
};
use futures_util::{Stream, stream};

/// Pays every quote at once, as long as it is told to.
pub(super) struct AtOnce {
    paid: Arc<AtomicBool>,
    /// Tells quotes of one process apart; the time and the place do the rest.
    counter: AtomicU64,
    start: u128,
}

impl AtOnce {
    pub(super) fn new(paid: Arc<AtomicBool>) -> Self {
        // Another start of the same mint makes other names.
        #[expect(clippy::disallowed_methods, reason = "a test's mint has no Env")]
        let start = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        Self { paid, counter: AtomicU64::new(0), start }
    }

    fn name(&self, amount: u64, unit: &CurrencyUnit) -> String {
        let number = self.counter.fetch_add(1, Ordering::SeqCst);
        format!("quote:{unit}:{amount}:{}:{number}", self.start)
    }
}

fn read(identifier: &PaymentIdentifier) -> Option<Amount<CurrencyUnit>> {
    let PaymentIdentifier::CustomId(name) = identifier else { return None };
    let mut parts = name.split(':').skip(1);
    let unit: CurrencyUnit = parts.next()?.parse().ok()?;
    Some(Amount::new(parts.next()?.parse().ok()?, unit))
}

fn burned(request: &str) -> Option<u64> {
    request.strip_prefix("burn:")?.split(':').next()?.parse().ok()
}

#[async_trait]
impl MintPayment for AtOnce {
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
            custom: HashMap::from([("portal".to_owned(), "{}".to_owned())]),
        })
    }

    async fn create_incoming_payment_request(
        &self,
        options: IncomingPaymentOptions,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        let amount = match options {
            IncomingPaymentOptions::Bolt11(options) => options.amount,
            IncomingPaymentOptions::Custom(options) => {
                options.amount.ok_or(Error::AmountMismatch)?
            }
            IncomingPaymentOptions::Bolt12(_) | IncomingPaymentOptions::Onchain(_) => {
                return Err(Error::UnsupportedPaymentOption);
            }
        };
        let name = self.name(amount.value(), amount.unit());
        Ok(CreateIncomingPaymentResponse {
            request: format!("pay {name}"),
            request_lookup_id: PaymentIdentifier::CustomId(name),
            expiry: None,
            extra_json: None,
        })
    }

    async fn get_payment_quote(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<PaymentQuoteResponse, Error> {
        let OutgoingPaymentOptions::Custom(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let amount = burned(&options.request).ok_or(Error::AmountMismatch)?;
        let name = self.name(amount, unit);
        Ok(PaymentQuoteResponse {
            request_lookup_id: Some(PaymentIdentifier::CustomId(name)),
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
        let amount = burned(&options.request).ok_or(Error::AmountMismatch)?;
        Ok(MakePaymentResponse {
            payment_lookup_id: PaymentIdentifier::CustomId(self.name(amount, unit)),
            payment_proof: None,
            status: MeltQuoteState::Paid,
            total_spent: Amount::new(amount, unit.clone()),
        })
    }

    async fn wait_payment_event(&self) -> Result<Pin<Box<dyn Stream<Item = Event> + Send>>, Error> {
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
        if !self.paid.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        let payment_amount = read(identifier).ok_or(Error::UnknownPaymentState)?;
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
        Ok(MakePaymentResponse {
            payment_lookup_id: identifier.clone(),
            payment_proof: None,
            status: MeltQuoteState::Paid,
            total_spent: read(identifier).ok_or(Error::UnknownPaymentState)?,
        })
    }
}
