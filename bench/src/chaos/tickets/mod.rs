//! `tickets`: a merchant's and a person's wallet mint, send, receive, burn and take back; their
//! process is killed (SIGKILL) at random points, again and again, and answers of the mint are cut
//! off at random. In the end the mint says what is in the world, and the wallets have exactly that.

pub mod worker;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portal_core::env::Env;
use portal_testkit::mint::{Fault, StockMint, StockMintOptions};
use tokio::time::{Instant, sleep_until};

use crate::arguments::Arguments;
use crate::child::Child;
use crate::report::{Report, Row, count};
use crate::world;

/// The longest life of the wallets, from the start of their process.
const LONGEST_LIFE: Duration = Duration::from_millis(600);
/// What changes something at a mint.
const MUTATING: [&str; 4] = ["/v1/mint/portal", "/v1/swap", "/v1/melt/portal", "/v1/mint/quote"];
/// One life in so many has a lost answer in store.
const LOSE_ONE_IN: u64 = 4;

/// Kills and counts.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let kills: u64 = arguments.size(1000, 40);
    world::runtime(2)?.block_on(async {
        let folder = tempfile::tempdir()?;
        let options = StockMintOptions {
            path: Some(folder.path().join("mint.db")),
            ..StockMintOptions::default()
        };
        let mint = StockMint::start(options).await?;
        let env = Env::system();
        let mut lost = 0_u64;
        for _ in 0..kills {
            let dice = env.jitter(Duration::from_secs(1)).as_nanos();
            if dice % u128::from(LOSE_ONE_IN) == 0 {
                let path = MUTATING[usize::try_from(dice / 7 % 4)?];
                let fault =
                    if dice / 29 % 2 == 0 { Fault::LoseAnswer } else { Fault::LoseRequest };
                mint.faults().once(path, fault);
                lost += 1;
            }
            life(folder.path(), &mint, env.jitter(LONGEST_LIFE)).await?;
        }
        mint.faults().clear();
        // cdk's mint gives up in the middle when its client is gone, and says 11002 from then on; it
        // makes up its mind at its next start.
        mint.restart().await?;
        let sums = end(folder.path(), &mint).await?;
        for (unit, held) in [("vip", sums.vip), ("sat", sums.sat)] {
            let outstanding = mint.outstanding(unit).await?;
            let difference = outstanding.abs_diff(held);
            let note = format!(
                "{kills} kills, {lost} cut answers, {} jobs done; {outstanding} {unit} in the world",
                sums.jobs
            );
            report.add(Row::faults(format!("tickets: {unit} lost or made"), difference, note));
        }
        let open = Row::new("tickets: operations open at the end", count(sums.open), "");
        report.add(open.at_most(0.0));
        Ok(())
    })
}

fn arguments(folder: &Path, mint: &StockMint, word: &str) -> [String; 4] {
    ["ticket-worker".to_owned(), folder.display().to_string(), mint.url(), word.to_owned()]
}

/// One life of the wallets.
async fn life(folder: &Path, mint: &StockMint, length: Duration) -> Result<()> {
    let death = Instant::now() + length;
    let mut child = Child::own(&arguments(folder, mint, "work"))?;
    loop {
        tokio::select! {
            line = child.next_line() => match line? {
                Some(line) => ensure!(!line.starts_with("failed"), "the wallets say: {line}"),
                None => anyhow::bail!("the wallets ended by themselves"),
            },
            () = sleep_until(death) => break,
        }
    }
    child.kill().await
}

struct Sums {
    vip: u64,
    sat: u64,
    open: usize,
    jobs: u64,
}

/// Nobody is killed any more: what waits is finished, and what is there is counted.
async fn end(folder: &Path, mint: &StockMint) -> Result<Sums> {
    let mut child = Child::own(&arguments(folder, mint, "count"))?;
    let line = child.line().await?;
    let mut words = line.split(' ');
    ensure!(words.next() == Some("sums"), "the wallets say: {line}");
    let mut number = || -> Result<u64> { Ok(words.next().context("too few")?.parse()?) };
    let (vip, sat, open, jobs) = (number()?, number()?, number()?, number()?);
    Ok(Sums { vip, sat, open: usize::try_from(open)?, jobs })
}
