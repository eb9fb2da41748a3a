//! Any order, any duplicate, any restart: no panic, nothing stuck, one last event at most.
//!
//! The bench checks after each step that indices have no gaps, that nothing follows a last event
//! and that the table, its indices and what is saved agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::bench::{Bench, ask, at, derived, key, login, payment, public, stream};
use crate::conversation::answer::Reply;
use crate::conversation::ask::Question;
use crate::conversation::handshake::Handshake;
use crate::conversation::payment::{GRACE_SECS, WatchedInvoice};
use crate::conversation::send::Send;
use crate::conversation::walkin::WalkIn;
use crate::conversation::{Conversation, Effect, Via};
use crate::event::{PaymentUpdate, PortalEvent};
use crate::primitives::{Millisats, RequestId, StreamId};
use crate::protocol::auth::{AuthChallenge, AuthResponse, AuthStatus};
use crate::protocol::envelope::Opened;
use crate::protocol::handshake::{ClientInfo, KeyHandshake};
use crate::protocol::kinds;
use crate::protocol::payment::{PaymentResponse, PaymentStatus};
use crate::protocol::subkey::SubkeyPermission;
use crate::protocol::ticket::CashuDirect;

const PEOPLE: u8 = 3;
const CLOSES: u128 = 1000;
const RECEIPTS: u128 = 1001;

#[derive(Clone, Debug)]
enum Input {
    Handshake { person: u8, is_static: bool },
    Login { person: u8, by_subkey: bool },
    Payment { person: u8, number: u8, status: u8 },
    Ticket { person: u8 },
    Garbage { person: u8, kind: u16 },
    Proof { person: u8, nonce: u8, on: u8 },
    Again(prop::sample::Index),
    Settled(u8),
    Unsettled(u8),
    Delivered { on: u8, accepted: bool },
    Connected,
    Pass(u16),
    Open(u8),
    Close(u8),
    Restart,
}

fn input() -> impl Strategy<Value = Input> {
    let person = 2..2 + PEOPLE;
    prop_oneof![
        1 => (person.clone(), any::<bool>())
            .prop_map(|(person, is_static)| Input::Handshake { person, is_static }),
        1 => (person.clone(), any::<bool>())
            .prop_map(|(person, by_subkey)| Input::Login { person, by_subkey }),
        4 => (person.clone(), 0_u8..3, 0_u8..4)
            .prop_map(|(person, number, status)| Input::Payment { person, number, status }),
        1 => person.clone().prop_map(|person| Input::Ticket { person }),
        1 => (person.clone(), prop::sample::select(kinds::FOR_SERVICE))
            .prop_map(|(person, kind)| Input::Garbage { person, kind }),
        1 => (person, 0_u8..3, 0_u8..16).prop_map(|(person, nonce, on)| Input::Proof { person, nonce, on }),
        2 => any::<prop::sample::Index>().prop_map(Input::Again),
        2 => (0_u8..3).prop_map(Input::Settled),
        2 => (0_u8..3).prop_map(Input::Unsettled),
        1 => (0_u8..16, any::<bool>()).prop_map(|(on, accepted)| Input::Delivered { on, accepted }),
        1 => Just(Input::Connected),
        2 => (0_u16..4000).prop_map(Input::Pass),
        4 => (0_u8..9).prop_map(Input::Open),
        1 => (0_u8..16).prop_map(Input::Close),
        2 => Just(Input::Restart),
    ]
}

fn conversation(which: u8, person: u8) -> Conversation {
    match which {
        0 => Conversation::Handshake(Box::new(Handshake {
            token: "one-time".into(),
            plain_token: None,
            no_request: false,
            relays: Vec::new(),
            expires_at: Some(at(300)),
        })),
        1 => Conversation::Handshake(Box::new(Handshake {
            token: "for%20all".into(),
            plain_token: Some("for all".into()),
            no_request: false,
            relays: Vec::new(),
            expires_at: None,
        })),
        2 => login(public(person)),
        3..=5 => payment(public(person), &format!("p{}", which - 3), Some(which - 3)),
        6 => ask(public(person), Question::Cashu { request_id: RequestId::new("t") }),
        7 => Conversation::WalkIn(Box::new(WalkIn {
            name: "shop".into(),
            invoice: "lnbcrt1".into(),
            watched: WatchedInvoice {
                payment_hash: [1; 32],
                made_at: at(0),
                payable_until: at(300),
            },
        })),
        _ => Conversation::Send(Box::new(Send {
            kind: kinds::CASHU_DIRECT,
            recipients: vec![public(person)],
            message: "{}".to_owned(),
            via: Via::Peer(Vec::new()),
            sent_at: at(0),
            expires_at: at(1000),
            refused: Vec::new(),
            queued: false,
            done_until: None,
        })),
    }
}

/// What the test knows beside the engine.
#[derive(Default)]
struct Truth {
    now: u64,
    opened: u8,
    received: Vec<Opened>,
    /// Payments, with whether the wallet had the money while they were open.
    settled: BTreeMap<StreamId, bool>,
    /// How often the wallet had the money for an open invoice that anybody may pay.
    receipts: usize,
}

fn play(bench: &mut Bench, truth: &mut Truth, input: &Input) {
    let now = at(truth.now);
    let receive = |bench: &mut Bench, truth: &mut Truth, opened: Opened| {
        bench.receive(&opened, now);
        truth.received.push(opened);
    };
    match input {
        Input::Handshake { person, is_static } => {
            let message = KeyHandshake {
                token: if *is_static { "for all" } else { "one-time" }.to_owned(),
                client_info: ClientInfo { name: String::new(), version: String::new() },
                preferred_relays: vec!["ws://r".to_owned()],
            };
            let opened = bench.opened(&key(*person), kinds::KEY_HANDSHAKE, &message, now);
            receive(bench, truth, opened);
        }
        Input::Login { person, by_subkey } => {
            let sub = derived(&key(*person), 1, &[SubkeyPermission::Auth]);
            let author = if *by_subkey { sub } else { key(*person) };
            let message = AuthResponse {
                challenge: "challenge".to_owned(),
                subkey_proof: author.proof().cloned(),
                status: AuthStatus::Declined { reason: None },
            };
            let opened = bench.opened(&author, kinds::AUTH_RESPONSE, &message, now);
            receive(bench, truth, opened);
        }
        Input::Payment { person, number, status } => {
            let status = match status {
                0 => PaymentStatus::Approved,
                1 => PaymentStatus::Success { preimage: None },
                2 => PaymentStatus::Rejected { reason: None },
                _ => PaymentStatus::Failed { reason: None },
            };
            let request_id = RequestId::new(format!("p{number}"));
            let message = PaymentResponse { request_id, status };
            let opened = bench.opened(&key(*person), kinds::PAYMENT_RESPONSE, &message, now);
            receive(bench, truth, opened);
        }
        Input::Ticket { person } => {
            let message = serde_json::json!({ "request": { "inner": { "request_id": "t",
                "mint_url": "m", "unit": "u", "amount": 1, "expires_at": "0" },
                "main_key": public(1), "recipient": public(1) },
                "status": { "status": "insufficient_funds" } });
            let opened = bench.opened(&key(*person), kinds::CASHU_RESPONSE, &message, now);
            receive(bench, truth, opened);
        }
        Input::Garbage { person, kind } => {
            let opened = bench.opened(&key(*person), *kind, &"garbage", now);
            receive(bench, truth, opened);
        }
        Input::Proof { person, nonce, on } => {
            let both = [SubkeyPermission::Auth, SubkeyPermission::Payment];
            let sub = derived(&key(*person), *nonce, &both);
            bench.proof(stream(u128::from(*on)), &sub, now);
        }
        Input::Again(which) => {
            if !truth.received.is_empty() {
                let opened = which.get(&truth.received).clone();
                bench.receive(&opened, now);
            }
        }
        Input::Settled(hash) => {
            for (stream, settled) in &mut truth.settled {
                if let Some(Conversation::Payment(payment)) = bench.engine.get(*stream) {
                    *settled |= payment.watched.is_some_and(|w| w.payment_hash == [*hash; 32]);
                }
            }
            let waits = bench.engine.iter().any(|(_, conversation)| {
                matches!(conversation, Conversation::WalkIn(walkin)
                    if walkin.watched.payment_hash == [*hash; 32])
            });
            truth.receipts += usize::from(waits);
            let step = bench.engine.settled([*hash; 32], None, Millisats::new(1));
            bench.apply(step);
        }
        Input::Unsettled(hash) => {
            let step = bench.engine.unsettled([*hash; 32], now);
            bench.apply(step);
        }
        Input::Delivered { on, accepted } => {
            let on = stream(u128::from(*on));
            let step = bench.engine.delivered(on, 0, "ws://r", *accepted, "", now);
            bench.apply(step);
        }
        Input::Connected => {
            for outgoing in bench.owed() {
                assert!(bench.engine.get(outgoing.stream).is_some());
            }
        }
        Input::Pass(seconds) => {
            truth.now += u64::from(*seconds);
            bench.tick(at(truth.now));
        }
        Input::Open(which) => {
            let id = stream(u128::from(truth.opened));
            let person = 2 + truth.opened % PEOPLE;
            truth.opened += 1;
            let conversation = conversation(*which, person);
            if matches!(conversation, Conversation::Payment(_)) {
                truth.settled.insert(id, false);
            }
            bench.open(id, conversation);
        }
        Input::Close(on) => {
            let step = bench.engine.close(stream(u128::from(*on)));
            bench.apply(step);
        }
        Input::Restart => drop(bench.restart()),
    }
}

fn is_paid(event: &PortalEvent) -> bool {
    matches!(event, PortalEvent::PaymentStatusUpdate { status: PaymentUpdate::Paid { .. } })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_service_keeps_its_rules(inputs in prop::collection::vec(input(), 1..60)) {
        let mut bench = Bench::service();
        bench.open(stream(CLOSES), Conversation::Closes);
        bench.open(stream(RECEIPTS), Conversation::Receipts);
        let mut truth = Truth::default();
        for input in &inputs {
            play(&mut bench, &mut truth, input);
        }
        // Nothing is stuck: time and the wallet's word end everything that has an end.
        for _ in 0..4 {
            truth.now += 1000 + GRACE_SECS;
            bench.tick(at(truth.now));
        }
        for hash in 0..3 {
            play(&mut bench, &mut truth, &Input::Unsettled(hash));
        }
        for (stream, conversation) in bench.engine.iter() {
            let endless = match conversation {
                Conversation::Closes | Conversation::Receipts | Conversation::Subscription(_) => {
                    true
                }
                Conversation::Handshake(handshake) => handshake.is_static(),
                _ => false,
            };
            prop_assert!(endless, "{stream} is stuck: {conversation:?}");
        }
        for (stream, settled) in &truth.settled {
            let log = bench.log.get(stream).map(Vec::as_slice).unwrap_or_default();
            prop_assert_eq!(log.iter().any(is_paid), *settled, "paid if and only if settled");
        }
        let receipts = bench.log.get(&stream(RECEIPTS)).map_or(0, Vec::len);
        prop_assert_eq!(receipts, truth.receipts, "each payment is one receipt");
    }

    #[test]
    fn a_restart_changes_nothing(
        inputs in prop::collection::vec(input(), 1..40),
        at_input in any::<prop::sample::Index>(),
    ) {
        let mut straight = (Bench::service(), Truth::default());
        let mut restarted = (Bench::service(), Truth::default());
        let place = at_input.index(inputs.len());
        for (bench, _) in [&mut straight, &mut restarted] {
            bench.open(stream(CLOSES), Conversation::Closes);
            bench.open(stream(RECEIPTS), Conversation::Receipts);
        }
        for (index, input) in inputs.iter().enumerate() {
            if matches!(input, Input::Restart) {
                continue;
            }
            if index == place {
                restarted.0.restart();
            }
            play(&mut straight.0, &mut straight.1, input);
            play(&mut restarted.0, &mut restarted.1, input);
        }
        prop_assert_eq!(&straight.0.log, &restarted.0.log);
        prop_assert_eq!(straight.0.records.keys().collect::<Vec<_>>(),
            restarted.0.records.keys().collect::<Vec<_>>());
    }

    #[test]
    fn a_client_keeps_its_rules(
        inputs in prop::collection::vec((0_u8..8, 0_u8..6, 1_u8..4, 0_u64..200), 1..80),
    ) {
        let mut bench = Bench::client();
        let mut now = 0;
        let mut seen = Vec::new();
        for (what, which, author, pass) in inputs {
            match what {
                0 | 1 => {
                    let message = AuthChallenge {
                        challenge: format!("c{which}"),
                        expires_at: at(now + 300),
                        required_permissions: Vec::new(),
                        subkey_proof: None,
                    };
                    let opened = bench.opened(&key(author), kinds::AUTH_CHALLENGE, &message, at(now));
                    bench.receive(&opened, at(now));
                    seen.push(opened);
                }
                2 => {
                    let message = CashuDirect { token: format!("t{which}") };
                    let opened = bench.opened(&key(author), kinds::CASHU_DIRECT, &message, at(now));
                    bench.receive(&opened, at(now));
                    seen.push(opened);
                }
                3 => {
                    if let Some(opened) = seen.get(usize::from(which)) {
                        bench.receive(&opened.clone(), at(now));
                    }
                }
                4 => {
                    now += pass;
                    bench.tick(at(now));
                }
                5 => drop(bench.restart()),
                _ => {
                    let stream = bench.records.keys().nth(usize::from(which)).copied();
                    if let Some(stream) = stream {
                        let reply = Reply { kind: kinds::AUTH_RESPONSE, message: "y".to_owned() };
                        let step = match what {
                            6 => bench.engine.reply(stream, reply).unwrap_or_default(),
                            _ if pass % 2 == 0 => bench.engine.handled(stream),
                            _ => bench.engine.delivered(stream, usize::from(which), "r", true, "", at(now)),
                        };
                        bench.apply(step);
                    }
                }
            }
        }
        // What waits for the person after a restart is what was not handled.
        let waiting = |bench: &Bench| -> usize {
            bench.engine.iter().filter(|(_, conversation)| {
                matches!(conversation, Conversation::Answer(answer) if !answer.handled)
            }).count()
        };
        let before = waiting(&bench);
        let restored = bench.restart();
        let shown = restored.effects.iter()
            .filter(|effect| matches!(effect, Effect::Inbox { open: true, .. })).count();
        prop_assert_eq!(shown, before);
        // Everything ends once it is handled.
        let streams: Vec<_> = bench.records.keys().copied().collect();
        for stream in streams {
            let step = bench.engine.handled(stream);
            bench.apply(step);
        }
        for round in 1..3 {
            bench.tick(at(now + round * 100_000));
        }
        prop_assert!(bench.engine.is_empty());
    }
}
