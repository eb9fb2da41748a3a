//! `idle-rss`: resident memory of the daemon for each idle stream and each idle socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::daemon::{Daemon, Socket};
use crate::gauge::{anonymous_of, rss_of};
use crate::people;
use crate::relay_process::RelayChild;
use crate::report::{Report, Row, count};
use crate::world;

/// Commands in flight on the one socket that opens the streams.
const AT_ONCE: u64 = 256;

/// Streams that are open before the counting begins.
const WARM_UP: u64 = 10_000;

/// With those before, a little more than what tables of a power of two hold: they have just
/// doubled, and half of them is empty.
const DOUBLED: u64 = 48_500;

/// Measures streams of both kinds and sockets.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let streams: u64 = arguments.size(100_000, 40_000);
    let sockets: u64 = arguments.size(2_000, 300);
    world::runtime(1)?.block_on(async {
        let mut relays = world::relays(1).await?;
        for (kind, streams, pace) in [
            (Idle::Url, streams, Pace::Steady),
            (Idle::Challenge, streams, Pace::Steady),
            (Idle::Challenge, DOUBLED, Pace::Steady),
            (Idle::Challenge, streams, Pace::Burst),
        ] {
            let daemon = Daemon::start(&world::new_key(), &world::urls(&relays)).await?;
            daemon.ready().await?;
            let socket = Socket::connect(&daemon.address).await?;
            // What the allocator and SQLite take once is not of the streams.
            open(&socket, &mut relays[0], kind, WARM_UP, Pace::Steady).await?;
            let before = settled(&daemon).await?;
            open(&socket, &mut relays[0], kind, streams, pace).await?;
            let after = settled(&daemon).await?;
            let each = count(after.0.saturating_sub(before.0)) / count(streams) / 1024.0;
            let anonymous = count(after.1.saturating_sub(before.1)) / count(streams) / 1024.0;
            report.add(Row::new(kind.name(), each, "KiB").at_most(1.0).note(format!(
                "{streams} streams over one socket, {}; {anonymous:.2} KiB of it heap; \
                 daemon {:.1} MiB before",
                pace.name(),
                count(before.0) / 1_048_576.0
            )));
        }
        let daemon = Daemon::start(&world::new_key(), &world::urls(&relays)).await?;
        daemon.ready().await?;
        let mut open = Vec::new();
        for _ in 0..50 {
            open.push(Socket::connect(&daemon.address).await?);
        }
        let before = settled(&daemon).await?;
        for _ in 0..sockets {
            open.push(Socket::connect(&daemon.address).await?);
        }
        let after = settled(&daemon).await?;
        let each = count(after.0.saturating_sub(before.0)) / count(sockets) / 1024.0;
        report.add(
            Row::new("idle-rss: authenticated socket", each, "KiB")
                .at_most(10.0)
                .note(format!("{sockets} sockets")),
        );
        Ok(())
    })
}

#[derive(Clone, Copy)]
enum Idle {
    Url,
    Challenge,
}

impl Idle {
    const fn name(self) -> &'static str {
        match self {
            Self::Url => "idle-rss: URL stream",
            Self::Challenge => "idle-rss: challenge stream",
        }
    }
}

/// How the challenges are asked for.
#[derive(Clone, Copy)]
enum Pace {
    /// No faster than the relay takes them.
    Steady,
    /// As fast as the socket takes them.
    Burst,
}

impl Pace {
    const fn name(self) -> &'static str {
        match self {
            Self::Steady => "at the pace of the relay",
            Self::Burst => "in one burst",
        }
    }
}

/// Resident memory, all of it and the anonymous part, once what was in flight is written.
async fn settled(daemon: &Daemon) -> Result<(u64, u64)> {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let pid = daemon.pid()?;
    Ok((rss_of(pid)?, anonymous_of(pid)?))
}

/// Opens idle streams through a socket. The answers of challenges never come: a command behind
/// them says when they are all open. At a steady pace the relay keeps up meanwhile: what waits for a
/// slow one is bounded in bytes and not of the streams. After a burst it has had all of them, too.
async fn open(
    socket: &Arc<Socket>,
    relay: &mut RelayChild,
    kind: Idle,
    number: u64,
    pace: Pace,
) -> Result<()> {
    match kind {
        Idle::Url => {
            let mut workers = JoinSet::new();
            for worker in 0..AT_ONCE {
                let socket = socket.clone();
                workers.spawn(async move {
                    for _ in (worker..number).step_by(AT_ONCE.try_into()?) {
                        socket.command("NewKeyHandshakeUrl", &json!({}), None).await?;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(worker) = workers.join_next().await {
                worker??;
            }
        }
        Idle::Challenge => {
            let nobody = people::key_of(&[1; 32], 0).public_key().to_hex();
            let params = json!({"main_key": nobody, "subkeys": []});
            let before = relay.received().await?;
            for sent in 0..number {
                // Answered when the challenge ends, long after this.
                drop(socket.send("AuthenticateKey", &params, None)?);
                if sent % AT_ONCE == 0 {
                    socket.command("CalculateNextOccurrence", &occurrence(), None).await?;
                    while matches!(pace, Pace::Steady)
                        && relay.received().await? - before + 4 * AT_ONCE < sent
                    {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            }
            quiet(relay).await?;
        }
    }
    socket.command("NewKeyHandshakeUrl", &json!({}), None).await?;
    Ok(())
}

/// Waits until nothing more reaches the relay.
async fn quiet(relay: &mut RelayChild) -> Result<()> {
    let mut received = relay.received().await?;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = relay.received().await?;
        if now == received {
            return Ok(());
        }
        received = now;
    }
}

fn occurrence() -> serde_json::Value {
    json!({"calendar": "daily", "from": "1700000000"})
}
