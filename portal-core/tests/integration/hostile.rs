//! What strangers and dishonest relays send: ignored with a counted reason, and the next login
//! works.

use nostr::{Event, EventBuilder, JsonUtil as _, Keys, Kind, PublicKey, Tag};
use portal_core::conversation::Conversation;
use portal_core::conversation::subscription::Subscription;
use portal_core::driver::{NodeError, Opening};
use portal_core::primitives::{ErrorCode, StreamId};
use portal_core::protocol::envelope::Refusal;
use portal_core::protocol::kinds;
use portal_core::protocol::subkey::{SubkeyMetadata, SubkeyPermission, SubkeyProof};
use portal_core::service::{Call, Recipient};
use portal_testkit::relay::{EphemeralOptions, EphemeralRelay};
use secp256k1::{Parity, SECP256K1, Scalar, SecretKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::harness::{World, approve, login, soon, until};
use crate::peer::Peer;

/// The frame in which a relay brings an event on our subscription.
fn frame(event: &Event) -> String {
    format!("[\"EVENT\",\"p0m\",{}]", event.as_json())
}

fn event(keys: &Keys, kind: u16, to: &PublicKey, content: &str, age: i64) -> Event {
    let now = nostr::Timestamp::now().as_secs();
    let at = nostr::Timestamp::from_secs(now.saturating_add_signed(-age));
    EventBuilder::new(Kind::Custom(kind), content)
        .tag(Tag::public_key(*to))
        .custom_created_at(at)
        .sign_with_keys(keys)
        .expect("signed")
}

/// A relay that passes everything on.
async fn careless() -> World {
    let mut world = World::new().await;
    let options = EphemeralOptions { verify: false, ..EphemeralOptions::default() };
    world.relay = EphemeralRelay::start_with(options).await.expect("a relay on loopback");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_rubbish_has_its_counter_and_the_next_login_works() {
    let world = careless().await;
    let (service, client) = (world.service().await, world.client().await);
    let us = service.public_key();
    let keys = Keys::generate();
    let sealed = |text: &str| {
        nostr::nips::nip44::encrypt(keys.secret_key(), &us, text, nostr::nips::nip44::Version::V2)
            .expect("fits")
    };
    let good = event(&keys, kinds::AUTH_RESPONSE, &us, &sealed("{}"), 0);
    let mut wrong_id = good.clone();
    wrong_id.content.push('=');
    let mut wrong_signature = good.clone();
    wrong_signature.sig = event(&keys, kinds::AUTH_RESPONSE, &us, "x", 0).sig;
    let mut one_byte = vec![2_u8];
    one_byte.extend([0; 32]);
    one_byte.push(7);
    one_byte.extend([0; 32]);
    let one_byte = base64(&one_byte);
    let stranger = Keys::generate().public_key();
    let unknown = r#"{"challenge":"x","status":{"status":"declined"}}"#;
    let many_tags = EventBuilder::new(Kind::Custom(kinds::AUTH_RESPONSE), "x")
        .tags((0..200).map(|_| Tag::public_key(us)))
        .dedup_tags()
        .tags((0..200).map(|n| Tag::hashtag(n.to_string())))
        .sign_with_keys(&keys)
        .expect("signed");
    let cases = [
        (Refusal::Malformed, "[\"EVENT\",\"p0m\",{}]".to_owned()),
        (Refusal::Malformed, "[\"EVENT\",\"p0m\",7".to_owned()),
        (Refusal::TooLarge, frame(&many_tags)),
        (Refusal::WrongKind, frame(&event(&keys, kinds::AUTH_CHALLENGE, &us, "x", 0))),
        (Refusal::WrongKind, frame(&event(&keys, 1, &us, "x", 0))),
        (Refusal::NotAddressed, frame(&event(&keys, kinds::AUTH_RESPONSE, &stranger, "x", 0))),
        (Refusal::Stale, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, &sealed("{}"), 620))),
        (Refusal::Stale, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, &sealed("{}"), -620))),
        (Refusal::WrongId, frame(&wrong_id)),
        (Refusal::WrongSignature, frame(&wrong_signature)),
        (Refusal::NotForUs, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, unknown, 0))),
        (Refusal::NotForUs, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, &one_byte, 0))),
        (Refusal::NotForUs, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, "", 0))),
        (Refusal::BadMessage, frame(&good)),
        (Refusal::Duplicate, frame(&good)),
        (Refusal::Unexpected, frame(&event(&keys, kinds::AUTH_RESPONSE, &us, &sealed(unknown), 0))),
    ];
    let counters = service.node().counters();
    for (refusal, text) in cases {
        let before = counters.refused(refusal);
        world.relay.send_raw(&text);
        let shown: String = text.chars().take(200).collect();
        until(&format!("{refusal:?} for {shown}"), || counters.refused(refusal) == before + 1)
            .await;
    }
    assert_eq!(login(&service, &client).await, client.main_key());
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_garbage_events_and_then_a_login() {
    let world = careless().await;
    let (service, client) = (world.service().await, world.client().await);
    let us = service.public_key();
    let keys = Keys::generate();
    let good = event(&keys, kinds::AUTH_RESPONSE, &us, "not sealed", 0);
    let forged: Vec<String> = (0..10)
        .map(|number| {
            let mut forged = good.clone();
            forged.content = format!("forged {number}");
            frame(&forged)
        })
        .collect();
    for round in 0..1000 {
        for text in &forged {
            world.relay.send_raw(text);
        }
        if round % 100 == 0 {
            // Lets the relay's own queue drain; the service gets all of it.
            let sent = (round + 1) * 10;
            let counters = service.node().counters();
            until("the flood is read", || counters.refused(Refusal::WrongId) + 200 >= sent).await;
        }
    }
    assert_eq!(login(&service, &client).await, client.main_key());
    let counters = service.node().counters();
    assert!(counters.refused(Refusal::WrongId) >= 10_000);
    assert!(service.node().is_alive().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_one_login_ends_it_with_an_error_and_the_next_login_works() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let opened = service.logins().authenticate(person.clone(), Call::default()).await;
    let stream = opened.expect("durable").stream;
    service.node().poison(stream, 1).expect("it runs");
    approve(&client).await;
    let ended = soon("the end", service.streams().wait(stream)).await.expect_err("a fault");
    assert_eq!(ended.code(), ErrorCode::Internal);
    assert_eq!(service.node().counters().faults(), 1);
    assert_eq!(login(&service, &client).await, client.main_key());
    assert!(service.node().is_alive().await);

    // What fails while it is opened is told so, and its key is free.
    let stream = StreamId::from_uuid(uuid::Uuid::from_u128(7));
    service.node().poison(stream, 1).expect("it runs");
    let owner = portal_core::conversation::Peer::new(client.main_key());
    let record = Subscription { subscription_id: "s".to_owned(), owner };
    let conversation = Conversation::Subscription(Box::new(record));
    let opening = Opening { stream: Some(stream), ..Opening::of(conversation) };
    let failed = service.node().open(opening).await;
    assert!(matches!(failed, Err(NodeError::Fault)), "{failed:?}");
    assert_eq!(login(&service, &client).await, client.main_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_stranger_who_knows_the_challenge_is_ignored() {
    let world = World::new().await;
    let service = world.service().await;
    let mut person = Peer::connect(&world.relay.url(), Keys::generate(), &[27000]).await;
    let mut thief = Peer::connect(&world.relay.url(), Keys::generate(), &[27000]).await;
    let asked = Recipient::new(person.keys.public_key());
    let opened = service.logins().authenticate(asked, Call::default()).await.expect("durable");
    let request = person.event().await;
    let challenge = person.open(&request)["challenge"].clone();
    let answer = json!({ "challenge": challenge, "status": { "status": "declined" } });
    thief.send(kinds::AUTH_RESPONSE, service.public_key(), &answer).await;
    let counters = service.node().counters();
    until("the thief is refused", || counters.refused(Refusal::WrongAuthor) == 1).await;
    person.send(kinds::AUTH_RESPONSE, service.public_key(), &answer).await;
    service.streams().wait(opened.stream).await.expect("answered by the person");
}

/// A proof that `key` is a subkey of a main key that its owner makes up: the key minus the hash.
fn made_up(key: &PublicKey, name: &str) -> SubkeyProof {
    let now = portal_core::env::Env::system().now();
    for attempt in 0..=255 {
        let metadata = SubkeyMetadata {
            name: name.to_owned(),
            nonce: [attempt; 32],
            valid_from: now,
            expires_at: now.saturating_add(std::time::Duration::from_secs(3600)),
            permissions: vec![SubkeyPermission::Auth],
            version: 1,
        };
        let hash = Sha256::digest(serde_json::to_vec(&metadata).expect("plain"));
        let tweak = Scalar::from(SecretKey::from_slice(&hash).expect("in range").negate());
        let subkey = key.xonly().expect("a key");
        let (main, parity) = subkey.add_tweak(SECP256K1, &tweak).expect("a key");
        if parity == Parity::Even {
            return SubkeyProof { main_key: main.into(), metadata };
        }
    }
    panic!("half of all attempts fit")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_proofs_from_one_key_for_two_main_keys_harm_nobody() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let mut liar = Peer::connect(&world.relay.url(), Keys::generate(), &[27000]).await;
    let key = liar.keys.public_key();
    let opened = service.logins().authenticate(Recipient::new(key), Call::default()).await;
    let opened = opened.expect("durable");
    let request = liar.event().await;
    for name in ["first", "second"] {
        let proof = serde_json::to_value(made_up(&key, name)).expect("plain");
        let event = liar.seal(kinds::SUBKEY_PROOF, service.public_key(), &proof, Some(request.id));
        liar.publish(&event).await;
    }
    let counters = service.node().counters();
    until("the second is refused", || counters.refused(Refusal::BadProof) == 1).await;
    assert_eq!(login(&service, &client).await, client.main_key(), "the next login works");
    let challenge = liar.open(&request)["challenge"].clone();
    let answer = json!({ "challenge": challenge, "status": { "status": "declined" } });
    liar.send(kinds::AUTH_RESPONSE, service.public_key(), &answer).await;
    service.streams().wait(opened.stream).await.expect("its own login works too");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_go_on_during_a_flood_of_well_signed_events_from_many_strangers() {
    const STRANGERS: usize = 200;
    const EACH: usize = 15;
    let world = careless().await;
    let (service, client) = (world.service().await, world.client().await);
    let us = service.public_key();
    // Sealed for us and signed as they should be: only what they answer was never asked.
    let flood: Vec<String> = (0..STRANGERS)
        .flat_map(|_| {
            let keys = Keys::generate();
            (0..EACH).map(move |number| {
                let text =
                    format!(r#"{{"challenge":"{number}","status":{{"status":"declined"}}}}"#);
                let version = nostr::nips::nip44::Version::V2;
                let sealed = nostr::nips::nip44::encrypt(keys.secret_key(), &us, text, version);
                frame(&event(&keys, kinds::AUTH_RESPONSE, &us, &sealed.expect("fits"), 0))
            })
        })
        .collect();
    let counters = service.node().counters();
    let over = std::cell::Cell::new(false);
    let flooding = async {
        for (index, text) in flood.iter().enumerate() {
            world.relay.send_raw(text);
            if index % 100 == 99 {
                // Lets the relay's own queue drain; the service gets all of it.
                let read = || {
                    counters.refused(Refusal::Unexpected) + 200 > u64::try_from(index).expect("few")
                };
                until("the flood is read", read).await;
            }
        }
        over.set(true);
    };
    let logging_in = async {
        let mut logins = 0_u32;
        while !over.get() {
            assert_eq!(login(&service, &client).await, client.main_key());
            logins += 1;
        }
        logins
    };
    let ((), logins) = tokio::join!(flooding, logging_in);
    assert!(logins > 0);
    let all = u64::try_from(flood.len()).expect("few");
    until("all of it is read", || counters.refused(Refusal::Unexpected) == all).await;
    assert_eq!(login(&service, &client).await, client.main_key());
}
