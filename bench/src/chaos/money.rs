//! `money`: many payments with liars, phones that pay and never say so, lost messages, money that
//! comes late, and outages of the wallet and of relays; the ledger against what streams say.
//!
//! `paid` must come for everything that settled and for nothing else, within five seconds in which
//! the wallet could be reached.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nostr::PublicKey;
use nostr::hashes::{Hash, sha256};
use portal_core::env::Env;
use portal_core::event::{PaymentUpdate, PortalEvent, StreamEvent};
use portal_core::primitives::{Millisats, StreamId};
use portal_core::protocol::Currency;
use portal_core::service::{Call, EventSink, NewPayment, Recipient};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Fault, SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::Arguments;
use crate::gauge::Samples;
use crate::people::mood::{self, Pays, SMALLEST};
use crate::people::{Asked, Manners, People};
use crate::report::{Report, Row};
use crate::world::{self, Core};

const IN_FLIGHT: u64 = 64;
const PEOPLE: u64 = 200;
/// How long most requests are open.
const LIFE: Duration = Duration::from_secs(30);
/// How long those are whose money comes late.
const SHORT_LIFE: Duration = Duration::from_secs(3);
/// `paid` may take so long while the wallet can be reached.
const TARGET: Duration = Duration::from_secs(5);
/// How long a request may take to be heard before the next one is sent.
const HEARING: Duration = Duration::from_secs(2);
/// How long after the last settlement `paid` may still come before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the payments beside the trouble.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let payments: u64 = arguments.size(100_000, 1_500);
    world::runtime(2)?.block_on(async {
        let key = world::new_key();
        let relays = world::relays(3).await?;
        let (asked, asks) = mpsc::unbounded_channel();
        let manners = Manners { moody: true, ..Manners::default() };
        let urls = world::urls(&relays);
        let people = People::connect(&urls, key.public_key(), world::SEED, manners, Some(asked));
        people.ready(Duration::from_secs(10)).await?;
        let keys: Arc<[PublicKey]> = (0..PEOPLE).map(|number| people.invite(number)).collect();
        let network = SimulatedNetwork::new(Env::system());
        network.accept_late(Duration::from_secs(24 * 3600));
        let merchant = network.wallet("merchant", Millisats::new(0))?;
        let payer = network.wallet("person", Millisats::new(1 << 50))?;
        let wallet = Arc::new(Unsteady::new(merchant.clone()));
        let store = Arc::new(MemoryStore::new());
        let proxies = world::proxies(&relays);
        let core = Core::start_with(&key, &proxies, store, Some(wallet.clone())).await?;
        let book = Arc::new(Book::default());
        let end = CancellationToken::new();
        let paying = tokio::spawn(pay(payer, merchant, asks, book.clone()));
        let outages = tokio::spawn(outages(wallet.clone(), end.clone()));
        let swallowing = tokio::spawn(super::loss::swallow(relays, 300, end.clone()));
        let began = Instant::now();
        ask(&core, &keys, &book, payments).await?;
        // The last late ones are still to be paid, then told.
        let mut last = (network.settled().len(), Instant::now());
        while last.1.elapsed() < SHORT_LIFE * 3
            || (last.1.elapsed() < PATIENCE && book.paid() < last.0)
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let settled = network.settled().len();
            if settled != last.0 {
                last = (settled, Instant::now());
            }
        }
        let took = began.elapsed().as_secs_f64();
        end.cancel();
        swallowing.await??;
        outages.await?;
        paying.abort();
        let verdict = book.judge(&network, &wallet.outages());
        let faults = verdict.false_paid + verdict.missing + verdict.twice + verdict.slow;
        let note = format!(
            "{payments} requests in {took:.0} s, {} settled ({} of them late), {} outages of the wallet; \
             {} false, {} missing, {} twice, {} later than 5 s",
            verdict.settled,
            verdict.late,
            wallet.outages().len(),
            verdict.false_paid,
            verdict.missing,
            verdict.twice,
            verdict.slow,
        );
        report.add(Row::faults("money", faults, note));
        let waits = verdict.waits;
        report.add(
            Row::new("money: settled to paid, longest", waits.most(), "ms")
                .at_most(TARGET.as_secs_f64() * 1e3)
                .note(format!(
                    "while the wallet can be reached; p50 {:.1} ms, p99 {:.1} ms",
                    waits.median(),
                    waits.quantile(0.99)
                )),
        );
        Ok(())
    })
}

/// Sends the requests, a bounded number at once.
async fn ask(
    core: &Arc<Core>,
    keys: &Arc<[PublicKey]>,
    book: &Arc<Book>,
    payments: u64,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (core, keys, book, next) = (core.clone(), keys.clone(), book.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= payments {
                    return anyhow::Ok(());
                }
                let amount = SMALLEST + number;
                let mood = mood::of(amount);
                let life = if mood.pays == Pays::Late { SHORT_LIFE } else { LIFE };
                let person = keys[usize::try_from(number % PEOPLE)?];
                loop {
                    let new = NewPayment {
                        amount,
                        currency: Currency::Millisats,
                        current_exchange_rate: None,
                        invoice: None,
                        auth_token: None,
                        expires_at: Some(core.service.now().saturating_add(life)),
                        subscription_id: None,
                        description: None,
                        request_id: None,
                    };
                    let sink: Arc<dyn EventSink> = book.clone();
                    let call = Call { attach: Some(sink), ..Call::default() };
                    let recipient = Recipient::new(person);
                    match core.service.payments().request_with(recipient, new, call).await {
                        Ok(_) => {
                            if mood.hears {
                                book.wait_until_heard(amount).await;
                            }
                            break;
                        }
                        // The wallet cannot be reached just now.
                        Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
                    }
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// Pays what is to be paid, when it is to be paid.
async fn pay(
    payer: Arc<SimulatedWallet>,
    merchant: Arc<SimulatedWallet>,
    mut asks: mpsc::UnboundedReceiver<Asked>,
    book: Arc<Book>,
) -> Result<()> {
    let mut seen = HashSet::new();
    while let Some(asked) = asks.recv().await {
        let invoice = Bolt11::parse(&asked.invoice)?;
        let Some(amount) = invoice.amount.map(Millisats::as_u64) else {
            anyhow::bail!("an invoice of ours has no amount");
        };
        let mood = mood::of(amount);
        lock(&book.heard).insert(amount);
        if mood.pays == Pays::Never || !seen.insert(invoice.payment_hash) {
            continue;
        }
        let (payer, merchant, book) = (payer.clone(), merchant.clone(), book.clone());
        tokio::spawn(async move {
            if mood.pays == Pays::Late {
                let jitter = Env::system().jitter(SHORT_LIFE);
                tokio::time::sleep(SHORT_LIFE + jitter).await;
            }
            // One event in twenty is not told, one in twenty twice.
            match invoice.payment_hash.0[0] {
                0..13 => merchant.order(Fault::LostNotification),
                13..26 => merchant.order(Fault::DuplicateNotification),
                _ => {}
            }
            let request = PayInvoice {
                bolt11: asked.invoice,
                payment_hash: invoice.payment_hash,
                amount: None,
                max_fee: None,
                timeout: Duration::from_secs(10),
            };
            lock(&book.settled).insert(invoice.payment_hash.0, Instant::now());
            if let Err(error) = payer.pay(request).await {
                eprintln!("bench: person {} could not pay: {error}", asked.person);
            }
        });
    }
    Ok(())
}

/// Takes the wallet away for a moment, again and again.
async fn outages(wallet: Arc<Unsteady>, end: CancellationToken) {
    loop {
        let env = Env::system();
        let pause = Duration::from_secs(3) + env.jitter(Duration::from_secs(6));
        if end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        wallet.leave();
        tokio::time::sleep(Duration::from_millis(300) + env.jitter(Duration::from_secs(3))).await;
        wallet.come_back();
    }
}

/// A wallet that is away now and then: calls fail, and what it would have told is lost.
struct Unsteady {
    inner: Arc<SimulatedWallet>,
    away: Arc<AtomicBool>,
    since: Mutex<Option<Instant>>,
    outages: Mutex<Vec<(Instant, Instant)>>,
    events: broadcast::Sender<WalletEvent>,
    calls: AtomicU64,
}

impl Unsteady {
    fn new(inner: Arc<SimulatedWallet>) -> Self {
        Self {
            inner,
            away: Arc::default(),
            since: Mutex::default(),
            outages: Mutex::default(),
            events: broadcast::channel(64).0,
            calls: AtomicU64::new(0),
        }
    }

    fn leave(&self) {
        *lock(&self.since) = Some(Instant::now());
        self.away.store(true, Ordering::SeqCst);
    }

    fn come_back(&self) {
        self.away.store(false, Ordering::SeqCst);
        if let Some(since) = lock(&self.since).take() {
            lock(&self.outages).push((since, Instant::now()));
        }
        // Nobody may be listening.
        drop(self.events.send(WalletEvent::Reconnected));
    }

    fn outages(&self) -> Vec<(Instant, Instant)> {
        lock(&self.outages).clone()
    }

    /// While it is here one call in fifty fails all the same.
    fn here(&self) -> Result<(), WalletError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(WalletError::Unreachable);
        }
        match self.calls.fetch_add(1, Ordering::Relaxed) % 50 {
            17 => Err(WalletError::Timeout),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl LightningWallet for Unsteady {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        self.here()?;
        self.inner.info().await
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.here()?;
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.here()?;
        self.inner.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.here()?;
        self.inner.lookup(hash).await
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.here()?;
        self.inner.pay(request).await
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.here()?;
        self.inner.list(query).await
    }

    async fn list_settled(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.here()?;
        self.inner.list_settled(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        let mine = futures_util::stream::unfold(self.events.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((event, events)),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    Some((WalletEvent::Reconnected, events))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        // What is told while it is away is lost.
        let away = self.away.clone();
        let told = self.inner.events().filter_map(move |event| {
            std::future::ready((!away.load(Ordering::SeqCst)).then_some(event))
        });
        futures_util::stream::select(told, mine).boxed()
    }

    async fn shutdown(&self) {}
}

/// What streams say, and when money moved.
#[derive(Default)]
struct Book {
    /// By payment hash.
    settled: Mutex<HashMap<[u8; 32], Instant>>,
    paid: Mutex<HashMap<[u8; 32], Paid>>,
    /// What people were asked for, by the amount.
    heard: Mutex<HashSet<u64>>,
    over: Mutex<HashMap<StreamId, ()>>,
    /// `paid` that names no payment, and what follows `paid`.
    odd: AtomicU64,
}

struct Paid {
    at: Instant,
    times: u64,
    late: bool,
}

struct Verdict {
    settled: usize,
    late: usize,
    false_paid: u64,
    missing: u64,
    twice: u64,
    slow: u64,
    /// How long each took while the wallet could be reached.
    waits: Samples,
}

impl EventSink for Book {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        if lock(&self.over).contains_key(&event.stream) {
            self.odd.fetch_add(1, Ordering::Relaxed);
        }
        let PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Paid { preimage, late } } =
            &event.body
        else {
            return true;
        };
        lock(&self.over).insert(event.stream, ());
        let mut bytes = [0; 32];
        let text = preimage.as_deref().unwrap_or_default();
        if hex::decode_to_slice(text, &mut bytes).is_err() {
            self.odd.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let hash = sha256::Hash::hash(&bytes).to_byte_array();
        let mut paid = lock(&self.paid);
        let entry = paid.entry(hash).or_insert(Paid { at: Instant::now(), times: 0, late: *late });
        entry.times += 1;
        true
    }
}

impl Book {
    /// So that no more is asked at once than people can hear; not for ever, because relays are bad.
    async fn wait_until_heard(&self, amount: u64) {
        let give_up = Instant::now() + HEARING;
        while Instant::now() < give_up && !lock(&self.heard).contains(&amount) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn paid(&self) -> usize {
        lock(&self.paid).len()
    }

    fn judge(&self, network: &SimulatedNetwork, outages: &[(Instant, Instant)]) -> Verdict {
        let settled: HashMap<[u8; 32], ()> =
            network.settled().iter().map(|one| (one.payment_hash.0, ())).collect();
        let (moved, paid) = (lock(&self.settled), lock(&self.paid));
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let untrue = paid.keys().filter(|hash| !settled.contains_key(*hash)).count();
        let missing = settled.keys().filter(|hash| !paid.contains_key(*hash)).count();
        let mut waits = Samples::default();
        let mut slow = 0;
        for (hash, paid) in paid.iter() {
            let Some(moved) = moved.get(hash) else { continue };
            let from = reachable_since(*moved, paid.at, outages);
            let wait = paid.at.saturating_duration_since(from);
            slow += u64::from(wait > TARGET);
            waits.add(wait);
        }
        Verdict {
            settled: settled.len(),
            late: paid.values().filter(|paid| paid.late).count(),
            false_paid: count(untrue) + self.odd.load(Ordering::Relaxed),
            missing: count(missing),
            twice: paid.values().map(|paid| paid.times.saturating_sub(1)).sum(),
            slow,
            waits,
        }
    }
}

/// From when on the wallet could be reached for as long as `paid` may take. An outage that began
/// when it had been told was in nobody's way.
fn reachable_since(moved: Instant, told: Instant, outages: &[(Instant, Instant)]) -> Instant {
    outages.iter().fold(moved, |since, (left, back)| {
        let in_the_way = *left < (since + TARGET).min(told) && *back > since;
        if in_the_way { *back } else { since }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_while_the_wallet_is_away() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let outages = [(at(10), at(12)), (at(14), at(15)), (at(100), at(110))];
        let told = at(200);
        assert_eq!(reachable_since(at(2), told, &outages), at(2), "there was time before");
        assert_eq!(reachable_since(at(7), told, &outages), at(15), "and then the next one");
        assert_eq!(reachable_since(at(11), told, &outages), at(15));
        assert_eq!(reachable_since(at(20), told, &outages), at(20));
        assert_eq!(reachable_since(at(7), at(9), &outages), at(7), "told before it began");
    }
}
