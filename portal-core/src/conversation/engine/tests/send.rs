//! Messages without an answer.

use super::bench::{Bench, at, derived, key, public, stream};
use crate::conversation::send::Send;
use crate::conversation::{Conversation, Effect, Via};
use crate::event::PortalEvent;
use crate::primitives::ErrorCode;
use crate::protocol::kinds::CASHU_DIRECT;
use crate::protocol::subkey::SubkeyPermission;

fn ticket() -> Conversation {
    Conversation::Send(Box::new(Send {
        kind: CASHU_DIRECT,
        recipients: vec![public(2)],
        message: "{\"token\":\"cashuB\"}".to_owned(),
        via: Via::Peer(vec!["ws://person".to_owned()]),
        sent_at: at(0),
        expires_at: at(1000),
        refused: Vec::new(),
        queued: false,
        done_until: None,
    }))
}

fn sent() -> Bench {
    let mut bench = Bench::service();
    let seen = bench.open(stream(1), ticket());
    assert_eq!(seen.published.len(), 1);
    assert!(seen.published[0].track);
    let connect = Effect::Connect { relays: vec!["ws://person".to_owned()], until: at(1000) };
    assert!(seen.effects.contains(&connect));
    bench
}

fn delivery(event: PortalEvent) -> (Vec<String>, usize, bool) {
    match event {
        PortalEvent::Delivery { delivered, refused, queued } => (delivered, refused.len(), queued),
        other => panic!("a delivery, not {other:?}"),
    }
}

fn relay(bench: &mut Bench, relay: &str, accepted: bool) -> super::bench::Seen {
    let step = bench.engine.delivered(stream(1), 0, relay, accepted, "because", at(1));
    bench.apply(step)
}

#[test]
fn a_relay_accepts() {
    let mut bench = sent();
    let (delivered, refused, queued) = delivery(relay(&mut bench, "ws://a", true).event());
    assert_eq!((delivered, refused, queued), (vec!["ws://a".to_owned()], 0, false));
    assert!(relay(&mut bench, "ws://b", true).is_nothing());
    assert!(bench.owed().is_empty());
    bench.restart();
    assert!(bench.tick(at(300)).is_nothing(), "it stays for a subkey that cannot read it");
    assert!(bench.tick(at(301)).events.is_empty());
    assert!(bench.engine.is_empty());
}

#[test]
fn a_subkey_that_could_not_read_it_gets_a_copy_of_its_own() {
    let mut bench = sent();
    relay(&mut bench, "ws://a", true);
    let subkey = derived(&key(2), 7, &[SubkeyPermission::Payment]);
    let step = bench.engine.receive_proof(
        stream(1),
        subkey.public_key(),
        subkey.proof().expect("derived"),
        at(2),
    );
    let seen = bench.apply(step);
    assert_eq!(seen.published[0].recipients, [subkey.public_key()]);
    assert!(seen.events.is_empty(), "the sender knows already");
}

#[test]
fn one_refuses_and_another_accepts() {
    let mut bench = sent();
    assert!(relay(&mut bench, "ws://a", false).events.is_empty());
    assert!(relay(&mut bench, "ws://a", false).events.is_empty(), "the same one again");
    bench.restart();
    assert_eq!(delivery(relay(&mut bench, "ws://b", true).event()).1, 1);
}

#[test]
fn all_who_spoke_refuse() {
    let mut bench = sent();
    relay(&mut bench, "ws://a", false);
    assert!(bench.tick(at(9)).is_nothing());
    let (delivered, refused, queued) = delivery(bench.tick(at(10)).event());
    assert_eq!((delivered.len(), refused, queued), (0, 1, false));
    assert!(bench.engine.is_empty());
}

#[test]
fn nobody_speaks_then_one_accepts_after_a_restart() {
    let mut bench = sent();
    assert!(delivery(bench.tick(at(10)).event()).2, "queued");
    bench.restart();
    let again = bench.owed();
    assert_eq!(again.len(), 1, "it is sent to whoever comes");
    assert_eq!(delivery(relay(&mut bench, "ws://a", true).event()).0, ["ws://a"]);
    assert_eq!(bench.log[&stream(1)].len(), 2);
}

#[test]
fn nobody_ever_accepts() {
    let mut bench = sent();
    bench.tick(at(10));
    assert!(bench.tick(at(999)).is_nothing());
    let end = bench.tick(at(1000)).event();
    assert!(matches!(end, PortalEvent::Error { code: ErrorCode::NotDelivered, .. }));
    assert!(bench.engine.is_empty());
}

#[test]
fn a_relay_that_says_long_things_is_cut_short_and_many_are_bounded() {
    let mut bench = sent();
    for number in 0..100 {
        let reason = "x".repeat(10_000);
        let step =
            bench.engine.delivered(stream(1), 0, &format!("ws://{number}"), false, &reason, at(1));
        bench.apply(step);
    }
    let PortalEvent::Delivery { refused, .. } = bench.tick(at(10)).event() else { panic!() };
    assert_eq!(refused.len(), 32);
    assert!(refused.iter().all(|(_, reason)| reason.len() == 200));
}
