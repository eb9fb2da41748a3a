//! Asking for money, and paying out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::call::bounded;
use super::logins::json;
use super::{Call, LONGEST, Opened, Recipient, prices};
use crate::conversation::Conversation;
use crate::conversation::payment::{Payer, Payment, WatchedInvoice};
use crate::driver::Node;
use crate::error::Error;
use crate::payments::pay::{self, PaidInvoice, PayError};
use crate::primitives::{RequestId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::payment::{PaymentRequest, SinglePaymentRequest};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{
    Balance, Direction, LightningWallet, NewInvoice, PaymentHash, WalletEvent, WalletInfo,
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
        let node = self.0;
        let wallet = self.wallet()?;
        prices::check(node, new.amount, &new.currency)?;
        if let Some(id) = &new.request_id {
            bounded(id.as_str(), "the request id", 256)?;
        }
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let priced = prices::price(node, new.amount, &new.currency).await?;
            let patience = priced.patience(node.env().now());
            let request = NewInvoice {
                amount: priced.payable(&**wallet),
                description: new.description.clone(),
                expiry: patience,
            };
            let invoice = tokio::time::timeout(WALLET_PATIENCE, wallet.make_invoice(request))
                .await
                .map_err(|_| crate::wallet::WalletError::Timeout)??;
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
                message: json(&message),
                watched: Some(watched),
                expires_at,
                payer: Payer::Asked,
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
        let invoice: lightning_invoice::Bolt11Invoice = request
            .invoice
            .parse()
            .map_err(|_| Error::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        let hash: &[u8] = invoice.payment_hash().as_ref();
        let payment_hash: [u8; 32] = hash
            .try_into()
            .map_err(|_| Error::InvalidInvoice { reason: "its payment hash is not 32 bytes" })?;
        call.open(node, || async {
            let peer = recipient.peer(node).await?;
            let watched = self.is_ours(payment_hash).await.then(|| WatchedInvoice {
                payment_hash,
                made_at: Timestamp::from_secs(invoice.duration_since_epoch().as_secs()),
                payable_until: invoice
                    .expires_at()
                    .map_or(expires_at, |end| Timestamp::from_secs(end.as_secs())),
            });
            let request_id = request.request_id.clone();
            Ok(Conversation::Payment(Box::new(Payment {
                peer,
                request_id,
                message: json(&PaymentRequest::Single(request)),
                watched,
                expires_at,
                payer: Payer::Asked,
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
        let wallet = self.wallet()?.clone();
        let store = self.0.shared_store();
        let env = self.0.env().clone();
        let invoice = invoice.to_owned();
        let (sender, outcome) = tokio::sync::oneshot::channel();
        // Two calls at once must not both find nothing and both pay.
        // The same invoice may be written in several ways.
        let parsed = Bolt11::parse(&invoice)
            .map_err(|_| PayError::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        let key = format!("pay/{}", parsed.payment_hash);
        let guard = self.0.claims().exclusive(&key).await;
        self.0.tasks().spawn(async move {
            let result = pay::pay(&env, &*store, &*wallet, &invoice).await;
            drop(guard);
            // The caller may have gone; the outcome is saved.
            drop(sender.send(result));
        });
        Ok(outcome.await.unwrap_or(Err(PayError::Pending))?)
    }

    /// What the wallet is, and what is in it.
    ///
    /// # Errors
    /// When there is no wallet or it does not answer.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn wallet_info(&self) -> Result<(WalletInfo, Balance), Error> {
        let wallet = self.wallet()?;
        Ok((wallet.info().await?, wallet.balance().await?))
    }

    pub(super) fn wallet(&self) -> Result<&Arc<dyn LightningWallet>, Error> {
        self.0.wallet().ok_or(Error::NotConfigured { what: "a Lightning wallet" })
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

/// Asks the wallet, now and whenever it comes back, what became of payments whose outcome is not
/// known.
pub(super) fn reconcile_later(node: &Arc<Node>) {
    let Some(wallet) = node.wallet().cloned() else { return };
    let store = node.shared_store();
    let env = node.env().clone();
    let tasks = node.tasks().clone();
    let mut events = wallet.events();
    node.tasks().spawn(async move {
        let work = async {
            loop {
                if let Err(error) = pay::reconcile(&env, &*store, &*wallet).await {
                    tracing::warn!(%error, "outgoing payments could not be reconciled");
                }
                loop {
                    match events.next().await {
                        Some(WalletEvent::Reconnected) => break,
                        Some(_) => {}
                        None => return,
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = tasks.stopping() => {}
        }
    });
}

/// A deadline that is not over and not absurdly far.
pub(super) fn in_time(end: Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    if end <= now || end > now.saturating_add(LONGEST) {
        return Err(Error::OutOfRange { what: "expires_at" });
    }
    Ok(end)
}
