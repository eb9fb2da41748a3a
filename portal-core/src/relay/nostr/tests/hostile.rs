//! Relays that misbehave: nonsense, too much, closed subscriptions, challenges without end,
//! redirects.

use std::sync::atomic::AtomicUsize;

use ::nostr::EventId;
use portal_testkit::FaultProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::relay::suite::{Report, event, publication};
use crate::relay::{RelayRefusal, RelayState};

/// An event of our own behind what the relay has just sent shows that all of it was read.
async fn settle(pool: &NostrRelays, sink: &RecordingSink, keys: &Keys, mark: &str) {
    pool.publish(publication(&event(keys, 27001, mark, Some(keys)), false));
    sink.until("the mark", |sink| sink.events_with(mark) == 1).await;
}

#[tokio::test]
async fn garbage_is_counted_and_changes_nothing() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &relay.url()).await;
    let garbage =
        ["", "x", "[]", "{}", "[\"OK\"]", "[\"EOSE\"]", "[\"AUTH\",\"\"]", "[[[[", "\u{0}"];
    for text in garbage {
        relay.send_raw(text);
    }
    let stranger = EventId::all_zeros();
    for text in [
        format!("[\"OK\",\"{stranger}\",true,\"\"]"),
        format!("[\"OK\",\"{stranger}\",false,\"blocked: x\"]"),
        "[\"EOSE\",\"unknown\"]".to_owned(),
        "[\"CLOSED\",\"unknown\",\"error: x\"]".to_owned(),
        "[\"NOTICE\",\"\\u001b[31mred\"]".to_owned(),
    ] {
        relay.send_raw(&text);
    }
    settle(&pool, &sink, &keys, "mark").await;
    assert_eq!(sink.reports().len(), 2, "one connection, one event");
    assert_eq!(pool.status()[0].counters.garbage, garbage.len() as u64);
}

#[tokio::test]
async fn large_events_are_dropped_and_huge_frames_end_the_connection() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &relay.url()).await;
    relay.send_raw(&format!("[\"EVENT\",\"s\",\"{}\"]", "x".repeat(65 * 1024)));
    relay.send_raw(&format!("[\"EVENT\",\"s\",\"{}\"]", "y".repeat(64 * 1000)));
    sink.until("the one that fits", |sink| sink.events_with("yyy") == 1).await;
    assert_eq!(sink.events_with("xxx"), 0);
    assert_eq!(pool.status()[0].counters.oversized, 1);
    assert_eq!(sink.connections(), 1);
    relay.send_raw(&"x".repeat((1 << 20) + 1));
    sink.until("connected again", |sink| sink.connections() == 2).await;
    assert_eq!(pool.status()[0].counters.oversized, 2);
    settle(&pool, &sink, &keys, "mark").await;
}

#[tokio::test]
async fn subscriptions_that_the_relay_closes_come_back() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let (pool, sink) = connected(quick(), &keys, &relay.url()).await;
    eventually("the subscription", || relay.subscriptions() == [1]).await;
    relay.close_subscriptions("error: tired");
    sink.until("in place again", |sink| sink.connections() == 2).await;
    assert_eq!(sink.count(|r| matches!(r, Report::Disconnected(_))), 0);
    assert_eq!(pool.status()[0].counters.closed, 1);
    settle(&pool, &sink, &keys, "mark").await;
}

#[tokio::test]
async fn who_stays_anonymous_is_refused_and_tried_again() {
    let relay = EphemeralRelay::start().await.unwrap();
    relay.set_require_auth(true);
    let keys = Keys::generate();
    let sink = RecordingSink::new();
    let pool = start(quick(), sink.clone());
    pool.set_subscriptions(vec![("s".to_owned(), filter(&keys))]);
    pool.add(address(&relay.url()));
    sink.until("connected", |sink| sink.connections() == 1).await;
    pool.publish(publication(&event(&keys, 27001, "x", None), true));
    let refused = |sink: &RecordingSink| {
        sink.count(
            |r| matches!(r, Report::Accepted(_, _, false, m) if m.starts_with("auth-required:")),
        )
    };
    sink.until("the refusal", |sink| refused(sink) == 1).await;
    let status = &pool.status()[0];
    assert_eq!(status.state, RelayState::Refused(RelayRefusal::Authentication));
    assert_eq!(status.counters.closed, 1);
    assert!(relay.subscriptions().is_empty());
    relay.set_require_auth(false);
    sink.until("in place", |sink| sink.connections() == 2).await;
    assert_eq!(relay.subscriptions(), [1]);
    assert!(pool.status()[0].is_connected());
}

/// Counts how often it is asked to sign.
struct Signer {
    asked: AtomicUsize,
    inner: Arc<RecordingSink>,
}

impl RelaySink for Signer {
    fn event(&self, relay: &RelayAddress, frame: &str) {
        self.inner.event(relay, frame);
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        self.inner.connected(relay, first);
    }

    fn disconnected(&self, relay: &RelayAddress) {
        self.inner.disconnected(relay);
    }

    fn accepted(&self, relay: &RelayAddress, id: EventId, accepted: bool, message: &str) {
        self.inner.accepted(relay, id, accepted, message);
    }

    fn query_ended(&self, relay: &RelayAddress, id: &str) {
        self.inner.query_ended(relay, id);
    }

    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.inner.authenticate(relay, challenge)
    }
}

#[tokio::test]
async fn challenges_without_end_are_not_signed_without_end() {
    let relay = EphemeralRelay::start().await.unwrap();
    let keys = Keys::generate();
    let inner = RecordingSink::with_keys(Some(keys.clone()));
    let signer = Arc::new(Signer { asked: AtomicUsize::new(0), inner: inner.clone() });
    let pool = start(quick(), signer.clone());
    pool.set_subscriptions(vec![("s".to_owned(), filter(&keys))]);
    pool.add(address(&relay.url()));
    inner.until("connected", |sink| sink.connections() == 1).await;
    for n in 0..1000 {
        relay.send_raw(&format!("[\"AUTH\",\"challenge {n}\"]"));
        relay.send_raw(&format!("[\"CLOSED\",\"x{n}\",\"auth-required: again\"]"));
    }
    settle(&pool, &inner, &keys, "mark").await;
    assert_eq!(signer.asked.load(Ordering::SeqCst), 4);
}

/// Panics on its first event.
struct Fragile {
    broken: AtomicBool,
    inner: Arc<RecordingSink>,
}

impl RelaySink for Fragile {
    fn event(&self, relay: &RelayAddress, frame: &str) {
        assert!(self.broken.swap(true, Ordering::SeqCst), "as the test wants it");
        self.inner.event(relay, frame);
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        self.inner.connected(relay, first);
    }

    fn disconnected(&self, relay: &RelayAddress) {
        self.inner.disconnected(relay);
    }

    fn accepted(&self, _: &RelayAddress, _: EventId, _: bool, _: &str) {}

    fn query_ended(&self, _: &RelayAddress, _: &str) {}

    fn authenticate(&self, _: &RelayAddress, _: &str) -> Option<(EventId, String)> {
        None
    }
}

#[tokio::test]
async fn a_panic_in_the_sink_costs_one_connection() {
    let relay = EphemeralRelay::start().await.unwrap();
    let inner = RecordingSink::new();
    let sink = Arc::new(Fragile { broken: AtomicBool::new(false), inner: inner.clone() });
    let pool = start(quick(), sink);
    pool.add(address(&relay.url()));
    inner.until("connected", |sink| sink.connections() == 1).await;
    relay.send_raw("[\"EVENT\",\"s\",\"first\"]");
    inner.until("connected again", |sink| sink.connections() == 2).await;
    relay.send_raw("[\"EVENT\",\"s\",\"second\"]");
    inner.until("the event", |sink| sink.events_with("second") == 1).await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = EphemeralRelay::start().await.unwrap();
    let watched = FaultProxy::start(target.address()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let location = watched.url().replace("ws:", "http:");
    let pool = start(quick(), RecordingSink::new());
    pool.add(address(&url));
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    assert_eq!(watched.accepted(), 0);
    assert!(!pool.status()[0].is_connected());
}
