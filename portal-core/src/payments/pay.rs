//! Paying an invoice, at most once.
//!
//! ```text
//!   (nothing) ──row saved──▶ Pending ──wallet: settled, preimage fits──▶ Settled
//!                              │  └────wallet: failed, its books agree──▶ Failed ───asked to retry──▶ Pending
//!                              │  └────wallet: not taken───────────────▶ Refused ──asked again─────▶ Pending
//!                              ├──timeout, disconnect, unknown error──▶ Pending, until the wallet says
//!                              └──invoice over for an hour, wallet never heard of it──▶ Failed
//! ```
//!
//! Before the row is saved everything is checked that can be: the invoice, its network, the
//! amount, the fee, the limits on spending. The row is saved before the wallet is asked. A second
//! call for the same payment hash does not ask the wallet to pay: it says what the row says, after
//! a look-up while that is not certain. Only a refusal, with which nothing was sent, and a failure
//! that the caller explicitly retries, may be followed by another attempt, and not before the
//! wallet's books have been read once more.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::policy::{DAY, PayPolicy};
use crate::env::Env;
use crate::primitives::{ErrorCode, Millisats, Timestamp};
use crate::storage::{OutgoingRecord, OutgoingStatus, StorageError, Store, Write, commit};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{
    Direction, LightningWallet, PayInvoice, PayOutcome, PaymentHash, PaymentState, WalletError,
    WalletInfo,
};

/// How long the wallet may take before the outcome counts as unknown.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How long a wallet that keeps no deadline itself may take on top.
const OVERTIME: Duration = Duration::from_secs(10);
/// How long a wallet may take to answer a question.
const LOOK_PATIENCE: Duration = Duration::from_secs(15);
/// How long after the end of its invoice a payment that the wallet does not know counts as never
/// sent.
const CERTAIN_AFTER: Duration = Duration::from_secs(3600);
/// All the money there can be: 21 million bitcoin.
const ALL_MONEY: Millisats = Millisats::new(21_000_000 * 100_000_000 * 1000);

/// What to pay, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayRequest {
    /// BOLT11.
    pub invoice: String,
    /// For an invoice without an amount. Beside one that has one it must be the same.
    pub amount: Option<Millisats>,
    /// The most that may be paid on top, in place of what the policy says.
    pub max_fee: Option<Millisats>,
    /// Whether to try again what had failed for good.
    pub retry: bool,
}

impl PayRequest {
    /// An invoice with an amount, within the bounds of the policy.
    #[must_use]
    pub fn new(invoice: impl Into<String>) -> Self {
        Self { invoice: invoice.into(), amount: None, max_fee: None, retry: false }
    }
}

/// Paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidInvoice {
    /// 64 hex digits; its hash is the payment hash.
    pub preimage: String,
    /// What it cost on top.
    pub fee: Millisats,
}

/// Why an invoice was not paid, or is not known to be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PayError {
    /// Not a BOLT11 invoice, expired, or of another network.
    #[error("the invoice cannot be paid: {reason}")]
    InvalidInvoice {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no amount, or not the right one.
    #[error("the amount is not one to pay: {reason}")]
    InvalidAmount {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It would cost more than is allowed. Nothing was sent.
    #[error("the wallet expects a fee of {fee}, and {most} is allowed")]
    FeeTooHigh {
        /// What the wallet expects.
        fee: Millisats,
        /// The bound.
        most: Millisats,
    },
    /// The wallet keeps no bound on fees, and only such wallets are to be used. Nothing was sent.
    #[error("the wallet cannot keep its fees within a bound")]
    FeesUnbounded,
    /// A limit on spending would be passed. Nothing was sent.
    #[error("the limit on what may be spent {on} in 24 hours is reached")]
    SpendingLimit {
        /// `altogether` or `on one recipient`.
        on: &'static str,
    },
    /// It may have been paid; the wallet will tell. Ask again with the same invoice.
    #[error("the outcome of the payment is not known yet")]
    Pending,
    /// It was not paid and will not be.
    #[error("the payment failed: {reason}")]
    Failed {
        /// For people.
        reason: String,
    },
    /// The wallet did not take the payment.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The store failed; nothing was paid.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl PayError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::InvalidInvoice { .. } => ErrorCode::InvalidInvoice,
            Self::InvalidAmount { .. } => ErrorCode::InvalidAmount,
            Self::FeeTooHigh { .. } | Self::FeesUnbounded => ErrorCode::FeeTooHigh,
            Self::SpendingLimit { .. } => ErrorCode::SpendingLimit,
            Self::Pending => ErrorCode::PaymentPending,
            Self::Failed { .. } => ErrorCode::PaymentFailed,
            Self::Wallet(error) => error.code(),
            Self::Storage(error) => error.code(),
        }
    }
}

/// Pays an invoice within the usual bounds, or says what became of the payment that was made for
/// it before. For who pays one thing at a time; [`Payer`](super::Payer) is for everyone else.
///
/// # Errors
/// See [`PayError`]. [`PayError::Pending`] is not a failure.
///
/// # Cancel safety
/// Not cancel safe: run it on a task of its own, so that the outcome is saved.
pub async fn pay(
    env: &Env,
    store: &dyn Store,
    wallet: &dyn LightningWallet,
    text: &str,
) -> Result<PaidInvoice, PayError> {
    let (policy, facts, gate) = (PayPolicy::default(), Mutex::default(), Mutex::default());
    let desk = Desk { env, store, wallet, policy: &policy, facts: &facts, gate: &gate };
    desk.pay(&PayRequest::new(text)).await
}

/// Asks the wallet what became of every payment whose outcome is not known. How many remain.
///
/// # Errors
/// When the store fails; a wallet that cannot be asked leaves the payments as they are.
pub async fn reconcile(
    env: &Env,
    store: &dyn Store,
    wallet: &dyn LightningWallet,
) -> Result<usize, StorageError> {
    let (policy, facts, gate) = (PayPolicy::default(), Mutex::default(), Mutex::default());
    let desk = Desk { env, store, wallet, policy: &policy, facts: &facts, gate: &gate };
    let mut left = 0;
    for record in store.pending_outgoing().await? {
        left += usize::from(desk.reconcile_one(record).await? != Known::Over);
    }
    Ok(left)
}

/// What is known of a payment after asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// How it ended.
    Over,
    /// Nothing new.
    Open,
    /// The wallet does not answer.
    Silent,
}

/// Everything that paying needs, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) env: &'a Env,
    pub(super) store: &'a dyn Store,
    pub(super) wallet: &'a dyn LightningWallet,
    pub(super) policy: &'a PayPolicy,
    /// What the wallet said about itself once; it stays so.
    pub(super) facts: &'a Mutex<Option<Facts>>,
    /// Held from reading what was spent until what will be spent is saved.
    pub(super) gate: &'a Mutex<()>,
}

/// What has to be known of a wallet before it is trusted with a payment.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) network: Option<String>,
    caps_fees: bool,
}

impl Desk<'_> {
    /// The caller holds the payment hash for itself.
    pub(super) async fn pay(self, request: &PayRequest) -> Result<PaidInvoice, PayError> {
        let invoice = Bolt11::parse(&request.invoice)
            .map_err(|_| PayError::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        let mut attempt: u32 = 1;
        if let Some(record) = self.store.outgoing(invoice.payment_hash.0).await? {
            attempt = record.attempt.saturating_add(1);
            match record.status.clone() {
                OutgoingStatus::Settled { preimage, fee } => {
                    return Ok(PaidInvoice { preimage, fee });
                }
                OutgoingStatus::Failed { reason } if !request.retry => {
                    return Err(PayError::Failed { reason });
                }
                OutgoingStatus::Pending => {
                    return self.look_up(record).await.map_err(|error| match error {
                        // That it cannot be asked now is no answer about the payment.
                        PayError::Wallet(_) => PayError::Pending,
                        error => error,
                    });
                }
                OutgoingStatus::Failed { .. } | OutgoingStatus::Refused { .. } => {
                    if let Some(outcome) = self.look_back(record).await? {
                        return Ok(outcome);
                    }
                }
            }
        }
        let amount = amount_of(&invoice, request.amount)?;
        if invoice.is_expired_at(self.env.now()) {
            return Err(PayError::InvalidInvoice { reason: "it has expired" });
        }
        let facts = self.facts().await?;
        if invoice.is_foreign_to(facts.network.as_deref()) {
            let reason = "it is for another network than the wallet's";
            return Err(PayError::InvalidInvoice { reason });
        }
        let most = request.max_fee.unwrap_or_else(|| self.policy.fee_cap(amount));
        let order = PayInvoice {
            bolt11: invoice.text.clone(),
            payment_hash: invoice.payment_hash,
            amount: invoice.amount.is_none().then_some(amount),
            max_fee: Some(most),
            timeout: PATIENCE,
        };
        self.check_fee(&facts, &order, most).await?;
        let record = OutgoingRecord {
            payment_hash: invoice.payment_hash.0,
            invoice: invoice.text,
            amount,
            status: OutgoingStatus::Pending,
            at: self.env.now(),
            payee: Some(invoice.payee),
            max_fee: most,
            attempt,
        };
        self.enter(&record).await?;
        self.send(record, order).await
    }

    /// Asks about a payment whose outcome is not known.
    pub(super) async fn reconcile_one(self, record: OutgoingRecord) -> Result<Known, StorageError> {
        match self.look_up(record).await {
            Ok(_) | Err(PayError::Failed { .. }) => Ok(Known::Over),
            Err(PayError::Storage(error)) => Err(error),
            Err(PayError::Wallet(_)) => Ok(Known::Silent),
            Err(_) => Ok(Known::Open),
        }
    }

    /// Saves the row, unless that would pass a limit.
    async fn enter(self, record: &OutgoingRecord) -> Result<(), PayError> {
        let _gate = match self.policy.limits_spending() {
            true => Some(self.gate.lock().await),
            false => None,
        };
        if self.policy.limits_spending() {
            let since = self.env.now().saturating_sub(DAY);
            let spent = self.store.spent_since(since, record.payee).await?;
            let passes = |limit: Option<Millisats>, spent: Millisats| {
                let sum = spent.checked_add(record.spent());
                limit.is_some_and(|limit| sum.is_none_or(|sum| sum > limit))
            };
            if passes(self.policy.per_day, spent.total) {
                return Err(PayError::SpendingLimit { on: "altogether" });
            }
            if passes(self.policy.per_recipient, spent.on_payee) {
                return Err(PayError::SpendingLimit { on: "on one recipient" });
            }
        }
        commit(self.store, vec![Write::PutOutgoing(record.clone())]).await?;
        Ok(())
    }

    /// Hands the payment to the wallet. From here on nothing is certain until the wallet says so.
    async fn send(
        self,
        record: OutgoingRecord,
        order: PayInvoice,
    ) -> Result<PaidInvoice, PayError> {
        let most = record.max_fee;
        let sending = self.wallet.pay(order);
        let Ok(outcome) = tokio::time::timeout(PATIENCE + OVERTIME, sending).await else {
            return Err(PayError::Pending);
        };
        match outcome {
            Ok(PayOutcome::Settled { preimage, fee }) => {
                if fee > most {
                    tracing::warn!(%fee, %most, "the wallet paid more on top than it was allowed");
                }
                self.settle(record, preimage, fee).await
            }
            Ok(PayOutcome::Pending) => Err(PayError::Pending),
            Ok(PayOutcome::Failed { reason }) => {
                let status = OutgoingStatus::Failed { reason: reason.clone() };
                self.no(record, status, false, PayError::Failed { reason }).await
            }
            Err(error) if error.nothing_was_sent() => {
                let status = OutgoingStatus::Refused { reason: error.to_string() };
                self.no(record, status, true, PayError::Wallet(error)).await
            }
            Err(error) => {
                tracing::debug!(%error, "the outcome of a payment is not known");
                Err(PayError::Pending)
            }
        }
    }

    /// The wallet says no: so it is, unless its books say something else. A refusal stands also
    /// when they cannot be read: nothing was taken.
    async fn no(
        self,
        record: OutgoingRecord,
        status: OutgoingStatus,
        stands: bool,
        error: PayError,
    ) -> Result<PaidInvoice, PayError> {
        match self.ask(&record).await {
            Ok(Books::Settled { preimage, fee }) => self.settle(record, preimage, fee).await,
            Ok(Books::Open) => Err(PayError::Pending),
            Err(_) if !stands => Err(PayError::Pending),
            Ok(Books::Failed | Books::Unknown) | Err(_) => {
                self.save(OutgoingRecord { status, ..record }).await?;
                Err(error)
            }
        }
    }

    /// Before another attempt: whether the wallet's books know better by now. `None` when they do
    /// not, so that there may be one.
    async fn look_back(self, record: OutgoingRecord) -> Result<Option<PaidInvoice>, PayError> {
        match self.ask(&record).await {
            Ok(Books::Settled { preimage, fee }) => {
                self.settle(record, preimage, fee).await.map(Some)
            }
            Ok(Books::Open) => {
                self.save(OutgoingRecord { status: OutgoingStatus::Pending, ..record }).await?;
                Err(PayError::Pending)
            }
            Ok(Books::Failed | Books::Unknown) => Ok(None),
            // A wallet whose books nobody may read has not taken what it refused.
            Err(WalletError::Unsupported { .. } | WalletError::Refused { .. })
                if matches!(record.status, OutgoingStatus::Refused { .. }) =>
            {
                Ok(None)
            }
            Err(error) => Err(PayError::Wallet(error)),
        }
    }

    /// What became of a payment whose outcome is not known. [`PayError::Wallet`] when the wallet
    /// cannot be asked, to those who reconcile; callers hear that it is pending.
    async fn look_up(self, record: OutgoingRecord) -> Result<PaidInvoice, PayError> {
        match self.ask(&record).await {
            Ok(Books::Settled { preimage, fee }) => self.settle(record, preimage, fee).await,
            Ok(Books::Failed) => {
                self.fail(record, "the wallet says that it failed".to_owned()).await
            }
            Ok(Books::Unknown) if can_no_longer_leave(&record, self.env.now()) => {
                self.fail(record, "the wallet never sent it".to_owned()).await
            }
            // Not in the wallet's books is not proof that it is not on its way.
            Ok(Books::Unknown | Books::Open) => Err(PayError::Pending),
            Err(error) => Err(PayError::Wallet(error)),
        }
    }

    /// What the wallet's books say.
    async fn ask(self, record: &OutgoingRecord) -> Result<Books, WalletError> {
        let look = self.wallet.lookup(PaymentHash(record.payment_hash));
        let known = tokio::time::timeout(LOOK_PATIENCE, look).await;
        let Some(payment) = known.map_err(|_| WalletError::Timeout)?? else {
            return Ok(Books::Unknown);
        };
        if payment.payment_hash.0 != record.payment_hash {
            return Err(WalletError::BadAnswer { what: "another payment's status".to_owned() });
        }
        Ok(match (payment.direction, payment.state) {
            (Direction::Outgoing, PaymentState::Settled { preimage: Some(preimage), .. }) => {
                Books::Settled { preimage, fee: payment.fee }
            }
            (Direction::Outgoing, PaymentState::Failed) => Books::Failed,
            (Direction::Outgoing, _) => Books::Open,
            // Our own invoice: nothing is said about paying it.
            (Direction::Incoming, _) => Books::Unknown,
        })
    }

    /// What the wallet says about itself.
    pub(super) async fn facts(self) -> Result<Facts, PayError> {
        let mut known = self.facts.lock().await;
        if let Some(facts) = &*known {
            return Ok(facts.clone());
        }
        let info = tokio::time::timeout(LOOK_PATIENCE, self.wallet.info()).await;
        let facts = match info.unwrap_or(Err(WalletError::Timeout)) {
            Ok(WalletInfo { network, caps_fees, .. }) => Facts { network, caps_fees },
            Err(
                error @ (WalletError::Timeout | WalletError::Unreachable | WalletError::ShutDown),
            ) => {
                return Err(PayError::Wallet(error));
            }
            // Not every wallet tells about itself.
            Err(_) => Facts::default(),
        };
        *known = Some(facts.clone());
        Ok(facts)
    }

    /// Whether the fee can be kept within its bound, as far as that can be known beforehand.
    async fn check_fee(
        self,
        facts: &Facts,
        order: &PayInvoice,
        most: Millisats,
    ) -> Result<(), PayError> {
        if facts.caps_fees {
            // The wallet itself refuses, with the fee it really finds.
            return Ok(());
        }
        if self.policy.strict_fees {
            return Err(PayError::FeesUnbounded);
        }
        match tokio::time::timeout(LOOK_PATIENCE, self.wallet.quote(order)).await {
            Ok(Ok(quote)) if quote.fee > most => Err(PayError::FeeTooHigh { fee: quote.fee, most }),
            // An estimate is not a condition: without one the wallet's own bounds are what there is.
            Ok(Ok(_) | Err(_)) | Err(_) => Ok(()),
        }
    }

    async fn settle(
        self,
        record: OutgoingRecord,
        preimage: [u8; 32],
        fee: Millisats,
    ) -> Result<PaidInvoice, PayError> {
        if Sha256::digest(preimage).as_slice() != record.payment_hash {
            tracing::warn!("the wallet showed a preimage that does not fit the payment hash");
            return Err(PayError::Pending);
        }
        let preimage = hex::encode(preimage);
        let status = OutgoingStatus::Settled { preimage: preimage.clone(), fee };
        self.save(OutgoingRecord { status, ..record }).await?;
        Ok(PaidInvoice { preimage, fee })
    }

    async fn fail(self, record: OutgoingRecord, reason: String) -> Result<PaidInvoice, PayError> {
        let status = OutgoingStatus::Failed { reason: reason.clone() };
        self.save(OutgoingRecord { status, ..record }).await?;
        Err(PayError::Failed { reason })
    }

    async fn save(self, record: OutgoingRecord) -> Result<(), StorageError> {
        commit(self.store, vec![Write::PutOutgoing(record)]).await
    }
}

/// What the wallet's books say about a payment out of it.
enum Books {
    Settled { preimage: [u8; 32], fee: Millisats },
    Open,
    Failed,
    Unknown,
}

/// What is to be paid.
fn amount_of(invoice: &Bolt11, given: Option<Millisats>) -> Result<Millisats, PayError> {
    let bad = |reason| Err(PayError::InvalidAmount { reason });
    let amount = match (invoice.amount, given) {
        (Some(asked), Some(given)) if asked != given => {
            return bad("the invoice is for another amount");
        }
        (Some(amount), _) | (None, Some(amount)) => amount,
        (None, None) => return bad("the invoice has none, name one"),
    };
    if amount == Millisats::new(0) {
        return bad("it is zero");
    }
    if amount > ALL_MONEY {
        return bad("there is not that much money");
    }
    Ok(amount)
}

/// Whether a payment that the wallet does not know will never be sent: its invoice has been over
/// for an hour, and it was handed over longer ago than that.
fn can_no_longer_leave(record: &OutgoingRecord, now: Timestamp) -> bool {
    let long_ago = now.saturating_sub(CERTAIN_AFTER);
    let expired =
        Bolt11::parse(&record.invoice).is_ok_and(|invoice| invoice.is_expired_at(long_ago));
    expired && record.at < long_ago
}

#[cfg(test)]
#[path = "pay/tests.rs"]
mod tests;
