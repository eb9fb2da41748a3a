//! Watches the wallet for the money of open payments.
//!
//! The wallet's notifications are hints that make it quick; looking makes it certain. A payment is
//! looked up when somebody claims to have paid, when its request ends, when the wallet comes back,
//! and in a sweep at an interval that depends on whether the wallet notifies. A wallet that errs
//! is asked again; it never ends a payment.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::machine_loop::Job;
use super::tasks::Tasks;
use crate::env::Env;
use crate::payments::sweep::{self, Lists, Open, Sweep};
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
    state: Mutex<State>,
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
struct State {
    open: Open,
    urgent: HashSet<[u8; 32]>,
    sweep_now: bool,
    /// Whether the wallet answered anything since the last look began.
    answered: bool,
    notifies: bool,
    lists: Lists,
}

/// Starts watching.
pub fn start(
    tasks: &Tasks,
    wallet: Arc<dyn LightningWallet>,
    env: Env,
    jobs: mpsc::UnboundedSender<Job>,
) -> mpsc::UnboundedSender<WatchCommand> {
    let (sender, mut commands) = mpsc::unbounded_channel();
    let watch = Arc::new(Watch { wallet, env, jobs, state: Mutex::default(), wake: Notify::new() });
    let listener = watch.clone();
    let stop = tasks.clone();
    // Before the task runs: what the wallet says from now on is not missed.
    // Fused: a wallet may be shut down before the node.
    let mut events = listener.wallet.events().fuse();
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
        let mut state = self.lock();
        match command {
            WatchCommand::Watch { payment_hash, since, now } => {
                let first = state.open.is_empty();
                if !state.open.contains(&payment_hash) {
                    state.open.insert(payment_hash, since);
                }
                if now {
                    state.urgent.insert(payment_hash);
                }
                if now || first {
                    self.wake.notify_one();
                }
            }
            WatchCommand::Unwatch { payment_hash } => {
                state.open.remove(&payment_hash);
                state.urgent.remove(&payment_hash);
            }
        }
    }

    fn hear(&self, event: &WalletEvent) {
        match event {
            WalletEvent::Settled(payment) => {
                self.report(payment);
            }
            WalletEvent::Reconnected => {
                let mut state = self.lock();
                state.sweep_now = true;
                state.open.look_deep();
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
            if self.lock().open.is_empty() {
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
            let began = Instant::now();
            self.lock().answered = false;
            // One claim is a reason to look at one payment, not at all of them. All of them first:
            // that answers most claims, and a look that fails does not keep it from happening.
            let due = Instant::now() >= sweep_at || std::mem::take(&mut self.lock().sweep_now);
            let mut told = if due { self.sweep().await } else { Look::Told };
            if told != Look::Silent {
                told = told.max(self.urgent().await);
            }
            failures = match (told, self.lock().answered) {
                (Look::Told, _) => 0,
                // It is there, and fails now and then.
                (_, true) => 1,
                (_, false) => failures.saturating_add(1),
            };
            if due || failures > 0 {
                let (notifies, lists) = {
                    let state = self.lock();
                    (state.notifies, state.lists)
                };
                sweep_at =
                    Instant::now() + sweep::pause(notifies, failures, lists, began.elapsed());
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
            let mut state = self.lock();
            if state.open.contains(&payment_hash) {
                state.urgent.insert(payment_hash);
            }
        }
        worst
    }

    async fn look_up(&self, payment_hash: [u8; 32]) -> Look {
        let at = self.env.now();
        let look = self.wallet.lookup(PaymentHash(payment_hash));
        match tokio::time::timeout(PATIENCE, look).await {
            // An answer about something else says nothing about this one.
            Ok(Ok(Some(payment))) if payment.payment_hash.0 != payment_hash => {
                tracing::warn!("the wallet answered for another payment than it was asked about");
                Look::Erred
            }
            Ok(Ok(Some(payment))) if matches!(payment.state, PaymentState::Settled { .. }) => {
                self.lock().answered = true;
                self.report(&payment);
                Look::Told
            }
            Ok(Ok(_)) => {
                self.lock().answered = true;
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
        loop {
            let (plan, lists) = {
                let mut state = self.lock();
                let lists = state.lists;
                (state.open.plan(lists), lists)
            };
            let (told, instead) = match plan {
                Sweep::Nothing => return Look::Told,
                Sweep::Each(hashes) => return self.each(hashes).await,
                Sweep::Settled { since } => {
                    (self.list(since, true).await, (lists, Lists::Invoices))
                }
                Sweep::Made { since } => (self.list(since, false).await, (lists, Lists::Nothing)),
            };
            match told {
                Listed::Cannot => {
                    let mut state = self.lock();
                    if state.lists == instead.0 {
                        state.lists = instead.1;
                    }
                }
                Listed::Look(Look::Erred) => {
                    // A list that fails does not keep the payments from being looked at.
                    let some = self.lock().open.plan(Lists::Nothing);
                    let Sweep::Each(some) = some else { return Look::Erred };
                    return self.each(some).await.max(Look::Erred);
                }
                Listed::Look(told) => {
                    if told == Look::Silent {
                        self.lock().open.look_deep();
                    }
                    return told;
                }
            }
        }
    }

    async fn list(&self, since: Timestamp, by_settlement: bool) -> Listed {
        let limit = if by_settlement { sweep::LARGE_PAGE } else { sweep::PAGE };
        let mut newest = None;
        for page in 0..sweep::MOST_PAGES {
            let query = ListPayments {
                since,
                direction: Some(Direction::Incoming),
                offset: page.saturating_mul(limit),
                limit,
            };
            let listing = match by_settlement {
                true => self.wallet.list_settled(query),
                false => self.wallet.list(query),
            };
            match tokio::time::timeout(PATIENCE, listing).await {
                Ok(Ok(payments)) => {
                    self.lock().answered = true;
                    for payment in &payments {
                        newest = newest.max(self.report(payment));
                    }
                    if payments.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                        if let Some(newest) = newest {
                            self.lock().open.saw(newest);
                        }
                        return Listed::Look(Look::Told);
                    }
                }
                Ok(Err(WalletError::Unsupported { .. })) => return Listed::Cannot,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the wallet could not list payments");
                    return Listed::Look(Look::of(&error));
                }
                Err(_) => return Listed::Look(Look::Silent),
            }
        }
        // What is beyond has its turn one by one.
        let some = self.lock().open.plan(Lists::Nothing);
        match some {
            Sweep::Each(some) => Listed::Look(self.each(some).await),
            _ => Listed::Look(Look::Told),
        }
    }

    /// Passes a settled payment on if it is one that is watched. When it settled, if it did.
    fn report(&self, payment: &WalletPayment) -> Option<Timestamp> {
        let PaymentState::Settled { preimage, at } = &payment.state else { return None };
        if payment.direction != Direction::Incoming {
            return None;
        }
        let payment_hash = payment.payment_hash.0;
        if !self.lock().open.contains(&payment_hash) {
            return Some(*at);
        }
        // That there is money is the wallet's word; the preimage is checked.
        let fits = |preimage: &[u8; 32]| Sha256::digest(preimage).as_slice() == payment_hash;
        let preimage = preimage.filter(fits).map(hex::encode);
        if preimage.is_none() {
            tracing::warn!("the wallet showed no preimage that fits a payment it has");
        }
        self.send(Job::Settled { payment_hash, preimage, amount: payment.amount });
        Some(*at)
    }

    fn send(&self, job: Job) {
        // The loop only goes away when the node stops.
        drop(self.jobs.send(job));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of asking for a list.
enum Listed {
    /// It was asked.
    Look(Look),
    /// The wallet does not list like that.
    Cannot,
}
