//! `subscription-scale`: a million subscriptions in one database: how long it takes to find those
//! that are due, and how many charges are made in a second.
//!
//! The scan is timed on the store, each time after the rows that the last one found have moved on.
//! A charge is made whole: the invoice by a wallet, row, event, charge and request in one batch on
//! the disk, the request sealed and signed for a person of its own. No relay is connected, so that
//! what is measured is the making.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nostr::PublicKey;
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Timestamp};
use portal_core::protocol::Currency;
use portal_core::service::{ChargeOptions, Service};
use portal_core::storage::schedule::{ScheduleRecord, ScheduleStore as _};
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::storage::{Store, Write, commit};
use portal_core::subscriptions::{Policy, Subscription, Terms};
use portal_core::wallet::simulated::SimulatedNetwork;
use tokio::runtime::Handle;

use crate::arguments::Arguments;
use crate::gauge::{self, Samples};
use crate::people;
use crate::report::{Report, Row, count};
use crate::world;

/// What one scan finds at most: what the scheduler attends to at once.
const AT_ONCE: usize = 512;
/// Rows in one batch while the database is filled.
const BATCH: u64 = 2_000;
const DAY: u64 = 24 * 3600;

/// Measures both.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let (all, due): (u64, u64) = arguments.size((1_000_000, 50_000), (50_000, 5_000));
    world::runtime(2)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("portal.db");
        let now = Env::system().now().as_secs();
        fill(&path, all, due, now).await?;
        // What is charged is no longer due: the scans that follow find the others.
        charge(&path, due, report).await?;
        scan(&path, all, now, report).await
    })
}

fn open(path: &Path) -> Result<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open(path, SqliteOptions::default())?))
}

/// Monthly subscriptions; `due` of them are due now, the others within a month from tomorrow on.
async fn fill(path: &Path, all: u64, due: u64, now: u64) -> Result<()> {
    let store = open(path)?;
    let env = Env::system();
    let keys: Vec<PublicKey> =
        (0..due).map(|number| people::key_of(&world::SEED, number).public_key()).collect();
    let mut number = 0;
    while number < all {
        let mut batch = Vec::new();
        for number in number..all.min(number + BATCH) {
            // Those that are due lie all over the table. The others are not while this lasts.
            let is_due = number % (all / due) == 0;
            let first =
                if is_due { now - 1 - number % 1000 } else { now + DAY + number * 7 % (30 * DAY) };
            let owner = keys[usize::try_from(number / (all / due))? % keys.len()];
            let terms = Terms {
                owner,
                subkeys: Vec::new(),
                subscription_id: uuid::Uuid::from_u128(u128::from(number)).to_string(),
                currency: Currency::Millisats,
                calendar: "monthly".parse()?,
                first_due: Timestamp::from_secs(first),
                until: None,
                max_payments: None,
                description: Some("Pro plan".to_owned()),
                auth_token: None,
            };
            let (mut new, change) = Subscription::agreed(
                env.stream_id(),
                terms,
                5_000_000,
                Policy::default(),
                Timestamp::from_secs(now),
            );
            batch.extend(new.writes(change, now * 1000));
        }
        commit(&*store, batch).await?;
        number += BATCH;
    }
    store.close().await;
    Ok(())
}

/// How long it takes to find what is due; what was found moves on, as when it is charged.
async fn scan(path: &Path, all: u64, now: u64, report: &mut Report) -> Result<()> {
    let store = open(path)?;
    let mut samples = Samples::default();
    let mut moment = now + DAY;
    let mut found_in_all = 0;
    while samples.len() < 400 {
        // As far ahead as brings something that is due.
        moment += 30 * DAY * AT_ONCE as u64 / all.max(1);
        let begun = Instant::now();
        let found = store.due_schedules(Timestamp::from_secs(moment), AT_ONCE).await?;
        samples.add(begun.elapsed());
        let later = |record: ScheduleRecord| {
            let due_at = record.due_at.map(|due| due.saturating_add(Duration::from_secs(30 * DAY)));
            Write::PutSchedule(ScheduleRecord { due_at, ..record })
        };
        found_in_all += found.len();
        commit(&*store, found.into_iter().map(later).collect()).await?;
    }
    store.close().await;
    let each = found_in_all / samples.len();
    report.add(
        Row::new("subscription-scale: due scan p99", samples.quantile(0.99), "ms")
            .at_most(10.0)
            .note(format!(
                "{all} subscriptions, {each} found each time; p50 {:.2} ms",
                samples.quantile(0.5)
            )),
    );
    Ok(())
}

/// How many charges a service makes in a second.
async fn charge(path: &Path, due: u64, report: &mut Report) -> Result<()> {
    let store = open(path)?;
    let env = Env::system();
    let wallet = SimulatedNetwork::new(env.clone()).wallet("merchant", Millisats::new(0))?;
    let cpu = gauge::process_cpu();
    let begun = Instant::now();
    let service = Service::builder(world::new_key())
        .store(store.clone() as Arc<dyn Store>)
        .wallet(wallet)
        .charge_subscriptions(ChargeOptions::default())
        .start(Handle::current())
        .await?;
    let limit = Duration::from_secs(300);
    let now = Env::system().now();
    let done = loop {
        // Cheap, so that who is measured is not the one who asks.
        let next = service.node().store().next_due().await?;
        if next.is_none_or(|next| next > now) {
            break begun.elapsed();
        }
        if begun.elapsed() > limit {
            bail!("not all of {due} were charged in time");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let spent = gauge::process_cpu().saturating_sub(cpu);
    let open = service.node().open_conversations().await.unwrap_or(0);
    let waiting = service.node().store().waiting_schedules(None, usize::MAX).await?.len();
    service.shutdown().await;
    let made = count(due);
    report.add(
        Row::new("subscription-scale: charges", made / done.as_secs_f64(), "1/s")
            .at_least(5_000.0)
            .note(format!(
                "{due} made, {:.0} µs of CPU each; durable, sealed and signed",
                spent.as_secs_f64() * 1e6 / made
            )),
    );
    // The streams of closes and of receipts are open too.
    let lost = due.abs_diff(u64::try_from(open)?.saturating_sub(2));
    let lost = lost + due.abs_diff(u64::try_from(waiting)?);
    report.add(Row::faults(
        "subscription-scale: lost or twice",
        lost,
        "open requests, and subscriptions that wait for one, beside charges",
    ));
    Ok(())
}
