//! Asking who somebody is, and the subkey negotiation (protocol section 1.6).

use super::bench::{Bench, Seen, at, derived, key, login, public, stream};
use crate::conversation::peer::MAX_SUBKEYS;
use crate::conversation::{Conversation, Effect, Via};
use crate::event::PortalEvent;
use crate::identity::LocalKey;
use crate::primitives::ErrorCode;
use crate::protocol::auth::{AuthResponse, AuthStatus};
use crate::protocol::envelope::Refusal;
use crate::protocol::kinds::AUTH_RESPONSE;
use crate::protocol::subkey::SubkeyPermission::{Auth, Payment};

fn answer(proof_of: Option<&LocalKey>) -> AuthResponse {
    AuthResponse {
        challenge: "challenge".to_owned(),
        subkey_proof: proof_of.map(|key| key.proof().expect("a subkey").clone()),
        status: AuthStatus::Declined { reason: None },
    }
}

fn who(seen: Seen) -> (nostr::PublicKey, nostr::PublicKey) {
    match seen.event() {
        PortalEvent::AuthenticateKey { user_key, recipient, challenge, .. } => {
            assert_eq!(challenge, "challenge");
            (user_key, recipient)
        }
        other => panic!("an answer, not {other:?}"),
    }
}

#[test]
fn answered_by_the_main_key() {
    let mut bench = Bench::service();
    let opened = bench.open(stream(1), login(public(2)));
    assert_eq!(opened.published.len(), 1);
    assert_eq!(opened.published[0].recipients, [public(2)]);
    let seen = bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(1));
    assert!(seen.learned.is_empty());
    assert_eq!(who(seen), (public(2), public(2)));
    let again = bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(2));
    assert_eq!(again.refused(), Refusal::Unexpected, "a second answer finds nobody");
}

#[test]
fn answered_by_a_stranger_is_ignored_and_the_login_works() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let stranger = bench.message(&key(3), AUTH_RESPONSE, &answer(None), at(1));
    assert_eq!(stranger.refused(), Refusal::WrongAuthor);
    // A stranger with a good proof of a main key that nobody asked about.
    let sub = derived(&key(3), 1, &[Auth]);
    let proven = bench.message(&sub, AUTH_RESPONSE, &answer(Some(&sub)), at(1));
    assert_eq!(proven.refused(), Refusal::WrongAuthor);
    // A stranger with somebody else's proof.
    let of_person = derived(&key(2), 1, &[Auth]);
    let stolen = bench.message(&key(3), AUTH_RESPONSE, &answer(Some(&of_person)), at(1));
    assert_eq!(stolen.refused(), Refusal::BadProof);
    assert_eq!(who(bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(2))).0, public(2));
}

#[test]
fn answered_by_a_subkey_with_its_proof() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let sub = derived(&key(2), 1, &[Auth]);
    let seen = bench.message(&sub, AUTH_RESPONSE, &answer(Some(&sub)), at(1));
    assert_eq!(seen.learned[0].subkeys, [sub.public_key()]);
    assert_eq!(who(seen), (public(2), sub.public_key()));
}

#[test]
fn the_key_that_was_addressed_says_that_it_is_a_subkey() {
    let mut bench = Bench::service();
    let sub = derived(&key(2), 1, &[Auth]);
    bench.open(stream(1), login(sub.public_key()));
    let seen = bench.message(&sub, AUTH_RESPONSE, &answer(Some(&sub)), at(1));
    assert_eq!(
        (seen.learned[0].main_key, &seen.learned[0].subkeys[..]),
        (public(2), &[sub.public_key()][..])
    );
    assert_eq!(who(seen), (public(2), sub.public_key()));
}

#[test]
fn a_proof_that_does_not_permit_or_has_ended_is_ignored() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let pays_only = derived(&key(2), 1, &[Payment]);
    let seen = bench.message(&pays_only, AUTH_RESPONSE, &answer(Some(&pays_only)), at(1));
    assert_eq!(seen.refused(), Refusal::BadProof);
    let mut bench = Bench::service();
    let mut late = login(public(2));
    if let Conversation::Ask(ask) = &mut late {
        ask.expires_at = at(1_000_000);
    }
    bench.open(stream(1), late);
    let sub = derived(&key(2), 1, &[Auth]);
    let seen = bench.message(&sub, AUTH_RESPONSE, &answer(Some(&sub)), at(90_000));
    assert_eq!(seen.refused(), Refusal::BadProof, "it was for a day");
}

#[test]
fn a_wrong_challenge_finds_nobody() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let mut wrong = answer(None);
    wrong.challenge = "Challenge".to_owned();
    let seen = bench.message(&key(2), AUTH_RESPONSE, &wrong, at(1));
    assert_eq!(seen.refused(), Refusal::Unexpected);
}

#[test]
fn answered_after_expiry_is_ignored_and_the_stream_ends_once() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let late = bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(300));
    assert_eq!(late.refused(), Refusal::Expired);
    assert_eq!(bench.engine.next_deadline(), Some(at(300)));
    let end = bench.tick(at(300)).event();
    assert!(matches!(end, PortalEvent::Error { code: ErrorCode::Timeout, .. }));
    assert!(bench.tick(at(400)).is_nothing());
    let later = bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(301));
    assert_eq!(later.refused(), Refusal::Unexpected);
}

#[test]
fn a_new_subkey_of_the_main_key_gets_the_same_request_and_may_answer() {
    let mut bench = Bench::service();
    let first = bench.open(stream(1), login(public(2))).published.remove(0);
    let sub = derived(&key(2), 1, &[Auth]);
    let seen = bench.proof(stream(1), &sub, at(1));
    assert_eq!(seen.learned[0].subkeys, [sub.public_key()]);
    assert_eq!(seen.published.len(), 1);
    let again = &seen.published[0];
    assert_eq!(again.recipients, [sub.public_key()], "to the new key only");
    assert_eq!(again.mentions, [public(2), sub.public_key()], "naming all keys");
    assert_eq!((again.kind, &again.message), (first.kind, &first.message), "the same challenge");
    // Also across a restart, and without the proof inside the answer.
    bench.restart();
    let seen = bench.message(&sub, AUTH_RESPONSE, &answer(None), at(2));
    assert_eq!(who(seen), (public(2), sub.public_key()));
}

#[test]
fn a_main_key_that_was_taken_for_another_gets_the_request_too() {
    let mut bench = Bench::service();
    let sub = derived(&key(2), 1, &[Auth]);
    bench.open(stream(1), login(sub.public_key()));
    let seen = bench.proof(stream(1), &sub, at(1));
    assert_eq!(
        (seen.learned[0].main_key, &seen.learned[0].subkeys[..]),
        (public(2), &[sub.public_key()][..])
    );
    assert_eq!(seen.published[0].recipients, [public(2)]);
    assert_eq!(
        who(bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(2))),
        (public(2), public(2))
    );
}

#[test]
fn a_second_proof_for_another_main_key_is_ignored_and_the_login_works() {
    // The owner of a key can make a "main key" for it: the key minus a hash. Here the same secret
    // is derived from two, as far as the machine can see.
    let mut bench = Bench::service();
    let first = derived(&key(2), 1, &[Auth]);
    let second = derived(&key(3), 1, &[Auth]);
    bench.open(stream(1), login(first.public_key()));
    assert_eq!(bench.proof(stream(1), &first, at(1)).published.len(), 1);
    assert_eq!(bench.proof(stream(1), &first, at(1)).refused(), Refusal::BadProof, "known");
    let proof = second.proof().expect("a subkey").clone();
    let step = bench.engine.receive_proof(stream(1), first.public_key(), &proof, at(1));
    assert_eq!(bench.apply(step).refused(), Refusal::BadProof, "not for this key");
    assert_eq!(bench.proof(stream(1), &second, at(1)).refused(), Refusal::BadProof, "a stranger");
    assert_eq!(who(bench.message(&first, AUTH_RESPONSE, &answer(None), at(2))).0, public(2));
}

#[test]
fn a_main_key_cannot_vouch_for_itself_and_subkeys_are_bounded() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    for nonce in 0..20 {
        let sub = derived(&key(2), nonce, &[Auth]);
        let seen = bench.proof(stream(1), &sub, at(1));
        if usize::from(nonce) < MAX_SUBKEYS {
            assert_eq!(seen.published.len(), 1);
        } else {
            assert_eq!(seen.refused(), Refusal::BadProof);
        }
    }
    let proof = derived(&key(2), 1, &[Auth]).proof().expect("a subkey").clone();
    let step = bench.engine.receive_proof(stream(1), public(2), &proof, at(1));
    assert_eq!(bench.apply(step).refused(), Refusal::BadProof);
}

#[test]
fn a_proof_for_an_expired_or_unknown_stream_is_ignored() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let sub = derived(&key(2), 1, &[Auth]);
    assert_eq!(bench.proof(stream(2), &sub, at(1)).refused(), Refusal::Unexpected);
    assert_eq!(bench.proof(stream(1), &sub, at(300)).refused(), Refusal::Expired);
}

#[test]
fn the_request_goes_to_every_relay_that_connects_until_it_is_answered() {
    let mut bench = Bench::service();
    let first = bench.open(stream(1), login(public(2))).published.remove(0);
    bench.restart();
    for _ in 0..2 {
        let again = bench.owed();
        assert_eq!(again.len(), 1);
        assert_eq!((&again[0].message, again[0].kind), (&first.message, first.kind));
    }
    bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(1));
    assert!(bench.owed().is_empty());
}

#[test]
fn two_logins_of_one_person_do_not_take_each_others_answers() {
    let mut bench = Bench::service();
    bench.open(stream(1), login(public(2)));
    let mut other = login(public(2));
    if let Conversation::Ask(ask) = &mut other {
        ask.question = crate::conversation::ask::Question::Login { challenge: "other".into() };
    }
    bench.open(stream(2), other);
    let seen = bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(1));
    assert!(seen.effects.contains(&Effect::Ended(stream(1))));
    assert_eq!(bench.engine.len(), 1);
}

#[test]
fn what_is_owed_is_told_one_by_one_and_only_to_relays_it_goes_to() {
    let mut bench = Bench::service();
    for number in 1..=3 {
        let mut conversation = login(public(2));
        if let Conversation::Ask(ask) = &mut conversation {
            ask.peer.relays = vec![format!("ws://{number}")];
        }
        bench.open(stream(number), conversation);
    }
    let owed = |bench: &Bench, below: u128, relay: &'static str| {
        let below = Some(stream(below));
        let named = |via: &Via| matches!(via, Via::Peer(relays) if relays[0] == relay);
        bench.engine.owed(below, true, named).map(|(stream, _)| stream)
    };
    assert_eq!(owed(&bench, 9, "ws://2"), Some(stream(2)));
    assert_eq!(owed(&bench, 2, "ws://2"), None, "below it there is none");
    assert_eq!(owed(&bench, 9, "ws://4"), None);
    assert_eq!(bench.owed().len(), 3);
    bench.message(&key(2), AUTH_RESPONSE, &answer(None), at(1));
    assert_eq!(bench.owed().len(), 2);
    bench.tick(at(300));
    assert!(bench.owed().is_empty());
}
