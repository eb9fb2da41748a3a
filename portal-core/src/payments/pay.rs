//! Paying an invoice, at most once.
//!
//! ```text
//!   (nothing) ──row saved──▶ Pending ──wallet: settled, preimage fits──▶ Settled
//!                              │  └────wallet: failed for good─────────▶ Failed
//!                              │  └────wallet: not taken───────────────▶ Refused ──asked again──▶ Pending
//!                              ├──timeout, disconnect, unknown error──▶ Pending, until the wallet says
//!                              └──invoice over for an hour, wallet never heard of it──▶ Failed
//! ```
//!
//! The row is saved before the wallet is asked. A second call for the same payment hash does not
//! ask the wallet to pay: it looks the payment up. Only a refusal, with which nothing was sent,
//! may be followed by another try.

use std::time::Duration;

use lightning_invoice::Bolt11Invoice;
use sha2::{Digest, Sha256};

use crate::env::Env;
use crate::primitives::{Millisats, Timestamp};
use crate::storage::{OutgoingRecord, OutgoingStatus, StorageError, Store, Write, commit};
use crate::wallet::{
    Direction, LightningWallet, PayInvoice, PayOutcome, PaymentHash, PaymentState, WalletError,
};

/// How long the wallet may take before the outcome counts as unknown.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How long after the end of its invoice a payment that the wallet does not know counts as never
/// sent.
const CERTAIN_AFTER: Duration = Duration::from_secs(3600);

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
    /// Not a BOLT11 invoice, expired, or without an amount.
    #[error("the invoice cannot be paid: {reason}")]
    InvalidInvoice {
        /// What is wrong with it.
        reason: &'static str,
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

/// Pays an invoice, or says what became of the payment that was made for it before.
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
    let invoice: Bolt11Invoice = text
        .trim()
        .parse()
        .map_err(|_| PayError::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
    let amount = invoice
        .amount_milli_satoshis()
        .map(Millisats::new)
        .ok_or(PayError::InvalidInvoice { reason: "it has no amount" })?;
    let hash: &[u8] = invoice.payment_hash().as_ref();
    let payment_hash: [u8; 32] = hash
        .try_into()
        .map_err(|_| PayError::InvalidInvoice { reason: "its payment hash is not 32 bytes" })?;

    if let Some(record) = store.outgoing(payment_hash).await? {
        match record.status.clone() {
            OutgoingStatus::Settled { preimage, fee } => return Ok(PaidInvoice { preimage, fee }),
            OutgoingStatus::Failed { reason } => return Err(PayError::Failed { reason }),
            OutgoingStatus::Pending => return look_up(env, store, wallet, record).await,
            // Nothing was sent then; there may be enough in the wallet now.
            OutgoingStatus::Refused { .. } => {}
        }
    }
    if invoice.would_expire(Duration::from_secs(env.now().as_secs())) {
        return Err(PayError::InvalidInvoice { reason: "it has expired" });
    }
    let record = OutgoingRecord {
        payment_hash,
        invoice: text.trim().to_owned(),
        amount,
        status: OutgoingStatus::Pending,
        at: env.now(),
    };
    commit(store, vec![Write::PutOutgoing(record.clone())]).await?;
    let request = PayInvoice {
        bolt11: record.invoice.clone(),
        payment_hash: PaymentHash(payment_hash),
        amount: None,
        max_fee: None,
        timeout: PATIENCE,
    };
    match wallet.pay(request).await {
        Ok(PayOutcome::Settled { preimage, fee }) => settle(store, record, preimage, fee).await,
        Ok(PayOutcome::Failed { reason }) => fail(store, record, reason).await,
        Ok(PayOutcome::Pending) => Err(PayError::Pending),
        Err(error) if error.outcome_unknown() => Err(PayError::Pending),
        Err(error) => {
            // Refused before anything was sent: a definite no.
            let reason = error.to_string();
            let status = OutgoingStatus::Refused { reason };
            commit(store, vec![Write::PutOutgoing(OutgoingRecord { status, ..record })]).await?;
            Err(PayError::Wallet(error))
        }
    }
}

/// Asks the wallet what became of every payment whose outcome is not known. Run at the start and
/// when the wallet comes back.
///
/// # Errors
/// When the store fails; a wallet that cannot be asked leaves the payments as they are.
pub async fn reconcile(
    env: &Env,
    store: &dyn Store,
    wallet: &dyn LightningWallet,
) -> Result<(), StorageError> {
    for record in store.pending_outgoing().await? {
        if let Err(PayError::Storage(error)) = look_up(env, store, wallet, record).await {
            return Err(error);
        }
    }
    Ok(())
}

async fn look_up(
    env: &Env,
    store: &dyn Store,
    wallet: &dyn LightningWallet,
    record: OutgoingRecord,
) -> Result<PaidInvoice, PayError> {
    let known = wallet.lookup(PaymentHash(record.payment_hash)).await;
    match known {
        Ok(Some(payment)) if payment.direction == Direction::Outgoing => match payment.state {
            PaymentState::Settled { preimage: Some(preimage), .. } => {
                settle(store, record, preimage, payment.fee).await
            }
            PaymentState::Failed => {
                fail(store, record, "the wallet says that it failed".to_owned()).await
            }
            PaymentState::Settled { preimage: None, .. } | PaymentState::Pending => {
                Err(PayError::Pending)
            }
        },
        Ok(None) if can_no_longer_leave(&record, env.now()) => {
            fail(store, record, "the wallet never sent it".to_owned()).await
        }
        // Not in the wallet's books is not proof that it is not on its way.
        Ok(_) | Err(_) => Err(PayError::Pending),
    }
}

/// Whether a payment that the wallet does not know will never be sent: its invoice has been over
/// for an hour, and it was handed over longer ago than that.
fn can_no_longer_leave(record: &OutgoingRecord, now: Timestamp) -> bool {
    let long_ago = now.saturating_sub(CERTAIN_AFTER);
    let expired = record
        .invoice
        .parse::<Bolt11Invoice>()
        .is_ok_and(|invoice| invoice.would_expire(Duration::from_secs(long_ago.as_secs())));
    expired && record.at < long_ago
}

async fn settle(
    store: &dyn Store,
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
    commit(store, vec![Write::PutOutgoing(OutgoingRecord { status, ..record })]).await?;
    Ok(PaidInvoice { preimage, fee })
}

async fn fail(
    store: &dyn Store,
    record: OutgoingRecord,
    reason: String,
) -> Result<PaidInvoice, PayError> {
    let status = OutgoingStatus::Failed { reason: reason.clone() };
    commit(store, vec![Write::PutOutgoing(OutgoingRecord { status, ..record })]).await?;
    Err(PayError::Failed { reason })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::env::mock::{self, MockClock};
    use crate::storage::OutgoingStore as _;
    use crate::storage::memory::MemoryStore;
    use crate::wallet::NewInvoice;
    use crate::wallet::simulated::{Call, Fault, SimulatedNetwork, SimulatedWallet, Trouble};

    struct World {
        env: Env,
        clock: Arc<MockClock>,
        store: MemoryStore,
        network: SimulatedNetwork,
        payer: Arc<SimulatedWallet>,
        invoice: String,
    }

    async fn world(balance: u64) -> World {
        let (env, clock) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
        let network = SimulatedNetwork::new(env.clone());
        let payer = network.wallet("payer", Millisats::new(balance)).expect("new");
        let payee = network.wallet("payee", Millisats::new(0)).expect("new");
        let new = NewInvoice {
            amount: Millisats::new(1000),
            description: None,
            expiry: Duration::from_secs(300),
        };
        let invoice = payee.make_invoice(new).await.expect("made").bolt11;
        World { env, clock, store: MemoryStore::new(), network, payer, invoice }
    }

    impl World {
        async fn pay(&self) -> Result<PaidInvoice, PayError> {
            pay(&self.env, &self.store, &*self.payer, &self.invoice).await
        }

        async fn status(&self) -> OutgoingStatus {
            let invoice: Bolt11Invoice = self.invoice.parse().expect("an invoice");
            let hash: &[u8] = invoice.payment_hash().as_ref();
            let record = self.store.outgoing(hash.try_into().expect("32 bytes")).await;
            record.expect("reads").expect("journalled").status
        }
    }

    #[tokio::test]
    async fn paid_once_however_often_it_is_asked_for() {
        let world = world(5000).await;
        let first = world.pay().await.expect("paid");
        assert_eq!(world.pay().await.expect("known"), first);
        assert_eq!(world.network.settled().len(), 1);
    }

    #[tokio::test]
    async fn a_refusal_may_be_followed_by_another_try() {
        let world = world(500).await;
        assert!(matches!(world.pay().await, Err(PayError::Wallet(_))), "too little in it");
        assert!(matches!(world.status().await, OutgoingStatus::Refused { .. }));
        let refused = world.payer.balance().await.expect("known").amount;
        assert_eq!(refused, Millisats::new(500));
        let rich = world.network.wallet("rich", Millisats::new(5000)).expect("new");
        let paid = pay(&world.env, &world.store, &*rich, &world.invoice).await;
        assert!(paid.is_ok(), "nothing was sent before");
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_pending_and_never_sent_again() {
        let world = world(5000).await;
        world.payer.order(Fault::OnCall(Some(Call::Pay), Trouble::LostAnswer));
        assert!(matches!(world.pay().await, Err(PayError::Pending)));
        assert_eq!(world.status().await, OutgoingStatus::Pending);
        assert!(world.pay().await.is_ok(), "the wallet had paid, and says so when asked");
        assert_eq!(world.network.settled().len(), 1);
    }

    #[tokio::test]
    async fn what_was_never_handed_over_fails_once_it_can_no_longer_leave() {
        let world = world(5000).await;
        world.payer.order(Fault::OnCall(Some(Call::Pay), Trouble::Timeout));
        assert!(matches!(world.pay().await, Err(PayError::Pending)));
        reconcile(&world.env, &world.store, &*world.payer).await.expect("reads");
        assert_eq!(world.status().await, OutgoingStatus::Pending, "it may be on its way");
        world.clock.advance(Duration::from_secs(300 + 3601));
        reconcile(&world.env, &world.store, &*world.payer).await.expect("reads");
        assert!(matches!(world.status().await, OutgoingStatus::Failed { .. }));
        assert!(world.network.settled().is_empty());
    }
}
