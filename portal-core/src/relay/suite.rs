//! What every relay pool must do, as tests that each implementation runs: `relay_suite!(make)`.
//!
//! `make` is an async function that returns a [`Stage`]: a relay that can be switched, and pools
//! that connect to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::nostr::{Event, EventBuilder, EventId, JsonUtil, Keys, Kind, RelayUrl, Tag};
use async_trait::async_trait;
use tokio::sync::watch;

use super::{LeaseRefused, Publication, RelayAddress, RelayPool, RelaySink, Targets};

/// The longest wait for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// A relay to test with, and pools for it.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The address of the relay.
    fn relay(&self) -> RelayAddress;
    /// A new pool that does not know the relay yet. It may dial private addresses.
    fn pool(&self, sink: Arc<dyn RelaySink>) -> Arc<dyn RelayPool>;
    /// Ends all connections and refuses new ones.
    async fn go_down(&self);
    /// Takes connections again, with an empty memory or not.
    async fn come_back(&self);
    /// Wants NIP-42 authentication of every later connection.
    async fn require_authentication(&self);
}

/// What a [`RecordingSink`] has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An event frame.
    Event(RelayAddress, String),
    /// A relay is connected.
    Connected(RelayAddress, bool),
    /// A relay is gone.
    Disconnected(RelayAddress),
    /// An answer to a publication.
    Accepted(RelayAddress, EventId, bool, String),
    /// The end of a query.
    QueryEnded(RelayAddress, String),
}

/// A sink that remembers everything, to wait for it.
pub struct RecordingSink {
    reports: Mutex<Vec<Report>>,
    count: watch::Sender<usize>,
    /// Who authenticates; nobody when `None`.
    keys: Option<Keys>,
}

impl RecordingSink {
    /// A sink that stays anonymous.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with_keys(None)
    }

    /// A sink that authenticates with these keys.
    #[must_use]
    pub fn with_keys(keys: Option<Keys>) -> Arc<Self> {
        let reports = Mutex::default();
        Arc::new(Self { reports, count: watch::channel(0).0, keys })
    }

    /// Everything so far.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many reports are like this.
    pub fn count(&self, like: impl Fn(&Report) -> bool) -> usize {
        self.reports().iter().filter(|report| like(report)).count()
    }

    /// How often a relay was reported as connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.count(|report| matches!(report, Report::Connected(..)))
    }

    /// How many event frames contain this text.
    #[must_use]
    pub fn events_with(&self, text: &str) -> usize {
        self.count(|report| matches!(report, Report::Event(_, frame) if frame.contains(text)))
    }

    /// Waits until the reports are as they should be.
    ///
    /// # Panics
    /// When that does not happen within 20 s.
    pub async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let mut count = self.count.subscribe();
        let waiting = async {
            while !so(self) {
                if count.changed().await.is_err() {
                    return;
                }
            }
        };
        let done = tokio::time::timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "never happened: {what}; seen: {:?}", self.reports());
    }

    fn note(&self, report: Report) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(report);
        self.count.send_replace(reports.len());
    }
}

impl RelaySink for RecordingSink {
    fn event(&self, relay: &RelayAddress, frame: &str) {
        self.note(Report::Event(relay.clone(), frame.to_owned()));
    }

    fn connected(&self, relay: &RelayAddress, first: bool) {
        self.note(Report::Connected(relay.clone(), first));
    }

    fn disconnected(&self, relay: &RelayAddress) {
        self.note(Report::Disconnected(relay.clone()));
    }

    fn accepted(&self, relay: &RelayAddress, event_id: EventId, accepted: bool, message: &str) {
        self.note(Report::Accepted(relay.clone(), event_id, accepted, message.to_owned()));
    }

    fn query_ended(&self, relay: &RelayAddress, id: &str) {
        self.note(Report::QueryEnded(relay.clone(), id.to_owned()));
    }

    fn authenticate(&self, relay: &RelayAddress, challenge: &str) -> Option<(EventId, String)> {
        let url = RelayUrl::parse(relay.as_str()).ok()?;
        let event = EventBuilder::auth(challenge, url).sign_with_keys(self.keys.as_ref()?).ok()?;
        Some((event.id, format!("[\"AUTH\",{}]", event.as_json())))
    }
}

/// A signed event.
#[must_use]
pub fn event(keys: &Keys, kind: u16, content: &str, to: Option<&Keys>) -> Event {
    let tags = to.map(|to| Tag::public_key(to.public_key()));
    EventBuilder::new(Kind::from(kind), content)
        .tags(tags)
        .allow_self_tagging()
        .sign_with_keys(keys)
        .expect("keys in memory sign")
}

/// A publication of this event to all relays.
#[must_use]
pub fn publication(event: &Event, track: bool) -> Publication {
    let frame = Arc::from(format!("[\"EVENT\",{}]", event.as_json()));
    Publication { event_id: event.id, frame, to: Targets::All, track }
}

/// A filter for an ephemeral kind addressed to these keys.
#[must_use]
pub fn filter(to: &Keys) -> String {
    format!("{{\"kinds\":[27001],\"#p\":[\"{}\"]}}", to.public_key().to_hex())
}

/// A pool with a standing subscription, connected; and its sink.
async fn listener(stage: &dyn Stage, keys: &Keys) -> (Arc<dyn RelayPool>, Arc<RecordingSink>) {
    let sink = RecordingSink::with_keys(Some(keys.clone()));
    let pool = stage.pool(sink.clone());
    pool.set_subscriptions(vec![("s".to_owned(), filter(keys))]);
    pool.add(stage.relay());
    sink.until("connected", |sink| sink.connections() >= 1).await;
    (pool, sink)
}

/// What is published after `connected` was reported reaches who subscribed before.
pub async fn subscribed_before_connected_is_reported(stage: &dyn Stage) {
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let (_a, heard) = listener(stage, &alice).await;
    let (b, _) = listener(stage, &bob).await;
    assert_eq!(heard.reports()[0], Report::Connected(stage.relay(), true));
    assert_eq!(b.publish(publication(&event(&bob, 27001, "hello", Some(&alice)), false)), 1);
    heard.until("the event", |sink| sink.events_with("hello") == 1).await;
}

/// The relay's answers are reported when they were asked for, and else not.
pub async fn answers_are_reported_when_asked_for(stage: &dyn Stage) {
    let keys = Keys::generate();
    let (pool, sink) = listener(stage, &keys).await;
    let quiet = event(&keys, 27001, "quiet", None);
    let asked = event(&keys, 27001, "asked", None);
    let mut forged = event(&keys, 27001, "forged", None);
    forged.content = "changed".to_owned();
    pool.publish(publication(&quiet, false));
    pool.publish(publication(&asked, true));
    pool.publish(publication(&forged, true));
    let answers = |sink: &RecordingSink| sink.count(|r| matches!(r, Report::Accepted(..)));
    sink.until("two answers", |sink| answers(sink) == 2).await;
    let good = Report::Accepted(stage.relay(), asked.id, true, String::new());
    assert_eq!(sink.count(|report| *report == good), 1);
    let bad = |r: &Report| matches!(r, Report::Accepted(_, id, false, _) if *id == forged.id);
    assert_eq!(sink.count(bad), 1);
}

/// After an outage the subscriptions are there again before that is reported.
pub async fn subscriptions_come_back_after_an_outage(stage: &dyn Stage) {
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let (a, heard) = listener(stage, &alice).await;
    stage.go_down().await;
    let gone = Report::Disconnected(stage.relay());
    heard.until("the end", |sink| sink.count(|report| *report == gone) == 1).await;
    assert_eq!(a.publish(publication(&event(&alice, 27001, "lost", None), true)), 0);
    assert!(!a.status()[0].is_connected());
    stage.come_back().await;
    heard.until("reconnected", |sink| sink.connections() == 2).await;
    assert_eq!(heard.count(|r| *r == Report::Connected(stage.relay(), false)), 1);
    assert!(a.status()[0].is_connected());
    let (b, _) = listener(stage, &bob).await;
    b.publish(publication(&event(&bob, 27001, "again", Some(&alice)), false));
    heard.until("the event", |sink| sink.events_with("again") == 1).await;
}

/// Subscriptions can change while connected: old ones end, new ones begin.
pub async fn subscriptions_can_be_replaced(stage: &dyn Stage) {
    let (alice, other, bob) = (Keys::generate(), Keys::generate(), Keys::generate());
    let (a, heard) = listener(stage, &alice).await;
    a.set_subscriptions(vec![("t".to_owned(), filter(&other))]);
    // An answer behind the change shows that the relay has seen it.
    let mark = event(&alice, 27001, "mark", None);
    a.publish(publication(&mark, true));
    heard.until("the mark", |s| s.count(|r| matches!(r, Report::Accepted(..))) == 1).await;
    let (b, _) = listener(stage, &bob).await;
    b.publish(publication(&event(&bob, 27001, "old", Some(&alice)), false));
    b.publish(publication(&event(&bob, 27001, "new", Some(&other)), false));
    heard.until("the event", |sink| sink.events_with("new") == 1).await;
    assert_eq!(heard.events_with("old"), 0);
}

/// A query delivers what is stored, then its end, once; the standing subscriptions have no part.
pub async fn queries_deliver_and_end(stage: &dyn Stage) {
    let keys = Keys::generate();
    let (pool, sink) = listener(stage, &keys).await;
    pool.publish(publication(&event(&keys, 0, "{\"name\":\"old\"}", None), true));
    sink.until("stored", |s| s.count(|r| matches!(r, Report::Accepted(..))) == 1).await;
    let author = keys.public_key().to_hex();
    let query = format!("{{\"kinds\":[0],\"authors\":[\"{author}\"],\"limit\":1}}");
    assert_eq!(pool.query("q\"1", &query), [stage.relay()]);
    let end = Report::QueryEnded(stage.relay(), "q\"1".to_owned());
    sink.until("the end", |sink| sink.count(|report| *report == end) == 1).await;
    assert_eq!(sink.events_with("old"), 1);
    pool.close_query("q\"1");
    let mark = event(&keys, 0, "{\"name\":\"later\"}", None);
    pool.publish(publication(&mark, true));
    sink.until("the mark", |s| s.count(|r| matches!(r, Report::Accepted(..))) == 2).await;
    assert_eq!(sink.events_with("later"), 0, "the query is closed");
    assert_eq!(sink.count(|report| *report == end), 1);
}

/// A relay that goes away ends the queries to it.
pub async fn queries_end_with_the_connection(stage: &dyn Stage) {
    let keys = Keys::generate();
    let (pool, sink) = listener(stage, &keys).await;
    stage.go_down().await;
    sink.until("the end", |s| s.count(|r| matches!(r, Report::Disconnected(_))) == 1).await;
    assert!(pool.query("q", "{}").is_empty(), "nobody to ask");
}

/// A relay is ours until it is removed, and then it is silent.
pub async fn removed_relays_are_gone(stage: &dyn Stage) {
    let keys = Keys::generate();
    let (pool, sink) = listener(stage, &keys).await;
    assert!(pool.remove(&stage.relay()));
    assert!(!pool.remove(&stage.relay()));
    assert!(pool.status().is_empty());
    assert_eq!(pool.publish(publication(&event(&keys, 27001, "x", None), true)), 0);
    sink.until("the end", |s| s.count(|r| matches!(r, Report::Disconnected(_))) == 1).await;
    pool.add(stage.relay());
    sink.until("connected again", |sink| sink.connections() == 2).await;
}

/// A leased relay gets publications to all and to it, not those to our own; adding makes it ours.
pub async fn leased_relays_are_not_ours(stage: &dyn Stage) {
    let keys = Keys::generate();
    let sink = RecordingSink::new();
    let pool = stage.pool(sink.clone());
    let hour = Duration::from_secs(3600);
    assert_eq!(pool.lease(stage.relay(), hour), Ok(()));
    assert_eq!(pool.lease(stage.relay(), hour), Ok(()), "again, to extend");
    sink.until("connected", |sink| sink.connections() == 1).await;
    assert!(pool.status()[0].leased);
    assert!(!pool.remove(&stage.relay()), "not ours to remove");
    let one = event(&keys, 27001, "x", None);
    let to = |to: Targets| pool.publish(Publication { to, ..publication(&one, false) });
    let named: Arc<[RelayAddress]> = Arc::from([stage.relay(), stage.relay()]);
    assert_eq!(to(Targets::All), 1);
    assert_eq!(to(Targets::OwnAnd(Arc::from([]))), 0);
    assert_eq!(to(Targets::OwnAnd(named.clone())), 1);
    assert_eq!(to(Targets::Only(named)), 1, "once, however often it is named");
    assert_eq!(to(Targets::Only(Arc::from([]))), 0);
    pool.add(stage.relay());
    assert!(!pool.status()[0].leased);
    assert!(pool.remove(&stage.relay()));
}

/// No more than 32 leases at once.
pub async fn leases_are_bounded(stage: &dyn Stage) {
    let pool = stage.pool(RecordingSink::new());
    let hour = Duration::from_secs(3600);
    // Nothing listens on the discard port; what matters is that they are held.
    let relay = |n| RelayAddress::parse(&format!("ws://127.0.0.1:9/{n}")).expect("well-formed");
    for n in 0..32 {
        assert_eq!(pool.lease(relay(n), hour), Ok(()));
    }
    assert_eq!(pool.lease(relay(32), hour), Err(LeaseRefused::TooMany));
    assert_eq!(pool.lease(relay(0), hour), Ok(()), "a held one can be extended");
    pool.add(stage.relay());
    assert_eq!(pool.status().len(), 33, "our own do not count");
    pool.shutdown().await;
}

/// A relay that wants to know who we are is told, and then works.
pub async fn authentication_is_answered(stage: &dyn Stage) {
    stage.require_authentication().await;
    let (alice, bob) = (Keys::generate(), Keys::generate());
    let (_a, heard) = listener(stage, &alice).await;
    heard.until("connected again", |sink| sink.connections() >= 2).await;
    let (b, said) = listener(stage, &bob).await;
    said.until("connected again", |sink| sink.connections() >= 2).await;
    b.publish(publication(&event(&bob, 27001, "known", Some(&alice)), false));
    heard.until("the event", |sink| sink.events_with("known") == 1).await;
}

/// After the shutdown nothing is reported and nothing is taken.
pub async fn shutdown_ends_everything(stage: &dyn Stage) {
    let keys = Keys::generate();
    let (pool, sink) = listener(stage, &keys).await;
    let ended = tokio::time::timeout(LIMIT, pool.shutdown()).await;
    assert!(ended.is_ok(), "the shutdown has an end");
    let before = sink.reports();
    assert_eq!(before.last(), Some(&Report::Disconnected(stage.relay())));
    assert_eq!(pool.publish(publication(&event(&keys, 27001, "x", None), true)), 0);
    let hour = Duration::from_secs(3600);
    assert_eq!(pool.lease(stage.relay(), hour), Err(LeaseRefused::ShutDown));
    pool.add(stage.relay());
    assert!(pool.status().is_empty());
    pool.shutdown().await;
    assert_eq!(sink.reports(), before);
}

/// Makes a test of every function of the suite: `relay_suite!(make_stage)`.
#[macro_export]
macro_rules! relay_suite {
    ($make:expr) => {
        $crate::relay_suite!(@each $make;
            subscribed_before_connected_is_reported,
            answers_are_reported_when_asked_for,
            subscriptions_come_back_after_an_outage,
            subscriptions_can_be_replaced,
            queries_deliver_and_end,
            queries_end_with_the_connection,
            removed_relays_are_gone,
            leased_relays_are_not_ours,
            leases_are_bounded,
            authentication_is_answered,
            shutdown_ends_everything,
        );
    };
    (@each $make:expr; $($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $crate::relay::suite::$name(&$make().await).await;
            }
        )*
    };
}
