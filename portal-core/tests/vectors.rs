//! The golden vectors of the wire format: `src/protocol/vectors/portal.json`.
//!
//! They were taken from deployed peers. Where an entry records a defect of those, the test says
//! which and holds that ours does the right thing. Not here: `ws_command_parse` (the daemon's
//! commands, tested there) and `identity` (certificates, which are no part of the product).

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use hmac::{Hmac, Mac};
use nostr::nips::nip44;
use nostr::{Event, JsonUtil, PublicKey, SecretKey};
use portal_core::identity::token::{self, TokenError};
use portal_core::identity::{LocalKey, Mnemonic, SubkeyError, subkey};
use portal_core::primitives::Timestamp;
use portal_core::protocol::auth::{AuthChallenge, AuthResponse};
use portal_core::protocol::calendar::{Calendar, CalendarError};
use portal_core::protocol::handshake::{HandshakeUrlError, KeyHandshake, KeyHandshakeUrl};
use portal_core::protocol::payment::{PaymentRequest, PaymentResponse, SinglePaymentRequest};
use portal_core::protocol::subkey::{SubkeyMetadata, SubkeyPermission, SubkeyProof};
use portal_core::protocol::{Currency, kinds};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn section(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../src/protocol/vectors/portal.json"))
        .expect("the vectors are JSON");
    all.get(name).cloned().unwrap_or_else(|| panic!("no section {name}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn at(value: &Value) -> Timestamp {
    Timestamp::from_secs(value.as_u64().expect("seconds"))
}

fn public_key(value: &Value) -> PublicKey {
    PublicKey::parse(text(value)).expect("a public key")
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("has the shape")
}

#[test]
fn every_section_is_known() {
    let all: Value =
        serde_json::from_str(include_str!("../src/protocol/vectors/portal.json")).expect("JSON");
    let names: BTreeSet<&str> =
        all.as_object().expect("an object").keys().map(String::as_str).collect();
    let known = BTreeSet::from([
        "about",
        "keys",
        "calendar",
        "subkey_v2_tagged_hash",
        "subkey_v1_json_hash_legacy",
        "jwt",
        "key_handshake_url",
        "nostr_events",
        "currency_json",
        "timestamp_json",
        "message_json_accept",
        "ws_command_parse",
        "webhook",
        "app_keys",
        "identity",
    ]);
    assert_eq!(names, known, "a section without a test");
}

#[test]
fn keys() {
    for (_, entry) in section("keys").as_object().expect("an object") {
        let key = LocalKey::parse(text(&entry["secret_hex"])).expect("a secret key");
        assert_eq!(key.public_key().to_hex(), text(&entry["xonly_public_hex"]));
    }
}

#[test]
fn calendar_inputs() {
    let section = section("calendar");
    let entries = list(&section["parse_serialize_next"]);
    assert_eq!(entries.len(), 56);
    let from = Timestamp::from_secs(1_744_993_853);
    for entry in entries {
        let input = text(&entry["input"]);
        let parsed: Result<Calendar, CalendarError> = input.parse();
        // Defect: weekday ranges that run over Sunday were empty and never matched.
        if input == "Sat..Mon *-*-* 00:00:00" {
            assert_eq!(entry["next_from_1744993853"], Value::Null, "the recorded defect");
            let calendar = parsed.expect("legal");
            assert_eq!(calendar.to_wire(), "Sat,Sun,Mon *-*-* 00:00:00");
            assert_eq!(calendar.human(true), "Every day on Sat, Sun, Mon at midnight");
            assert_eq!(calendar.next_from(from), Some(Timestamp::from_secs(1_745_020_800)));
            continue;
        }
        // Defect: a step of zero was accepted, and looking for its next occurrence panicked.
        if input == "*-*-* *:0..59/0:0" {
            assert_eq!(entry["next_from_1744993853"], "PANIC", "the recorded defect");
            assert_eq!(parsed, Err(CalendarError::ZeroStep));
            continue;
        }
        match (entry["ok"].as_bool(), parsed) {
            (Some(true), Ok(calendar)) => {
                assert_eq!(calendar.to_wire(), text(&entry["serialized"]), "{input}");
                assert_eq!(calendar.human(true), text(&entry["human_with_tz"]), "{input}");
                let next = calendar.next_from(from).map(Timestamp::as_secs);
                assert_eq!(next, entry["next_from_1744993853"].as_u64(), "{input}");
            }
            (Some(false), Err(error)) => {
                assert_eq!(error.to_string(), text(&entry["error_text"]), "{input}");
                assert_eq!(calendar_error_kind(&error), text(&entry["error_kind"]), "{input}");
            }
            (_, parsed) => panic!("{input}: {parsed:?}"),
        }
    }
}

/// The names under which deployed libraries export these errors.
fn calendar_error_kind(error: &CalendarError) -> &'static str {
    match error {
        CalendarError::TooLong | CalendarError::InvalidFormat => "InvalidFormat",
        CalendarError::InvalidWeekday { .. } => "InvalidWeekday",
        CalendarError::InvalidValue { .. }
        | CalendarError::OutOfRange { .. }
        | CalendarError::InvalidStep { .. }
        | CalendarError::ZeroStep => "InvalidTimeComponent",
        CalendarError::InvalidRange { .. } => "InvalidRange",
        CalendarError::InvalidTimezone { .. } => "InvalidTimezone",
    }
}

#[test]
fn calendar_next_occurrences() {
    let mut defects = 0;
    for entry in list(&section("calendar")["next_occurrence"]) {
        let calendar: Calendar = text(&entry["calendar"]).parse().expect("legal");
        let from = at(&entry["from"]);
        let next = calendar.next_from(from);
        // Defect: in the second run of a repeated hour the answer lay before `from`.
        if entry["note"].as_str().is_some_and(|note| note.contains("BUG")) {
            assert!(entry["next"].as_u64() < Some(from.as_secs()), "the recorded defect");
            assert_eq!(next, Some(Timestamp::from_secs(1_761_528_600)), "the day after");
            defects += 1;
        // Defect: moments beyond the year 262,000 panicked.
        } else if entry["next"].is_string() {
            assert_eq!(next, None);
            defects += 1;
        } else {
            assert_eq!(next.map(Timestamp::as_secs), entry["next"].as_u64(), "{entry}");
        }
    }
    assert_eq!(defects, 3);
}

#[test]
fn calendar_assertions_of_deployed_code() {
    let section = section("calendar");
    let tests = &section["upstream_unit_tests"];
    for (input, days) in tests["weekday_list"].as_object().expect("an object") {
        let calendar: Calendar = input.parse().expect("legal");
        let days: Vec<&str> = list(days).iter().map(text).collect();
        assert_eq!(calendar.to_wire(), format!("{} *-*-* 00:00:00", days.join(",")));
    }
    for (input, meaning) in tests["component"].as_object().expect("an object") {
        let calendar: Calendar = format!("*-*-{input}").parse().expect("legal");
        let two = |value: &Value| format!("{:02}", value.as_u64().expect("a number"));
        let expected = if meaning == "any" {
            "*".to_owned()
        } else if let Some(values) = meaning.as_array() {
            values.iter().map(two).collect::<Vec<_>>().join(",")
        } else {
            let range = format!("{}..{}", two(&meaning["start"]), two(&meaning["end"]));
            match meaning["step"].as_u64() {
                Some(step) => format!("{range}/{step}"),
                None => range,
            }
        };
        assert_eq!(calendar.to_wire(), format!("*-*-{expected} *:*:00"));
    }
    for entry in list(&tests["next"]) {
        let calendar: Calendar = text(&entry["input"]).parse().expect("legal");
        let next = calendar.next_from(at(&entry["from"])).map(Timestamp::as_secs);
        match entry.get("next_greater_than") {
            Some(bound) => assert!(next > bound.as_u64(), "{entry}"),
            None => assert_eq!(next, entry["next"].as_u64(), "{entry}"),
        }
    }
    for entry in list(&tests["failing"]) {
        // These assertions fail against the very code that is deployed; its behaviour counts.
        match text(&entry["what"]) {
            "serialise of Mon,Wed,Fri with 0:0:0" => {
                let calendar: Calendar = "Mon,Wed,Fri *-*-* 0:0:0".parse().expect("legal");
                assert_eq!(calendar.to_wire(), text(&entry["code_gives"]));
            }
            input => {
                let error = input.parse::<Calendar>().expect_err("refused");
                assert_eq!(calendar_error_kind(&error), text(&entry["code_gives"]), "{input}");
            }
        }
    }
    for entry in list(&tests["human"]) {
        let input = text(&entry[0]);
        let show = !input.ends_with("(tz hidden)");
        let rule = input.split(" (tz").next().expect("at least one part");
        let calendar: Calendar = rule.parse().expect("legal");
        assert_eq!(calendar.human(show), text(&entry[1]), "{input}");
    }
}

#[test]
fn subkeys_by_the_current_hash() {
    let section = section("subkey_v2_tagged_hash");
    assert_eq!(hex::encode(Sha256::digest(text(&section["tag"]))), text(&section["tag_sha256"]));
    for case in list(&section["cases"]) {
        let metadata: SubkeyMetadata = read(&case["metadata"]);
        assert_eq!(serde_json::to_value(&metadata).expect("serialises"), case["metadata"]);
        let main = LocalKey::parse(text(&case["master_secret"])).expect("a key");
        assert_eq!(main.public_key(), public_key(&case["master_public"]));
        let subkey = subkey::derive(&main, metadata.clone()).expect("derives");
        assert_eq!(subkey.secret_key().to_secret_hex(), text(&case["subkey_secret"]));
        assert_eq!(subkey.public_key(), public_key(&case["subkey_public"]));
        let proof = subkey.proof().expect("has a proof");
        let verify = |now| subkey::verify(proof, &subkey.public_key(), now, None);
        assert_eq!(verify(metadata.valid_from), Ok(()));
        // Defect: permissions and validity were never looked at.
        let late = metadata.expires_at.saturating_add(Duration::from_secs(601));
        if metadata.expires_at < Timestamp::from_secs(u64::MAX - 600) {
            assert_eq!(verify(late), Err(SubkeyError::Expired));
        }
        for permission in [SubkeyPermission::Auth, SubkeyPermission::Payment] {
            let verdict =
                subkey::verify(proof, &subkey.public_key(), metadata.valid_from, Some(permission));
            assert_eq!(verdict.is_ok(), metadata.permissions.contains(&permission));
        }
    }
    // A subkey secret and its public proof give the main secret away: the reason why subkeys
    // must be guarded like the main key.
    let demo = &section["master_recovery_demo"];
    let secret = |name: &str| SecretKey::from_hex(text(&demo[name])).expect("a secret");
    let tweak = secp256k1::Scalar::from(*secret("tweak"));
    let even = *secret("recovered_even_secret");
    assert_eq!(even.add_tweak(&tweak), Ok(*secret("subkey_secret")));
    assert_eq!(even.negate(), *secret("negated_equals_master"));
}

#[test]
fn subkeys_by_the_older_hash() {
    for case in list(&section("subkey_v1_json_hash_legacy")["cases"]) {
        let main = LocalKey::parse(text(&case["master_secret"])).expect("a key").public_key();
        let hashed = text(&case["hashed_bytes_utf8"]);
        assert_eq!(hex::encode(Sha256::digest(hashed)), text(&case["tweak_hex"]));
        let metadata: SubkeyMetadata = serde_json::from_str(hashed).expect("metadata");
        assert_eq!(serde_json::to_string(&metadata).expect("serialises"), hashed);
        let now = metadata.valid_from;
        let proof = SubkeyProof { main_key: main, metadata };
        let subkey = LocalKey::parse(text(&case["subkey_secret"])).expect("a key");
        assert_eq!(subkey.public_key(), public_key(&case["subkey_public"]));
        assert_eq!(subkey::verify(&proof, &subkey.public_key(), now, None), Ok(()));
        assert_eq!(subkey.with_proof(proof, now).expect("fits").main_key(), main);
    }
}

#[test]
fn json_web_tokens() {
    let section = section("jwt");
    for case in list(&section["cases"]) {
        let key = LocalKey::parse(text(&case["secret"])).expect("a key");
        let payload: Value = serde_json::from_str(text(&case["payload_json"])).expect("JSON");
        let (now, end) = (at(&payload["nbf"]), at(&payload["exp"]));
        let target = public_key(&payload["target_key"]);
        let made = token::issue(&key, target, now, end.saturating_since(now)).expect("in range");
        assert_eq!(made.expose(), text(&case["token"]), "byte-equal");

        let issuer = public_key(&case["verify_with_xonly"]);
        let verify = |now| token::verify(&issuer, text(&case["token"]), now);
        let claims = verify(now).expect("valid");
        assert_eq!((claims.target, claims.expires_at), (target, end));
        assert_eq!((claims.not_before, claims.issued_at), (Some(now), Some(now)));
        // Defect: tokens that expired long ago were accepted.
        assert!(text(&case["reference_verify"]).starts_with("accepted although expired"));
        assert_eq!(verify(Timestamp::from_secs(1_744_993_853)), Err(TokenError::Expired));
    }
    let first = &section["cases"][0];
    for case in list(&section["negative"]) {
        let (issuer, token) = match case.get("token") {
            Some(token) => (&first["verify_with_xonly"], token),
            None => {
                assert_eq!(text(&case["what"]), "verified with a different key");
                (&section["cases"][1]["verify_with_xonly"], &first["token"])
            }
        };
        let now = Timestamp::from_secs(1_700_000_000);
        let error = token::verify(&public_key(issuer), text(token), now).expect_err("refused");
        assert_eq!(error.to_string(), text(&case["error"]));
    }
}

#[test]
fn handshake_urls() {
    let section = section("key_handshake_url");
    for entry in list(&section["parse"]) {
        let input = text(&entry["input"]);
        let parsed: Result<KeyHandshakeUrl, HandshakeUrlError> = input.parse();
        match (entry["ok"].as_bool(), parsed) {
            (Some(true), Ok(url)) => {
                let ours = json!({
                    "main_key": url.main_key(),
                    "relays": url.relays(),
                    "token": url.token(),
                    "subkey": url.subkey(),
                    "no_request": url.no_request(),
                });
                assert_eq!(ours, entry["parsed"], "{input}");
                let again: KeyHandshakeUrl = url.to_string().parse().expect("reads back");
                assert_eq!(again, url, "{input}");
            }
            (Some(false), Err(error)) => {
                let expected = text(&entry["error"]);
                // What follows "Invalid bech32:" is the text of a library.
                match expected.strip_prefix("Invalid bech32: ") {
                    Some(_) => assert!(error.to_string().starts_with("Invalid bech32: ")),
                    None => assert_eq!(error.to_string(), expected, "{input}"),
                }
            }
            (_, parsed) => panic!("{input}: {parsed:?}"),
        }
    }
    for entry in list(&section["format"]) {
        let input = &entry["in"];
        let token = text(&input["token"]);
        let mut url =
            KeyHandshakeUrl::new(public_key(&input["main_key"]), read(&input["relays"]), token)
                .expect("in bounds");
        if input["subkey"].is_string() {
            url = url.with_subkey(public_key(&input["subkey"])).expect("in bounds");
        }
        let url = url.with_no_request(read(&input["no_request"])).expect("in bounds");
        // Defect: tokens were not escaped, so that some made URLs which nobody can read.
        if token == "table-14 & co" {
            assert!(text(&entry["out"]).parse::<KeyHandshakeUrl>().is_err());
            let escaped = text(&entry["out"]).replace(token, "table-14%20%26%20co");
            assert_eq!(url.to_string(), escaped);
            assert_eq!(url.decoded_token(), token);
        } else {
            assert_eq!(url.to_string(), text(&entry["out"]));
        }
    }
    let main_key = public_key(&section["npub_of_key_1"]);
    assert_eq!(main_key.to_hex(), text(&crate::section("keys")["1"]["xonly_public_hex"]));
}

#[test]
fn signed_and_sealed_events() {
    for case in list(&section("nostr_events")["cases"]) {
        let event = Event::from_json(case["event"].to_string()).expect("an event");
        event.verify().expect("id and signature are right");
        let sender = LocalKey::parse(text(&case["sender_secret"])).expect("a key");
        let recipient = LocalKey::parse(text(&case["recipient_secret"])).expect("a key");
        assert_eq!(event.pubkey, sender.public_key());
        assert!(event.tags.public_keys().any(|key| *key == recipient.public_key()));
        assert!(kinds::must_be_sealed(event.kind.as_u16()));

        let opened = nip44::decrypt(recipient.secret_key(), &event.pubkey, &event.content);
        let opened = opened.expect("sealed for the recipient");
        assert_eq!(opened, text(&case["plaintext"]));
        let message: Value = serde_json::from_str(&opened).expect("JSON");
        match event.kind.as_u16() {
            kinds::KEY_HANDSHAKE => reads_and_writes::<KeyHandshake>(&message),
            kinds::AUTH_CHALLENGE => reads_and_writes::<AuthChallenge>(&message),
            kinds::AUTH_RESPONSE => reads_and_writes::<AuthResponse>(&message),
            kinds::PAYMENT_REQUEST => reads_and_writes::<PaymentRequest>(&message),
            kind => panic!("no message for kind {kind}"),
        }
    }
}

/// The message is read, and written again with the same members.
fn reads_and_writes<T: DeserializeOwned + Serialize + PartialEq + Debug>(message: &Value) {
    let parsed: T = read(message);
    assert_eq!(&serde_json::to_value(&parsed).expect("serialises"), message);
}

#[test]
fn currencies() {
    for entry in list(&section("currency_json")) {
        let parsed = serde_json::from_str::<Currency>(text(&entry["json"])).ok();
        let expected = match text(&entry["means"]) {
            "millisatoshi" => Some(Currency::Millisats),
            "fiat code 'millisats' (then unsupported)" => Some(Currency::Fiat("millisats".into())),
            "fiat EUR" => Some(Currency::Fiat("EUR".into())),
            "rejected" => None,
            other => panic!("unknown meaning {other}"),
        };
        assert_eq!(parsed, expected, "{entry}");
    }
}

#[test]
fn timestamps() {
    for entry in list(&section("timestamp_json")) {
        let parsed = serde_json::from_str::<Timestamp>(text(&entry["json"])).ok();
        let expected = entry["ok"].as_bool().expect("a bool").then_some(Timestamp::from_secs(5));
        assert_eq!(parsed, expected, "{entry}");
    }
}

#[test]
fn what_messages_accept() {
    let key = text(&section("keys")["1"]["xonly_public_hex"]).to_owned();
    for entry in list(&section("message_json_accept")) {
        let json = text(&entry["json"]);
        let accepted = match text(&entry["type"]) {
            "payment_response" => serde_json::from_str::<PaymentResponse>(json).is_ok(),
            "auth_response" => serde_json::from_str::<AuthResponse>(json).is_ok(),
            "amount" => serde_json::from_str::<SinglePaymentRequest>(&format!(
                r#"{{"amount":{json},"currency":"EUR","invoice":"ln","expires_at":"1","request_id":"r"}}"#
            ))
            .is_ok(),
            "nonce" => {
                assert_eq!(json, "64 uppercase hex digits");
                let metadata = json!({"name": "", "nonce": "AB".repeat(32), "valid_from": "0",
                    "expires_at": "1", "permissions": [], "version": 2});
                let metadata: SubkeyMetadata = read(&metadata);
                metadata.nonce == [0xab; 32]
            }
            "public_key" => {
                assert_eq!(json, "npub1... / hex / nostr:npub1...");
                let npub = text(&section("key_handshake_url")["npub_of_key_1"]).to_owned();
                [key.clone(), npub.clone(), format!("nostr:{npub}")].into_iter().all(|form| {
                    let read: PublicKey = read(&Value::String(form));
                    read.to_hex() == key && json!(read) == json!(key)
                })
            }
            other => panic!("unknown type {other}"),
        };
        assert_eq!(Some(accepted), entry["ok"].as_bool(), "{entry}");
    }
}

#[test]
fn webhook_signature() {
    let section = section("webhook");
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(text(&section["secret"]).as_bytes())
        .expect("a key of any length");
    mac.update(text(&section["body"]).as_bytes());
    assert_eq!(hex::encode(mac.finalize().into_bytes()), text(&section["hex_hmac_sha256"]));
}

#[test]
fn keys_of_a_mnemonic() {
    let section = section("app_keys");
    assert_eq!(section["passphrase"], "");
    let mnemonic = Mnemonic::parse(text(&section["mnemonic"])).expect("legal");
    let key = mnemonic.keypair().expect("a key");
    assert_eq!(key.secret_key().to_secret_hex(), text(&section["nostr_secret"]));
    assert_eq!(key.public_key(), public_key(&section["nostr_public"]));
    let seed = mnemonic.derive_cashu().expect("a seed");
    assert_eq!(hex::encode(seed.expose()), text(&section["cashu_seed_from_mnemonic"]));
    let seed = key.derive_cashu();
    assert_eq!(hex::encode(seed.expose()), text(&section["cashu_seed_from_nsec_of_same_key"]));
}
