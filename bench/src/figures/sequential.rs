//! `sequential`: one `AuthenticateKey` after another through the daemon, by the round trips and
//! commits it cannot do without.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::daemon::{Daemon, Socket};
use crate::floor::{self, CommitFloor};
use crate::gauge::Samples;
use crate::load::Merchant;
use crate::report::{Report, Row};
use crate::world::{self, Users};

/// Backend to daemon and back, daemon to relay and back, relay to person and back.
const ROUND_TRIPS: f64 = 3.0;
/// The request, and its answer.
const COMMITS: f64 = 2.0;
const ROUNDS: u64 = 5;

/// Logins and floors in turn.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let each: u64 = arguments.size(400, 60);
    world::runtime(1)?.block_on(async {
        let key = world::new_key();
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let users = Users::start(&urls, key.public_key(), 1, &[]).await?;
        users.invite(0..1)?;
        let person = *users.crowd.keys.first().context("one person")?;
        let daemon = Daemon::start(&key, &urls).await?;
        daemon.ready().await?;
        let socket: Arc<Socket> = Socket::connect(&daemon.address).await?;
        let mut disk = CommitFloor::open(daemon.folder.path()).await?;
        for _ in 0..20 {
            socket.authenticate(person).await?;
            disk.measure().await?;
        }
        let (mut took, mut trips, mut commits) =
            (Samples::default(), Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            trips.join(floor::websocket_round_trips(200).await?);
            for _ in 0..each {
                // In turn with the logins: the disk has other users, and their load changes.
                commits.add(disk.measure().await?);
                let began = Instant::now();
                socket.authenticate(person).await?;
                took.add(began.elapsed());
            }
        }
        let durable = COMMITS * commits.median();
        let floor = ROUND_TRIPS * trips.median() + durable;
        report.add(Row::new("sequential", took.median(), "ms p50").over(floor).note(format!(
            "{} logins; floor: {ROUND_TRIPS} round trips of {:.3} ms, {COMMITS} commits of {:.3} ms",
            took.len(),
            trips.median(),
            commits.median()
        )));
        let beyond = (took.median() - durable).max(0.0);
        report.add(
            Row::new("sequential: beyond two commits", beyond, "ms p50").at_most(1.0).note(format!(
                "p99 of all {:.2} ms, of a commit {:.2} ms",
                took.quantile(0.99),
                commits.quantile(0.99)
            )),
        );
        Ok(())
    })
}
