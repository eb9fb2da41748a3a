//! The test vectors of the Cashu specification, against what the wallet uses. Where they are from
//! stands in `vectors/nuts.json`.

use std::str::FromStr;

use cdk_common::bitcoin::Network;
use cdk_common::bitcoin::bip32::{DerivationPath, Xpriv};
use cdk_common::dhke::{blind_message, hash_e, hash_to_curve, sign_message};
use cdk_common::nut10::SpendingConditionVerification;
use cdk_common::nuts::nut18::PaymentRequest;
use cdk_common::secret::Secret as ProofSecret;
use cdk_common::{
    Amount, BatchMintRequest, BlindSignature, CurrencyUnit, Id, Keys, MeltRequest, MintRequest,
    Proof, PublicKey, SECP256K1, SecretKey, SwapRequest, nut20,
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
fn nut_11_signatures_for_a_whole_request() {
    let nut = &vectors()["nut11"];
    let swap = read::<SwapRequest>(&nut["messages"]["swap"]["request"]);
    let melt = read::<MeltRequest<String>>(&nut["messages"]["melt"]["request"]);
    let made = [("swap", swap.sig_all_msg_to_sign()), ("melt", melt.sig_all_msg_to_sign())];
    for (name, message) in made {
        let expected = &nut["messages"][name];
        assert_eq!(message, text(&expected["text"]));
        assert_eq!(hex::encode(Sha256::digest(&message)), text(&expected["sha256"]));
    }
    for case in list(&nut["swaps"]) {
        read::<SwapRequest>(case).verify_spending_conditions().expect("spendable");
    }
    for case in list(&nut["swaps_wrong"]) {
        assert!(read::<SwapRequest>(case).verify_spending_conditions().is_err(), "{case}");
    }
    for case in list(&nut["melts"]) {
        read::<MeltRequest<String>>(case).verify_spending_conditions().expect("spendable");
        let mut other = case.clone();
        other["quote"] = "another".into();
        assert!(read::<MeltRequest<String>>(&other).verify_spending_conditions().is_err());
    }
}

#[test]
fn nut_12_proofs_of_signatures() {
    let nut = &vectors()["nut12"];
    let points = list(&nut["hash_e"]["points"]).iter().map(point);
    assert_eq!(hex::encode(hash_e(points)), text(&nut["hash_e"]["hash"]));
    let case = &nut["nonce"];
    let made = BlindSignature::new(
        Amount::from(1),
        point(&case["C_"]),
        "00882760bfa2eb41".parse().expect("an id"),
        &point(&case["B_"]),
        &key(&case["a"]),
    )
    .expect("signed");
    made.verify_dleq(point(&case["A"]), point(&case["B_"])).expect("by the mint");
    let proved = made.dleq.expect("proved");
    assert_eq!(proved.e.to_secret_hex(), text(&case["e"]));
    assert_eq!(proved.s.to_secret_hex(), text(&case["s"]));
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
    for (id, case) in [(id, nut), (text(&nut["v2"]["keyset"]).parse().expect("an id"), &nut["v2"])]
    {
        let expected = list(&case["secrets"]).iter().zip(list(&case["factors"]));
        for (number, (secret, factor)) in (0..).zip(expected) {
            let made = ProofSecret::from_seed(seed.expose(), id, number).expect("a secret");
            assert_eq!(made.to_string(), text(secret));
            let r = SecretKey::from_seed(seed.expose(), id, number).expect("a factor");
            assert_eq!(r.to_secret_hex(), text(factor));
        }
    }
    let root = Xpriv::new_master(Network::Bitcoin, seed.expose()).expect("a root");
    for (path, secret) in list(&nut["paths"]).iter().zip(list(&nut["secrets"])) {
        let path: DerivationPath = format!("{}/0", text(path)).parse().expect("a path");
        let made = root.derive_priv(&SECP256K1, &path).expect("a key").private_key;
        assert_eq!(SecretKey::from(made).to_secret_hex(), text(secret));
    }
}

/// What is read of a request that says this; one with a lock whose conditions nobody here knows is
/// refused, not read without it.
fn assert_read(text: &str, said: &Value) {
    let read = TicketRequest::parse(text);
    if !said["nut10"].is_null() {
        assert!(read.is_err(), "{read:?}");
        return;
    }
    let read = read.expect("reads");
    assert_eq!(read.id.as_deref(), said["i"].as_str());
    assert_eq!(read.amount, said["a"].as_u64());
    assert_eq!(read.unit.as_ref().map(|unit| unit.as_str()), said["u"].as_str());
    assert_eq!(read.description.as_deref(), said["d"].as_str());
    let mints: Vec<&str> = read.mints.iter().map(|mint| mint.as_str()).collect();
    let expected: Vec<&str> = list(&said["m"]).iter().map(self::text).collect();
    assert_eq!(mints, expected);
}

#[test]
fn nut_18_payment_requests() {
    for case in list(&vectors()["nut18"]["requests"]) {
        let decoded = PaymentRequest::from_str(text(&case["text"])).expect("reads");
        assert_eq!(decoded, read(&case["request"]), "{case}");
        assert_read(text(&case["text"]), &case["request"]);
    }
}

#[test]
fn nut_26_payment_requests_in_capital_letters() {
    for case in list(&vectors()["nut26"]["requests"]) {
        assert_read(text(&case["text"]), &case["request"]);
    }
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
    assert_eq!(hex::encode(request.msg_to_sign()), text(&nut["message"]));
    request.verify_signature(point(&nut["pubkey"])).expect("signed");
    let mut other = request;
    other.quote.push('x');
    assert!(other.verify_signature(point(&nut["pubkey"])).is_err());
    // As wallets signed before messages had a tag and lengths.
    let older = &nut["older"];
    let mut request: MintRequest<String> = read(&older["request"]);
    request.verify_signature(point(&older["pubkey"])).expect("signed");
    request.signature = older["wrong_signature"].as_str().map(str::to_owned);
    assert!(request.verify_signature(point(&older["pubkey"])).is_err());
}

#[test]
fn nut_29_a_batch_of_locked_quotes() {
    let nut = &vectors()["nut29"];
    let request: BatchMintRequest<String> = read(&nut["request"]);
    let quote = request.quotes[0].clone();
    assert_eq!(hex::encode(request.msg_to_sign(&quote)), text(&nut["message"]));
    let hash = hex::encode(Sha256::digest(request.msg_to_sign(&quote)));
    assert_eq!(hash, text(&nut["message_sha256"]));
    let signature = text(&nut["request"]["signatures"][0]);
    let key = point(&nut["pubkey"]);
    request.verify_quote_signature(&quote, signature, &key).expect("signed");
    assert!(request.verify_quote_signature(&"other".to_owned(), signature, &key).is_err());
}
