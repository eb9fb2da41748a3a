//! `login-matrix`: many logins, few and many at once, over one relay and over three.

use std::sync::Arc;

use anyhow::Result;
use portal_core::storage::memory::MemoryStore;

use crate::arguments::Arguments;
use crate::load::{Plan, logins};
use crate::report::{Report, Row};
use crate::world::{self, Core, Users};

/// Runs all cells.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let people: u64 = arguments.size(100_000, 2_000);
    let all: &[(usize, usize)] =
        &[(1, 1), (1, 64), (1, 512), (1, 2_000), (3, 1), (3, 64), (3, 512), (3, 2_000)];
    let cells = if arguments.short { &[(1, 64), (3, 64)] } else { all };
    for (relays, in_flight) in cells {
        let outcome = world::runtime(1)?.block_on(cell(*relays, *in_flight, people))?;
        report.add(Row::faults(
            format!("login-matrix: {relays} relays, {in_flight} at once"),
            outcome.faults(),
            outcome.note(),
        ));
    }
    Ok(())
}

async fn cell(relays: usize, in_flight: usize, people: u64) -> Result<crate::load::Outcome> {
    let key = world::new_key();
    let relays = world::relays(relays).await?;
    let urls = world::urls(&relays);
    let users = Users::start(&urls, key.public_key(), people, &[]).await?;
    let core = Core::start(&key, &urls, Arc::new(MemoryStore::new())).await?;
    let outcome =
        logins(&core, &users.crowd, Plan { people: 0..people, in_flight, handshake: true }).await?;
    core.service.shutdown().await;
    Ok(outcome)
}
