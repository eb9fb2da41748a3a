//! Watches the wallet for the money of open payments.
//!
//! The wallet's notifications are hints that make it quick; looking makes it certain. A payment is
//! looked up when somebody claims to have paid, when its request ends, when the wallet comes back,
//! and in a sweep at an interval that depends on whether the wallet notifies. A wallet that errs
//! is asked again; it never ends a payment.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::machine_loop::Job;
use super::tasks::Tasks;
use crate::env::Env;
use crate::payments::sweep::{self, Sweep};
use crate::primitives::Timestamp;
use crate::wallet::{
    Direction, LightningWallet, ListPayments, PaymentHash, PaymentState, WalletError, WalletEvent,
    WalletPayment,
};

/// The longest a look may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the effects tell the watch.
#[derive(Debug)]
pub enum WatchCommand {
    /// Watch a payment; `now`: look at once.
    Watch { payment_hash: [u8; 32], since: Timestamp, now: bool },
    /// Stop watching it.
    Unwatch { payment_hash: [u8; 32] },
}

struct Watch {
    wallet: Arc<dyn LightningWallet>,
    env: Env,
    jobs: mpsc::UnboundedSender<Job>,
    open: Mutex<Open>,
    wake: Notify,
}

/// What came of asking the wallet, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// It said how the payment stands.
    Told,
    /// It could not say.
    Erred,
    /// It did not answer.
    Silent,
}

impl Look {
    const fn of(error: &WalletError) -> Self {
        match error {
            WalletError::Timeout | WalletError::Unreachable | WalletError::ShutDown => Self::Silent,
            WalletError::Refused { .. }
            | WalletError::Unsupported { .. }
            | WalletError::BadAnswer { .. }
            | WalletError::BadRequest { .. }
            | WalletError::MaySpend => Self::Erred,
        }
    }
}

#[derive(Default)]
struct Open {
    since: HashMap<[u8; 32], Timestamp>,
    urgent: HashSet<[u8; 32]>,
    sweep_now: bool,
    notifies: bool,
}

/// Starts watching.
pub fn start(
    tasks: &Tasks,
    wallet: Arc<dyn LightningWallet>,
    env: Env,
    jobs: mpsc::UnboundedSender<Job>,
) -> mpsc::UnboundedSender<WatchCommand> {
    let (sender, mut commands) = mpsc::unbounded_channel();
    let watch = Arc::new(Watch { wallet, env, jobs, open: Mutex::default(), wake: Notify::new() });
    let listener = watch.clone();
    let stop = tasks.clone();
    // Before the task runs: what the wallet says from now on is not missed.
    let mut events = listener.wallet.events();
    tasks.spawn_vital(async move {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => listener.command(command),
                    None => return,
                },
                Some(event) = events.next() => listener.hear(&event),
                () = stop.stopping() => return,
            }
        }
    });
    let stop = tasks.clone();
    tasks.spawn_vital(async move {
        tokio::select! {
            () = watch.look() => {}
            () = stop.stopping() => {}
        }
    });
    sender
}

impl Watch {
    fn command(&self, command: WatchCommand) {
        let mut open = self.lock();
        match command {
            WatchCommand::Watch { payment_hash, since, now } => {
                let first = open.since.is_empty();
                open.since.insert(payment_hash, since);
                if now {
                    open.urgent.insert(payment_hash);
                }
                if now || first {
                    self.wake.notify_one();
                }
            }
            WatchCommand::Unwatch { payment_hash } => {
                open.since.remove(&payment_hash);
                open.urgent.remove(&payment_hash);
            }
        }
    }

    fn hear(&self, event: &WalletEvent) {
        match event {
            WalletEvent::Settled(payment) => self.report(payment),
            WalletEvent::Reconnected => {
                self.lock().sweep_now = true;
                self.wake.notify_one();
            }
            WalletEvent::Disconnected => {}
        }
    }

    /// Looks whenever there is a reason to, for ever.
    async fn look(&self) {
        let mut failures: u32 = 0;
        let mut asked_info = false;
        let mut sweep_at = Instant::now();
        loop {
            if self.lock().since.is_empty() {
                self.wake.notified().await;
                sweep_at = Instant::now();
                continue;
            }
            if !asked_info
                && let Ok(Ok(info)) = tokio::time::timeout(PATIENCE, self.wallet.info()).await
            {
                self.lock().notifies = info.notifies;
                asked_info = true;
            }
            // One claim is a reason to look at one payment, not at all of them.
            let mut told = self.urgent().await;
            let due = Instant::now() >= sweep_at || std::mem::take(&mut self.lock().sweep_now);
            if told != Look::Silent && due {
                told = told.max(self.sweep().await);
            }
            failures = if told == Look::Told { 0 } else { failures.saturating_add(1) };
            if due || failures > 0 {
                sweep_at = Instant::now() + sweep::pause(self.lock().notifies, failures);
            }
            // Woken early by whatever is urgent.
            if tokio::time::timeout_at(sweep_at, self.wake.notified()).await.is_ok() && failures > 0
            {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }

    /// Looks up what cannot wait.
    async fn urgent(&self) -> Look {
        let urgent = std::mem::take(&mut self.lock().urgent);
        self.each(urgent).await
    }

    /// Looks up each of these. One that the wallet errs about does not keep it from the others,
    /// but a wallet that does not answer is not asked for all of them. What was not told cannot
    /// wait from now on.
    async fn each(&self, hashes: impl IntoIterator<Item = [u8; 32]>) -> Look {
        let mut worst = Look::Told;
        for payment_hash in hashes {
            if worst != Look::Silent {
                worst = worst.max(match self.look_up(payment_hash).await {
                    Look::Told => continue,
                    failure => failure,
                });
            }
            let mut open = self.lock();
            if open.since.contains_key(&payment_hash) {
                open.urgent.insert(payment_hash);
            }
        }
        worst
    }

    async fn look_up(&self, payment_hash: [u8; 32]) -> Look {
        let at = self.env.now();
        let look = self.wallet.lookup(PaymentHash(payment_hash));
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(Ok(Some(payment))) if matches!(payment.state, PaymentState::Settled { .. }) => {
                self.report(&payment);
                Look::Told
            }
            Ok(Ok(_)) => {
                self.send(Job::Unsettled { payment_hash, at });
                Look::Told
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "the wallet could not look up a payment");
                Look::of(&error)
            }
            Err(_) => Look::Silent,
        }
    }

    /// Looks at everything open.
    async fn sweep(&self) -> Look {
        let plan = sweep::plan(&self.lock().since);
        match plan {
            Sweep::Nothing => Look::Told,
            Sweep::Each(hashes) => self.each(hashes).await,
            Sweep::List { since } => match self.list(since).await {
                // A wallet need not be able to list.
                Look::Erred => {
                    let all: Vec<_> = self.lock().since.keys().copied().collect();
                    self.each(all).await
                }
                told => told,
            },
        }
    }

    async fn list(&self, since: Timestamp) -> Look {
        for page in 0..sweep::MOST_PAGES {
            let query = ListPayments {
                since,
                direction: Some(Direction::Incoming),
                offset: page.saturating_mul(sweep::PAGE),
                limit: sweep::PAGE,
            };
            match tokio::time::timeout(PATIENCE, self.wallet.list(query)).await {
                Ok(Ok(payments)) => {
                    payments.iter().for_each(|payment| self.report(payment));
                    if payments.len() < usize::try_from(sweep::PAGE).unwrap_or(usize::MAX) {
                        return Look::Told;
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the wallet could not list payments");
                    return Look::of(&error);
                }
                Err(_) => return Look::Silent,
            }
        }
        Look::Told
    }

    /// Passes a settled payment on if it is one that is watched.
    fn report(&self, payment: &WalletPayment) {
        let PaymentState::Settled { preimage, .. } = &payment.state else { return };
        let payment_hash = payment.payment_hash.0;
        if payment.direction != Direction::Incoming
            || !self.lock().since.contains_key(&payment_hash)
        {
            return;
        }
        // That there is money is the wallet's word; the preimage is checked.
        let fits = |preimage: &[u8; 32]| Sha256::digest(preimage).as_slice() == payment_hash;
        let preimage = preimage.filter(fits).map(hex::encode);
        if preimage.is_none() {
            tracing::warn!("the wallet showed no preimage that fits a payment it has");
        }
        self.send(Job::Settled { payment_hash, preimage });
    }

    fn send(&self, job: Job) {
        // The loop only goes away when the node stops.
        drop(self.jobs.send(job));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
