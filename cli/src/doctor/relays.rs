//! Do the relays answer, how fast, and does this machine agree with the world on the time?

use std::time::{Duration, Instant};

use chrono::DateTime;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use portal_core::env::Env;
use portal_core::relay::RelayAddress;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::header::DATE;

use super::Finding;
use crate::terminal::took;

const AREA: &str = "relay";
const CLOCK: &str = "clock";
/// How long a relay may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is worth a word.
const ODD: i64 = 60;
/// Events that are further off are refused.
const TOO_MUCH: i64 = 600;
/// Slower than this is noticed by people who log in.
const SLOW: Duration = Duration::from_millis(1500);

/// Asks every relay something, all at once. Also how far their clocks are ahead, in seconds.
pub(super) async fn check(named: &[String]) -> (Vec<Finding>, Vec<i64>) {
    let named: Vec<&str> =
        named.iter().map(|relay| relay.trim()).filter(|relay| !relay.is_empty()).collect();
    let usual = named.is_empty();
    let named = if usual { crate::wallet::USUAL_RELAYS.to_vec() } else { named };
    let probes = join_all(named.iter().map(|relay| probe(relay))).await;
    let answered = probes.iter().any(|probe| probe.answered);
    let offsets = probes.iter().filter_map(|probe| probe.offset).collect();
    let mut findings: Vec<Finding> = probes.into_iter().map(|probe| probe.finding).collect();
    if !answered {
        let advice = if usual {
            "check the way to the internet (a firewall may block WebSockets), or name your own \
             relays with --relay or NOSTR_RELAYS"
        } else {
            "check the addresses (--relay, NOSTR_RELAYS) and the way to them"
        };
        findings.push(Finding::bad(AREA, "none of the relays can be used", advice));
    }
    (findings, offsets)
}

struct Probe {
    finding: Finding,
    answered: bool,
    offset: Option<i64>,
}

async fn probe(relay: &str) -> Probe {
    let failed = |message: String, advice: &str| Probe {
        finding: Finding::warn(AREA, message, advice),
        answered: false,
        offset: None,
    };
    let address = match RelayAddress::parse(relay) {
        Ok(address) => address,
        Err(error) => {
            return failed(format!("{relay}: {error}"), "relays look like wss://relay.example.com");
        }
    };
    match tokio::time::timeout(PATIENCE, ask(&address)).await {
        Ok(Ok((latency, offset))) => {
            let message = format!("{address} answers in {}", took(latency));
            let finding = if latency > SLOW {
                Finding::warn(AREA, message, "slow: prefer one that is nearer, or add another")
            } else {
                Finding::ok(AREA, message)
            };
            Probe { finding, answered: true, offset }
        }
        Ok(Err(error)) => failed(
            format!("{address} cannot be used: {error}"),
            "use another relay, or check the address",
        ),
        Err(_) => failed(
            format!("{address} does not answer within {} s", PATIENCE.as_secs()),
            "use another relay, or check the way to this one",
        ),
    }
}

#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("{0}")]
    Connection(Box<tokio_tungstenite::tungstenite::Error>),
    #[error("it closed the connection")]
    Closed,
}

/// The time of one question and its answer, and how far the clock there is ahead.
async fn ask(relay: &RelayAddress) -> Result<(Duration, Option<i64>), ProbeError> {
    let connection = |error| ProbeError::Connection(Box::new(error));
    let (mut socket, response) =
        connect_async_with_config(relay.as_str(), None, true).await.map_err(connection)?;
    let now = i64::try_from(Env::system().now().as_secs()).unwrap_or(i64::MAX);
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let offset = date.and_then(read_date).map(|date| date - now);
    let asked = Instant::now();
    // Nobody wrote at the beginning of time: the answer is empty, whatever the relay keeps.
    let question = r#"["REQ","portal-doctor",{"kinds":[1],"until":1,"limit":1}]"#;
    socket.send(Message::text(question)).await.map_err(connection)?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(_))) => break,
            Some(Ok(Message::Close(_))) | None => return Err(ProbeError::Closed),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(connection(error)),
        }
    }
    let latency = asked.elapsed();
    drop(tokio::time::timeout(Duration::from_millis(500), socket.close(None)).await);
    Ok((latency, offset))
}

/// What the clocks of others say about ours.
pub(super) fn clock(mut offsets: Vec<i64>) -> Finding {
    offsets.sort_unstable();
    let Some(offset) = offsets.get(offsets.len() / 2).copied() else {
        let advice = "keep it right with NTP (timedatectl): ten minutes off, and nobody can log in";
        return Finding::warn(CLOCK, "nobody told the time, so it was not compared", advice);
    };
    let direction = if offset > 0 { "behind" } else { "ahead" };
    let message = format!("this machine's clock is {} s {direction}", offset.abs());
    match offset.abs() {
        0..=5 => Finding::ok(CLOCK, "this machine's clock is right"),
        6..=ODD => Finding::ok(CLOCK, message),
        _ if offset.abs() <= TOO_MUCH => {
            Finding::warn(CLOCK, message, "set it by NTP, for example with timedatectl")
        }
        _ => Finding::bad(
            CLOCK,
            message,
            "set it by NTP, for example with timedatectl: events more than ten minutes off are \
             refused",
        ),
    }
}

/// The seconds of an HTTP date.
pub(super) fn read_date(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use portal_testkit::relay::EphemeralRelay;

    use super::super::Level;
    use super::*;

    #[test]
    fn one_liar_does_not_move_the_clock() {
        assert_eq!(clock(vec![0, 2, 100_000]).level, Level::Ok);
        assert_eq!(clock(vec![-90, -91, 0]).level, Level::Warn);
        let bad = clock(vec![700]);
        assert_eq!(bad.level, Level::Bad);
        assert!(bad.message.contains("700 s behind"), "{}", bad.message);
        assert_eq!(clock(Vec::new()).level, Level::Warn);
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(read_date("Tue, 15 Nov 1994 08:12:31 GMT"), Some(784_887_151));
        assert_eq!(read_date("yesterday"), None);
    }

    #[tokio::test]
    async fn one_relay_that_answers_is_enough() {
        let relay = EphemeralRelay::start().await.expect("a relay");
        let gone = EphemeralRelay::start().await.expect("a relay");
        let gone_url = gone.url();
        gone.stop().await;
        let (findings, _) = check(&[relay.url(), gone_url.clone(), "http://x".to_owned()]).await;
        let levels: Vec<Level> = findings.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Warn, Level::Warn]);
        let (findings, _) = check(&[gone_url]).await;
        assert_eq!(findings.last().map(|finding| finding.level), Some(Level::Bad));
    }
}
