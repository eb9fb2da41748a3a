//! `idle-cpu`: CPU time of a login with many idle streams open, by that with none; the two in turn.

use std::sync::Arc;

use anyhow::{Context, Result};
use nostr::PublicKey;
use portal_core::service::{Call, NewHandshake, Recipient};
use portal_core::storage::memory::MemoryStore;

use crate::arguments::Arguments;
use crate::gauge::{Samples, process_cpu};
use crate::load::{Outcome, Plan, logins};
use crate::people;
use crate::report::{Report, Row, count};
use crate::world::{self, Core, Users};

const ROUNDS: u64 = 8;

/// Two services in this process, one of them with idle streams, take turns.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let idle: u64 = arguments.size(100_000, 20_000);
    let each: u64 = arguments.size(1_000, 250);
    let runtime = world::runtime(1)?;
    let (sides, _relays) = runtime.block_on(async {
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let mut sides = Vec::new();
        for _ in 0..2 {
            let key = world::new_key();
            let known = (ROUNDS + 1) * each;
            let users = Users::start(&urls, key.public_key(), known, &[]).await?;
            let core = Core::start(&key, &urls, Arc::new(MemoryStore::new())).await?;
            sides.push((core, users));
        }
        let (core, _) = sides.last().context("two sides")?;
        open_idle(core, idle).await?;
        anyhow::Ok((sides, relays))
    })?;
    let mut cpu = [Vec::new(), Vec::new()];
    let mut sum = Outcome::default();
    for round in 0..=ROUNDS {
        for (side, (core, users)) in sides.iter().enumerate() {
            let (core, crowd) = (core.clone(), users.crowd.clone());
            let start = round * each;
            let plan = Plan { people: start..start + each, in_flight: 64, handshake: true };
            let began = process_cpu();
            let outcome = runtime
                .block_on(runtime.spawn(async move { logins(&core, &crowd, plan).await }))??;
            let spent = process_cpu().saturating_sub(began).as_secs_f64() * 1e6 / count(each);
            sum.add(outcome);
            // The first round warms up.
            if round > 0 {
                cpu[side].push(spent);
            }
        }
    }
    let [without, with] = cpu.map(|values| values.into_iter().collect::<Samples>().median());
    let note =
        format!("{idle} idle streams, half of them challenges; {} logins each", ROUNDS * each);
    report.add(Row::new("idle-cpu", with, "µs CPU").over(without).ratio_at_most(1.1).note(note));
    report.add(Row::faults("idle-cpu: faults", sum.faults(), sum.note()));
    Ok(())
}

/// Opens streams on which nothing will happen: URLs that nobody opens, challenges that nobody
/// answers.
async fn open_idle(core: &Arc<Core>, count: u64) -> Result<()> {
    let nobody: PublicKey = people::key_of(&[1; 32], 0).public_key();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..64 {
        let core = core.clone();
        workers.spawn(async move {
            let mut number = worker;
            while number < count {
                let logins = core.service.logins();
                if number % 2 == 0 {
                    logins.handshake_url(NewHandshake::default(), Call::default()).await?;
                } else {
                    logins.authenticate(Recipient::new(nobody), Call::default()).await?;
                }
                number += 64;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}
