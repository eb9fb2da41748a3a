//! `outage`: all relays down with requests open; how soon all are done once one returns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portal_core::event::PortalEvent;
use portal_core::service::Recipient;
use portal_core::storage::memory::MemoryStore;

use crate::arguments::Arguments;
use crate::report::{Report, Row};
use crate::world::{self, Core, Users};

/// Cuts the service off, restores one relay, waits for every answer.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let down = Duration::from_secs(arguments.size(30, 3));
    let people: u64 = arguments.size(2_000, 400);
    world::runtime(1)?.block_on(async {
        let key = world::new_key();
        let mut relays = world::relays(3).await?;
        let urls = world::urls(&relays);
        let users = Users::start(&urls, key.public_key(), people, &[]).await?;
        let core =
            Core::start(&key, &world::proxies(&relays), Arc::new(MemoryStore::new())).await?;
        let half = people / 2;
        let mut events = Vec::new();
        for (number, person) in (0..).zip(users.crowd.keys.iter()) {
            if number == half {
                // The first half was asked and has not answered: nobody there knew of it.
                for relay in &mut relays {
                    relay.tell("dead").await?;
                }
                users.invite(0..people)?;
            }
            let (call, event) = core.ear();
            core.service.logins().authenticate(Recipient::new(*person), call).await?;
            events.push(event);
        }
        tokio::time::sleep(down).await;
        let open = events.len();
        events.retain_mut(|event| event.try_recv().is_err());
        let early = open - events.len();
        let back = Instant::now();
        relays.last_mut().context("three relays")?.tell("pass").await?;
        let (mut done, mut lost): (u64, u64) = (0, 0);
        for event in events {
            let left = Duration::from_secs(30).saturating_sub(back.elapsed());
            match tokio::time::timeout(left, event).await {
                Ok(Ok(event)) if matches!(event.body, PortalEvent::AuthenticateKey { .. }) => {
                    done += 1
                }
                _ => lost += 1,
            }
        }
        let took = back.elapsed().as_secs_f64();
        report.add(Row::new("outage", took, "s").at_most(5.0).note(format!(
            "all relays down {} s, {people} requests open; until the last answer after one is back",
            down.as_secs()
        )));
        let note = format!("{done} done, {lost} lost, {early} answered while all were down");
        report.add(Row::faults("outage: faults", lost, note));
        Ok(())
    })
}
