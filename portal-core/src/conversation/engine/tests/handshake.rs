//! Opening a URL.

use super::bench::{Bench, at, key, public, stream};
use crate::conversation::handshake::Handshake;
use crate::conversation::{Conversation, Effect};
use crate::event::PortalEvent;
use crate::primitives::{ErrorCode, StreamId};
use crate::protocol::envelope::Refusal;
use crate::protocol::handshake::{ClientInfo, KeyHandshake};
use crate::protocol::kinds::KEY_HANDSHAKE;

fn one_time(token: &str) -> Conversation {
    Conversation::Handshake(Box::new(Handshake {
        token: token.into(),
        plain_token: None,
        no_request: false,
        relays: Vec::new(),
        expires_at: Some(at(300)),
    }))
}

fn static_token(in_url: &str, plain: &str) -> Conversation {
    Conversation::Handshake(Box::new(Handshake {
        token: in_url.into(),
        plain_token: (in_url != plain).then(|| plain.into()),
        no_request: false,
        relays: Vec::new(),
        expires_at: None,
    }))
}

fn opens(token: &str, relays: &[&str]) -> KeyHandshake {
    KeyHandshake {
        token: token.to_owned(),
        client_info: ClientInfo { name: "Test".to_owned(), version: "1".to_owned() },
        preferred_relays: relays.iter().map(|&relay| relay.to_owned()).collect(),
    }
}

#[test]
fn the_first_person_ends_a_one_time_url() {
    let mut bench = Bench::service();
    bench.open(stream(1), one_time("t"));
    let met = bench.message(&key(2), KEY_HANDSHAKE, &opens("t", &["wss://a.example"]), at(5));
    assert_eq!(met.learned[0].main_key, public(2));
    let connect = Effect::Connect { relays: vec!["wss://a.example".to_owned()], until: at(605) };
    assert!(met.effects.contains(&connect), "{met:?}");
    let PortalEvent::KeyHandshake { main_key, preferred_relays } = met.event() else { panic!() };
    assert_eq!((main_key, preferred_relays), (public(2), vec!["wss://a.example".to_owned()]));
    assert!(bench.ended.contains(&stream(1)) && bench.engine.is_empty());
    let second = bench.message(&key(3), KEY_HANDSHAKE, &opens("t", &[]), at(6));
    assert_eq!(second.refused(), Refusal::Unexpected);
}

#[test]
fn opened_after_expiry_is_ignored_and_the_stream_ends_with_timeout() {
    let mut bench = Bench::service();
    bench.open(stream(1), one_time("t"));
    let late = bench.message(&key(2), KEY_HANDSHAKE, &opens("t", &[]), at(300));
    assert_eq!(late.refused(), Refusal::Expired);
    assert!(bench.tick(at(299)).is_nothing());
    let end = bench.tick(at(300)).event();
    assert!(matches!(end, PortalEvent::Error { code: ErrorCode::Timeout, .. }));
    assert!(bench.tick(at(301)).is_nothing());
}

#[test]
fn a_wrong_token_finds_nobody() {
    let mut bench = Bench::service();
    bench.open(stream(1), one_time("t"));
    for wrong in ["", "T", "t ", "t%20"] {
        let seen = bench.message(&key(2), KEY_HANDSHAKE, &opens(wrong, &[]), at(1));
        assert_eq!(seen.refused(), Refusal::Unexpected, "{wrong}");
    }
    let not_a_handshake = bench.message(&key(2), KEY_HANDSHAKE, &7, at(1));
    assert_eq!(not_a_handshake.refused(), Refusal::BadMessage);
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn a_static_token_is_echoed_raw_or_decoded_by_many_people() {
    let mut bench = Bench::service();
    bench.open(stream(1), static_token("table%207", "table 7"));
    for (person, echo) in [(2, "table%207"), (3, "table 7"), (2, "table%207")] {
        let seen = bench.message(&key(person), KEY_HANDSHAKE, &opens(echo, &[]), at(1));
        assert!(matches!(seen.event(), PortalEvent::KeyHandshake { main_key, .. }
            if main_key == public(person)));
    }
    let named = |of: Option<(StreamId, &Handshake)>| of.map(|(stream, _)| stream);
    assert_eq!(named(bench.engine.static_handshake("table 7")), Some(stream(1)));
    assert_eq!(named(bench.engine.static_handshake("table%207")), None, "that is another token");
    for name in ["table 7", "table%207"] {
        assert_eq!(named(bench.engine.static_handshake_of(name)), Some(stream(1)), "to revoke it");
    }
    assert!(bench.tick(at(1_000_000)).is_nothing(), "it has no end");
    bench.restart();
    let seen = bench.message(&key(4), KEY_HANDSHAKE, &opens("table 7", &[]), at(1_000_001));
    assert_eq!(seen.events.len(), 1, "it survives a restart");
    assert_eq!(bench.log[&stream(1)].len(), 4);
}

#[test]
fn a_static_token_whose_echo_may_be_that_of_another_is_mistakable() {
    let handshake = |in_url, plain| match static_token(in_url, plain) {
        Conversation::Handshake(handshake) => handshake,
        other => panic!("a handshake, not {other:?}"),
    };
    for (first, second) in [
        (("a%20b", "a b"), ("a%2520b", "a%20b")),
        (("a%2520b", "a%20b"), ("a%20b", "a b")),
        (("%25", "%"), ("%2525", "%25")),
    ] {
        let mut bench = Bench::service();
        assert!(!bench.engine.is_mistakable(&handshake(second.0, second.1)));
        bench.open(stream(1), static_token(first.0, first.1));
        assert!(bench.engine.is_mistakable(&handshake(second.0, second.1)), "{first:?}");
        assert!(!bench.engine.is_mistakable(&handshake("a%2fb", "a/b")));
        bench.open(stream(2), one_time("a%2525b"));
        assert!(!bench.engine.is_mistakable(&handshake("a%252525b", "a%2525b")));
    }
}

#[test]
fn opened_after_a_revocation_is_ignored() {
    let mut bench = Bench::service();
    bench.open(stream(1), static_token("t", "t"));
    let step = bench.engine.close(stream(1));
    let closed = bench.apply(step);
    assert_eq!(closed.effects, [Effect::Ended(stream(1))]);
    assert!(bench.engine.static_handshake("t").is_none());
    let seen = bench.message(&key(2), KEY_HANDSHAKE, &opens("t", &[]), at(1));
    assert_eq!(seen.refused(), Refusal::Unexpected);
    assert!(bench.engine.close(stream(1)).changes.is_empty(), "closing twice is nothing");
}

#[test]
fn a_one_time_token_is_not_a_static_one() {
    let mut bench = Bench::service();
    bench.open(stream(1), one_time("t"));
    assert!(bench.engine.static_handshake("t").is_none());
    bench.open(stream(2), static_token("t", "t"));
    assert_eq!(bench.engine.static_handshake("t").map(|(stream, _)| stream), Some(stream(2)));
}

#[test]
fn relays_that_a_person_names_are_bounded() {
    let mut bench = Bench::service();
    bench.open(stream(1), one_time("t"));
    let long = format!("wss://{}.example", "a".repeat(600));
    let named = ["wss://1.example", "wss://1.example", &long, "2", "3", "4", "5"];
    let seen = bench.message(&key(2), KEY_HANDSHAKE, &opens("t", &named), at(1));
    assert_eq!(seen.learned[0].relays, ["wss://1.example", "2", "3"]);
}
