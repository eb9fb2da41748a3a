//! The service provider of Spark: the door to Lightning, spoken to in GraphQL.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitcoin::secp256k1::PublicKey;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::ledger::{Heard, Ledger, Receive, Send, SendState};
use super::operators::signer;
use super::proto::{Fields, Message};

const TOKEN: &str = "Bearer provider-";

/// Answers one operation: a status of HTTP and a body.
pub(super) fn answer(ledger: &Ledger, token: Option<&str>, body: &[u8]) -> (u16, Vec<u8>) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return (400, Vec::new());
    };
    let name = request["operationName"].as_str().unwrap_or_default();
    ledger.count(name);
    if ledger.ordered_status(name).is_some() {
        return (500, Vec::new());
    }
    let (variables, input) = (&request["variables"], &request["variables"]["input"]);
    let data = match name {
        "GetChallenge" => challenge(ledger, input),
        "VerifyChallenge" => verify(ledger, input),
        _ => {
            let wallet = token.and_then(|token| token.strip_prefix(TOKEN));
            let Some(wallet) = wallet.and_then(|key| key.parse::<PublicKey>().ok()) else {
                return (401, Vec::new());
            };
            if name == "RequestLightningSend" {
                let id = &input["user_outbound_transfer_external_id"];
                match ledger.send(id.as_str().unwrap_or_default()) {
                    Heard::State(send) => {
                        Some(json!({"request_lightning_send": {"request": sent(&send)}}))
                    }
                    Heard::Nonsense => Some(json!({"request_lightning_send": {"request": 7}})),
                    Heard::Nothing => return (500, Vec::new()),
                }
            } else {
                known(ledger, wallet, name, variables)
            }
        }
    };
    let answer = match data {
        Some(data) => json!({"data": data}),
        None => json!({"data": null, "errors": [{"message": "not understood"}]}),
    };
    (200, answer.to_string().into_bytes())
}

fn known(ledger: &Ledger, wallet: PublicKey, name: &str, variables: &Value) -> Option<Value> {
    let input = &variables["input"];
    match name {
        "RequestLightningReceive" => {
            let mut hash = [0; 32];
            hex::decode_to_slice(input["payment_hash"].as_str()?, &mut hash).ok()?;
            let expiry = Duration::from_secs(input["expiry_secs"].as_u64().unwrap_or(3600));
            let memo = input["memo"].as_str().map(str::to_owned);
            let sats = input["amount_sats"].as_u64()?;
            let receive = ledger.add_receive(wallet, hash, sats, memo, expiry);
            Some(json!({"request_lightning_receive": {"request": received(&receive)}}))
        }
        "LightningSendFeeEstimate" => {
            let fee = money(ledger.fee());
            Some(json!({"lightning_send_fee_estimate": {"fee_estimate": fee}}))
        }
        "Transfers" => {
            let ids = variables["transfer_spark_ids"].as_array()?;
            let transfers = ids.iter().filter_map(|id| {
                let id = id.as_str()?;
                let (sats, request) = match ledger.receive_of(id) {
                    Some(receive) => (receive.sats, received(&receive)),
                    None => ledger.send_of(id).map(|send| (send.fee, sent(&send)))?,
                };
                Some(json!({"total_amount": money(sats), "spark_id": id, "user_request": request}))
            });
            Some(json!({"transfers": transfers.collect::<Vec<_>>()}))
        }
        "UserRequest" => {
            let id = variables["request_id"].as_str()?;
            let request = ledger
                .receive_by_id(id)
                .map(|receive| received(&receive))
                .or_else(|| ledger.send_by_id(id).map(|send| sent(&send)));
            Some(json!({"user_request": request}))
        }
        _ => None,
    }
}

fn challenge(ledger: &Ledger, input: &Value) -> Option<Value> {
    let key = hex::decode(input["public_key"].as_str()?).ok()?;
    let challenge = Message::default()
        .number(1, 1)
        .number(10, ledger.now())
        .bytes(20, ledger.random::<32>())
        .bytes(30, key);
    let protected =
        Message::default().number(1, 1).message(10, &challenge).bytes(20, ledger.random::<32>());
    let text = URL_SAFE_NO_PAD.encode(protected.finish());
    Some(json!({"get_challenge": {"protected_challenge": text}}))
}

/// The signature is over all that was sent, which names the key.
fn verify(ledger: &Ledger, input: &Value) -> Option<Value> {
    let protected = URL_SAFE_NO_PAD.decode(input["protected_challenge"].as_str()?).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(input["signature"].as_str()?).ok()?;
    let key = hex::decode(input["identity_public_key"].as_str()?).ok()?;
    let named = Fields::read(&protected)?.message(10).bytes(30) == key;
    let key = signer(&protected, &signature, &key).filter(|_| named)?;
    let token = format!("{}{key}", TOKEN.trim_start_matches("Bearer "));
    let until = date(ledger.now() + 3600);
    Some(json!({"verify_challenge": {"session_token": token, "valid_until": until}}))
}

fn received(receive: &Receive) -> Value {
    let status = if receive.transfer.is_some() { "TRANSFER_COMPLETED" } else { "INVOICE_CREATED" };
    let transfer = receive.transfer.as_ref().map(|id| {
        let request = json!({"__typename": "LightningReceiveRequest", "id": receive.id});
        json!({"total_amount": money(receive.sats), "spark_id": id, "user_request": request})
    });
    json!({
        "__typename": "LightningReceiveRequest",
        "id": receive.id,
        "created_at": date(receive.created),
        "updated_at": date(receive.created),
        "network": "REGTEST",
        "lightning_request_status": status,
        "invoice": {
            "encoded_invoice": receive.bolt11,
            "bitcoin_network": "REGTEST",
            "payment_hash": hex::encode(receive.hash),
            "amount": money(receive.sats),
            "created_at": date(receive.created),
            "invoice_expired_at": date(receive.expires),
            "memo": receive.memo,
        },
        "transfer": transfer,
        "lightning_receive_payment_preimage": receive.preimage.map(hex::encode),
        "receiver_identity_public_key": null,
    })
}

fn sent(send: &Send) -> Value {
    let status = match send.state {
        SendState::Swapped | SendState::Created => "CREATED",
        SendState::Succeeded => "LIGHTNING_PAYMENT_SUCCEEDED",
        SendState::Failed => "LIGHTNING_PAYMENT_FAILED",
    };
    json!({
        "__typename": "LightningSendRequest",
        "id": send.id,
        "created_at": date(send.created),
        "updated_at": date(send.created),
        "network": "REGTEST",
        "status": status,
        "encoded_invoice": send.bolt11,
        "fee": money(send.fee),
        "idempotency_key": send.transfer,
        "transfer": null,
        "lightning_send_payment_preimage": send.preimage.map(hex::encode),
    })
}

fn money(sats: u64) -> Value {
    json!({
        "original_value": sats * 1000,
        "original_unit": "MILLISATOSHI",
        "preferred_currency_unit": "SATOSHI",
        "preferred_currency_value_rounded": sats,
    })
}

fn date(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let date = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    date.to_rfc3339_opts(SecondsFormat::Secs, false)
}
