//! The subcommand `relay`: a relay and a proxy in front of it, in a process of their own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use portal_testkit::{EphemeralRelay, FaultProxy, ProxyMode};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::child::Child;

/// `relay`: says `<address> <address of the proxy>`, then answers each line with one:
/// `subscriptions` (now, and the most of one client so far), `received` (events), `accepted` (connections, by the proxy), `stop`, `start`, `cut`,
/// `pass`, `silent`, `slow <ms>`, `dead`, `flaky <one in>`.
pub fn run(_arguments: &[String]) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let relay = EphemeralRelay::start().await?;
        let proxy = FaultProxy::start(relay.address()).await?;
        println!("{} {}", relay.url(), proxy.url());
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let mut words = line.split(' ');
            let (word, number) = (words.next().unwrap_or_default(), words.next());
            let number = number.map(str::parse::<u32>).transpose()?.unwrap_or(0);
            let mode = match word {
                "pass" => Some(ProxyMode::Pass),
                "silent" => Some(ProxyMode::Silent),
                "slow" => Some(ProxyMode::Slow(Duration::from_millis(number.into()))),
                "dead" => Some(ProxyMode::Dead),
                "flaky" => Some(ProxyMode::Flaky { one_in: number }),
                _ => None,
            };
            match (mode, word) {
                (Some(mode), _) => proxy.set(mode).await?,
                (None, "stop") => relay.stop().await,
                (None, "start") => relay.restart().await?,
                (None, "cut") => proxy.cut(),
                (None, "subscriptions") => {
                    let open: usize = relay.subscriptions().iter().sum();
                    println!("{open} {}", relay.most_subscriptions());
                    continue;
                }
                (None, "received") => {
                    println!("{}", relay.events_received());
                    continue;
                }
                (None, "accepted") => {
                    println!("{}", proxy.accepted());
                    continue;
                }
                (None, _) => bail!("not understood: {line}"),
            }
            println!("ok");
        }
        Ok(true)
    })
}

/// A relay in another process.
pub struct RelayChild {
    child: Child,
    /// Where it listens.
    pub url: String,
    /// Where the proxy in front of it listens.
    pub proxy: String,
}

impl RelayChild {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let mut child = Child::own(&["relay".to_owned()])?;
        let line = child.line().await?;
        let (url, proxy) = line.split_once(' ').context("two addresses")?;
        Ok(Self { url: url.to_owned(), proxy: proxy.to_owned(), child })
    }

    /// Tells it to do something.
    pub async fn tell(&mut self, line: &str) -> Result<()> {
        match self.child.ask(line).await?.as_str() {
            "ok" => Ok(()),
            other => bail!("the relay answers {other}"),
        }
    }

    /// How many events it has had so far.
    pub async fn received(&mut self) -> Result<u64> {
        Ok(self.child.ask("received").await?.parse()?)
    }

    /// How many connections its proxy has taken so far.
    pub async fn accepted(&mut self) -> Result<u64> {
        Ok(self.child.ask("accepted").await?.parse()?)
    }

    /// Subscriptions that are open now, and the most that one client has had at once.
    pub async fn subscriptions(&mut self) -> Result<(u64, u64)> {
        let line = self.child.ask("subscriptions").await?;
        let (open, most) = line.split_once(' ').context("two numbers")?;
        Ok((open.parse()?, most.parse()?))
    }
}
