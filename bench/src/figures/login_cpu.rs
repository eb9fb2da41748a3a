//! CPU time of one login of a new person, handshake and challenge, by the floor of it: rounds of
//! logins and of the floor in turn, so that both see the same machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use portal_core::storage::memory::MemoryStore;
use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::daemon::{Daemon, Socket};
use crate::floor::LoginFloor;
use crate::gauge::{Samples, cpu_of, process_cpu};
use crate::load::{Crowd, Merchant, Outcome, Plan, logins};
use crate::report::{Report, Row, count};
use crate::world::{self, Core, Users};

const IN_FLIGHT: usize = 64;
const ROUNDS: u64 = 10;
const WARM_UP: u64 = 500;

/// `login-core`: through the core with its memory store; relay and people in other processes.
pub fn core(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let people = arguments.size(20_000, 2_000);
    let runtime = world::runtime(1)?;
    let (core, users, _relays) = runtime.block_on(async {
        let key = world::new_key();
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let users = Users::start(&urls, key.public_key(), WARM_UP + people, &[]).await?;
        let core = Core::start(&key, &urls, Arc::new(MemoryStore::new())).await?;
        anyhow::Ok((core, users, relays))
    })?;
    let measured = rounds(&runtime, &core, &users.crowd, people, || Ok(process_cpu()))?;
    measured.tell("login-core", 1.67, report);
    Ok(())
}

/// `login-daemon`: the same through the daemon's socket, with its durable log.
pub fn daemon(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let people = arguments.size(20_000, 2_000);
    let runtime = world::runtime(1)?;
    let (daemon, socket, users, _relays) = runtime.block_on(async {
        let key = world::new_key();
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let users = Users::start(&urls, key.public_key(), WARM_UP + people, &[]).await?;
        let daemon = Daemon::start(&key, &urls).await?;
        daemon.ready().await?;
        let socket = Socket::connect(&daemon.address).await?;
        anyhow::Ok((daemon, socket, users, relays))
    })?;
    let pid = daemon.pid()?;
    let measured = rounds(&runtime, &socket, &users.crowd, people, || cpu_of(pid))?;
    measured.tell("login-daemon", 2.5, report);
    // Its sockets' tasks belong to the runtime.
    drop((socket, daemon));
    Ok(())
}

/// What rounds came to.
struct Measured {
    people: u64,
    cpu: Vec<f64>,
    floor: Vec<f64>,
    outcome: Outcome,
}

fn rounds<M: Merchant>(
    runtime: &Runtime,
    merchant: &Arc<M>,
    crowd: &Crowd,
    people: u64,
    cpu_time: impl Fn() -> Result<Duration>,
) -> Result<Measured> {
    let each = people / ROUNDS;
    let mut floor = LoginFloor::prepare()?;
    let run = |people: std::ops::Range<u64>| -> Result<Outcome> {
        let (merchant, crowd) = (merchant.clone(), crowd.clone());
        let plan = Plan { people, in_flight: IN_FLIGHT, handshake: true };
        runtime.block_on(runtime.spawn(async move { logins(&merchant, &crowd, plan).await }))?
    };
    let mut measured =
        Measured { people, cpu: Vec::new(), floor: Vec::new(), outcome: run(0..WARM_UP)? };
    for round in 0..ROUNDS {
        measured.floor.push(micros(floor.measure(Duration::from_millis(150))?));
        let start = WARM_UP + round * each;
        let began = cpu_time()?;
        let outcome = run(start..start + each)?;
        measured.cpu.push(micros(cpu_time()?.saturating_sub(began)) / count(each));
        measured.outcome.add(outcome);
    }
    Ok(measured)
}

impl Measured {
    fn tell(self, name: &str, most: f64, report: &mut Report) {
        let Self { people, cpu, floor, outcome } = self;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count(values.len());
        let spread: Samples = cpu.iter().zip(&floor).map(|(cpu, floor)| cpu / floor).collect();
        let note = format!(
            "{people} logins, {IN_FLIGHT} at once; rounds {:.2} to {:.2}",
            spread.quantile(0.0),
            spread.most()
        );
        let row = Row::new(name, mean(&cpu), "µs CPU").over(mean(&floor)).ratio_at_most(most);
        report.add(row.note(note));
        report.add(Row::faults(format!("{name}: faults"), outcome.faults(), outcome.note()));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
