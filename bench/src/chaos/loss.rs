//! `loss`: relays drop connections at random and swallow frames for a while; every login and every
//! payment ends as it should all the same.
//!
//! The service's links are bad, those of the people are good: what a person who is not connected
//! never gets cannot be told from a person who does not answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nostr::PublicKey;
use nostr::hashes::{Hash, sha256};
use portal_core::env::Env;
use portal_core::event::{PaymentUpdate, PortalEvent, StreamEvent};
use portal_core::primitives::Millisats;
use portal_core::protocol::Currency;
use portal_core::service::{Call, EventSink, NewSinglePayment, Recipient};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{LightningWallet, PayInvoice};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::Arguments;
use crate::load::Merchant;
use crate::people::{Asked, Manners, People};
use crate::relay_process::RelayChild;
use crate::report::{Report, Row};
use crate::world::{self, Core};

const IN_FLIGHT: u64 = 64;
const PEOPLE: u64 = 200;
/// How long one may take, before it counts as lost; requests live for five minutes.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs the load beside the trouble.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let requests: u64 = arguments.size(20_000, 500);
    let one_in: u32 = arguments.size(300, 15);
    world::runtime(1)?.block_on(async {
        let key = world::new_key();
        let mut relays = world::relays(3).await?;
        let (asked, asks) = mpsc::unbounded_channel();
        let manners = Manners { claim: true, ..Manners::default() };
        let people = People::connect(
            &world::urls(&relays),
            key.public_key(),
            world::SEED,
            manners,
            Some(asked),
        );
        people.ready(Duration::from_secs(10)).await?;
        let keys: Arc<[PublicKey]> = (0..PEOPLE).map(|number| people.invite(number)).collect();
        let network = SimulatedNetwork::new(Env::system());
        let merchant = network.wallet("merchant", Millisats::new(0))?;
        let payer = network.wallet("person", Millisats::new(1 << 50))?;
        let proxies = world::proxies(&relays);
        let store = Arc::new(MemoryStore::new());
        let core = Core::start_with(&key, &proxies, store, Some(merchant)).await?;
        let paying = tokio::spawn(pay(payer, asks));
        for relay in &mut relays {
            relay.tell(&format!("flaky {one_in}")).await?;
        }
        let began = Instant::now();
        let end = CancellationToken::new();
        let swallowing = tokio::spawn(swallow(relays, one_in, end.clone()));
        let tally = load(&core, &keys, requests).await?;
        let took = began.elapsed().as_secs_f64();
        end.cancel();
        let mut connections = 0;
        for relay in &mut swallowing.await?? {
            connections += relay.accepted().await?;
        }
        paying.abort();

        let settled: BTreeSet<[u8; 32]> =
            network.settled().iter().map(|settlement| settlement.payment_hash.0).collect();
        let unequal = u64::try_from(settled.symmetric_difference(&tally.paid).count())?;
        let double = u64::try_from(network.settled().len() - settled.len())?;
        let note = format!(
            "{} done in {took:.1} s, {} lost, {} wrong, {} events too many; ledger and `paid` differ \
             {unequal} times; {connections} connections{}",
            tally.done,
            tally.lost,
            tally.wrong,
            core.surplus(),
            tally.complaint.map_or(String::new(), |complaint| format!("; first: {complaint}")),
        );
        let faults = tally.lost + tally.wrong + core.surplus() + unequal + double;
        report.add(Row::faults("loss", faults, note));
        Ok(())
    })
}

#[derive(Default)]
struct Tally {
    done: u64,
    lost: u64,
    wrong: u64,
    paid: BTreeSet<[u8; 32]>,
    complaint: Option<String>,
}

/// Logins and payments in turn.
async fn load(core: &Arc<Core>, keys: &Arc<[PublicKey]>, requests: u64) -> Result<Tally> {
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (core, keys, next) = (core.clone(), keys.clone(), next.clone());
        workers.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return anyhow::Ok(tally);
                }
                let person = keys[usize::try_from(number / 2 % PEOPLE)?];
                let one = async {
                    if number.is_multiple_of(2) {
                        return Ok((core.authenticate(person).await?.user_key == person, None));
                    }
                    Ok((true, Some(charge(&core, person, number).await?)))
                };
                let result: Result<_> = match tokio::time::timeout(PATIENCE, one).await {
                    Ok(result) => result,
                    Err(late) => Err(late.into()),
                };
                match result {
                    Ok((true, paid)) => {
                        tally.done += 1;
                        tally.paid.extend(paid);
                    }
                    Ok((false, _)) => tally.wrong += 1,
                    Err(error) => {
                        tally.lost += 1;
                        tally.complaint.get_or_insert_with(|| format!("{number}: {error:#}"));
                    }
                }
            }
        });
    }
    let mut sum = Tally::default();
    while let Some(part) = workers.join_next().await {
        let part = part??;
        sum.done += part.done;
        sum.lost += part.lost;
        sum.wrong += part.wrong;
        sum.paid.extend(part.paid);
        sum.complaint = sum.complaint.or(part.complaint);
    }
    Ok(sum)
}

/// Asks for money until it is there; the payment hash.
async fn charge(core: &Core, person: PublicKey, number: u64) -> Result<[u8; 32]> {
    let (sender, mut events) = mpsc::unbounded_channel();
    let sink: Arc<dyn EventSink> = Arc::new(Forward(sender));
    let call = Call { attach: Some(sink), ..Call::default() };
    let new = NewSinglePayment {
        amount: 1_000 + number,
        currency: Currency::Millisats,
        description: None,
        auth_token: None,
        subscription_id: None,
        request_id: None,
    };
    core.service.payments().request_single(Recipient::new(person), new, call).await?;
    let mut index = 0;
    let mut seen = Vec::new();
    loop {
        let event = events.recv().await.context("the stream ended")?;
        if event.index != index {
            bail!("event {} came where {index} was due", event.index);
        }
        index += 1;
        let PortalEvent::PaymentStatusUpdate { status } = &event.body else {
            bail!("not a status: {:?}", event.body)
        };
        match status {
            PaymentUpdate::UserApproved if seen.is_empty() => seen.push("approved"),
            PaymentUpdate::UserSuccess { .. } if !seen.contains(&"success") => seen.push("success"),
            PaymentUpdate::Paid { preimage: Some(preimage), late: false } => {
                let preimage = hex::decode(preimage)?;
                return Ok(sha256::Hash::hash(&preimage).to_byte_array());
            }
            other => bail!("{other:?} after {seen:?}"),
        }
    }
}

struct Forward(mpsc::UnboundedSender<Arc<StreamEvent>>);

impl EventSink for Forward {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        self.0.send(event.clone()).is_ok()
    }
}

/// Pays each invoice that people are asked to pay, once.
async fn pay(payer: Arc<SimulatedWallet>, mut asks: mpsc::UnboundedReceiver<Asked>) -> Result<()> {
    let mut seen = BTreeSet::new();
    while let Some(asked) = asks.recv().await {
        let invoice = Bolt11::parse(&asked.invoice)?;
        if !seen.insert(invoice.payment_hash.0) {
            continue;
        }
        let payer = payer.clone();
        let request = PayInvoice {
            bolt11: asked.invoice,
            payment_hash: invoice.payment_hash,
            amount: None,
            max_fee: None,
            timeout: Duration::from_secs(10),
        };
        if let Err(error) = payer.pay(request).await {
            eprintln!("bench: person {} could not pay: {error}", asked.person);
        }
    }
    Ok(())
}

/// Makes one relay after another swallow frames for a moment, until the end. The connection that
/// lost them is cut afterwards, as when a network comes back.
pub(super) async fn swallow(
    mut relays: Vec<RelayChild>,
    one_in: u32,
    end: CancellationToken,
) -> Result<Vec<RelayChild>> {
    while !end.is_cancelled() {
        for relay in &mut relays {
            let jitter = Env::system().jitter(Duration::from_millis(900));
            tokio::time::sleep(Duration::from_millis(300) + jitter).await;
            relay.tell("silent").await?;
            tokio::time::sleep(Duration::from_millis(100) + jitter / 3).await;
            relay.tell(&format!("flaky {one_in}")).await?;
        }
    }
    Ok(relays)
}
