//! What the mint costs, in CPU time of its process: issuing by the signing of it, and a swap by
//! stock cdk and by the cryptography of it, on each database. Rounds of one and of the other in
//! turn, so that both see the same machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cdk::dhke::{blind_message, hash_to_curve, sign_message, verify_message};
use cdk::nuts::{BlindSignature, Id, SecretKey};

use crate::arguments::Arguments;
use crate::gauge::{Samples, cpu_of, thread_cpu};
use crate::purse::Purse;
use crate::report::{Report, Row, count};
use crate::world;

/// PostgreSQL, when there is one; `cargo xtask bench` starts it.
const POSTGRES: &str = "PORTAL_TEST_POSTGRES";

const ROUNDS: usize = 8;

/// `mint-issue`: 1,000 tickets in one request, by signing and proving 1,000 times.
pub fn issue(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let tickets = arguments.size(1000_u64, 200);
    for (name, postgres) in databases() {
        let runtime = world::runtime(1)?;
        let (cpu, floor, wall) = runtime.block_on(async {
            let place = postgres.as_deref().map(schema);
            let purse = Purse::ours(place.as_deref()).await?;
            let pid = purse.pid()?;
            let (mut cpu, mut floor, mut wall) = (Vec::new(), Vec::new(), Samples::default());
            for round in 0..=ROUNDS {
                let signing = Floor::prepare()?.signing(Duration::from_millis(100))?;
                let (order, secrets) = purse.order(tickets).await?;
                let (began, clock) = (cpu_of(pid)?, Instant::now());
                let proofs = purse.issue(&order, secrets).await?;
                let (took, used) = (clock.elapsed(), cpu_of(pid)?.saturating_sub(began));
                anyhow::ensure!(count(proofs.len()) == count(tickets), "tickets are missing");
                // The first one warms up.
                if round > 0 {
                    cpu.push(micros(used) / count(tickets));
                    floor.push(micros(signing));
                    wall.add(took);
                }
            }
            anyhow::Ok((cpu, floor, wall))
        })?;
        let note = format!("{tickets} in one request, median {:.0} ms", wall.median());
        let row = Row::new(format!("mint-issue: {name}"), middle(&cpu), "µs CPU");
        report.add(row.over(middle(&floor)).ratio_at_most(1.5).note(note));
    }
    Ok(())
}

/// `mint-swap`: one proof for one, over HTTP.
pub fn swap(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let swaps = arguments.size(200, 40);
    for (name, postgres) in databases() {
        let runtime = world::runtime(1)?;
        let (ours, stock, floor) = runtime.block_on(async {
            let (one, two) = (postgres.as_deref().map(schema), postgres.as_deref().map(schema));
            let mut ours = Line::open(Purse::ours(one.as_deref()).await?).await?;
            let mut stock = Line::open(Purse::stock(two.as_deref()).await?).await?;
            let mut floor = Vec::new();
            for _ in 0..ROUNDS {
                floor.push(micros(Floor::prepare()?.swapping(Duration::from_millis(100))?));
                ours.round(swaps).await?;
                stock.round(swaps).await?;
            }
            anyhow::Ok((ours, stock, middle(&floor)))
        })?;
        let wall =
            format!("median {:.2} ms, stock {:.2} ms", ours.wall.median(), stock.wall.median());
        let (ours, stock) = (middle(&ours.cpu), middle(&stock.cpu));
        let row = Row::new(format!("mint-swap: {name}, by stock cdk"), ours, "µs CPU");
        report.add(row.over(stock).ratio_at_most(1.1).note(wall));
        let row = Row::new(format!("mint-swap: {name}, by cryptography"), ours, "µs CPU");
        report.add(row.over(floor).note(format!("stock: {:.1} ×", stock / floor)));
    }
    Ok(())
}

fn databases() -> Vec<(&'static str, Option<String>)> {
    let mut all = vec![("SQLite", None)];
    if let Some(server) = std::env::var(POSTGRES).ok().filter(|server| !server.is_empty()) {
        all.push(("PostgreSQL", Some(server)));
    }
    all
}

/// A place of its own on the server.
fn schema(server: &str) -> String {
    let name = portal_core::env::Env::system().alphanumeric(12).to_lowercase();
    format!("{server} schema=bench_{name}")
}

/// A mint, a proof that goes in circles, and what that cost.
struct Line {
    purse: Purse,
    proofs: cdk::nuts::Proofs,
    cpu: Vec<f64>,
    wall: Samples,
}

impl Line {
    async fn open(purse: Purse) -> Result<Self> {
        let (order, secrets) = purse.order(1).await?;
        let proofs = purse.issue(&order, secrets).await?;
        let mut line = Self { purse, proofs, cpu: Vec::new(), wall: Samples::default() };
        line.round(50).await?;
        (line.cpu, line.wall) = (Vec::new(), Samples::default());
        Ok(line)
    }

    async fn round(&mut self, swaps: usize) -> Result<()> {
        let pid = self.purse.pid()?;
        let began = cpu_of(pid)?;
        for _ in 0..swaps {
            let (asked, secrets) = self.purse.exchange(&self.proofs)?;
            let clock = Instant::now();
            let proofs = self.purse.swap(&asked, secrets).await?;
            self.wall.add(clock.elapsed());
            self.proofs = proofs;
        }
        self.cpu.push(micros(cpu_of(pid)?.saturating_sub(began)) / count(swaps));
        Ok(())
    }
}

/// The cryptography that cannot be avoided, by cdk's own functions.
struct Floor {
    key: SecretKey,
    secret: [u8; 32],
    blinded: cdk::nuts::PublicKey,
    signature: cdk::nuts::PublicKey,
    id: Id,
}

impl Floor {
    fn prepare() -> Result<Self> {
        let env = portal_core::env::Env::system();
        let key = SecretKey::generate();
        let secret = env.bytes();
        let (blinded, _) = blind_message(&secret, None)?;
        let signature = sign_message(&key, &hash_to_curve(&secret)?)?;
        let id = "009a1f293253e41e".parse().context("an id")?;
        Ok(Self { key, secret, blinded, signature, id })
    }

    /// CPU time of a signature with its proof.
    fn signing(&self, duration: Duration) -> Result<Duration> {
        time(duration, || self.sign())
    }

    /// CPU time of verifying a proof and of a signature with its proof.
    fn swapping(&self, duration: Duration) -> Result<Duration> {
        time(duration, || {
            black_box(verify_message(&self.key, self.signature, &self.secret))?;
            self.sign()
        })
    }

    fn sign(&self) -> Result<()> {
        let signed = sign_message(&self.key, &self.blinded)?;
        black_box(BlindSignature::new(1.into(), signed, self.id, &self.blinded, &self.key)?);
        Ok(())
    }
}

fn time(duration: Duration, work: impl Fn() -> Result<()>) -> Result<Duration> {
    let began = thread_cpu();
    let mut times: u32 = 0;
    while thread_cpu().saturating_sub(began) < duration {
        for _ in 0..50 {
            work()?;
        }
        times += 50;
    }
    Ok(thread_cpu().saturating_sub(began) / times.max(1))
}

fn middle(values: &[f64]) -> f64 {
    values.iter().copied().collect::<Samples>().median()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
