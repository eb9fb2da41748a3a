//! The operators of Spark: what the library calls of them, and no more.

use std::collections::HashSet;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Message as Digest, PublicKey, SECP256K1, ecdsa};

use super::grpc::{INVALID_ARGUMENT, Reply, UNAUTHENTICATED, UNAVAILABLE, UNIMPLEMENTED};
use super::ledger::{Ledger, NextSend, Swap, Transfer};
use super::proto::{Fields, Message};

const TOKEN: &str = "operators-";
/// Hours from now that sessions last.
const SESSION: u64 = 3600;

/// Answers one call.
pub(super) fn answer(ledger: &Ledger, path: &str, token: Option<&str>, request: &[u8]) -> Reply {
    let name = path.rsplit('/').next().unwrap_or(path);
    ledger.count(name);
    if let Some(code) = ledger.ordered_status(name) {
        return Reply::Status(code, "as ordered");
    }
    let Some(request) = Fields::read(request) else {
        return Reply::Status(INVALID_ARGUMENT, "no message");
    };
    match name {
        "get_challenge" => return challenge(ledger, &request),
        "verify_challenge" => return verify(ledger, &request),
        _ => {}
    }
    let wallet = token.and_then(|token| token.strip_prefix(TOKEN));
    let Some(wallet) = wallet.and_then(|key| key.parse::<PublicKey>().ok()) else {
        return Reply::Status(UNAUTHENTICATED, "log in");
    };
    match name {
        "subscribe_to_events" => {
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            // Connected: a message within, even though it is empty.
            let connected = Message::default().message(3, &Message::default()).finish();
            if sender.send(connected).is_ok() {
                ledger.subscribe(wallet, sender);
            }
            Reply::Many(receiver)
        }
        "update_wallet_setting"
        | "query_pending_transfers"
        | "get_utxos_for_identity"
        | "query_token_outputs"
        | "query_token_transactions" => Reply::One(Vec::new()),
        "query_wallet_setting" => {
            let setting = Message::default().bytes(1, wallet.serialize()).number(2, 1);
            Reply::One(Message::default().message(1, &setting).finish())
        }
        "store_preimage_share_v2" => {
            let shares = request.all(2).filter_map(|entry| {
                let entry = Fields::read(entry)?;
                Some((entry.text(1).to_owned(), entry.bytes(2).to_vec()))
            });
            ledger.keep_shares(request.bytes(1), shares.collect());
            Reply::One(Vec::new())
        }
        "query_nodes" => nodes(ledger, wallet, &request),
        "query_all_transfers" => transfers(ledger, wallet, &request),
        "query_htlc" => htlcs(ledger, wallet, &request),
        "get_signing_commitments" => commitments(ledger, &request),
        "initiate_preimage_swap_v3" => swap(ledger, wallet, &request),
        _ => Reply::Status(UNIMPLEMENTED, "not here"),
    }
}

fn challenge(ledger: &Ledger, request: &Fields<'_>) -> Reply {
    let challenge = Message::default()
        .number(1, 1)
        .number(2, ledger.now())
        .bytes(3, ledger.random::<32>())
        .bytes(4, request.bytes(1));
    let protected =
        Message::default().number(1, 1).message(2, &challenge).bytes(3, ledger.random::<32>());
    Reply::One(Message::default().message(1, &protected).finish())
}

/// The signature is over the challenge as it was sent, so nothing needs to be remembered.
fn verify(ledger: &Ledger, request: &Fields<'_>) -> Reply {
    let challenge = request.message(1).bytes(2);
    match signer(challenge, request.bytes(2), request.bytes(3)) {
        Some(key) => {
            let session = Message::default()
                .bytes(1, format!("{TOKEN}{key}"))
                .number(2, ledger.now() + SESSION);
            Reply::One(session.finish())
        }
        None => Reply::Status(UNAUTHENTICATED, "the signature is wrong"),
    }
}

/// Who signed, if the signature is right.
pub(super) fn signer(text: &[u8], signature: &[u8], key: &[u8]) -> Option<PublicKey> {
    let key = PublicKey::from_slice(key).ok()?;
    let signature = ecdsa::Signature::from_der(signature).ok()?;
    let digest = Digest::from_digest(sha256::Hash::hash(text).to_byte_array());
    SECP256K1.verify_ecdsa(&digest, &signature, &key).ok().map(|()| key)
}

fn nodes(ledger: &Ledger, wallet: PublicKey, request: &Fields<'_>) -> Reply {
    let mut response = Message::default();
    if request.number(5) == 0 {
        let wanted: HashSet<&[u8]> = request.message(2).all(1).collect();
        for leaf in ledger.leaves(wallet) {
            if wanted.is_empty() || wanted.contains(leaf.id.as_bytes()) {
                response = response.entry(1, &leaf.id, &leaf.encode(&wallet));
            }
        }
    }
    Reply::One(response.finish())
}

fn transfers(ledger: &Ledger, wallet: PublicKey, request: &Fields<'_>) -> Reply {
    let wanted: HashSet<&[u8]> = request.all(3).collect();
    let all = ledger.transfers(wallet);
    let matching = all.iter().filter(|it| wanted.is_empty() || wanted.contains(it.id.as_bytes()));
    let skipped = usize::try_from(request.number(50)).unwrap_or(usize::MAX);
    let limit = usize::try_from(request.number(40)).ok().filter(|limit| *limit > 0);
    let page = matching.skip(skipped).take(limit.unwrap_or(100));
    let response = page.fold(Message::default(), |it, transfer| it.message(1, &transfer.encode()));
    Reply::One(response.finish())
}

fn htlcs(ledger: &Ledger, wallet: PublicKey, request: &Fields<'_>) -> Reply {
    let hashes: HashSet<&[u8]> = request.all(1).collect();
    let ids: HashSet<&[u8]> = request.all(6).collect();
    let found = ledger.htlcs(wallet).into_iter().filter(|htlc| {
        (hashes.is_empty() || hashes.contains(htlc.hash.as_slice()))
            && (ids.is_empty() || ids.contains(htlc.transfer.id.as_bytes()))
    });
    let skipped = usize::try_from(request.number(5)).unwrap_or(usize::MAX);
    let response = found.skip(skipped).fold(Message::default(), |response, htlc| {
        let Transfer { receiver, sender, created, .. } = &htlc.transfer;
        let one = Message::default()
            .bytes(1, htlc.hash)
            .bytes(2, receiver.serialize())
            .number(3, u64::from(htlc.preimage.is_some()))
            .time(4, *created)
            .message(5, &htlc.transfer.encode())
            .bytes(6, htlc.preimage.map(Vec::from).unwrap_or_default())
            .bytes(7, sender.serialize());
        response.message(1, &one)
    });
    Reply::One(response.finish())
}

/// Fresh points: the wallet needs them to sign, and nobody checks what comes of it.
fn commitments(ledger: &Ledger, request: &Fields<'_>) -> Reply {
    let count = request.all(1).count() * usize::try_from(request.number(2)).unwrap_or(0).min(8);
    let mut response = Message::default();
    for _ in 0..count {
        let mut one = Message::default();
        for identifier in ledger.identifiers() {
            let pair = Message::default()
                .bytes(1, ledger.random_point().serialize())
                .bytes(2, ledger.random_point().serialize());
            one = one.entry(1, &identifier, &pair);
        }
        response = response.message(1, &one);
    }
    Reply::One(response.finish())
}

fn swap(ledger: &Ledger, wallet: PublicKey, request: &Fields<'_>) -> Reply {
    if ledger.ordered_send() == NextSend::RefuseSwap {
        ledger.take_send();
        return Reply::Status(UNAVAILABLE, "as ordered");
    }
    let transfer = request.message(7);
    let amount = request.message(2);
    let leaves = transfer.message(7);
    let leaves: Option<Vec<&str>> =
        leaves.all(1).map(|leaf| Fields::read(leaf).map(|leaf| leaf.text(1))).collect();
    let Ok(hash) = <[u8; 32]>::try_from(request.bytes(1)) else {
        return Reply::Status(INVALID_ARGUMENT, "no payment hash");
    };
    let made = ledger.swap(&Swap {
        wallet,
        id: transfer.text(1),
        hash,
        sats: amount.number(1),
        bolt11: amount.message(2).text(1),
        leaves: &leaves.unwrap_or_default(),
    });
    match made {
        Ok(transfer) => Reply::One(Message::default().message(2, &transfer.encode()).finish()),
        Err(reason) => Reply::Status(INVALID_ARGUMENT, reason),
    }
}
