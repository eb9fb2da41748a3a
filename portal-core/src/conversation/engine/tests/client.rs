//! The person's side.

use super::bench::{Bench, Seen, at, derived, key, public};
use crate::conversation::answer::{MAX_REPLIES, Reply};
use crate::conversation::{Conversation, Effect, Limits, Role, Via};
use crate::identity::LocalKey;
use crate::primitives::{RequestId, StreamId, Timestamp};
use crate::protocol::Currency;
use crate::protocol::auth::AuthChallenge;
use crate::protocol::envelope::Refusal;
use crate::protocol::kinds::{
    AUTH_CHALLENGE, AUTH_RESPONSE, CASHU_DIRECT, INVOICE_RESPONSE, PAYMENT_REQUEST,
    RECURRING_CLOSE, RECURRING_REQUEST,
};
use crate::protocol::payment::{PaymentRequest, SinglePaymentRequest};
use crate::protocol::subkey::SubkeyPermission;
use crate::protocol::subscription::CloseRecurringPayment;
use crate::protocol::ticket::CashuDirect;

fn challenge(text: &str, expires_at: Timestamp) -> AuthChallenge {
    AuthChallenge {
        challenge: text.to_owned(),
        expires_at,
        required_permissions: Vec::new(),
        subkey_proof: None,
    }
}

fn pay(request_id: &str, amount: u64) -> PaymentRequest {
    PaymentRequest::Single(SinglePaymentRequest {
        amount,
        currency: Currency::Millisats,
        current_exchange_rate: None,
        invoice: "lnbcrt1".to_owned(),
        auth_token: None,
        expires_at: at(300),
        subscription_id: None,
        description: None,
        request_id: RequestId::new(request_id),
    })
}

/// The stream that was shown to the person.
fn shown(seen: &Seen) -> StreamId {
    let mut shown = seen.effects.iter().filter_map(|effect| match effect {
        Effect::Inbox { stream, open: true } => Some(*stream),
        _ => None,
    });
    let stream = shown.next().unwrap_or_else(|| panic!("shown: {seen:?}"));
    assert!(shown.next().is_none());
    stream
}

fn ask(bench: &mut Bench, service: &LocalKey, text: &str, now: u64) -> Seen {
    bench.message(service, AUTH_CHALLENGE, &challenge(text, at(300)), at(now))
}

fn reply(bench: &mut Bench, stream: StreamId, text: &str) -> Seen {
    let reply = Reply { kind: AUTH_RESPONSE, message: text.to_owned() };
    let step = bench.engine.reply(stream, reply).expect("open");
    bench.apply(step)
}

fn relay_took(bench: &mut Bench, stream: StreamId, part: usize) {
    let step = bench.engine.delivered(stream, part, "ws://a", true, "", at(1));
    bench.apply(step);
}

#[test]
fn a_request_is_shown_answered_and_answered_again_without_asking_twice() {
    let mut bench = Bench::client();
    let stream = shown(&ask(&mut bench, &key(1), "c", 1));
    assert_eq!(ask(&mut bench, &key(1), "c", 2).refused(), Refusal::Duplicate);
    let sent = reply(&mut bench, stream, "yes");
    assert_eq!(shown(&sent), stream, "the app sees that it has replied");
    let first = &sent.published[0];
    assert_eq!((&first.recipients[..], &first.mentions[..]), (&[public(1)][..], &[public(1)][..]));
    assert_eq!((first.kind, first.track, &first.via), (AUTH_RESPONSE, true, &Via::Everywhere));
    relay_took(&mut bench, stream, 0);
    bench.restart();
    let again = ask(&mut bench, &key(1), "c", 3);
    assert_eq!(again.published.len(), 1);
    assert_eq!(again.published[0].message, "yes");
    assert!(!again.effects.iter().any(|effect| matches!(effect, Effect::Inbox { .. })));
}

#[test]
fn replies_go_to_relays_that_connect_until_one_has_each() {
    let mut bench = Bench::client();
    let stream = shown(&bench.message(&key(1), PAYMENT_REQUEST, &pay("p", 1), at(1)));
    reply(&mut bench, stream, "approved");
    reply(&mut bench, stream, "success");
    let texts = |bench: &mut Bench| -> Vec<(usize, String)> {
        let owed = bench.owed();
        owed.into_iter().map(|outgoing| (outgoing.part, outgoing.message)).collect()
    };
    let both = [(0, "approved".to_owned()), (1, "success".to_owned())];
    assert_eq!(texts(&mut bench), both);
    // Copies of the first are taken twice: that says nothing of the second.
    relay_took(&mut bench, stream, 0);
    relay_took(&mut bench, stream, 0);
    bench.restart();
    assert_eq!(texts(&mut bench), both[1..]);
    relay_took(&mut bench, stream, 7);
    assert_eq!(texts(&mut bench), both[1..], "there is no such reply");
    relay_took(&mut bench, stream, 1);
    assert!(texts(&mut bench).is_empty());
}

#[test]
fn a_refusal_of_a_relay_leaves_a_reply_undelivered() {
    let mut bench = Bench::client();
    let stream = shown(&ask(&mut bench, &key(1), "c", 1));
    reply(&mut bench, stream, "yes");
    let step = bench.engine.delivered(stream, 0, "ws://a", false, "no", at(1));
    assert!(bench.apply(step).is_nothing());
    assert_eq!(bench.owed().len(), 1);
}

#[test]
fn replies_are_bounded_and_end_with_the_request() {
    let mut bench = Bench::client();
    let stream = shown(&ask(&mut bench, &key(1), "c", 1));
    for _ in 0..MAX_REPLIES {
        reply(&mut bench, stream, "yes");
    }
    let more = || Reply { kind: AUTH_RESPONSE, message: "yes".to_owned() };
    assert_eq!(bench.engine.reply(stream, more()).expect_err("bounded"), Refusal::TooMany);
    let ended = bench.tick(at(301));
    assert!(ended.effects.contains(&Effect::Inbox { stream, open: false }), "withdrawn");
    assert_eq!(bench.engine.reply(stream, more()).expect_err("over"), Refusal::Expired);
}

#[test]
fn handled_is_not_shown_again_and_can_still_be_replied_to() {
    let mut bench = Bench::client();
    let stream = shown(&ask(&mut bench, &key(1), "c", 1));
    assert_eq!(shown(&bench.restart()), stream, "until it is handled");
    let step = bench.engine.handled(stream);
    assert_eq!(bench.apply(step).effects, [Effect::Inbox { stream, open: false }]);
    let step = bench.engine.handled(stream);
    assert!(bench.apply(step).is_nothing());
    assert!(bench.restart().effects.is_empty());
    assert_eq!(ask(&mut bench, &key(1), "c", 2).refused(), Refusal::Duplicate);
    let late = reply(&mut bench, stream, "yes");
    assert!(!late.effects.iter().any(|effect| matches!(effect, Effect::Inbox { .. })));
    assert_eq!(bench.tick(at(400)).effects, [Effect::Ended(stream)]);
}

#[test]
fn an_expiry_is_judged_by_the_authors_clock() {
    // The phone's clock is ten minutes behind, then ten minutes ahead; five minutes are five.
    for phone in [1000 - 600, 1000, 1000 + 600] {
        let mut bench = Bench::client();
        let opened = bench.opened(&key(1), AUTH_CHALLENGE, &challenge("c", at(1300)), at(1000));
        let seen = bench.receive(&opened, at(phone));
        let stream = shown(&seen);
        assert!(bench.tick(at(phone + 299)).is_nothing());
        assert!(bench.tick(at(phone + 300)).effects.contains(&Effect::Ended(stream)));
    }
    for expires in [1000, 999, 0] {
        let mut bench = Bench::client();
        let message = challenge("c", at(expires));
        let opened = bench.opened(&key(1), AUTH_CHALLENGE, &message, at(1000));
        assert_eq!(bench.receive(&opened, at(1000)).refused(), Refusal::Expired);
    }
    let mut bench = Bench::client();
    let for_ever = challenge("c", Timestamp::from_secs(u64::MAX));
    bench.message(&key(1), AUTH_CHALLENGE, &for_ever, at(0));
    assert_eq!(bench.engine.next_deadline(), Some(at(30 * 86_400)), "a month at most");
}

#[test]
fn requests_of_one_author_and_of_all_are_bounded() {
    let mut bench =
        Bench::new(Role::Client, Limits { inbound: 6, inbound_per_author: 4, ..Limits::default() });
    for number in 0..10 {
        let seen = ask(&mut bench, &key(1), &format!("c{number}"), 1);
        if number < 4 {
            shown(&seen);
        } else {
            assert_eq!(seen.refused(), Refusal::TooMany);
        }
    }
    shown(&ask(&mut bench, &key(2), "a", 1));
    shown(&ask(&mut bench, &key(3), "a", 1));
    assert_eq!(ask(&mut bench, &key(4), "a", 1).refused(), Refusal::TooMany);
    bench.restart();
    assert_eq!(ask(&mut bench, &key(4), "b", 1).refused(), Refusal::TooMany, "also restored");
    bench.tick(at(300));
    assert!(bench.engine.is_empty());
    let fresh = bench.message(&key(1), AUTH_CHALLENGE, &challenge("n", at(900)), at(301));
    shown(&fresh);
}

#[test]
fn strangers_leave_room_for_services_that_the_person_deals_with() {
    let limits = Limits { inbound: 4, inbound_from_strangers: 2, ..Limits::default() };
    let mut bench = Bench::new(Role::Client, limits);
    let known = shown(&ask(&mut bench, &key(1), "a", 1));
    let reply = Reply { kind: AUTH_RESPONSE, message: "{}".to_owned() };
    let step = bench.engine.reply(known, reply).expect("open");
    bench.apply(step);
    for stranger in [2, 3] {
        shown(&ask(&mut bench, &key(stranger), "a", 1));
    }
    assert_eq!(ask(&mut bench, &key(4), "a", 1).refused(), Refusal::TooMany);
    shown(&ask(&mut bench, &key(1), "b", 1));
    bench.restart();
    assert_eq!(ask(&mut bench, &key(1), "c", 1).refused(), Refusal::TooMany, "four in all");
}

#[test]
fn gifts_leave_room_for_requests() {
    let limits = Limits { inbound_unasked: 2, ..Limits::default() };
    let mut bench = Bench::new(Role::Client, limits);
    let mut give = |number: u8| {
        let gift = CashuDirect { token: format!("cashuB{number}") };
        bench.message(&key(number), CASHU_DIRECT, &gift, at(1))
    };
    shown(&give(1));
    shown(&give(2));
    assert_eq!(give(3).refused(), Refusal::TooMany);
    shown(&ask(&mut bench, &key(3), "a", 1));
}

#[test]
fn nobody_takes_the_place_of_anothers_request() {
    let mut bench = Bench::client();
    let first = shown(&ask(&mut bench, &key(1), "c", 1));
    let second = shown(&ask(&mut bench, &key(2), "c", 1));
    assert_ne!(first, second);
}

#[test]
fn what_is_given_unasked_is_kept_until_it_is_handled() {
    let mut bench = Bench::client();
    let gift = CashuDirect { token: "cashuB".to_owned() };
    let stream = shown(&bench.message(&key(1), CASHU_DIRECT, &gift, at(1)));
    assert_eq!(bench.message(&key(1), CASHU_DIRECT, &gift, at(2)).refused(), Refusal::Duplicate);
    assert!(bench.tick(at(100_000)).is_nothing(), "past its deadline");
    bench.restart();
    assert!(bench.tick(at(100_001)).is_nothing());
    let step = bench.engine.handled(stream);
    bench.apply(step);
    assert!(bench.tick(at(100_031)).effects.contains(&Effect::Ended(stream)));
}

#[test]
fn a_close_must_say_that_it_is_by_the_service() {
    let mut bench = Bench::client();
    let close = |by_service| CloseRecurringPayment {
        subscription_id: "s".to_owned(),
        reason: None,
        by_service,
    };
    let person = bench.message(&key(1), RECURRING_CLOSE, &close(false), at(1));
    assert_eq!(person.refused(), Refusal::Unexpected);
    shown(&bench.message(&key(1), RECURRING_CLOSE, &close(true), at(1)));
}

#[test]
fn requests_that_make_no_sense_are_ignored() {
    let mut bench = Bench::client();
    let zero = bench.message(&key(1), PAYMENT_REQUEST, &pay("p", 0), at(1));
    assert_eq!(zero.refused(), Refusal::BadMessage);
    let kind = bench.message(&key(1), RECURRING_REQUEST, &pay("p", 1), at(1));
    assert_eq!(kind.refused(), Refusal::BadMessage, "a single payment in the other kind");
    let nameless = bench.message(&key(1), AUTH_CHALLENGE, &challenge("", at(300)), at(1));
    assert_eq!(nameless.refused(), Refusal::BadMessage);
    let reply = bench.message(&key(1), INVOICE_RESPONSE, &pay("p", 1), at(1));
    assert_eq!(reply.refused(), Refusal::WrongKind);
    assert!(bench.engine.is_empty());
}

#[test]
fn a_service_on_a_subkey_is_known_by_its_main_key() {
    let mut bench = Bench::client();
    let sub = derived(&key(1), 1, &[SubkeyPermission::Auth]);
    let mut message = challenge("c", at(300));
    message.subkey_proof = sub.proof().cloned();
    let stream = shown(&bench.message(&sub, AUTH_CHALLENGE, &message, at(1)));
    let Some(Conversation::Answer(answer)) = bench.engine.get(stream) else { panic!() };
    assert_eq!((answer.service, answer.from), (public(1), sub.public_key()));
    let sent = reply(&mut bench, stream, "yes").published.remove(0);
    assert_eq!(sent.recipients, [sub.public_key()], "sealed for the key that asked");
    assert_eq!(sent.mentions, [public(1), sub.public_key()]);
    // Somebody else's proof.
    let mut stolen = challenge("d", at(300));
    stolen.subkey_proof = sub.proof().cloned();
    let seen = bench.message(&key(3), AUTH_CHALLENGE, &stolen, at(1));
    assert_eq!(seen.refused(), Refusal::BadProof);
}
