//! A wallet on the other side of NIP-47 (Nostr Wallet Connect), and the other side itself.
//!
//! [`NwcWallet`] is a client of a wallet that somebody linked with an [`NwcUri`]; [`NwcService`]
//! offers any [`LightningWallet`] to such clients. Both run over any
//! [`RelayPool`], which brings the connections and their tasks.
//!
//! What is known of the wallet's manners, and what we do about them:
//!
//! - Codes, states and numbers that we have not seen before do not make an answer unreadable; the
//!   wallet's own code is kept. A payment whose error does not say "never" is pending.
//! - The cipher is agreed on once for each connection and kept ([`NwcWallet::connect_kept`]); it
//!   can become better, never worse.
//! - A payment is told of once, though wallets that know both ciphers send every notification
//!   twice. Notifications that were sent while we were away are gone: what was told is only a
//!   hint, and [`WalletEvent::Reconnected`] says when to ask.
//! - An answer counts only for the request it names. One to a payment that comes after its
//!   deadline is told of as a reason to ask.
//! - A wallet whose connection was deleted is silent: see [`NwcWallet::state`].
//! - What a connection may do is in the answer to `get_info`. With
//!   [`NwcOptions::allow_spending`] off it is asked before the first call after each connect, and
//!   a link that may spend is not used.
//!
//! NIP-47 knows no fee limit and no idempotence key: what must not happen twice is guarded above,
//! in [`crate::payments`]. No request, answer, invoice or preimage is ever logged.

mod about;
mod books;
mod cipher;
mod holds;
mod link;
pub mod message;
mod pin;
mod pulse;
mod seen;
mod serve;
mod service;
#[cfg(test)]
mod test_relay;
#[cfg(test)]
mod tests;
mod uri;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use nostr::{Keys, SecretKey};

pub use self::cipher::Cipher;
use self::link::Link;
use self::message::{
    BalanceResult, BudgetResult, Code, InfoResult, ListTransactions, LookupInvoice, MakeInvoice,
    Paid, PayInvoiceParams, Refusal, Request, Response, Transaction, TransactionList,
};
pub use self::pin::ConnectError;
use self::pin::Pin;
pub use self::service::{NwcConnection, NwcService, NwcServiceOptions, Permission};
pub use self::uri::{MAX_RELAYS, NwcUri, NwcUriError};
use super::bolt11::Bolt11;
use super::{
    Balance, Budget, Direction, HoldInvoices, Invoice, LightningWallet, ListPayments, NewInvoice,
    PayInvoice, PayOutcome, PaymentHash, PaymentKey, WalletError, WalletEvent, WalletInfo,
    WalletPayment, WalletState,
};
use crate::env::Env;
use crate::primitives::{Millisats, Timestamp};
use crate::relay::{RelayPool, RelaySink};
use crate::storage::Store;

/// How long a payment deserves to be waited for: routes of more than a minute are usual.
pub const PAY_TIMEOUT: Duration = Duration::from_secs(90);
/// What NIP-47 wallets promise to list at once.
const PAGE: u32 = 20;
/// Most pages that are asked for, whatever the limit.
const MAX_PAGES: u32 = 50;
/// Methods with which money can leave a wallet.
const SPENDING: [&str; 4] =
    ["pay_invoice", "multi_pay_invoice", "pay_keysend", "multi_pay_keysend"];

/// How an [`NwcWallet`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct NwcOptions {
    /// For every call but a payment, which brings its own.
    pub timeout: Duration,
    /// What [`NwcWallet::negotiated`] said when this link was last used. With NIP-44 here, no
    /// relay can talk us into NIP-04.
    pub cipher: Option<Cipher>,
    /// How long the first call waits for the wallet to say which ciphers it knows.
    pub info_wait: Duration,
    /// Whether the link may be one that can spend. When not, the wallet is asked what the link may
    /// do before it is used, and [`WalletError::MaySpend`] is the answer to every call over one
    /// that can.
    pub allow_spending: bool,
}

impl Default for NwcOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            cipher: None,
            info_wait: Duration::from_secs(3),
            allow_spending: true,
        }
    }
}

/// A wallet that is linked by NIP-47.
pub struct NwcWallet {
    link: Arc<Link>,
    options: NwcOptions,
    seen: Mutex<Seen>,
}

/// What the wallet has said before.
#[derive(Default)]
struct Seen {
    balance: Option<Balance>,
    /// Whether the link may spend, and in which connection the wallet said so.
    may_spend: Option<(u64, bool)>,
}

impl NwcWallet {
    /// Starts to use a link. `connector` is given the receiver of what relays say and returns
    /// connections to the relays of the link. Does not wait for any of them.
    ///
    /// # Errors
    /// [`NwcUriError::WrongWalletKey`] or [`NwcUriError::WrongSecret`] when no keys can be made
    /// of what the link says; a link that was parsed has none of these faults.
    pub fn connect(
        uri: &NwcUri,
        connector: impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool>,
        env: Env,
        options: NwcOptions,
    ) -> Result<Self, NwcUriError> {
        Self::connect_with(uri, connector, env, options, None)
    }

    /// As [`NwcWallet::connect`], with the cipher of the connection kept in a store: what an
    /// earlier run agreed on holds, whatever [`NwcOptions::cipher`] says.
    ///
    /// # Errors
    /// Those of the link, and of the store.
    ///
    /// # Cancel safety
    /// Nothing is connected when the future is dropped.
    pub async fn connect_kept(
        uri: &NwcUri,
        connector: impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool>,
        env: Env,
        options: NwcOptions,
        store: Arc<dyn Store>,
    ) -> Result<Self, ConnectError> {
        let pin = Pin::new(store, uri);
        let cipher = pin.load().await?.or(options.cipher);
        let options = NwcOptions { cipher, ..options };
        Ok(Self::connect_with(uri, connector, env, options, Some(pin))?)
    }

    fn connect_with(
        uri: &NwcUri,
        connector: impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool>,
        env: Env,
        options: NwcOptions,
        pin: Option<Pin>,
    ) -> Result<Self, NwcUriError> {
        let secret =
            SecretKey::from_slice(uri.secret.expose()).map_err(|_| NwcUriError::WrongSecret)?;
        let link = Link::new(env, Keys::new(secret), uri.wallet, options, pin)
            .map_err(|_| NwcUriError::WrongWalletKey)?;
        link.attach(connector(link.sink()));
        Ok(Self { link, options, seen: Mutex::default() })
    }

    /// The cipher that the wallet is known to understand. Keep it with the link and give it back
    /// in [`NwcOptions::cipher`].
    #[must_use]
    pub fn negotiated(&self) -> Option<Cipher> {
        self.link.negotiated()
    }

    async fn make(
        &self,
        request: NewInvoice,
        description_hash: Option<[u8; 32]>,
    ) -> Result<Transaction, WalletError> {
        if request.amount == Millisats::new(0) {
            return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
        }
        let params = MakeInvoice {
            amount: request.amount.as_u64(),
            description: request.description,
            description_hash: description_hash.map(hex::encode),
            expiry: Some(request.expiry.as_secs()),
        };
        self.ask(Request::MakeInvoice(params), "make_invoice").await
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a link that may spend from being used where it may not be one.
    async fn permitted(&self) -> Result<(), WalletError> {
        if self.options.allow_spending {
            return Ok(());
        }
        let connection = self.link.connections();
        let seen = self.seen().may_spend;
        match seen {
            Some((at, true)) if at == connection => Err(WalletError::MaySpend),
            Some((at, false)) if at == connection => Ok(()),
            Some(_) | None => self.get_info().await.map(|_| ()),
        }
    }

    /// What the wallet says that this connection may do.
    async fn get_info(&self) -> Result<InfoResult, WalletError> {
        let answer = self.ask_freely::<InfoResult>(Request::GetInfo, "get_info").await;
        let connection = self.link.connections();
        let about = self.link.about();
        let mut read = match (answer, &about) {
            (Ok(read), _) => read,
            // It answers, and it has told everyone what it can do.
            (Err(WalletError::Unsupported { .. }), Some(_)) => InfoResult::default(),
            (Err(WalletError::Refused { code, .. }), Some(_))
                if code != Code::Unauthorized.as_str() =>
            {
                InfoResult::default()
            }
            (Err(error), _) => return Err(error),
        };
        if let Some(about) = about {
            if read.methods.is_empty() {
                read.methods = about.methods;
            }
            if read.notifications.is_empty() {
                read.notifications = about.notifications;
            }
        }
        let spends = read.methods.iter().any(|method| SPENDING.contains(&method.as_str()));
        self.seen().may_spend = Some((connection, spends));
        if spends && !self.options.allow_spending {
            return Err(WalletError::MaySpend);
        }
        Ok(read)
    }

    /// A call whose refusals all mean that nothing was done.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: Request,
        what: &'static str,
    ) -> Result<T, WalletError> {
        self.permitted().await?;
        self.ask_freely(request, what).await
    }

    async fn look<T>(
        &self,
        params: LookupInvoice,
        read: impl FnOnce(&Transaction, Timestamp) -> Result<T, books::Unclear>,
    ) -> Result<Option<T>, WalletError> {
        match self.ask::<Transaction>(Request::LookupInvoice(params), "lookup_invoice").await {
            Ok(words) => read(&words, self.link.now())
                .map(Some)
                .map_err(|books::Unclear(what)| WalletError::BadAnswer { what: what.to_owned() }),
            Err(WalletError::Refused { code, .. }) if code == Code::NotFound.as_str() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn ask_freely<T: serde::de::DeserializeOwned>(
        &self,
        request: Request,
        what: &'static str,
    ) -> Result<T, WalletError> {
        let answer = self.link.call(&request, self.options.timeout).await?;
        match answer.outcome {
            Ok(result) => Response::read(result).map_err(|_| bad(what)),
            Err(refusal) => Err(refused(refusal, what)),
        }
    }

    async fn page(
        &self,
        query: &ListPayments,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<Transaction>, WalletError> {
        let request = Request::ListTransactions(ListTransactions {
            from: Some(query.since.as_secs()),
            limit: Some(limit),
            offset: Some(offset),
            direction: query.direction.map(|direction| match direction {
                Direction::Incoming => "incoming".to_owned(),
                Direction::Outgoing => "outgoing".to_owned(),
            }),
            ..ListTransactions::default()
        });
        let list: TransactionList = self.ask(request, "list_transactions").await?;
        Ok(list.transactions)
    }
}

#[async_trait]
impl LightningWallet for NwcWallet {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        let read = self.get_info().await?;
        Ok(WalletInfo {
            kind: "nwc".to_owned(),
            network: read.network.map(|network| match network.as_str() {
                "mainnet" => "bitcoin".to_owned(),
                _ => network,
            }),
            notifies: read.notifications.iter().any(|name| name == "payment_received"),
            methods: read.methods,
            caps_fees: false,
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let read: BalanceResult = self.ask(Request::GetBalance, "get_balance").await?;
        let amount = read.balance.ok_or_else(|| bad("get_balance"))?;
        let balance = Balance { amount: Millisats::new(amount), at: self.link.now() };
        self.seen().balance = Some(balance);
        Ok(balance)
    }

    fn last_balance(&self) -> Option<Balance> {
        self.seen().balance
    }

    async fn budget(&self) -> Result<Option<Budget>, WalletError> {
        let asked = self.ask::<BudgetResult>(Request::GetBudget, "get_budget").await;
        let read = match asked {
            Ok(read) => read,
            Err(WalletError::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(read.total_budget.map(|total| Budget {
            total: Millisats::new(total),
            used: Millisats::new(read.used_budget.unwrap_or(0)),
            renews_at: read.renews_at.filter(|at| *at > 0).map(Timestamp::from_secs),
        }))
    }

    fn state(&self) -> WalletState {
        let connection = self.link.connections();
        match self.link.wallet_state() {
            WalletState::Answering
                if !self.options.allow_spending
                    && self.seen().may_spend == Some((connection, true)) =>
            {
                WalletState::MaySpend
            }
            state => state,
        }
    }

    fn hold_invoices(&self) -> Option<&dyn HoldInvoices> {
        Some(self)
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        let amount = request.amount;
        let made = self.make(request, None).await?;
        Ok(accepted_invoice(made, amount, "make_invoice")?.into())
    }

    async fn make_invoice_for(
        &self,
        request: NewInvoice,
        description_hash: [u8; 32],
    ) -> Result<Invoice, WalletError> {
        let amount = request.amount;
        let request = NewInvoice { description: None, ..request };
        let made = self.make(request, Some(description_hash)).await?;
        let read = accepted_invoice(made, amount, "make_invoice")?;
        // A wallet that does not know the member leaves it out.
        if read.description_hash != Some(description_hash) {
            return Err(WalletError::Unsupported { what: "make_invoice with a description hash" });
        }
        Ok(read.into())
    }

    async fn lookup(
        &self,
        payment_hash: PaymentHash,
    ) -> Result<Option<WalletPayment>, WalletError> {
        let params = LookupInvoice { payment_hash: Some(payment_hash.to_string()), invoice: None };
        self.look(params, |words, now| books::read(words, Some(payment_hash), now)).await
    }

    async fn find(&self, key: &PaymentKey) -> Result<Option<WalletPayment>, WalletError> {
        let payment_hash = key.payment_hash()?;
        let PaymentKey::Invoice(text) = key else { return self.lookup(payment_hash).await };
        // Some wallets find a payment that they did not make themselves only by its invoice.
        let params = LookupInvoice { payment_hash: None, invoice: Some(text.clone()) };
        self.look(params, |words, now| books::read(words, Some(payment_hash), now)).await
    }

    async fn invoice_of(&self, payment_hash: PaymentHash) -> Result<Option<String>, WalletError> {
        let params = LookupInvoice { payment_hash: Some(payment_hash.to_string()), invoice: None };
        let told = self.look(params, |words, _| Ok(words.invoice.clone())).await?.flatten();
        Ok(told
            .filter(|text| Bolt11::parse(text).is_ok_and(|read| read.payment_hash == payment_hash)))
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        request.checked_amount()?;
        if !self.options.allow_spending {
            return Err(WalletError::Unsupported { what: "pay_invoice" });
        }
        // Some wallets refuse an amount beside an invoice that has one.
        let open = Bolt11::parse(&request.bolt11).is_ok_and(|read| read.amount.is_none());
        let amount = request.amount.filter(|_| open).map(Millisats::as_u64);
        let params = PayInvoiceParams { invoice: request.bolt11, amount };
        let answer = self.link.call(&Request::PayInvoice(params), request.timeout).await?;
        match answer.outcome {
            Ok(result) => {
                let paid: Paid = Response::read(result).map_err(|_| bad("pay_invoice"))?;
                let preimage =
                    books::fitting_preimage(paid.preimage.as_deref(), request.payment_hash);
                Ok(PayOutcome::Settled {
                    preimage: preimage.ok_or_else(|| WalletError::BadAnswer {
                        what: "the preimage is not the invoice's".to_owned(),
                    })?,
                    fee: Millisats::new(paid.fees_paid.unwrap_or(0)),
                })
            }
            Err(refusal) => match refusal.code {
                Code::PaymentFailed => Ok(PayOutcome::Failed { reason: refusal.message }),
                Code::InsufficientBalance
                | Code::QuotaExceeded
                | Code::Restricted
                | Code::Unauthorized
                | Code::NotImplemented
                | Code::RateLimited => Err(refused(refusal, "pay_invoice")),
                // The wallet does not say that the payment has not left.
                Code::Internal
                | Code::Unspecified
                | Code::NotFound
                | Code::UnsupportedEncryption
                | Code::Other(_) => Ok(PayOutcome::Pending),
            },
        }
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        let limit = query.limit.min(PAGE * MAX_PAGES);
        let (mut payments, mut offset) = (Vec::<WalletPayment>::new(), query.offset);
        let mut told = HashSet::new();
        let mut before = Vec::new();
        let end = query.offset.saturating_add(PAGE * MAX_PAGES);
        while offset < end {
            // What is left out below must not make this list look like the last page.
            let left = limit.saturating_sub(u32::try_from(payments.len()).unwrap_or(limit));
            let wanted = PAGE.min(left).min(end - offset);
            if wanted == 0 {
                break;
            }
            let mut page = self.page(&query, offset, wanted).await?;
            page.truncate(wanted as usize);
            // Only an empty page is the last one: some wallets give less than they were asked for.
            let Some(got) = u32::try_from(page.len()).ok().filter(|got| *got > 0) else { break };
            offset = offset.saturating_add(got);
            payments.extend(
                page.iter()
                    .filter_map(|words| books::read(words, None, self.link.now()).ok())
                    // What settles between two pages moves the rest on: the next page repeats it.
                    .filter(|payment| told.insert((payment.payment_hash, payment.direction)))
                    .filter(|payment| payment.created_at >= query.since)
                    .filter(|payment| query.direction.is_none_or(|only| only == payment.direction)),
            );
            // A wallet that does not know offsets says the same again. One whose page holds nothing
            // that can be read may have more behind it.
            if page == before {
                break;
            }
            before = page;
        }
        Ok(payments)
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.link.events.listen()
    }

    async fn shutdown(&self) {
        self.link.shutdown().await;
    }
}

/// The invoice, if it is one over this amount.
fn accepted_invoice(
    made: Transaction,
    amount: Millisats,
    what: &'static str,
) -> Result<Bolt11, WalletError> {
    let text = made.invoice.ok_or_else(|| bad(what))?;
    let read = Bolt11::parse(&text).map_err(|_| bad(what))?;
    if read.amount != Some(amount) {
        return Err(WalletError::BadAnswer {
            what: "the invoice asks for another amount".to_owned(),
        });
    }
    Ok(read)
}

fn bad(what: &'static str) -> WalletError {
    WalletError::BadAnswer { what: format!("no usable result of {what}") }
}

fn refused(refusal: Refusal, what: &'static str) -> WalletError {
    match refusal.code {
        Code::NotImplemented => WalletError::Unsupported { what },
        code => WalletError::Refused { code: code.as_str().to_owned(), message: refusal.message },
    }
}
