//! `subscriptions`: how many a service has open at a relay after many logins.

use std::sync::Arc;

use anyhow::Result;
use portal_core::storage::memory::MemoryStore;

use crate::arguments::Arguments;
use crate::load::{Plan, logins};
use crate::report::{Report, Row, count};
use crate::world::{self, Core, Users};

/// Counts them.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let people: u64 = arguments.size(10_000, 1_000);
    world::runtime(1)?.block_on(async {
        let key = world::new_key();
        let mut relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let users = Users::start(&urls, key.public_key(), people, &[]).await?;
        let core = Core::start(&key, &urls, Arc::new(MemoryStore::new())).await?;
        let plan = Plan { people: 0..people, in_flight: 64, handshake: true };
        let outcome = logins(&core, &users.crowd, plan).await?;
        // One of those that are open is of the simulated people.
        let (open, most) = relays[0].subscriptions().await?;
        report.add(
            Row::new("subscriptions", count(open.saturating_sub(1)), "")
                .at_most(3.0)
                .note(format!("after {people} logins; at most {most} of one client at once")),
        );
        report.add(Row::faults("subscriptions: faults", outcome.faults(), outcome.note()));
        Ok(())
    })
}
