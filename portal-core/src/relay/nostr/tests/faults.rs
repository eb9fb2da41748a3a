//! Networks that fail: silent, stalled, slow and cut connections, floods, leases, shutdown.

use portal_testkit::{EphemeralOptions, FaultProxy, ProxyMode};

use super::*;
use crate::relay::suite::{Report, event, publication};
use crate::relay::{LeaseRefused, Publication, RelayState, Targets};

/// Deadlines short enough to be met in a test.
fn impatient() -> RelayOptions {
    RelayOptions {
        connect_timeout: Duration::from_millis(200),
        ping_every: Duration::from_millis(50),
        dead_after: Duration::from_secs(1),
        stall_after: Duration::from_secs(1),
        ..quick()
    }
}

async fn proxied() -> (EphemeralRelay, FaultProxy) {
    let relay = EphemeralRelay::start().await.unwrap();
    let proxy = FaultProxy::start(relay.address()).await.unwrap();
    (relay, proxy)
}

fn gone(url: &str) -> Report {
    Report::Disconnected(address(url))
}

#[tokio::test]
async fn a_relay_that_never_answers_costs_the_others_nothing() {
    let (good, (_bad, proxy)) = (EphemeralRelay::start().await.unwrap(), proxied().await);
    proxy.set(ProxyMode::Silent).await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(impatient(), &keys, &good.url()).await;
    pool.add(address(&proxy.url()));
    for n in 0..100 {
        let one = event(&keys, 27001, &format!("<{n}>"), Some(&keys));
        assert_eq!(pool.publish(publication(&one, false)), 1);
    }
    sink.until("all events", |sink| sink.events_with("<") == 100).await;
    // It is tried again and again, and works as soon as the relay answers.
    eventually("three attempts", || proxy.accepted() >= 3).await;
    proxy.set(ProxyMode::Pass).await.unwrap();
    let both = |sink: &RecordingSink| sink.connections() == 2;
    sink.until("the silent one", both).await;
}

#[tokio::test]
async fn a_relay_that_falls_silent_is_noticed_and_left() {
    let (_relay, proxy) = proxied().await;
    let keys = Keys::generate();
    let (_pool, sink) = connected(impatient(), &keys, &proxy.url()).await;
    proxy.set(ProxyMode::Silent).await.unwrap();
    sink.until("the end", |sink| sink.count(|r| *r == gone(&proxy.url())) == 1).await;
    proxy.set(ProxyMode::Pass).await.unwrap();
    sink.until("connected again", |sink| sink.connections() == 2).await;
}

#[tokio::test]
async fn pings_keep_a_quiet_relay_and_measure_it() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(impatient(), &keys, &relay.url()).await;
    let start = tokio::time::Instant::now();
    eventually("a long quiet time", || start.elapsed() > 3 * impatient().dead_after).await;
    assert!(pool.status()[0].latency.is_some());
    assert_eq!(sink.reports().len(), 1, "still the first connection");
}

#[tokio::test]
async fn a_relay_that_stops_reading_is_bounded_and_left_while_others_go_on() {
    let (good, (_bad, proxy)) = (EphemeralRelay::start().await.unwrap(), proxied().await);
    let keys = Keys::generate();
    let options =
        RelayOptions { queue_frames: 100, dead_after: Duration::from_secs(60), ..impatient() };
    let (pool, sink) = connected(options, &keys, &good.url()).await;
    pool.add(address(&proxy.url()));
    sink.until("both", |sink| sink.connections() == 2).await;
    proxy.set(ProxyMode::HalfOpen).await.unwrap();
    // More than the socket's buffers take, addressed to nobody.
    let large = event(&keys, 27001, &"x".repeat(60_000), None);
    let to: Arc<[RelayAddress]> = Arc::from([address(&proxy.url())]);
    let only = || Publication { to: Targets::Only(to.clone()), ..publication(&large, false) };
    let mut taken = 0;
    while pool.publish(only()) == 1 {
        taken += 1;
        assert!(taken < 10_000, "the queue has an end");
        tokio::task::yield_now().await;
    }
    let status = pool.status();
    let bad = status.iter().find(|status| status.relay == to[0]).unwrap();
    assert!(bad.queued <= 100 && bad.counters.dropped >= 1);
    let small = event(&keys, 27001, "small", Some(&keys));
    assert_eq!(pool.publish(publication(&small, false)), 1, "the full one is not counted");
    sink.until("the event", |sink| sink.events_with("small") == 1).await;
    sink.until("the end", |sink| sink.count(|r| *r == gone(&proxy.url())) == 1).await;
    assert_eq!(sink.count(|r| *r == gone(&good.url())), 0);
}

#[tokio::test]
async fn a_slow_relay_gets_everything_late() {
    let (relay, proxy) = proxied().await;
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &proxy.url()).await;
    proxy.set(ProxyMode::Slow(Duration::from_millis(100))).await.unwrap();
    for n in 0..50 {
        pool.publish(publication(&event(&keys, 27001, &format!("<{n}>"), Some(&keys)), false));
    }
    sink.until("all events", |sink| sink.events_with("<") == 50).await;
    assert_eq!(relay.events_received(), 50);
}

#[tokio::test]
async fn cut_connections_come_back_as_often_as_it_takes() {
    let (relay, proxy) = proxied().await;
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &proxy.url()).await;
    for times in 2..12 {
        proxy.cut();
        sink.until("connected again", |sink| sink.connections() == times).await;
    }
    assert!(pool.status()[0].attempts > 0, "none of them has lasted");
    assert_eq!(sink.count(|r| *r == gone(&proxy.url())), 10);
    eventually("the subscription", || relay.subscriptions() == [1]).await;
    assert_eq!(relay.most_subscriptions(), 1);
    proxy.set(ProxyMode::Dead).await.unwrap();
    sink.until("the end", |sink| sink.count(|r| *r == gone(&proxy.url())) == 11).await;
    proxy.set(ProxyMode::Pass).await.unwrap();
    sink.until("connected again", |sink| sink.connections() == 12).await;
}

#[tokio::test]
async fn connections_that_break_at_random_always_come_back() {
    let (_relay, proxy) = proxied().await;
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &proxy.url()).await;
    proxy.set(ProxyMode::Flaky { one_in: 4 }).await.unwrap();
    let one = publication(&event(&keys, 27001, "some", Some(&keys)), false);
    eventually("five connections", || {
        pool.publish(one.clone());
        sink.connections() >= 5
    })
    .await;
    proxy.set(ProxyMode::Pass).await.unwrap();
    let last = publication(&event(&keys, 27001, "last", Some(&keys)), false);
    eventually("the last event", || {
        pool.publish(last.clone());
        sink.events_with("last") > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_arrive_whole_and_in_order() {
    let options = EphemeralOptions { verify: false, ..EphemeralOptions::default() };
    let relay = EphemeralRelay::start_with(options).await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &relay.url()).await;
    let template = event(&keys, 27001, "<00000>", Some(&keys));
    let frame = publication(&template, false).frame;
    let total = 5000;
    for n in 0..total {
        let frame = Arc::from(frame.replace("<00000>", &format!("<{n:05}>")));
        let one = Publication { event_id: template.id, frame, to: Targets::All, track: false };
        assert_eq!(pool.publish(one), 1);
    }
    sink.until("all events", |sink| sink.events_with("<") == total).await;
    let order: Vec<usize> = sink
        .reports()
        .iter()
        .filter_map(|report| match report {
            Report::Event(_, frame) => {
                let at = frame.find('<')? + 1;
                frame.get(at..at + 5)?.parse().ok()
            }
            _ => None,
        })
        .collect();
    assert_eq!(order, (0..total).collect::<Vec<_>>());
}

#[tokio::test]
async fn leases_end_by_themselves_whether_connected_or_not() {
    let relay = EphemeralRelay::start().await.unwrap();
    let closed = EphemeralRelay::start().await.unwrap();
    closed.stop().await;
    let sink = RecordingSink::new();
    let pool = start(RelayOptions { max_leases: 2, ..impatient() }, sink.clone());
    let short = Duration::from_millis(500);
    pool.lease(address(&relay.url()), short).unwrap();
    pool.lease(address(&closed.url()), short).unwrap();
    let third = address("ws://127.0.0.1:9");
    assert_eq!(pool.lease(third.clone(), short), Err(LeaseRefused::TooMany));
    sink.until("connected", |sink| sink.connections() == 1).await;
    sink.until("the end", |sink| sink.count(|r| *r == gone(&relay.url())) == 1).await;
    eventually("no leases", || pool.status().is_empty()).await;
    assert_eq!(pool.lease(third, short), Ok(()));
}

#[tokio::test]
async fn strangers_cannot_make_us_connect_to_private_places() {
    let (_relay, proxy) = proxied().await;
    let options = RelayOptions { allow_private: false, ..impatient() };
    let pool = start(options, RecordingSink::new());
    let hour = Duration::from_secs(3600);
    let refused = LeaseRefused::Address(crate::relay::AddressError::NotPublic);
    assert_eq!(pool.lease(address(&proxy.url()), hour), Err(refused));
    let port = proxy.url().rsplit(':').next().unwrap().to_owned();
    assert_eq!(pool.lease(address(&format!("ws://localhost:{port}")), hour), Err(refused));
    assert!(pool.status().is_empty());
    assert_eq!(proxy.accepted(), 0);
}

#[tokio::test]
async fn shutdown_does_not_wait_for_bad_relays() {
    let (_relay, stalled) = proxied().await;
    let (_other, silent) = proxied().await;
    silent.set(ProxyMode::Silent).await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &stalled.url()).await;
    pool.add(address(&silent.url()));
    stalled.set(ProxyMode::HalfOpen).await.unwrap();
    let large = event(&keys, 27001, &"x".repeat(60_000), None);
    for _ in 0..200 {
        pool.publish(publication(&large, true));
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(10), pool.shutdown()).await.unwrap();
    assert_eq!(sink.reports().last(), Some(&gone(&stalled.url())));
}

#[tokio::test]
async fn what_was_published_before_the_shutdown_is_written() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, _) = connected(quick(), &keys, &relay.url()).await;
    for n in 0..200 {
        let one = event(&keys, 27001, &format!("<{n}>"), None);
        assert_eq!(pool.publish(publication(&one, false)), 1);
    }
    pool.shutdown().await;
    eventually("all events", || relay.events_received() == 200).await;
}

#[tokio::test]
async fn dropping_the_pool_ends_its_connections() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &relay.url()).await;
    assert!(matches!(pool.status()[0].state, RelayState::Connected));
    drop(pool);
    sink.until("the end", |sink| sink.count(|r| *r == gone(&relay.url())) == 1).await;
    eventually("no connections", || relay.connections() == 0).await;
}
