//! Invoices that anybody may pay.

use super::bench::{Bench, MSATS, Seen, at, payment, public, stream};
use crate::conversation::payment::{GRACE_SECS, WatchedInvoice};
use crate::conversation::walkin::{MOST_OPEN, WalkIn};
use crate::conversation::{Conversation, Effect};
use crate::event::PortalEvent;

const RECEIPTS: u128 = 100;

fn walkin(hash: [u8; 32], payable_until: u64) -> Conversation {
    let watched =
        WatchedInvoice { payment_hash: hash, made_at: at(0), payable_until: at(payable_until) };
    let invoice = "lnbcrt1".into();
    Conversation::WalkIn(Box::new(WalkIn { name: "shop".into(), invoice, watched }))
}

fn shop() -> Bench {
    let mut bench = Bench::service();
    bench.open(stream(RECEIPTS), Conversation::Receipts);
    bench
}

fn settle(bench: &mut Bench, hash: [u8; 32]) -> Seen {
    let step = bench.engine.settled(hash, Some("ab"), MSATS);
    bench.apply(step)
}

fn unsettled(bench: &mut Bench, hash: [u8; 32], second: u64) -> Seen {
    let step = bench.engine.unsettled(hash, at(second));
    bench.apply(step)
}

#[test]
fn what_comes_is_a_receipt_once_and_nothing_waits_for_it_any_more() {
    let mut bench = shop();
    let seen = bench.open(stream(1), walkin([9; 32], 600));
    assert!(matches!(&seen.effects[..], [Effect::Watch { now: false, .. }]), "{seen:?}");
    assert_eq!(seen.published, [], "nobody is asked");
    let seen = settle(&mut bench, [9; 32]);
    assert!(seen.effects.contains(&Effect::Unwatch { payment_hash: [9; 32] }));
    assert!(seen.effects.contains(&Effect::Ended(stream(1))));
    assert_eq!(
        seen.events,
        [(
            stream(RECEIPTS),
            PortalEvent::LightningAddressPayment {
                name: "shop".to_owned(),
                amount_msat: MSATS,
                invoice: "lnbcrt1".to_owned(),
                payment_hash: "09".repeat(32),
                preimage: Some("ab".to_owned()),
            }
        )]
    );
    assert!(settle(&mut bench, [9; 32]).is_nothing(), "told again");
    drop(bench.restart());
    assert!(settle(&mut bench, [9; 32]).is_nothing(), "told again after a restart");
    // The next one has the next place.
    bench.open(stream(2), walkin([8; 32], 600));
    settle(&mut bench, [8; 32]);
    assert_eq!(bench.log[&stream(RECEIPTS)].len(), 2);
}

#[test]
fn a_restart_goes_on_waiting() {
    let mut bench = shop();
    bench.open(stream(1), walkin([9; 32], 600));
    let seen = bench.restart();
    assert!(seen.effects.iter().any(|effect| matches!(effect, Effect::Watch { .. })), "{seen:?}");
    assert_eq!(settle(&mut bench, [9; 32]).events.len(), 1);
}

#[test]
fn it_is_given_up_an_hour_after_its_end_when_the_wallet_says_no() {
    let mut bench = shop();
    bench.open(stream(1), walkin([9; 32], 600));
    let end = 600 + GRACE_SECS;
    assert!(unsettled(&mut bench, [9; 32], end - 1).is_nothing());
    let seen = bench.tick(at(end));
    assert!(matches!(&seen.effects[..], [Effect::Watch { now: true, .. }]), "{seen:?}");
    // A wallet that is away ends nothing: the money may be there.
    bench.tick(at(end + 100_000));
    assert_eq!(bench.engine.len(), 2);
    let seen = unsettled(&mut bench, [9; 32], end + 100_000);
    assert_eq!(seen.events, [], "without a word");
    assert_eq!(bench.engine.len(), 1, "the stream of receipts");
}

#[test]
fn one_that_never_ends_is_watched_for_a_day() {
    let mut bench = shop();
    bench.open(stream(1), walkin([9; 32], 10_000_000));
    let end = 24 * 3600 + GRACE_SECS;
    assert!(bench.tick(at(end - 1)).is_nothing());
    assert!(!bench.tick(at(end)).effects.is_empty());
    unsettled(&mut bench, [9; 32], end);
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn an_invoice_that_somebody_was_asked_for_as_well_is_told_on_both_streams() {
    let mut bench = shop();
    bench.open(stream(1), walkin([9; 32], 600));
    bench.open(stream(2), walkin([9; 32], 600));
    bench.open(stream(3), payment(public(2), "p", Some(9)));
    let seen = settle(&mut bench, [9; 32]);
    let streams: Vec<_> = seen.events.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(streams, [stream(3), stream(RECEIPTS)], "the same money is one receipt");
    let unwatched =
        seen.effects.iter().filter(|effect| matches!(effect, Effect::Unwatch { .. })).count();
    assert!(unwatched >= 1);
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn money_for_which_there_is_no_place_yet_waits_for_it() {
    let mut bench = Bench::service();
    bench.open(stream(1), walkin([9; 32], 600));
    assert!(settle(&mut bench, [9; 32]).is_nothing());
    bench.open(stream(RECEIPTS), Conversation::Receipts);
    assert_eq!(settle(&mut bench, [9; 32]).events.len(), 1);
}

#[test]
fn strangers_have_a_bounded_number_opened() {
    let mut engine =
        super::super::Engine::new(super::super::Role::Service, super::super::Limits::default());
    let hash = |number: usize| {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&(number as u64).to_be_bytes());
        hash
    };
    for number in 0..MOST_OPEN {
        let next = walkin(hash(number), 600);
        assert!(engine.has_room_for(&next));
        drop(engine.open(stream(number as u128 + 1), next));
    }
    assert!(!engine.has_room_for(&walkin(hash(MOST_OPEN), 600)));
    assert!(engine.has_room_for(&payment(public(2), "p", Some(9))), "others are not kept out");
    drop(engine.unsettled(hash(0), at(600 + GRACE_SECS)));
    assert!(engine.has_room_for(&walkin(hash(MOST_OPEN), 600)));
}
