//! Pays what the person authorised, without asking, and keeps the books of it.
//!
//! ```text
//!   held request ──within what was authorised──▶ reserved, saved ──▶ `approved`, paid
//!        │                                          │ settled: `success`, request handled
//!        │                                          │ failed for certain: given back, `failed`
//!        │                                          └ not known: looked up again, until it is
//!        └──anything else──▶ shown to the person
//! ```
//!
//! After a crash the request is held again and finds its reservation; the journal of payments
//! makes sure that its invoice is paid once. One that is paid and in the books already, so that only
//! the answer is missing, takes no other period. A reservation whose request is gone is settled or
//! given back by what the journal says.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::inbox::Inbox;
use super::requests::{IncomingRequest, RequestBody};
use crate::conversation::answer::Reply;
use crate::driver::{Node, NodeError};
use crate::env::Env;
use crate::payments::{self, PayError, PayRequest};
use crate::primitives::StreamId;
use crate::protocol::payment::{PaymentResponse, PaymentStatus, SinglePaymentRequest};
use crate::protocol::subscription::CloseRecurringPayment;
use crate::protocol::{Currency, kinds};
use crate::rates::check::ClaimError;
use crate::rates::quote;
use crate::service::json;
use crate::storage::{OutgoingStatus, StorageError, Store, Write, commit};
use crate::subscriptions::authorized::{Authorization, Closed, Demand, Doubt};
use crate::wallet::bolt11::Bolt11;

/// How soon a payment whose outcome is not known is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(20);
/// How soon a store that fails is asked again.
const STORE_AGAIN: Duration = Duration::from_secs(1);

struct Payer {
    node: Weak<Node>,
    inbox: Arc<Inbox>,
    books: Arc<Mutex<()>>,
    store: Arc<dyn Store>,
    env: Env,
    wallet: Arc<payments::Payer>,
    /// Told when a payment has been seen to, whatever came of it.
    seen_to: mpsc::UnboundedSender<StreamId>,
}

/// What a charge comes to.
enum Verdict {
    /// Pay it.
    Pay { subscription_id: String, demand: Demand },
    /// The person decides.
    Ask(Doubt),
}

/// Starts the task that pays, from the wallet of the node.
pub(super) fn start(node: &Arc<Node>, inbox: &Arc<Inbox>, books: &Arc<Mutex<()>>) {
    let Some(wallet) = node.payer().cloned() else { return };
    let (seen_to, finished) = mpsc::unbounded_channel();
    let tasks = node.tasks().clone();
    let payer = Arc::new(Payer {
        node: Arc::downgrade(node),
        inbox: inbox.clone(),
        books: books.clone(),
        store: node.shared_store(),
        env: node.env().clone(),
        wallet,
        seen_to,
    });
    node.tasks().spawn(async move {
        tokio::select! {
            () = payer.run(finished) => {}
            () = tasks.stopping() => {}
        }
    });
}

impl Payer {
    async fn run(self: Arc<Self>, mut finished: mpsc::UnboundedReceiver<StreamId>) {
        let mut busy: HashSet<StreamId> = HashSet::new();
        loop {
            let inbox = self.inbox.clone();
            let moved = inbox.moved();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let mut pause = LOOK_AGAIN;
            for (stream, answer) in self.inbox.held() {
                if busy.contains(&stream) {
                    continue;
                }
                let Some(request) = IncomingRequest::read(stream, &answer) else {
                    self.inbox.release(stream);
                    continue;
                };
                match self.look_at(&request).await {
                    Ok(true) => drop(busy.insert(stream)),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "a charge cannot be looked at yet");
                        pause = STORE_AGAIN;
                    }
                }
            }
            if let Err(error) = self.settle_what_is_left(&busy).await {
                tracing::warn!(%error, "payments of subscriptions cannot be looked at yet");
                pause = STORE_AGAIN;
            }
            let nap = tokio::time::sleep(pause);
            tokio::pin!(nap);
            loop {
                tokio::select! {
                    () = moved.as_mut() => break,
                    () = nap.as_mut() => break,
                    // No reason to look at once: what is not known yet has to rest.
                    Some(stream) = finished.recv() => drop(busy.remove(&stream)),
                }
            }
        }
    }

    /// Whether it is being paid now. Otherwise the person was left to decide, or it is done.
    async fn look_at(self: &Arc<Self>, request: &IncomingRequest) -> Result<bool, StorageError> {
        match &request.body {
            RequestBody::SubscriptionClosed(close) => {
                self.closed(request, close).await?;
                Ok(false)
            }
            RequestBody::Payment(asked) => self.charged(request, asked).await,
            _ => {
                self.inbox.release(request.id);
                Ok(false)
            }
        }
    }

    /// A service says that a subscription is over. Only its own: others are ignored.
    async fn closed(
        &self,
        request: &IncomingRequest,
        close: &CloseRecurringPayment,
    ) -> Result<(), StorageError> {
        let lock = self.books.lock().await;
        let known = load(&*self.store, &close.subscription_id).await?;
        if let Some(mut known) = known {
            if known.service != request.service && known.service != request.signer {
                drop(lock);
                tracing::warn!("somebody closes a subscription that is not theirs");
                return self.handled(request.id).await;
            }
            let reason = close.reason.clone();
            known.close(Closed { at: self.env.now(), by_service: true, reason });
            commit(&*self.store, vec![Write::PutAuthorization(known.record())]).await?;
        }
        self.inbox.release(request.id);
        Ok(())
    }

    async fn charged(
        self: &Arc<Self>,
        request: &IncomingRequest,
        asked: &SinglePaymentRequest,
    ) -> Result<bool, StorageError> {
        // Before the books are in hand: rates may have to be asked for.
        let unfair = self.unfair(asked).await?;
        let lock = self.books.lock().await;
        let (subscription_id, demand) = match self.judge(request, asked, unfair).await? {
            Verdict::Pay { subscription_id, demand } => (subscription_id, demand),
            Verdict::Ask(doubt) => {
                tracing::debug!(%doubt, "the person is asked about a charge");
                self.inbox.release(request.id);
                return Ok(false);
            }
        };
        drop(lock);
        let payer = Arc::clone(self);
        let (request, asked) = (request.clone(), asked.clone());
        // A task of its own: what was handed to the wallet is waited for.
        self.spawn_paying(async move {
            let stream = request.id;
            if let Err(error) = payer.pay(&request, &asked, &subscription_id, &demand).await {
                tracing::warn!(%error, "what became of a charge cannot be saved yet");
            }
            if payer.seen_to.send(stream).is_err() {
                tracing::debug!("the payer of subscriptions has stopped");
            }
        });
        Ok(true)
    }

    /// What is wrong with the price of a charge in a fiat currency, by our own rates.
    async fn unfair(&self, asked: &SinglePaymentRequest) -> Result<Option<Doubt>, StorageError> {
        let (Currency::Fiat(code), Some(id)) = (&asked.currency, &asked.subscription_id) else {
            return Ok(None);
        };
        let Some(known) = load(&*self.store, id).await? else { return Ok(None) };
        let invoice = Bolt11::parse(&asked.invoice).ok().and_then(|invoice| invoice.amount);
        let Some(invoice) = invoice else { return Ok(Some(Doubt::BadInvoice)) };
        let node = self.node.upgrade();
        let rates = node.as_ref().and_then(|node| node.rates());
        let (Some(rates), Ok(most)) = (rates, quote::fiat(asked.amount, code)) else {
            return Ok(Some(Doubt::NoQuote));
        };
        Ok(match rates.is_worth_at_most(invoice, most, known.tolerance_permille).await {
            Ok(()) => None,
            Err(ClaimError::InvoiceTooHigh { .. }) => Some(Doubt::InvoiceTooHigh),
            Err(_) => Some(Doubt::NoQuote),
        })
    }

    /// Within what was authorised: reserved, and saved. Called with the books in hand.
    async fn judge(
        &self,
        request: &IncomingRequest,
        asked: &SinglePaymentRequest,
        unfair: Option<Doubt>,
    ) -> Result<Verdict, StorageError> {
        let Some(subscription_id) = &asked.subscription_id else {
            return Ok(Verdict::Ask(Doubt::OtherService));
        };
        let Some(mut known) = load(&*self.store, subscription_id).await? else {
            return Ok(Verdict::Ask(Doubt::OtherService));
        };
        let Ok(invoice) = Bolt11::parse(&asked.invoice) else {
            return Ok(Verdict::Ask(Doubt::BadInvoice));
        };
        let Some(amount) = invoice.amount else {
            return Ok(Verdict::Ask(Doubt::BadInvoice));
        };
        let signer_is_known = known.service == request.signer;
        let demand = Demand {
            service: if signer_is_known { request.signer } else { request.service },
            request: request.id,
            amount: asked.amount,
            currency: asked.currency.clone(),
            payment_hash: invoice.payment_hash.0,
            invoice: amount,
            unfair,
        };
        let subscription_id = subscription_id.clone();
        if known.automatic && demand.service == known.service && self.is_paid(&demand).await? {
            return Ok(Verdict::Pay { subscription_id, demand });
        }
        match known.judge(&demand, self.env.now()) {
            Err(doubt) => Ok(Verdict::Ask(doubt)),
            Ok(period) => {
                if known.reserve(&demand, period) {
                    let batch = vec![Write::PutAuthorization(known.record())];
                    commit(&*self.store, batch).await?;
                }
                Ok(Verdict::Pay { subscription_id, demand })
            }
        }
    }

    /// Whether the journal says that the invoice is paid: paying it is only saying so.
    async fn is_paid(&self, demand: &Demand) -> Result<bool, StorageError> {
        let row = self.store.outgoing(demand.payment_hash).await?;
        Ok(row.is_some_and(|row| matches!(row.status, OutgoingStatus::Settled { .. })))
    }

    async fn pay(
        &self,
        request: &IncomingRequest,
        asked: &SinglePaymentRequest,
        subscription_id: &str,
        demand: &Demand,
    ) -> Result<(), StorageError> {
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        if !request.replied {
            self.reply(&node, request, asked, PaymentStatus::Approved).await?;
        }
        // While it pays nothing keeps the node alive that nobody else holds.
        drop(node);
        let paid = self.wallet.pay(&PayRequest::new(asked.invoice.clone())).await;
        let status = match paid {
            Ok(paid) => PaymentStatus::Success { preimage: Some(paid.preimage) },
            // It is looked up again, for as long as it takes.
            Err(PayError::Pending) => return Ok(()),
            Err(PayError::Storage(error)) => return Err(error),
            Err(error) => PaymentStatus::Failed { reason: Some(error.to_string()) },
        };
        let settled = matches!(status, PaymentStatus::Success { .. });
        self.book(subscription_id, &demand.payment_hash, settled).await?;
        if let Some(node) = self.node.upgrade() {
            self.reply(&node, request, asked, status).await?;
        }
        self.handled(request.id).await
    }

    /// The outcome of a payment that was reserved.
    async fn book(
        &self,
        subscription_id: &str,
        payment_hash: &[u8; 32],
        settled: bool,
    ) -> Result<(), StorageError> {
        let _lock = self.books.lock().await;
        let Some(mut known) = load(&*self.store, subscription_id).await? else { return Ok(()) };
        let before = known.clone();
        if settled {
            known.settle(payment_hash);
        } else {
            known.give_back(payment_hash);
        }
        if known != before {
            commit(&*self.store, vec![Write::PutAuthorization(known.record())]).await?;
        }
        Ok(())
    }

    /// Reservations whose request is over: the journal of payments knows what became of them.
    async fn settle_what_is_left(&self, busy: &HashSet<StreamId>) -> Result<(), StorageError> {
        let held: HashSet<StreamId> =
            self.inbox.held().into_iter().map(|(stream, _)| stream).collect();
        for record in self.store.authorizations().await? {
            let known = Authorization::read(&record)?;
            for reserved in &known.reserved {
                if busy.contains(&reserved.request) || held.contains(&reserved.request) {
                    continue;
                }
                let hash = reserved.payment_hash;
                let settled = match self.store.outgoing(hash).await? {
                    // The wallet was never asked, and nobody will ask it now.
                    None => false,
                    Some(payment) => match payment.status {
                        OutgoingStatus::Settled { .. } => true,
                        OutgoingStatus::Failed { .. } | OutgoingStatus::Refused { .. } => false,
                        OutgoingStatus::Pending => {
                            match self.wallet.pay(&PayRequest::new(payment.invoice)).await {
                                Ok(_) => true,
                                Err(PayError::Failed { .. }) => false,
                                Err(PayError::Storage(error)) => return Err(error),
                                Err(_) => continue,
                            }
                        }
                    },
                };
                self.book(&known.subscription_id, &hash, settled).await?;
            }
        }
        Ok(())
    }

    async fn reply(
        &self,
        node: &Node,
        request: &IncomingRequest,
        asked: &SinglePaymentRequest,
        status: PaymentStatus,
    ) -> Result<(), StorageError> {
        let message = PaymentResponse { request_id: asked.request_id.clone(), status };
        let reply = Reply { kind: kinds::PAYMENT_RESPONSE, message: json(&message) };
        match node.reply(request.id, reply).await {
            Err(NodeError::Storage(error)) => Err(error),
            // Whoever asked no longer waits for it; the books do not depend on it.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn handled(&self, stream: StreamId) -> Result<(), StorageError> {
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        match node.handled(stream).await {
            Err(NodeError::Storage(error)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn spawn_paying(&self, work: impl Future<Output = ()> + Send + 'static) {
        // A node that is gone has stopped its tasks, this one too.
        if let Some(node) = self.node.upgrade() {
            node.tasks().spawn(work);
        }
    }
}

/// What the person authorised under this name.
pub(super) async fn load(
    store: &dyn Store,
    subscription_id: &str,
) -> Result<Option<Authorization>, StorageError> {
    store.authorization(subscription_id).await?.as_ref().map(Authorization::read).transpose()
}
