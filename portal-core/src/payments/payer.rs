//! Whoever pays from one wallet: one payment hash at a time, within one policy, and never without
//! asking afterwards.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::{Mutex, Notify};

use super::busy::Busy;
use super::pay::{Desk, Facts, Known, PaidInvoice, PayError, PayRequest};
use super::policy::PayPolicy;
use crate::env::Env;
use crate::primitives::{Millisats, StreamId};
use crate::storage::{OutgoingRecord, StorageError, Store, Write, commit};
use crate::wallet::bolt11::Bolt11;
use crate::wallet::{Direction, LightningWallet, WalletError, WalletEvent, WalletInfo};

/// How soon a payment whose outcome is not known is asked about; then at growing intervals.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest of these intervals.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whoever pays from one wallet. Only one may exist for a wallet and a store.
pub struct Payer {
    env: Env,
    store: Arc<dyn Store>,
    wallet: Arc<dyn LightningWallet>,
    policy: PayPolicy,
    facts: Mutex<Option<Facts>>,
    info: std::sync::Mutex<Option<WalletInfo>>,
    gate: Mutex<()>,
    busy: Busy,
    doubt: Notify,
}

impl Payer {
    /// Pays from this wallet, by this journal.
    #[must_use]
    pub fn new(
        env: Env,
        store: Arc<dyn Store>,
        wallet: Arc<dyn LightningWallet>,
        policy: PayPolicy,
    ) -> Self {
        let (facts, gate) = (Mutex::default(), Mutex::default());
        let (busy, doubt) = (Busy::default(), Notify::new());
        let info = std::sync::Mutex::default();
        Self { env, store, wallet, policy, facts, info, gate, busy, doubt }
    }

    /// The bounds.
    #[must_use]
    pub const fn policy(&self) -> &PayPolicy {
        &self.policy
    }

    /// The wallet.
    #[must_use]
    pub const fn wallet(&self) -> &Arc<dyn LightningWallet> {
        &self.wallet
    }

    /// Pays an invoice, or says what became of the payment that was made for it before.
    ///
    /// # Errors
    /// See [`PayError`]. [`PayError::Pending`] is not a failure.
    ///
    /// # Cancel safety
    /// Nothing is paid twice, but an outcome may have to be asked for again: run it on a task of
    /// its own.
    pub async fn pay(&self, request: &PayRequest) -> Result<PaidInvoice, PayError> {
        let invoice = Bolt11::parse(&request.invoice)
            .map_err(|_| PayError::InvalidInvoice { reason: "it is not a BOLT11 invoice" })?;
        let _held = self.busy.hold(invoice.payment_hash.0).await;
        // Also when this is dropped half way.
        let doubt = Doubt(&self.doubt);
        match self.desk().pay(request).await {
            Err(PayError::Pending) => Err(PayError::Pending),
            certain => {
                std::mem::forget(doubt);
                certain
            }
        }
    }

    /// The network of the wallet, when it says so.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn network(&self) -> Option<String> {
        self.desk().facts().await.ok().and_then(|facts| facts.network)
    }

    /// What the wallet says of itself, or said when it was last asked, while it is away: it stays
    /// so. Whether it answered now.
    ///
    /// # Errors
    /// Those of the wallet, when it never answered or refuses to.
    ///
    /// # Cancel safety
    /// Safe to drop.
    pub async fn known_info(&self) -> Result<(WalletInfo, bool), WalletError> {
        match self.wallet.info().await {
            Ok(info) => {
                *self.info() = Some(info.clone());
                Ok((info, true))
            }
            Err(error @ (WalletError::Timeout | WalletError::Unreachable)) => {
                self.info().clone().map(|info| (info, false)).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// What is in the journal about a payment hash.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record(
        &self,
        payment_hash: [u8; 32],
    ) -> Result<Option<OutgoingRecord>, StorageError> {
        self.store.outgoing(payment_hash).await
    }

    /// Reserves an invoice for a stream, for good: whatever is in the journal about it from then on
    /// was paid for that stream, however often the process ends and whatever the clock says. False
    /// when it was paid, or is being paid, for something else.
    ///
    /// # Errors
    /// When the store fails; ask again before paying.
    ///
    /// # Cancel safety
    /// It may be reserved also when the future is dropped.
    pub async fn reserve(
        &self,
        payment_hash: [u8; 32],
        stream: StreamId,
    ) -> Result<bool, StorageError> {
        let _held = self.busy.hold(payment_hash).await;
        let name = format!("payout/{}", hex::encode(payment_hash));
        let mine = stream.to_string().into_bytes();
        if let Some(reserved) = self.store.setting(&name).await? {
            return Ok(reserved == mine);
        }
        let row = self.store.outgoing(payment_hash).await?;
        if row.is_some_and(|row| row.spent() > Millisats::new(0)) {
            return Ok(false);
        }
        commit(&*self.store, vec![Write::PutSetting { name, value: mine }]).await?;
        Ok(true)
    }

    /// Asks the wallet what became of every payment whose outcome is not known, except those that
    /// are being made. How many remain.
    ///
    /// # Errors
    /// When the store fails; a wallet that cannot be asked leaves the payments as they are.
    pub async fn reconcile(&self) -> Result<usize, StorageError> {
        let pending = self.store.pending_outgoing().await?;
        let mut left = pending.len();
        for record in pending {
            let hash = record.payment_hash;
            let Some(_held) = self.busy.try_hold(hash) else { continue };
            // It may have ended before it was ours.
            let Some(record) = self.store.outgoing(hash).await? else { continue };
            if !record.is_pending() {
                left = left.saturating_sub(1);
                continue;
            }
            match self.desk().reconcile_one(record).await? {
                Known::Over => left = left.saturating_sub(1),
                Known::Open => {}
                // Nor will it answer about the others.
                Known::Silent => break,
            }
        }
        Ok(left)
    }

    /// Keeps asking, for ever: at first, whenever the wallet comes back, when it tells of a
    /// payment that left, and from time to time while any outcome is not known.
    pub async fn keep_accounts(&self, mut events: BoxStream<'static, WalletEvent>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let left = self.reconcile().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "outgoing payments could not be reconciled");
                1
            });
            let nap = async {
                match left {
                    0 => self.doubt.notified().await,
                    _ => tokio::time::sleep(pause).await,
                }
            };
            tokio::select! {
                () = nap => {
                    pause = match left {
                        0 => FIRST_PAUSE,
                        _ => pause.saturating_mul(2).min(LONGEST_PAUSE),
                    };
                    if left == 0 {
                        // What is in doubt now was in doubt a moment ago: give it that long.
                        tokio::time::sleep(FIRST_PAUSE).await;
                    }
                }
                told = told(&mut events, left > 0) => {
                    pause = FIRST_PAUSE;
                    if !told {
                        // The wallet tells nothing any more.
                        events = futures_util::stream::pending().boxed();
                    }
                }
            }
        }
    }

    fn info(&self) -> std::sync::MutexGuard<'_, Option<WalletInfo>> {
        self.info.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            env: &self.env,
            store: &*self.store,
            wallet: &*self.wallet,
            policy: &self.policy,
            facts: &self.facts,
            gate: &self.gate,
        }
    }
}

/// Ends with true when there is a reason to ask, with false when the wallet tells nothing any more.
async fn told(events: &mut BoxStream<'static, WalletEvent>, waiting: bool) -> bool {
    loop {
        match events.next().await {
            Some(WalletEvent::Reconnected) => return true,
            Some(WalletEvent::Settled(payment))
                if waiting && payment.direction == Direction::Outgoing =>
            {
                return true;
            }
            Some(_) => {}
            None => return false,
        }
    }
}

/// Has the outcome asked for later, unless it is known.
struct Doubt<'a>(&'a Notify);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl std::fmt::Debug for Payer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payer").field("policy", &self.policy).finish_non_exhaustive()
    }
}
