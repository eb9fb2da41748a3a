//! `sat` over a Lightning wallet: a quote is paid when its invoice is, and melting pays one.
//!
//! The wallet alone says what is paid. Before a payment is sent the wallet is asked whether it
//! knows it already, so that nothing is sent twice, whatever became of our own books; the mint
//! has written the attempt down by then. Whatever is not certain stays pending, and is looked up
//! again until the wallet knows.
//!
//! ```text
//! make_payment:  known and settled ──────────────▶ paid
//!                known and under way ────────────▶ pending
//!                not known ─▶ pay ─┬ settled ────▶ paid, when the preimage fits
//!                                  ├ refused ────▶ failed
//!                                  └ anything else ▶ pending
//! looked up:     not known ─▶ pending; failed once its invoice has been over for an hour
//! ```

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cdk::nuts::{CurrencyUnit, MeltOptions, MeltQuoteState};
use cdk_common::payment::{
    Bolt11OutgoingPaymentOptions, Bolt11Settings, CreateIncomingPaymentResponse, Error, Event,
    IncomingPaymentOptions, MakePaymentResponse, MintPayment, OutgoingPaymentOptions,
    PaymentIdentifier, PaymentQuoteResponse, SettingsResponse, WaitPaymentResponse,
};
use cdk_common::{Amount, QuoteId};
use futures_util::{Stream, StreamExt, stream};
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{
    Direction, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome, PaymentHash,
    PaymentState, WalletError, WalletEvent, WalletPayment,
};
use sha2::{Digest, Sha256};

use super::refused;

/// How long a payment may take before it is looked at again later.
const PAY_TIMEOUT: Duration = Duration::from_secs(45);

/// How long after the end of its invoice a payment that the wallet does not know is held for
/// possible.
const CERTAIN_AFTER: Duration = Duration::from_secs(3600);

/// How far back a wallet is asked for what was missed while it could not be reached.
const MISSED: Duration = Duration::from_secs(3600);

/// How many payments are asked for then.
const MISSED_PAGE: u32 = 20;
const MISSED_PAGES: u32 = 10;

/// What is kept back for routing.
#[derive(Clone, Copy, Debug)]
pub struct FeeReserve {
    /// In hundredths of the amount.
    pub percent: u64,
    /// At least this many satoshis.
    pub min: u64,
}

impl FeeReserve {
    const fn of(self, sat: u64) -> u64 {
        let part = sat.saturating_mul(self.percent).div_ceil(100);
        if part > self.min { part } else { self.min }
    }
}

/// Pays and is paid through a wallet.
pub struct LightningBackend {
    wallet: Arc<dyn LightningWallet>,
    reserve: FeeReserve,
    env: Env,
    melts: Arc<Melts>,
}

/// Payments that are being made, or whose end is not known.
#[derive(Default)]
struct Melts {
    /// Hashes that a call to the wallet is at work on.
    at_work: Mutex<HashSet<PaymentHash>>,
    /// Each of them, for what the wallet tells later.
    open: Mutex<HashMap<PaymentHash, Attempt>>,
}

/// A payment without a known end.
#[derive(Clone)]
struct Attempt {
    quote: QuoteId,
    /// When it was handed over last, as far as this process knows.
    at: Timestamp,
    invoice_ends: Timestamp,
    /// What was kept back for the route.
    max_fee: Option<Millisats>,
}

impl Attempt {
    /// Whether a payment that the wallet does not know will never be sent: its invoice has been
    /// over for an hour, and it was handed over longer ago than that.
    fn can_no_longer_leave(&self, now: Timestamp) -> bool {
        let long_ago = now.saturating_sub(CERTAIN_AFTER);
        self.invoice_ends < long_ago && self.at < long_ago
    }
}

impl LightningBackend {
    /// Takes a wallet into use.
    #[must_use]
    pub fn new(wallet: Arc<dyn LightningWallet>, reserve: FeeReserve, env: Env) -> Self {
        Self { wallet, reserve, env, melts: Arc::default() }
    }

    /// Remembers a payment that was under way when the mint was stopped.
    pub fn resume(&self, hash: [u8; 32], quote: QuoteId, invoice: &str, reserve_sat: u64) {
        // One that cannot be read could not have been sent; its end is never assumed either way.
        let invoice_ends =
            Bolt11::parse(invoice).map_or(Timestamp::from_secs(u64::MAX), |read| read.expires_at);
        let max_fee = Millisats::from_sats(reserve_sat);
        let attempt = Attempt { quote, at: self.env.now(), invoice_ends, max_fee };
        self.melts.remember(PaymentHash(hash), attempt);
    }

    /// Quotes whose payment has no known end yet.
    #[must_use]
    pub fn unsettled(&self) -> Vec<QuoteId> {
        let open = self.melts.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|attempt| attempt.quote.clone()).collect()
    }

    /// A quote whose end is known and written.
    pub fn settled(&self, quote: &QuoteId) {
        let mut open = self.melts.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, attempt| attempt.quote != *quote);
    }

    async fn outgoing(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        let found = self.wallet.lookup(hash).await?;
        Ok(found.filter(|payment| payment.direction == Direction::Outgoing))
    }

    async fn pay(&self, options: &Bolt11OutgoingPaymentOptions) -> Result<Outcome, Error> {
        let read = read(&options.bolt11.to_string())?;
        let amount = amount_of(&read, options.melt_options)?;
        let Some(_at_work) = self.melts.begin(read.payment_hash) else {
            return Ok(Outcome::Pending);
        };
        let max_fee =
            options.max_fee_amount.as_ref().and_then(|fee| Millisats::from_sats(fee.value()));
        let attempt = Attempt {
            quote: options.quote_id.clone(),
            at: self.env.now(),
            invoice_ends: read.expires_at,
            max_fee,
        };
        self.melts.remember(read.payment_hash, attempt);
        match self.outgoing(read.payment_hash).await {
            Ok(None) => {}
            Ok(Some(payment)) => match Outcome::of(&payment, max_fee) {
                // An attempt of before failed for good; this is another one.
                Outcome::Failed => {}
                known => return Ok(known),
            },
            // Nothing was sent, and nothing is while we cannot look.
            Err(error) => {
                tracing::warn!(%error, "a payment was not sent: the wallet cannot be asked");
                return Ok(Outcome::Failed);
            }
        }
        let request = PayInvoice {
            bolt11: read.text,
            payment_hash: read.payment_hash,
            amount: read.amount.is_none().then_some(amount),
            max_fee,
            timeout: PAY_TIMEOUT,
        };
        Ok(match self.wallet.pay(request).await {
            Ok(PayOutcome::Settled { preimage, fee })
                if Sha256::digest(preimage).as_slice() == read.payment_hash.0 =>
            {
                Outcome::Settled { amount, fee: within(fee, max_fee), preimage: Some(preimage) }
            }
            Ok(PayOutcome::Settled { .. }) => {
                tracing::error!("the wallet named a preimage that is not the invoice's");
                Outcome::Unknown
            }
            Ok(PayOutcome::Pending) => Outcome::Pending,
            Ok(PayOutcome::Failed { .. }) => Outcome::Failed,
            Err(error) if error.outcome_unknown() => Outcome::Unknown,
            Err(error) => {
                tracing::info!(%error, "a payment was refused");
                Outcome::Failed
            }
        })
    }
}

/// What the melter bears of the fee. A wallet that cannot be held to a bound may pay more than
/// was kept back: the rest is the mint's loss, which nobody else can be charged.
fn within(fee: Millisats, most: Option<Millisats>) -> Millisats {
    match most {
        Some(most) if fee > most => {
            tracing::error!(%fee, %most, "a payment cost more than was kept back for its route");
            most
        }
        Some(_) | None => fee,
    }
}

/// Where a payment stands, as far as it is certain.
enum Outcome {
    Settled { amount: Millisats, fee: Millisats, preimage: Option<[u8; 32]> },
    Pending,
    Failed,
    Unknown,
}

impl Outcome {
    fn of(payment: &WalletPayment, max_fee: Option<Millisats>) -> Self {
        match payment.state {
            PaymentState::Pending => Self::Pending,
            PaymentState::Failed => Self::Failed,
            PaymentState::Settled { preimage, .. } => {
                let fee = within(payment.fee, max_fee);
                Self::Settled { amount: payment.amount, fee, preimage }
            }
        }
    }

    fn response(self, hash: PaymentHash) -> MakePaymentResponse {
        let nothing = Amount::new(0, CurrencyUnit::Sat);
        let (status, total_spent, payment_proof) = match self {
            Self::Settled { amount, fee, preimage } => {
                let spent = Millisats::new(amount.as_u64().saturating_add(fee.as_u64()));
                let spent = Amount::new(spent.sats_rounded_up(), CurrencyUnit::Sat);
                (MeltQuoteState::Paid, spent, preimage.map(hex::encode))
            }
            Self::Pending => (MeltQuoteState::Pending, nothing, None),
            Self::Failed => (MeltQuoteState::Failed, nothing, None),
            Self::Unknown => (MeltQuoteState::Unknown, nothing, None),
        };
        MakePaymentResponse {
            payment_lookup_id: PaymentIdentifier::PaymentHash(hash.0),
            payment_proof,
            status,
            total_spent,
        }
    }
}

impl Melts {
    fn remember(&self, hash: PaymentHash, attempt: Attempt) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, attempt);
    }

    fn attempt(&self, hash: PaymentHash) -> Option<Attempt> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// `None` when this hash is being paid at this moment.
    fn begin(self: &Arc<Self>, hash: PaymentHash) -> Option<AtWork> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work.insert(hash).then(|| AtWork { melts: Arc::clone(self), hash })
    }
}

struct AtWork {
    melts: Arc<Melts>,
    hash: PaymentHash,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.melts.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.hash);
    }
}

fn read(invoice: &str) -> Result<Bolt11, Error> {
    Bolt11::parse(invoice).map_err(|_| refused("not a Lightning invoice"))
}

/// What is to be paid: the invoice says, or, when it leaves that open, the melter.
fn amount_of(invoice: &Bolt11, options: Option<MeltOptions>) -> Result<Millisats, Error> {
    let asked = match options {
        None => None,
        Some(MeltOptions::Amountless { amountless }) => {
            Some(Millisats::new(amountless.amount_msat.into()))
        }
        Some(MeltOptions::Mpp { .. }) => return Err(Error::UnsupportedPaymentOption),
    };
    match (invoice.amount, asked) {
        (Some(amount), None) => Ok(amount),
        (None, Some(amount)) if amount.as_u64() > 0 => Ok(amount),
        (Some(amount), Some(asked)) if amount == asked => Ok(amount),
        _ => Err(Error::AmountMismatch),
    }
}

/// What an incoming payment means to the mint; parts of a satoshi are not credited.
fn received(payment: &WalletPayment) -> Option<WaitPaymentResponse> {
    let settled = matches!(payment.state, PaymentState::Settled { .. });
    let sat = payment.amount.as_u64() / 1000;
    (settled && payment.direction == Direction::Incoming && sat > 0).then(|| WaitPaymentResponse {
        payment_identifier: PaymentIdentifier::PaymentHash(payment.payment_hash.0),
        payment_amount: Amount::new(sat, CurrencyUnit::Sat),
        payment_id: payment.payment_hash.to_string(),
    })
}

/// Settled payments of the last hour, for what was missed.
async fn missed(wallet: Arc<dyn LightningWallet>, since: Timestamp) -> Vec<WalletPayment> {
    let mut found = Vec::new();
    for page in 0..MISSED_PAGES {
        let query = ListPayments {
            since,
            direction: None,
            offset: page.saturating_mul(MISSED_PAGE),
            limit: MISSED_PAGE,
        };
        match wallet.list(query).await {
            Ok(payments) => {
                let last = payments.len() < usize::try_from(MISSED_PAGE).unwrap_or(usize::MAX);
                found.extend(payments);
                if last {
                    break;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the wallet does not list what was missed");
                break;
            }
        }
    }
    found
}

#[async_trait]
impl MintPayment for LightningBackend {
    type Err = Error;

    async fn get_settings(&self) -> Result<SettingsResponse, Error> {
        Ok(SettingsResponse {
            unit: CurrencyUnit::Sat.to_string(),
            bolt11: Some(Bolt11Settings {
                mpp: false,
                amountless: true,
                invoice_description: true,
            }),
            bolt12: None,
            onchain: None,
            custom: HashMap::new(),
        })
    }

    async fn create_incoming_payment_request(
        &self,
        options: IncomingPaymentOptions,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        let IncomingPaymentOptions::Bolt11(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let amount = Millisats::from_sats(options.amount.value())
            .filter(|amount| amount.as_u64() > 0)
            .ok_or(Error::AmountMismatch)?;
        let now = self.env.now();
        let expiry = options.unix_expiry.map_or(Duration::from_secs(3600), |end| {
            Timestamp::from_secs(end).saturating_since(now)
        });
        let request = NewInvoice { amount, description: options.description, expiry };
        let invoice = self
            .wallet
            .make_invoice(request)
            .await
            .map_err(|cause| Error::Backend(Box::new(cause)))?;
        Ok(CreateIncomingPaymentResponse {
            request_lookup_id: PaymentIdentifier::PaymentHash(invoice.payment_hash.0),
            request: invoice.bolt11,
            expiry: Some(invoice.expires_at.as_secs()),
            extra_json: None,
        })
    }

    async fn get_payment_quote(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<PaymentQuoteResponse, Error> {
        let OutgoingPaymentOptions::Bolt11(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let read = read(&options.bolt11.to_string())?;
        if read.is_expired_at(self.env.now()) {
            return Err(Error::InvalidExpiry);
        }
        let sat = amount_of(&read, options.melt_options)?.sats_rounded_up();
        Ok(PaymentQuoteResponse {
            request_lookup_id: Some(PaymentIdentifier::PaymentHash(read.payment_hash.0)),
            amount: Amount::new(sat, unit.clone()),
            fee: Amount::new(self.reserve.of(sat), unit.clone()),
            state: MeltQuoteState::Unpaid,
            extra_json: None,
            estimated_blocks: None,
            fee_options: None,
        })
    }

    async fn make_payment(
        &self,
        _unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<MakePaymentResponse, Error> {
        let OutgoingPaymentOptions::Bolt11(options) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let hash = read(&options.bolt11.to_string())?.payment_hash;
        Ok(self.pay(&options).await?.response(hash))
    }

    async fn wait_payment_event(&self) -> Result<Pin<Box<dyn Stream<Item = Event> + Send>>, Error> {
        let (wallet, melts, env) = (self.wallet.clone(), self.melts.clone(), self.env.clone());
        let events = self.wallet.events().then(move |event| {
            let (wallet, melts, env) = (wallet.clone(), melts.clone(), env.clone());
            async move {
                let payments = match event {
                    WalletEvent::Settled(payment) => vec![payment],
                    WalletEvent::Reconnected => {
                        missed(wallet, env.now().saturating_sub(MISSED)).await
                    }
                    WalletEvent::Disconnected => Vec::new(),
                };
                let events: Vec<Event> =
                    payments.iter().filter_map(|payment| told(payment, &melts)).collect();
                stream::iter(events)
            }
        });
        Ok(Box::pin(events.flatten()))
    }

    fn is_payment_event_stream_active(&self) -> bool {
        false
    }

    fn cancel_payment_event_stream(&self) {}

    async fn check_incoming_payment_status(
        &self,
        identifier: &PaymentIdentifier,
    ) -> Result<Vec<WaitPaymentResponse>, Error> {
        let PaymentIdentifier::PaymentHash(hash) = identifier else {
            return Err(Error::UnknownPaymentState);
        };
        let found = self
            .wallet
            .lookup(PaymentHash(*hash))
            .await
            .map_err(|cause| Error::Backend(Box::new(cause)))?;
        Ok(found.as_ref().and_then(received).into_iter().collect())
    }

    async fn check_outgoing_payment(
        &self,
        identifier: &PaymentIdentifier,
    ) -> Result<MakePaymentResponse, Error> {
        let PaymentIdentifier::PaymentHash(hash) = identifier else {
            return Err(Error::UnknownPaymentState);
        };
        let hash = PaymentHash(*hash);
        let attempt = self.melts.attempt(hash);
        let outcome = match self.outgoing(hash).await {
            Ok(Some(payment)) => Outcome::of(&payment, attempt.and_then(|it| it.max_fee)),
            // A wallet that has not heard of a payment may hear of it yet, unless nobody could
            // send it any more.
            Ok(None) => match attempt {
                Some(attempt) if attempt.can_no_longer_leave(self.env.now()) => Outcome::Failed,
                _ => Outcome::Unknown,
            },
            Err(_) => Outcome::Unknown,
        };
        Ok(outcome.response(hash))
    }
}

/// What the mint is told of a payment.
fn told(payment: &WalletPayment, melts: &Melts) -> Option<Event> {
    match payment.direction {
        Direction::Incoming => received(payment).map(Event::PaymentReceived),
        Direction::Outgoing => {
            let settled = matches!(payment.state, PaymentState::Settled { .. });
            let attempt = melts.attempt(payment.payment_hash).filter(|_| settled)?;
            let details = Outcome::of(payment, attempt.max_fee).response(payment.payment_hash);
            Some(Event::PaymentSuccessful { quote_id: attempt.quote, details })
        }
    }
}
