//! The suite, and what only hubs in memory can do.

use async_trait::async_trait;

use super::*;
use crate::env::mock;
use crate::relay::suite::{RecordingSink, Stage, event, filter, publication};

struct MemoryStage {
    network: MemoryNetwork,
    hub: Arc<MemoryHub>,
}

#[async_trait]
impl Stage for MemoryStage {
    fn relay(&self) -> RelayAddress {
        self.hub.relay().clone()
    }

    fn pool(&self, sink: Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
        MemoryRelays::start(&Handle::current(), &self.network, sink)
    }

    async fn go_down(&self) {
        self.hub.go_down();
    }

    async fn come_back(&self) {
        self.hub.come_back();
    }

    async fn require_authentication(&self) {
        self.hub.set_requires_authentication(true);
    }
}

async fn stage() -> MemoryStage {
    let (env, _) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
    let network = MemoryNetwork::new(env);
    let hub = network.open(&RelayAddress::parse("ws://relay.test").unwrap());
    MemoryStage { network, hub }
}

crate::relay_suite!(stage);

#[tokio::test]
async fn faults_lose_double_and_mix_events() {
    let stage = stage().await;
    let keys = ::nostr::Keys::generate();
    let sink = RecordingSink::new();
    let pool = stage.pool(sink.clone());
    pool.set_subscriptions(vec![("s".to_owned(), filter(&keys))]);
    pool.add(stage.relay());
    sink.until("connected", |sink| sink.connections() == 1).await;
    stage.hub.set_faults(Faults { drop_percent: 20, duplicate_percent: 20, reorder: true });
    let total = 100;
    for n in 0..total {
        pool.publish(publication(
            &event(&keys, 27001, &format!("<{n:03}>"), Some(&keys)),
            n == total - 1,
        ));
    }
    let answered = |sink: &RecordingSink| {
        sink.count(|r| matches!(r, crate::relay::suite::Report::Accepted(..))) == 1
    };
    sink.until("the last answer", answered).await;
    stage.hub.set_faults(Faults::default());
    pool.publish(publication(&event(&keys, 27001, "<end>", Some(&keys)), false));
    sink.until("the end", |sink| sink.events_with("<end>") == 1).await;
    let counts: Vec<_> = (0..total).map(|n| sink.events_with(&format!("<{n:03}>"))).collect();
    assert!(counts.contains(&0) && counts.contains(&1) && counts.contains(&2));
    let order: Vec<_> = sink
        .reports()
        .into_iter()
        .filter_map(|report| match report {
            crate::relay::suite::Report::Event(_, frame) => {
                let at = frame.find("\"<")?;
                frame.get(at + 2..at + 5)?.parse::<u32>().ok()
            }
            _ => None,
        })
        .collect();
    assert!(!order.is_sorted());
}

#[tokio::test]
async fn leases_end_with_the_clock() {
    let (env, clock) = mock::env(Timestamp::from_secs(1_700_000_000), 1);
    let network = MemoryNetwork::new(env);
    let relay = RelayAddress::parse("ws://relay.test").unwrap();
    network.open(&relay);
    let sink = RecordingSink::new();
    let pool = MemoryRelays::start(&Handle::current(), &network, sink.clone());
    pool.lease(relay.clone(), Duration::from_secs(10)).unwrap();
    sink.until("connected", |sink| sink.connections() == 1).await;
    clock.advance(Duration::from_secs(9));
    assert_eq!(pool.status().len(), 1);
    clock.advance(Duration::from_secs(1));
    assert!(pool.status().is_empty());
    let gone = crate::relay::suite::Report::Disconnected(relay);
    sink.until("the end", |sink| sink.count(|report| *report == gone) == 1).await;
}

#[tokio::test]
async fn what_a_hub_injects_arrives_as_it_is() {
    let stage = stage().await;
    let sink = RecordingSink::new();
    let pool = stage.pool(sink.clone());
    pool.add(stage.relay());
    sink.until("connected", |sink| sink.connections() == 1).await;
    stage.hub.inject("[\"EVENT\",\"s\",{\"not\":\"an event\"}]");
    stage.hub.inject("garbage");
    sink.until("the event", |sink| sink.events_with("not") == 1).await;
    pool.shutdown().await;
    assert_eq!(stage.hub.subscriptions(), 0);
}
