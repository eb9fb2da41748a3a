//! Against `nostr`'s own events and NIP-44, both ways, and against what strangers make of them.

use nostr::nips::nip44 as theirs;
use nostr::{Event, EventBuilder, JsonUtil as _, Keys, Kind, Tag, Timestamp as TheirTime};
use serde_json::{Value, json};

use super::*;
use crate::env::mock;

const NOW: u64 = 1_700_000_000;

fn env() -> Env {
    mock::env(Timestamp::from_secs(NOW), 7).0
}

fn local(number: u8) -> LocalKey {
    LocalKey::from_secret_bytes(&[number; 32]).expect("a key")
}

fn keys(number: u8) -> Keys {
    Keys::new(nostr::SecretKey::from_slice(&[number; 32]).expect("a key"))
}

fn shared(ours: u8, peer: u8) -> ConversationKey {
    ConversationKey::derive(local(ours).secret_key(), &local(peer).public_key()).expect("a point")
}

fn header(to: &[PublicKey], in_answer_to: Option<EventId>) -> Header<'_> {
    Header { kind: kinds::AUTH_RESPONSE, created_at: Timestamp::from_secs(NOW), to, in_answer_to }
}

/// An event as `nostr` makes it, sealed by 2 for 1.
fn theirs_sealed(text: &str) -> Event {
    let to = local(1).public_key();
    let content = theirs::encrypt(keys(2).secret_key(), &to, text, theirs::Version::V2);
    theirs_with(&content.expect("fits"), &[Tag::public_key(to)])
}

fn theirs_with(content: &str, tags: &[Tag]) -> Event {
    EventBuilder::new(Kind::Custom(kinds::AUTH_RESPONSE), content)
        .tags(tags.iter().cloned())
        .custom_created_at(TheirTime::from_secs(NOW))
        .sign_with_keys(&keys(2))
        .expect("signed")
}

fn frame(event: &Event) -> String {
    format!("[\"EVENT\",\"p0m\",{}]", event.as_json())
}

fn open(frame: &str) -> Result<Opened, Refusal> {
    Incoming::parse(frame)?.verify()?.open(&shared(1, 2))
}

/// A payload as the author of a message makes it, with this padded text.
fn payload(nonce: [u8; 32], ciphertext: &[u8], mac: [u8; 32]) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend(nonce);
    bytes.extend(ciphertext);
    bytes.extend(mac);
    bytes
}

#[test]
fn what_we_seal_nostr_verifies_and_opens() {
    let env = env();
    let (to, other) = (local(2).public_key(), local(3).public_key());
    let answers = EventId::all_zeros();
    for text in ["x", "{\"caff\u{e8}\":\"\u{2615}\\n\"}", &"x".repeat(MAX_PLAINTEXT_BYTES)] {
        let to_all = [to, other, local(1).public_key()];
        let sealed =
            seal(&env, &local(1), &shared(1, 2), header(&to_all, Some(answers)), text.as_bytes());
        let sealed = sealed.expect("fits");
        let frame: Value = serde_json::from_str(&sealed.frame).expect("JSON");
        assert_eq!(frame[0], "EVENT");
        let event = Event::from_json(frame[1].to_string()).expect("an event");
        event.verify().expect("id and signature");
        assert_eq!((event.id, event.pubkey), (sealed.id, local(1).public_key()));
        assert_eq!((event.kind.as_u16(), event.created_at.as_secs()), (27_001, NOW));
        let named: Vec<PublicKey> = event.tags.public_keys().copied().collect();
        assert_eq!(named, [to, other], "never ourselves");
        assert_eq!(event.tags.event_ids().copied().collect::<Vec<_>>(), [answers]);
        let opened = theirs::decrypt(keys(2).secret_key(), &event.pubkey, &event.content);
        assert_eq!(opened.expect("sealed for them"), text);
        assert!(theirs::decrypt(keys(3).secret_key(), &event.pubkey, &event.content).is_err());
    }
}

#[test]
fn what_we_sign_in_public_nostr_verifies() {
    let tags = [vec!["relay".to_owned(), "ws://r".to_owned()], vec!["odd\"\\\n\u{1}".to_owned()]];
    let content = "{\"name\":\"tab\\t, bell \u{7}, del \u{7f}, line \u{2028}, emoji \u{1f600}\"}\n";
    let sealed = sign(&env(), &local(1), header(&[], None), content, "AUTH", &tags);
    let frame: Value = serde_json::from_str(&sealed.frame).expect("JSON");
    assert_eq!(frame[0], "AUTH");
    let event = Event::from_json(frame[1].to_string()).expect("an event");
    event.verify().expect("the same bytes are hashed whatever is in them");
    assert_eq!((event.id, event.content.as_str()), (sealed.id, content));
}

#[test]
fn what_nostr_makes_we_open() {
    for text in ["x", "{\"caff\u{e8}\":1}", &"y".repeat(60_000)] {
        let event = theirs_sealed(text);
        let frame = frame(&event);
        assert_eq!(peek_id(&frame), Some(event.id.to_bytes()));
        let incoming = Incoming::parse(&frame).expect("an event");
        assert_eq!(incoming.subscription, "p0m");
        assert!(incoming.is_addressed_to(&local(1).public_key()));
        assert!(!incoming.is_addressed_to(&local(2).public_key()));
        let verified = incoming.verify().expect("right");
        assert_eq!((verified.author(), verified.id()), (event.pubkey, event.id));
        let opened = verified.open(&shared(1, 2)).expect("for us");
        assert_eq!((opened.author, opened.kind), (event.pubkey, kinds::AUTH_RESPONSE));
        assert_eq!(opened.created_at.as_secs(), NOW);
        assert_eq!(opened.plaintext, text.as_bytes());
    }
}

#[test]
fn the_golden_events_are_verified_and_opened() {
    let vectors: Value =
        serde_json::from_str(include_str!("../vectors/portal.json")).expect("the vectors are JSON");
    let cases = vectors["nostr_events"]["cases"].as_array().expect("a list");
    assert!(cases.len() >= 4);
    for case in cases {
        let read = |name: &str| LocalKey::parse(case[name].as_str().expect("a text"));
        let (sender, recipient) =
            (read("sender_secret").expect("a key"), read("recipient_secret").expect("a key"));
        let frame = json!(["EVENT", "p0m", case["event"]]).to_string();
        let verified = Incoming::parse(&frame).expect("an event").verify().expect("right");
        assert_eq!(verified.author(), sender.public_key());
        assert!(verified.is_addressed_to(&recipient.public_key()));
        let key = ConversationKey::derive(recipient.secret_key(), &sender.public_key());
        let opened = verified.open(&key.expect("a point")).expect("sealed for the recipient");
        assert_eq!(opened.plaintext, case["plaintext"].as_str().expect("a text").as_bytes());
    }
}

#[test]
fn an_answer_names_the_event_that_it_answers() {
    let asked = theirs_sealed("asked").id;
    let content = theirs_sealed("proof").content;
    let event = theirs_with(&content, &[Tag::event(asked), Tag::event(EventId::all_zeros())]);
    assert_eq!(open(&frame(&event)).expect("for us").in_answer_to, Some(asked), "the first");
    let odd = Tag::parse(["e", "not an id"]).expect("a tag");
    let event = theirs_with(&content, &[odd, Tag::event(asked)]);
    assert_eq!(open(&frame(&event)).expect("for us").in_answer_to, Some(asked));
}

#[test]
fn every_byte_that_is_changed_is_noticed() {
    let good = theirs_sealed("hello");
    let value = |event: &Event| serde_json::to_value(event).expect("JSON");
    let refusal = |event: &Value| open(&json!(["EVENT", "p0m", event]).to_string()).err();
    assert_eq!(refusal(&value(&good)), None);
    let changes = [
        ("content", json!(theirs_sealed("other").content), Refusal::WrongId),
        ("created_at", json!(NOW + 1), Refusal::WrongId),
        ("kind", json!(27_010), Refusal::WrongId),
        ("tags", json!([]), Refusal::WrongId),
        ("pubkey", json!(local(3).public_key().to_hex()), Refusal::WrongId),
        ("id", json!("00".repeat(32)), Refusal::WrongId),
        ("sig", json!(theirs_sealed("other").sig.to_string()), Refusal::WrongSignature),
        ("sig", json!("00".repeat(64)), Refusal::WrongSignature),
        ("sig", json!("ff".repeat(64)), Refusal::WrongSignature),
    ];
    for (member, new, expected) in changes {
        let mut changed = value(&good);
        changed[member] = new;
        assert_eq!(refusal(&changed), Some(expected), "{member}");
    }
    // An id that fits, signed by somebody else than it says.
    let mut stolen = value(&good);
    let author = local(3).public_key();
    let id = EventId::new(&author, &good.created_at, &good.kind, &good.tags, &good.content);
    stolen["pubkey"] = json!(author.to_hex());
    stolen["id"] = json!(id.to_hex());
    assert_eq!(refusal(&stolen), Some(Refusal::WrongSignature));
    // A key that is no point of the curve.
    let mut no_point = value(&good);
    no_point["pubkey"] = json!("ff".repeat(32));
    assert!(refusal(&no_point).is_some());
}

#[test]
fn frames_of_another_shape_are_malformed() {
    let good = serde_json::to_value(theirs_sealed("hello")).expect("JSON");
    let changed = |member: &str, new: Value| {
        let mut event = good.clone();
        event[member] = new;
        json!(["EVENT", "s", event]).to_string()
    };
    let mut without = good.clone();
    without.as_object_mut().expect("an object").remove("sig");
    let cases = [
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "[\"EVENT\"]".to_owned(),
        "[\"EVENT\",\"s\"]".to_owned(),
        "[\"EVENT\",7,{}]".to_owned(),
        json!(["OK", "s", good]).to_string(),
        json!(["EVENT", "s", good, 1]).to_string(),
        json!(["EVENT", "s", without]).to_string(),
        changed("id", json!("00")),
        changed("id", json!(7)),
        changed("pubkey", json!("zz".repeat(32))),
        changed("sig", json!("00".repeat(63))),
        changed("kind", json!(65_536)),
        changed("kind", json!(-1)),
        changed("created_at", json!(-1)),
        changed("created_at", json!(1.5)),
        changed("created_at", json!("1700000000")),
        changed("tags", json!([["p", 7]])),
        changed("tags", json!({})),
        changed("content", json!(null)),
        format!("{}x", json!(["EVENT", "s", good])),
    ];
    for case in cases {
        assert_eq!(Incoming::parse(&case).err(), Some(Refusal::Malformed), "{case}");
    }
    // Unknown members and spaces are legal.
    let mut more = good;
    more["seen_on"] = json!(["ws://r"]);
    let pretty = serde_json::to_string_pretty(&json!(["EVENT", "s", more])).expect("JSON");
    assert!(open(&pretty).is_ok());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let long = format!("[\"EVENT\",\"s\",{{\"content\":\"{}\"}}]", "x".repeat(MAX_FRAME_BYTES));
    assert_eq!(Incoming::parse(&long).err(), Some(Refusal::TooLarge));
    let tag = Tag::hashtag("t");
    let many: Vec<Tag> = std::iter::repeat_n(tag, MAX_TAGS + 1).collect();
    let event = theirs_with("x", &many);
    assert_eq!(Incoming::parse(&frame(&event)).err(), Some(Refusal::TooLarge));
    let event = theirs_with("x", &many[1..]);
    assert!(Incoming::parse(&frame(&event)).is_ok());
    let deep = format!("[\"EVENT\",\"s\",{}", "[".repeat(100_000));
    assert_eq!(Incoming::parse(&deep).err(), Some(Refusal::Malformed), "and no stack is used up");
}

#[test]
fn plaintext_and_ciphertext_for_others_are_not_for_us() {
    let to = Tag::public_key(local(1).public_key());
    let for_another =
        theirs::encrypt(keys(2).secret_key(), &local(3).public_key(), "x", theirs::Version::V2);
    let for_another = for_another.expect("fits");
    let sealed = theirs_sealed("x").content;
    let cut = &sealed[..sealed.len() - 4];
    for content in ["", "{}", "{\"challenge\":\"c\"}", "not base64 \u{fffd}", &for_another, cut] {
        let event = theirs_with(content, std::slice::from_ref(&to));
        assert_eq!(open(&frame(&event)).err(), Some(Refusal::NotForUs), "{content}");
    }
    let mut bytes = BASE64.decode(&sealed).expect("base64");
    for place in 0..bytes.len() {
        bytes[place] ^= 1;
        let event = theirs_with(&BASE64.encode(&bytes), std::slice::from_ref(&to));
        assert_eq!(open(&frame(&event)).err(), Some(Refusal::NotForUs), "byte {place}");
        bytes[place] ^= 1;
    }
}

/// Payloads that are shorter than any message. The one-byte ciphertext made older versions of the
/// library panic, also with a MAC that fits.
#[test]
fn short_payloads_do_not_panic() {
    use hmac::{Hmac, Mac as _};
    // The MAC key is the last third of the message keys (NIP-44): HKDF-expand of the nonce.
    let mac = |nonce: &[u8], ciphertext: &[u8]| -> [u8; 32] {
        let mut okm = Vec::new();
        let mut block: Vec<u8> = Vec::new();
        for counter in 1..=3_u8 {
            let key = shared(1, 2);
            let mut hmac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any length");
            hmac.update(&block);
            hmac.update(nonce);
            hmac.update(&[counter]);
            block = hmac.finalize().into_bytes().to_vec();
            okm.extend_from_slice(&block);
        }
        let mut hmac = Hmac::<Sha256>::new_from_slice(&okm[44..76]).expect("any length");
        hmac.update(nonce);
        hmac.update(ciphertext);
        hmac.finalize().into_bytes().into()
    };
    let real = BASE64.decode(theirs_sealed("x").content).expect("base64");
    let (rest, real_mac) = real.split_at(real.len() - 32);
    assert_eq!(mac(&rest[1..33], &rest[33..]), real_mac, "the MAC of this test is the real one");
    let nonce = [7; 32];
    let to = Tag::public_key(local(1).public_key());
    for length in 0..70 {
        let ciphertext = vec![9; length];
        for mac in [[0; 32], mac(&nonce, &ciphertext)] {
            let content = BASE64.encode(payload(nonce, &ciphertext, mac));
            let event = theirs_with(&content, std::slice::from_ref(&to));
            assert_eq!(open(&frame(&event)).err(), Some(Refusal::NotForUs), "{length} bytes");
        }
    }
    for length in 0..100 {
        for version in [0, 1, 2, 3, 255] {
            let content = BASE64.encode(vec![version; length]);
            let event = theirs_with(&content, std::slice::from_ref(&to));
            assert_eq!(open(&frame(&event)).err(), Some(Refusal::NotForUs));
        }
    }
}

#[test]
fn the_id_is_seen_without_parsing_and_a_lie_hides_nothing_else() {
    let event = theirs_sealed("x");
    let id = event.id.to_hex();
    assert_eq!(peek_id("[\"EVENT\",\"s\",{}]"), None);
    assert_eq!(peek_id("\"id\":\""), None);
    assert_eq!(peek_id(&format!("\"id\":\"{}", &id[..63])), None);
    assert_eq!(peek_id("\"id\":\"\u{e8}\u{e8}"), None);
    // Inside a text the quotes are escaped, so that a text cannot look like the member.
    let liar = theirs_with(&format!("\"id\":\"{}\"", "ab".repeat(32)), &[]);
    assert_eq!(peek_id(&frame(&liar)), Some(liar.id.to_bytes()));
    let subscription = format!("\"id\":\"{}\"", "cd".repeat(32));
    let odd = json!(["EVENT", subscription, event]).to_string();
    assert_eq!(peek_id(&odd), Some(event.id.to_bytes()));
}

#[test]
fn what_cannot_be_sealed_is_refused() {
    let env = env();
    for length in [0, MAX_PLAINTEXT_BYTES + 1] {
        let text = vec![b'x'; length];
        let sealed = seal(&env, &local(1), &shared(1, 2), header(&[], None), &text);
        assert_eq!(sealed.err(), Some(UnsealableLength));
    }
    let two: Vec<EventId> = (0..2)
        .map(|_| seal(&env, &local(1), &shared(1, 2), header(&[], None), b"x").expect("fits").id)
        .collect();
    assert_ne!(two[0], two[1], "never the same nonce twice");
}
