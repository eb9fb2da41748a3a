//! The test vectors of the Cashu specification, against what the wallet uses. Where they are from
//! stands in `vectors/nuts.json`.

use std::str::FromStr;

use cdk_common::dhke::{blind_message, hash_to_curve, sign_message};
use cdk_common::nuts::nut18::PaymentRequest;
use cdk_common::secret::Secret as ProofSecret;
use cdk_common::{
    BlindSignature, CurrencyUnit, Id, Keys, MintRequest, Proof, PublicKey, SecretKey, nut20,
};
use portal_core::cashu::{TicketRequest, TicketToken};
use portal_core::identity::Mnemonic;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/nuts.json")).expect("json")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array().expect("a list");
    assert!(!list.is_empty());
    list
}

fn point(value: &Value) -> PublicKey {
    PublicKey::from_hex(text(value)).expect("a point")
}

fn key(value: &Value) -> SecretKey {
    SecretKey::from_hex(text(value)).expect("a key")
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("reads")
}

#[test]
fn nut_00_blinding() {
    let nut = &vectors()["nut00"];
    for case in list(&nut["hash_to_curve"]) {
        let message = hex::decode(text(&case[0])).expect("hex");
        assert_eq!(hash_to_curve(&message).expect("a point"), point(&case[1]));
    }
    for case in list(&nut["blinded"]) {
        let secret = hex::decode(text(&case[0])).expect("hex");
        let (blinded, _) = blind_message(&secret, Some(key(&case[1]))).expect("blinded");
        assert_eq!(blinded, point(&case[2]));
    }
    for case in list(&nut["signed"]) {
        let signed = sign_message(&key(&case[0]), &point(&case[1])).expect("signed");
        assert_eq!(signed, point(&case[2]));
    }
}

#[test]
fn nut_00_tokens() {
    let nut = &vectors()["nut00"];
    let mut tokens = list(&nut["v4"]).clone();
    tokens.push(nut["v3"].clone());
    for case in &tokens {
        let token = TicketToken::parse(text(&case["text"])).expect("a token");
        assert_eq!(token.mint().as_str(), text(&case["mint"]));
        assert_eq!(token.unit().as_str(), text(&case["unit"]));
        assert_eq!(Some(token.amount()), case["amount"].as_u64());
        assert_eq!(u64::try_from(token.count()).ok(), case["count"].as_u64());
        assert_eq!(token.memo(), case["memo"].as_str());
        let written = token.to_string();
        assert_eq!(TicketToken::parse(&written).expect("reads back"), token);
    }
    for wrong in list(&nut["v3_wrong"]) {
        assert!(TicketToken::parse(text(wrong)).is_err());
    }
}

#[test]
fn nut_01_and_02_keys_and_their_ids() {
    let all = vectors();
    for wrong in list(&all["nut01"]["wrong"]) {
        assert!(serde_json::from_value::<Keys>(wrong.clone()).is_err());
    }
    let keys: Vec<Keys> = list(&all["nut01"]["right"]).iter().map(read).collect();
    let named = |name: &Value| match text(name) {
        "short" => keys[0].clone(),
        _ => keys[1].clone(),
    };
    for case in list(&all["nut02"]["v1"]) {
        assert_eq!(Id::v1_from_keys(&named(&case[1])).to_string(), text(&case[0]));
    }
    for case in list(&all["nut02"]["v2"]) {
        let unit = CurrencyUnit::from_str(text(&case[2])).expect("a unit");
        let fee = case[3].as_u64().expect("a fee");
        let id = Id::v2_from_data(&named(&case[1]), &unit, fee, case[4].as_u64());
        assert_eq!(id.to_string(), text(&case[0]));
    }
}

#[test]
fn nut_11_signatures_for_locks() {
    let nut = &vectors()["nut11"];
    for case in list(&nut["spendable"]) {
        read::<Proof>(case).verify_p2pk().expect("spendable");
    }
    for case in list(&nut["not_spendable"]) {
        assert!(read::<Proof>(case).verify_p2pk().is_err());
    }
}

#[test]
fn nut_12_proofs_of_signatures() {
    let nut = &vectors()["nut12"];
    let case = &nut["signature"];
    let signature: BlindSignature = read(&case["blind_signature"]);
    signature.verify_dleq(point(&case["A"]), point(&case["B_"])).expect("by the mint");
    assert!(signature.verify_dleq(point(&case["B_"]), point(&case["B_"])).is_err());
    let case = &nut["proof"];
    let proof: Proof = read(&case["proof"]);
    proof.verify_dleq(point(&case["A"])).expect("by the mint");
    assert!(proof.verify_dleq(proof.c).is_err());
}

#[test]
fn nut_13_secrets_from_words() {
    let nut = &vectors()["nut13"];
    let seed = Mnemonic::parse(text(&nut["mnemonic"])).expect("words").seed();
    let id: Id = text(&nut["keyset"]).parse().expect("an id");
    assert_eq!(Some(u64::from(u32::from(id))), nut["keyset_int"].as_u64());
    let newer: Id = text(&nut["keyset_v2"]).parse().expect("an id");
    assert_eq!(Some(u64::from(u32::from(newer))), nut["keyset_v2_int"].as_u64());
    for (number, (secret, factor)) in
        (0..).zip(list(&nut["secrets"]).iter().zip(list(&nut["factors"])))
    {
        let made = ProofSecret::from_seed(seed.expose(), id, number).expect("a secret");
        assert_eq!(made.to_string(), text(secret));
        let r = SecretKey::from_seed(seed.expose(), id, number).expect("a factor");
        assert_eq!(r.to_secret_hex(), text(factor));
    }
}

#[test]
fn nut_18_payment_requests() {
    let nut = &vectors()["nut18"];
    for case in list(&nut["requests"]) {
        let request = TicketRequest::parse(text(&case["text"])).expect("reads");
        assert_eq!(request.id.as_deref(), case["id"].as_str());
        assert_eq!(request.amount, case["amount"].as_u64());
        let mints: Vec<&str> = request.mints.iter().map(|mint| mint.as_str()).collect();
        let expected: Vec<&str> = list(&case["mints"]).iter().map(text).collect();
        assert_eq!(mints, expected);
        assert_eq!(request.unit.as_ref().map(|unit| unit.as_str()), Some("sat"));
    }
    let locked = text(&nut["locked"]);
    assert!(PaymentRequest::from_str(locked).is_ok());
    let refused = TicketRequest::parse(locked);
    assert!(refused.is_err(), "a lock with conditions we do not know is not simply left out");
}

#[test]
fn nut_20_locked_quotes() {
    let all = vectors();
    let nut = &all["nut20"];
    let seed = Mnemonic::parse(text(&all["nut13"]["mnemonic"])).expect("words").seed();
    for (number, expected) in (0..).zip(list(&nut["keys"])) {
        let key = nut20::derive_quote_locking_key(seed.expose(), number).expect("a key");
        assert_eq!(key.public_key(), point(expected));
    }
    let request: MintRequest<String> = read(&nut["request"]);
    let hash = hex::encode(Sha256::digest(request.msg_to_sign()));
    assert_eq!(hash, text(&nut["message_sha256"]));
    request.verify_signature(point(&nut["pubkey"])).expect("signed");
    let mut other = request;
    other.quote.push('x');
    assert!(other.verify_signature(point(&nut["pubkey"])).is_err());
}
