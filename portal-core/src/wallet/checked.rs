//! A wallet that somebody else wrote, held to its word.
//!
//! Apps bring wallets of their own, in their own language. Nothing such a wallet says is taken
//! over unchecked: an invoice must be the one that was asked for, a look-up must be about the
//! payment that was named, a preimage must fit, texts are cut, and a call that does not come back
//! ends with a timeout. What cannot be used is [`WalletError::BadAnswer`], with which no payment
//! counts as failed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nostr::hashes::{Hash, sha256};
use tokio_util::sync::CancellationToken;

use super::bolt11::Bolt11;
use super::{
    Balance, Budget, FeeQuote, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice,
    PayOutcome, PaymentHash, PaymentState, WalletError, WalletEvent, WalletInfo, WalletPayment,
    WalletState,
};
use crate::env::Env;
use crate::primitives::Millisats;

/// How long a call other than a payment may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the wallet may take to end.
const END: Duration = Duration::from_secs(3);
/// Longest name that is kept.
const MAX_NAME: usize = 64;
/// Longest text for people that is kept.
const MAX_TEXT: usize = 256;
/// Most methods that are kept.
const MAX_METHODS: usize = 64;
/// Most payments that are listed at once.
const MAX_PAGE: u32 = 1000;

/// All bitcoin there will be, in millisatoshi: who tells of more is not believed.
const ALL_MSAT: u64 = 2_100_000_000_000_000_000;

/// Stands before a wallet and checks everything it says.
pub struct CheckedWallet {
    inner: Arc<dyn LightningWallet>,
    env: Env,
    last_balance: Mutex<Option<Balance>>,
    end: CancellationToken,
}

impl CheckedWallet {
    /// Checks this wallet from now on.
    #[must_use]
    pub fn new(inner: Arc<dyn LightningWallet>, env: Env) -> Self {
        Self { inner, env, last_balance: Mutex::default(), end: CancellationToken::new() }
    }

    async fn call<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, WalletError>> + Send,
    ) -> Result<T, WalletError> {
        if self.end.is_cancelled() {
            return Err(WalletError::ShutDown);
        }
        tokio::select! {
            biased;
            () = self.end.cancelled() => Err(WalletError::ShutDown),
            answer = tokio::time::timeout(patience, call) => match answer {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(short(error)),
                Err(_) => Err(WalletError::Timeout),
            },
        }
    }
}

#[async_trait]
impl LightningWallet for CheckedWallet {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        let info = self.call(PATIENCE, self.inner.info()).await?;
        let name = |text: &str| !text.is_empty() && text.len() <= MAX_NAME;
        let network = info.network.as_deref().is_none_or(name);
        let methods = info.methods.len() <= MAX_METHODS && info.methods.iter().all(|one| name(one));
        if !(name(&info.kind) && network && methods) {
            return Err(bad("its description of itself is too long or empty"));
        }
        Ok(info)
    }

    fn whole_sats(&self) -> bool {
        self.inner.whole_sats()
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let Balance { amount, at } = self.call(PATIENCE, self.inner.balance()).await?;
        if amount.as_u64() > ALL_MSAT {
            return Err(bad("there is not that much money"));
        }
        // Nobody knows a balance of the future: the clock over there is ahead.
        let balance = Balance { amount, at: at.min(self.env.now()) };
        *self.last_balance.lock().unwrap_or_else(PoisonError::into_inner) = Some(balance);
        Ok(balance)
    }

    fn last_balance(&self) -> Option<Balance> {
        *self.last_balance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn budget(&self) -> Result<Option<Budget>, WalletError> {
        self.call(PATIENCE, self.inner.budget()).await
    }

    fn state(&self) -> WalletState {
        if self.end.is_cancelled() { WalletState::ShutDown } else { self.inner.state() }
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        if request.amount == Millisats::new(0) {
            return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
        }
        let asked = request.amount;
        let made = self.call(PATIENCE, self.inner.make_invoice(request)).await?;
        let read = Bolt11::parse(&made.bolt11).map_err(|_| bad("no invoice"))?;
        if read.amount != Some(asked) {
            return Err(bad("the invoice asks for another amount"));
        }
        // Whatever else it said of the invoice, the text is what payers see.
        Ok(read.into())
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        match self.call(PATIENCE, self.inner.lookup(payment_hash)).await? {
            Some(payment) if payment.payment_hash != payment_hash => {
                Err(bad("it is about another payment"))
            }
            Some(payment) if !plausible(&payment) => Err(bad("there is not that much money")),
            known => Ok(known.map(sound)),
        }
    }

    async fn invoice_of(&self, payment_hash: PaymentHash) -> Result<Option<String>, WalletError> {
        let text = self.call(PATIENCE, self.inner.invoice_of(payment_hash)).await?;
        Ok(text
            .filter(|text| Bolt11::parse(text).is_ok_and(|read| read.payment_hash == payment_hash)))
    }

    async fn quote(&self, request: &PayInvoice) -> Result<FeeQuote, WalletError> {
        request.checked_amount()?;
        self.call(PATIENCE, self.inner.quote(request)).await
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        request.checked_amount()?;
        if self.end.is_cancelled() {
            return Err(WalletError::ShutDown);
        }
        let hash = request.payment_hash;
        let paid = self.call(request.timeout, self.inner.pay(request)).await;
        match paid {
            Ok(PayOutcome::Settled { preimage, .. }) if !fits(&preimage, hash) => {
                Err(bad("the preimage is not the invoice's"))
            }
            Ok(PayOutcome::Failed { reason }) => {
                Ok(PayOutcome::Failed { reason: cut(&reason, MAX_TEXT) })
            }
            // It was handed over: it must not end like a call that was never made.
            Err(WalletError::ShutDown) => Err(WalletError::Unreachable),
            other => other,
        }
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let query = ListPayments { limit: query.limit.min(MAX_PAGE), ..query };
        let payments = self.call(PATIENCE, self.inner.list(query)).await?;
        Ok(page(payments, query, |payment| payment.created_at >= query.since))
    }

    async fn list_settled(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let query = ListPayments { limit: query.limit.min(MAX_PAGE), ..query };
        let payments = self.call(PATIENCE, self.inner.list_settled(query)).await?;
        let since = |payment: &WalletPayment| match payment.state {
            PaymentState::Settled { at, .. } => at >= query.since,
            PaymentState::Pending | PaymentState::Failed => false,
        };
        Ok(page(payments, query, since))
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.inner
            .events()
            .map(|event| match event {
                WalletEvent::Settled(payment) => WalletEvent::Settled(sound(payment)),
                WalletEvent::Reconnected | WalletEvent::Disconnected => event,
            })
            .take_until(self.end.clone().cancelled_owned())
            .boxed()
    }

    async fn shutdown(&self) {
        if self.end.is_cancelled() {
            return;
        }
        self.end.cancel();
        if tokio::time::timeout(END, self.inner.shutdown()).await.is_err() {
            tracing::warn!("the wallet of the app does not end");
        }
    }
}

/// A preimage that does not fit proves nothing and is dropped.
fn sound(payment: WalletPayment) -> WalletPayment {
    let hash = payment.payment_hash;
    let state = match payment.state {
        PaymentState::Settled { preimage, at } => {
            PaymentState::Settled { preimage: preimage.filter(|bytes| fits(bytes, hash)), at }
        }
        state @ (PaymentState::Pending | PaymentState::Failed) => state,
    };
    WalletPayment { state, ..payment }
}

/// What of a list is an answer to the query, each payment once.
fn page(
    payments: Vec<WalletPayment>,
    query: ListPayments,
    since: impl Fn(&WalletPayment) -> bool,
) -> Vec<WalletPayment> {
    let mut told = HashSet::new();
    payments
        .into_iter()
        .filter(plausible)
        .filter(since)
        .filter(|payment| query.direction.is_none_or(|only| only == payment.direction))
        .filter(|payment| told.insert((payment.payment_hash, payment.direction)))
        .take(query.limit as usize)
        .map(sound)
        .collect()
}

fn plausible(payment: &WalletPayment) -> bool {
    payment.amount.as_u64() <= ALL_MSAT && payment.fee.as_u64() <= ALL_MSAT
}

fn fits(preimage: &[u8; 32], hash: PaymentHash) -> bool {
    sha256::Hash::hash(preimage).to_byte_array() == hash.0
}

fn bad(what: &str) -> WalletError {
    WalletError::BadAnswer { what: what.to_owned() }
}

/// Texts of others are cut before they reach logs and people.
fn short(error: WalletError) -> WalletError {
    match error {
        WalletError::Refused { code, message } => {
            WalletError::Refused { code: cut(&code, MAX_NAME), message: cut(&message, MAX_TEXT) }
        }
        WalletError::BadAnswer { what } => WalletError::BadAnswer { what: cut(&what, MAX_TEXT) },
        WalletError::BadRequest { what } => WalletError::BadRequest { what: cut(&what, MAX_TEXT) },
        other @ (WalletError::Timeout
        | WalletError::Unreachable
        | WalletError::Unsupported { .. }
        | WalletError::MaySpend
        | WalletError::ShutDown) => other,
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests;
