//! `bad-relay`: one of three relays silent, slow or dead, by three good ones; the two in turn.

use std::sync::Arc;

use anyhow::{Context, Result};
use portal_core::storage::memory::MemoryStore;

use crate::arguments::Arguments;
use crate::gauge::Samples;
use crate::load::{Outcome, Plan, logins};
use crate::relay_process::RelayChild;
use crate::report::{Report, Row};
use crate::world::{self, Core, Users};

const ROUNDS: u64 = 8;

/// Two services, one of them with a bad relay, take turns.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let each: u64 = arguments.size(1_000, 120);
    for (name, mode) in [("silent", "silent"), ("slow 5 s", "slow 5000"), ("dead", "dead")] {
        world::runtime(1)?.block_on(one(name, mode, each, report))?;
    }
    Ok(())
}

async fn one(name: &str, mode: &str, each: u64, report: &mut Report) -> Result<()> {
    let mut relays = world::relays(3).await?;
    let good = world::urls(&relays);
    let mut bad = good.clone();
    let last: &mut RelayChild = relays.last_mut().context("three relays")?;
    *bad.last_mut().context("three relays")? = last.proxy.clone();
    let known = (ROUNDS + 1) * each;
    let mut sides = Vec::new();
    for urls in [&good, &bad] {
        let key = world::new_key();
        let users = Users::start(&good, key.public_key(), known, &[]).await?;
        let core = Core::start(&key, urls, Arc::new(MemoryStore::new())).await?;
        sides.push((core, users));
    }
    last.tell(mode).await?;
    let mut took = [Samples::default(), Samples::default()];
    // The p99 of each round: their middle bears a neighbour's burst.
    let mut worst = [Vec::new(), Vec::new()];
    let mut sum = Outcome::default();
    for round in 0..=ROUNDS {
        for (side, (core, users)) in sides.iter().enumerate() {
            let start = round * each;
            let plan = Plan { people: start..start + each, in_flight: 16, handshake: true };
            let mut outcome = logins(core, &users.crowd, plan).await?;
            // The first round warms up.
            if round > 0 {
                worst[side].push(outcome.took.quantile(0.99));
                took[side].join(std::mem::take(&mut outcome.took));
            }
            sum.add(outcome);
        }
    }
    let [without, with] = &took;
    let [usual, bad] = worst.map(|rounds| rounds.into_iter().collect::<Samples>().median());
    report.add(
        Row::new(format!("bad-relay: one of 3 {name}"), bad, "ms p99")
            .over(usual)
            .ratio_at_most(1.25)
            .note(format!(
                "{} logins each, p50 {:.2} by {:.2} ms; p99 of all {:.2} by {:.2} ms",
                with.len(),
                with.median(),
                without.median(),
                with.quantile(0.99),
                without.quantile(0.99)
            )),
    );
    let faults = format!("bad-relay: {name}: faults");
    report.add(Row::faults(faults, sum.faults(), format!("{} logins", sum.done)));
    Ok(())
}
