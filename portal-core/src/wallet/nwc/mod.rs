//! A wallet on the other side of NIP-47 (Nostr Wallet Connect), and the other side itself.
//!
//! [`NwcWallet`] is a client of a wallet that somebody linked with an [`NwcUri`]; [`NwcService`]
//! offers any [`LightningWallet`] to such clients. Both run over any
//! [`RelayPool`], which brings the connections and their tasks.
//!
//! NIP-47 knows no fee limit and no idempotence key: what must not happen twice is guarded above,
//! in [`crate::payments`]. No request, answer, invoice or preimage is ever logged.

mod books;
mod cipher;
mod link;
pub mod message;
mod seen;
mod serve;
mod service;
#[cfg(test)]
mod test_relay;
#[cfg(test)]
mod tests;
mod uri;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use nostr::{Keys, SecretKey};

pub use self::cipher::Cipher;
use self::link::Link;
use self::message::{
    BalanceResult, Code, InfoResult, ListTransactions, LookupInvoice, MakeInvoice, Paid,
    PayInvoiceParams, Refusal, Request, Response, Transaction, TransactionList,
};
pub use self::service::{NwcConnection, NwcService, NwcServiceOptions, Permission};
pub use self::uri::{MAX_RELAYS, NwcUri, NwcUriError};
use super::bolt11::Bolt11;
use super::{
    Balance, Direction, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};
use crate::env::Env;
use crate::primitives::Millisats;
use crate::relay::{RelayPool, RelaySink};

/// How long a payment deserves to be waited for: routes of more than a minute are usual.
pub const PAY_TIMEOUT: Duration = Duration::from_secs(90);
/// What NIP-47 wallets promise to list at once.
const PAGE: u32 = 20;
/// Most pages that are asked for, whatever the limit.
const MAX_PAGES: u32 = 50;

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
}

impl Default for NwcOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), cipher: None, info_wait: Duration::from_secs(3) }
    }
}

/// A wallet that is linked by NIP-47.
pub struct NwcWallet {
    link: Arc<Link>,
    options: NwcOptions,
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
        let secret =
            SecretKey::from_slice(uri.secret.expose()).map_err(|_| NwcUriError::WrongSecret)?;
        let link = Link::new(env, Keys::new(secret), uri.wallet, options)
            .map_err(|_| NwcUriError::WrongWalletKey)?;
        link.attach(connector(link.sink()));
        Ok(Self { link, options })
    }

    /// The cipher that the wallet is known to understand. Keep it with the link and give it back
    /// in [`NwcOptions::cipher`].
    #[must_use]
    pub fn negotiated(&self) -> Option<Cipher> {
        self.link.negotiated()
    }

    /// Asks for an invoice, and checks that it is over the amount.
    async fn make(
        &self,
        request: NewInvoice,
        description_hash: Option<[u8; 32]>,
    ) -> Result<Bolt11, WalletError> {
        if request.amount == Millisats::new(0) {
            return Err(WalletError::BadRequest { what: "the amount is zero".to_owned() });
        }
        let params = MakeInvoice {
            amount: request.amount.as_u64(),
            description: request.description,
            description_hash: description_hash.map(hex::encode),
            expiry: Some(request.expiry.as_secs()),
        };
        let made: Transaction = self.ask(Request::MakeInvoice(params), "make_invoice").await?;
        let text = made.invoice.ok_or_else(|| bad("make_invoice"))?;
        let read = Bolt11::parse(&text).map_err(|_| bad("make_invoice"))?;
        if read.amount != Some(request.amount) {
            return Err(WalletError::BadAnswer {
                what: "the invoice asks for another amount".to_owned(),
            });
        }
        Ok(read)
    }

    /// A call whose refusals all mean that nothing was done.
    async fn ask<T: serde::de::DeserializeOwned>(
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
        let answer: Result<InfoResult, WalletError> = self.ask(Request::GetInfo, "get_info").await;
        let about = self.link.about();
        let read = match (answer, &about) {
            (Ok(read), _) => read,
            // It answers, and it has told everyone what it can do.
            (Err(WalletError::Refused { .. } | WalletError::Unsupported { .. }), Some(_)) => {
                InfoResult::default()
            }
            (Err(error), _) => return Err(error),
        };
        let (methods, notifications) = match about {
            Some(about) if read.methods.is_empty() => (about.methods, about.notifications),
            Some(about) if read.notifications.is_empty() => (read.methods, about.notifications),
            _ => (read.methods, read.notifications),
        };
        Ok(WalletInfo {
            kind: "nwc".to_owned(),
            network: read.network.map(|network| match network.as_str() {
                "mainnet" => "bitcoin".to_owned(),
                _ => network,
            }),
            methods,
            notifies: notifications.iter().any(|name| name == "payment_received"),
            caps_fees: false,
        })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        let read: BalanceResult = self.ask(Request::GetBalance, "get_balance").await?;
        let amount = read.balance.ok_or_else(|| bad("get_balance"))?;
        Ok(Balance { amount: Millisats::new(amount), at: self.link.now() })
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        Ok(self.make(request, None).await?.into())
    }

    async fn make_invoice_for(
        &self,
        request: NewInvoice,
        description_hash: [u8; 32],
    ) -> Result<Invoice, WalletError> {
        let request = NewInvoice { description: None, ..request };
        let read = self.make(request, Some(description_hash)).await?;
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
        match self.ask::<Transaction>(Request::LookupInvoice(params), "lookup_invoice").await {
            Ok(words) => books::read(&words, Some(payment_hash), self.link.now())
                .map(Some)
                .map_err(|books::Unclear(what)| WalletError::BadAnswer { what: what.to_owned() }),
            Err(WalletError::Refused { code, .. }) if code == Code::NotFound.as_str() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        request.checked_amount()?;
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
        let (mut payments, mut offset) = (Vec::new(), query.offset);
        let end = query.offset.saturating_add(limit);
        while offset < end {
            let wanted = PAGE.min(end - offset);
            let mut page = self.page(&query, offset, wanted).await?;
            page.truncate(wanted as usize);
            // Only an empty page is the last one: some wallets give less than they were asked for.
            let Some(got) = u32::try_from(page.len()).ok().filter(|got| *got > 0) else { break };
            offset = offset.saturating_add(got);
            payments.extend(
                page.iter()
                    .filter_map(|words| books::read(words, None, self.link.now()).ok())
                    .filter(|payment| payment.created_at >= query.since)
                    .filter(|payment| query.direction.is_none_or(|only| only == payment.direction)),
            );
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

fn bad(what: &'static str) -> WalletError {
    WalletError::BadAnswer { what: format!("no usable result of {what}") }
}

fn refused(refusal: Refusal, what: &'static str) -> WalletError {
    match refusal.code {
        Code::NotImplemented => WalletError::Unsupported { what },
        code => WalletError::Refused { code: code.as_str().to_owned(), message: refusal.message },
    }
}
