//! Asking for money, and paying out.

use std::sync::Arc;
use std::time::Duration;

use super::call::{Beside, bounded};
use super::logins::json;
use super::{Call, LONGEST, Opened, PATIENCE, Recipient, prices};
use crate::conversation::Conversation;
use crate::conversation::payment::{Payer as Word, Payment, WatchedInvoice};
use crate::driver::Node;
use crate::error::Error;
use crate::payments::{PaidInvoice, PayError, PayRequest, Payer};
use crate::primitives::{Millisats, RequestId, Timestamp};
use crate::protocol::payment::{PaymentRequest, SinglePaymentRequest};
use crate::protocol::{Currency, ExchangeRate};
use crate::storage::OutgoingRecord;
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{
    Direction, Invoice, KnownBalance, LightningWallet, NewInvoice, PaymentHash, WalletError,
    WalletInfo,
};

/// How long a wallet may take to make an invoice.
const WALLET_PATIENCE: Duration = Duration::from_secs(30);
/// How long a wallet may take to say whether it knows an invoice.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// Asking for money, and paying out.
#[derive(Clone, Copy)]
pub struct Payments<'a>(pub(super) &'a Node);

/// A payment to ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSinglePayment {
    /// More than zero.
    pub amount: u64,
    /// The unit of `amount`; fiat needs a source of rates.
    pub currency: Currency,
    /// What it is for.
    pub description: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
    /// The subscription that this charge belongs to.
    pub subscription_id: Option<String>,
    /// The caller's own id; random when absent.
    pub request_id: Option<RequestId>,
}

/// A payment to ask for, of which what is missing is filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPayment {
    /// More than zero.
    pub amount: u64,
    /// The unit of `amount`; without an invoice, fiat needs a source of rates.
    pub currency: Currency,
    /// The rate that the caller used.
    pub current_exchange_rate: Option<ExchangeRate>,
    /// BOLT11; our wallet makes one when absent.
    pub invoice: Option<String>,
    /// Opaque; tells the wallet which session asks.
    pub auth_token: Option<String>,
    /// When the request ends; in five minutes when absent.
    pub expires_at: Option<Timestamp>,
    /// The subscription that this charge belongs to.
    pub subscription_id: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The caller's own id; random when absent.
    pub request_id: Option<RequestId>,
}

impl NewPayment {
    fn complete(
        self,
        invoice: String,
        expires_at: Timestamp,
        request_id: RequestId,
    ) -> SinglePaymentRequest {
        SinglePaymentRequest {
            amount: self.amount,
            currency: self.currency,
            current_exchange_rate: self.current_exchange_rate,
            invoice,
            auth_token: self.auth_token,
            expires_at,
            subscription_id: self.subscription_id,
            description: self.description,
            request_id,
        }
    }
}

impl Payments<'_> {
    /// Asks a person for money: prices it, makes an invoice, sends it, watches the wallet. An
    /// amount in a fiat currency is payable as long as its rate is locked. On the stream:
    /// [`PaymentStatusUpdate`](crate::event::PortalEvent::PaymentStatusUpdate), `paid` last.
    ///
    /// # Errors
    /// When there is no wallet, nobody quotes the currency, the wallet does not make the invoice,
    /// or nothing can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request_single(
        &self,
        recipient: Recipient,
        new: NewSinglePayment,
        call: Call,
    ) -> Result<Opened, Error> {
        self.request_beside(recipient, new, call, Beside::default()).await
    }

    /// The same, with something that is saved in the same batch.
    pub(super) async fn request_beside(
        &self,
        recipient: Recipient,
        new: NewSinglePayment,
        call: Call,
        beside: Beside,
    ) -> Result<Opened, Error> {
        let node = self.0;
        let wallet = self.wallet()?;
        prices::check(node, new.amount, &new.currency)?;
        if let Some(id) = &new.request_id {
            bounded(id.as_str(), "the request id", 256)?;
        }
        call.open_beside(node, beside, || async {
            let peer = recipient.peer(node).await?;
            let priced = prices::price(node, new.amount, &new.currency).await?;
            let patience = priced.patience(node.env().now());
            let request = NewInvoice {
                amount: priced.payable(&**wallet),
                description: new.description.clone(),
                expiry: patience,
            };
            let invoice = make_invoice(&**wallet, request, node.env().now()).await?;
            let expires_at = node.env().now().saturating_add(patience).min(invoice.expires_at);
            let request_id = new.request_id.unwrap_or_else(|| RequestId::from(node.env().uuid()));
            let message = PaymentRequest::Single(SinglePaymentRequest {
                amount: new.amount,
                currency: new.currency,
                current_exchange_rate: priced.rate,
                invoice: invoice.bolt11,
                auth_token: new.auth_token,
                expires_at,
                subscription_id: new.subscription_id,
                description: new.description,
                request_id: request_id.clone(),
            });
            let watched = WatchedInvoice {
                payment_hash: invoice.payment_hash.0,
                made_at: invoice.created_at,
                payable_until: invoice.expires_at,
            };
            Ok(Conversation::Payment(Box::new(Payment {
                peer,
                request_id,
                message: json(&message).into(),
                watched: Some(watched),
                expires_at,
                payer: Word::Asked,
                over: false,
            })))
        })
        .await
    }

    /// Asks a person to pay an invoice that the caller brings. `paid` appears only when our own
    /// wallet knows the invoice.
    ///
    /// # Errors
    /// When the request is over already, its amount is zero, the invoice is no invoice, or nothing
    /// can be saved.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request_raw(
        &self,
        recipient: Recipient,
        request: SinglePaymentRequest,
        call: Call,
    ) -> Result<Opened, Error> {
        let node = self.0;
        if request.amount == 0 {
            return Err(Error::ZeroAmount);
        }
        bounded(request.request_id.as_str(), "the request id", 256)?;
        let expires_at = in_time(request.expires_at, node.env().now())?;
        let invoice = Bolt11::parse(&request.invoice)
            .map_err(|_| Error::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        check_brought(&invoice, &request, node.env().now())?;
        let payment_hash = invoice.payment_hash.0;
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let watched = self.is_ours(payment_hash).await.then_some(WatchedInvoice {
                payment_hash,
                made_at: invoice.created_at,
                payable_until: invoice.expires_at,
            });
            let request_id = request.request_id.clone();
            Ok(Conversation::Payment(Box::new(Payment {
                peer,
                request_id,
                message: json(&PaymentRequest::Single(request)).into(),
                watched,
                expires_at,
                payer: Word::Asked,
                over: false,
            })))
        })
        .await
    }

    /// The same with less: an invoice that is missing is made by our wallet, and the end of the
    /// request and its id are filled in. On the stream: as [`Payments::request_single`].
    ///
    /// # Errors
    /// As [`Payments::request_raw`], and when the wallet does not make the invoice.
    ///
    /// # Cancel safety
    /// The request may be sent also when the future is dropped.
    pub async fn request_with(
        &self,
        recipient: Recipient,
        new: NewPayment,
        call: Call,
    ) -> Result<Opened, Error> {
        let now = self.0.env().now();
        let expires_at = in_time(new.expires_at.unwrap_or(now.saturating_add(PATIENCE)), now)?;
        if let Some(invoice) = new.invoice.clone() {
            let request_id = new.request_id.clone();
            let request_id = request_id.unwrap_or_else(|| RequestId::from(self.0.env().uuid()));
            let request = new.complete(invoice, expires_at, request_id);
            return self.request_raw(recipient, request, call).await;
        }
        let node = self.0;
        let wallet = self.wallet()?;
        prices::check(node, new.amount, &new.currency)?;
        if let Some(id) = &new.request_id {
            bounded(id.as_str(), "the request id", 256)?;
        }
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let priced = prices::price(node, new.amount, &new.currency).await?;
            let now = node.env().now();
            // A price can be paid as long as its rate is locked.
            let expires_at = match priced.rate {
                Some(_) => expires_at.min(now.saturating_add(priced.patience(now))),
                None => expires_at,
            };
            let order = NewInvoice {
                amount: priced.payable(&**wallet),
                description: new.description.clone(),
                expiry: expires_at.saturating_since(now),
            };
            let invoice = make_invoice(&**wallet, order, node.env().now()).await?;
            let expires_at = expires_at.min(invoice.expires_at);
            let request_id = new.request_id.clone();
            let request_id = request_id.unwrap_or_else(|| RequestId::from(node.env().uuid()));
            let watched = WatchedInvoice {
                payment_hash: invoice.payment_hash.0,
                made_at: invoice.created_at,
                payable_until: invoice.expires_at,
            };
            let rate = priced.rate.or_else(|| new.current_exchange_rate.clone());
            let new = NewPayment { current_exchange_rate: rate, ..new };
            let request = new.complete(invoice.bolt11, expires_at, request_id.clone());
            Ok(Conversation::Payment(Box::new(Payment {
                peer,
                request_id,
                message: json(&PaymentRequest::Single(request)).into(),
                watched: Some(watched),
                expires_at,
                payer: Word::Asked,
                over: false,
            })))
        })
        .await
    }

    /// Pays an invoice, at most once: a second call for the same payment hash says what became of
    /// the first.
    ///
    /// # Errors
    /// [`PayError::Pending`] when the outcome is not known yet: it is not a failure.
    ///
    /// # Cancel safety
    /// The payment goes on when the future is dropped, and its outcome is saved.
    pub async fn pay_invoice(&self, invoice: &str) -> Result<PaidInvoice, Error> {
        self.pay(PayRequest::new(invoice)).await
    }

    /// The same within other bounds than the usual ones, for invoices without an amount, and to
    /// try again what had failed.
    ///
    /// # Errors
    /// As [`Payments::pay_invoice`].
    ///
    /// # Cancel safety
    /// The payment goes on when the future is dropped, and its outcome is saved.
    pub async fn pay(&self, request: PayRequest) -> Result<PaidInvoice, Error> {
        let payer = self.payer()?.clone();
        let (sender, outcome) = tokio::sync::oneshot::channel();
        self.0.tasks().spawn(async move {
            // The caller may have gone; the outcome is saved.
            drop(sender.send(payer.pay(&request).await));
        });
        Ok(outcome.await.unwrap_or(Err(PayError::Pending))?)
    }

    /// What the journal says about an outgoing payment.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn outgoing(&self, hash: PaymentHash) -> Result<Option<OutgoingRecord>, Error> {
        Ok(self.0.store().outgoing(hash.0).await?)
    }

    /// What the wallet is, and what is in it; while it is away, what it said last, with its age.
    ///
    /// # Errors
    /// When there is no wallet, or it does not answer and never did since the start.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn wallet_info(&self) -> Result<(WalletInfo, KnownBalance), Error> {
        let (wallet, payer) = (self.wallet()?, self.payer()?);
        Ok(match payer.known_info().await? {
            (info, true) => (info, wallet.known_balance().await?),
            // It does not answer: asking for the balance would take as long again.
            (info, false) => {
                let balance = wallet.last_balance().ok_or(WalletError::Unreachable)?;
                (info, KnownBalance { balance, stale: true })
            }
        })
    }

    pub(super) fn wallet(&self) -> Result<&Arc<dyn LightningWallet>, Error> {
        self.0.wallet().ok_or(Error::NotConfigured { what: "a Lightning wallet" })
    }

    fn payer(&self) -> Result<&Arc<Payer>, Error> {
        self.0.payer().ok_or(Error::NotConfigured { what: "a Lightning wallet" })
    }

    /// Whether our wallet made the invoice. One that cannot say now is asked again: watched.
    async fn is_ours(&self, payment_hash: [u8; 32]) -> bool {
        let Some(wallet) = self.0.wallet() else { return false };
        let known =
            tokio::time::timeout(LOOKUP_PATIENCE, wallet.lookup(PaymentHash(payment_hash))).await;
        match known {
            Ok(Ok(Some(payment))) => payment.direction == Direction::Incoming,
            Ok(Ok(None)) => false,
            Ok(Err(_)) | Err(_) => true,
        }
    }
}

/// Has the wallet make an invoice, and makes sure that it is the one that was ordered: a wallet
/// that answers for another request must not have a person pay that.
pub(crate) async fn make_invoice(
    wallet: &dyn LightningWallet,
    order: NewInvoice,
    now: Timestamp,
) -> Result<Invoice, Error> {
    let wanted = order.amount;
    let made = tokio::time::timeout(WALLET_PATIENCE, wallet.make_invoice(order));
    let made = made.await.map_err(|_| WalletError::Timeout)??;
    let bad = |what: &str| WalletError::BadAnswer { what: what.to_owned() };
    let read = Bolt11::parse(&made.bolt11).map_err(|_| bad("an invoice that is none"))?;
    if read.payment_hash != made.payment_hash {
        return Err(bad("an invoice with another payment hash").into());
    }
    // A wallet of whole satoshi rounds up.
    let most = Millisats::new(wanted.sats_rounded_up().saturating_mul(1000));
    if read.amount.is_none_or(|amount| amount < wanted || amount > most) {
        return Err(bad("an invoice for another amount").into());
    }
    // An old one of its own, or its clock is far from ours: nobody could pay it.
    if read.is_expired_at(now) {
        return Err(bad("an invoice that is over already").into());
    }
    Ok(Invoice { created_at: read.created_at, expires_at: read.expires_at, ..made })
}

/// An invoice that the caller brings must be for what the person is told, and payable.
fn check_brought(
    invoice: &Bolt11,
    request: &SinglePaymentRequest,
    now: Timestamp,
) -> Result<(), Error> {
    let bad = |reason| Err(Error::InvalidInvoice { reason });
    if invoice.is_expired_at(now) {
        return bad("it has expired");
    }
    if invoice.amount.is_none() {
        // A millisatoshi would be as good as all of it.
        return bad("it leaves the amount to whoever pays");
    }
    if let (Currency::Millisats, Some(amount)) = (&request.currency, invoice.amount) {
        // Wallets of whole satoshi round.
        if amount.as_u64().abs_diff(request.amount) >= 1000 {
            return bad("it is for another amount than the request");
        }
    }
    Ok(())
}

/// A deadline that is not over and not absurdly far.
pub(super) fn in_time(end: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    if end <= now || end > now.saturating_add(LONGEST) {
        return Err(Error::OutOfRange { what: "expires_at" });
    }
    Ok(end)
}
