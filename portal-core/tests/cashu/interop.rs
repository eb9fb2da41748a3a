//! Wallets that nobody here wrote: cdk's own, in both directions, and from the same seed.

use std::str::FromStr;
use std::sync::Arc;

use cdk::amount::SplitTarget;
use cdk::nuts::{CurrencyUnit, PaymentMethod};
use cdk::wallet::{ReceiveOptions, SendOptions, Wallet, WalletBuilder};
use cdk_common::bitcoin::Network;
use cdk_common::bitcoin::bip32::{DerivationPath, Xpriv};
use cdk_common::dhke::{blind_message, construct_proofs};
use cdk_common::{Amount, BlindedMessage, Id, SECP256K1, SecretKey, Token};
use portal_core::primitives::Secret;
use portal_testkit::mint::StockMint;

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

async fn peer(mint: &StockMint, name: &str, seed: [u8; 64]) -> Wallet {
    let store = cdk_sqlite::wallet::memory::empty().await.expect("a store");
    WalletBuilder::new()
        .mint_url(mint.url().parse().expect("a url"))
        .unit(CurrencyUnit::from_str(name).expect("a unit"))
        .localstore(Arc::new(store))
        .seed(seed)
        .without_rate_limiting()
        .build()
        .expect("a wallet")
}

#[tokio::test]
async fn our_tokens_are_received_by_another_wallet_and_theirs_by_ours() {
    let mint = mint().await;
    let ours = Owner::new(1, &[&mint]).open().await;
    for name in ["vip", "sat"] {
        let theirs = peer(&mint, name, [5; 64]).await;
        let minted = ours.mint(name, given(&mint, name, 5, None)).await.expect("mints");
        let token = minted.token.expect("a token");
        let received =
            theirs.receive(&token, ReceiveOptions::default()).await.expect("they receive");
        assert_eq!(received, Amount::from(5));
        let prepared = theirs
            .prepare_send(Amount::from(2), SendOptions::default())
            .await
            .expect("they prepare");
        let token = prepared.confirm(None).await.expect("they send").to_string();
        let received = ours.receive(&format!("r-{name}"), &token).await.expect("we receive");
        assert_eq!(received.amount, 2);
        let older =
            Token::from_str(&ours_sends(&ours, &mint, name).await).expect("a token").to_v3_string();
        let back = ours.receive(&format!("v3-{name}"), &older).await.expect("also the older form");
        assert_eq!(back.amount, 1);
    }
}

async fn ours_sends(
    ours: &portal_core::cashu::TicketWallet,
    mint: &StockMint,
    name: &str,
) -> String {
    ours.send(&format!("s-{name}"), new_send(mint, name, 1)).await.expect("sends").token
}

#[tokio::test]
async fn another_wallet_restores_our_seed_and_we_restore_theirs() {
    let mint = mint().await;
    let owner = Owner::new(3, &[&mint]);
    let ours = owner.open().await;
    ours.mint("m", new_mint(&mint, "sat", 37)).await.expect("mints");
    let theirs = peer(&mint, "sat", owner.seed).await;
    theirs.fetch_mint_info().await.expect("asks");
    let restored = theirs.restore().await.expect("they restore");
    assert_eq!(restored.unspent, Amount::from(37));

    let theirs = peer(&mint, "sat", [44; 64]).await;
    let quote = theirs
        .mint_quote(PaymentMethod::BOLT11, Some(Amount::from(21)), None, None)
        .await
        .expect("a quote");
    theirs.mint(&quote.id, SplitTarget::default(), None).await.expect("they mint");
    let copy = Owner::new(44, &[&mint]).open().await;
    let restored = copy.restore(&address(&mint), &unit("sat")).await.expect("we restore");
    assert_eq!(restored.amount, 21);
    assert_eq!(holds(&copy, "sat").await, (21, 0, 0));
}

/// What an app with 32 bytes of seed had: minted as such an app would have.
pub async fn older_wallet_mints(mint: &StockMint, seed: &Secret<[u8; 32]>, count: u32) -> String {
    let keysets = mint.mint().keysets().keysets;
    let keyset = keysets.iter().find(|set| set.unit.to_string() == "vip").expect("a keyset");
    let number = u32::from(keyset.id);
    let root = Xpriv::new_master(Network::Bitcoin, seed.expose()).expect("a root");
    let key = |counter: u32, last: u32| -> SecretKey {
        let path: DerivationPath =
            format!("m/129372'/0'/{number}'/{counter}'/{last}").parse().expect("a path");
        root.derive_priv(&SECP256K1, &path).expect("a key").private_key.into()
    };
    let mut outputs = Vec::new();
    let mut secrets = Vec::new();
    let mut factors = Vec::new();
    for counter in 0..count {
        let secret = cdk_common::secret::Secret::new(key(counter, 0).to_secret_hex());
        let (blinded, r) =
            blind_message(&secret.to_bytes(), Some(key(counter, 1))).expect("blinded");
        outputs.push(BlindedMessage::new(Amount::from(1), keyset.id, blinded));
        secrets.push(secret);
        factors.push(r);
    }
    let quote = post(
        &format!("{}/v1/mint/quote/bolt11", mint.url()),
        serde_json::json!({"amount": count, "unit": "vip"}),
    )
    .await;
    let answer = post(
        &format!("{}/v1/mint/bolt11", mint.url()),
        serde_json::json!({"quote": quote["quote"], "outputs": outputs}),
    )
    .await;
    let signatures = serde_json::from_value(answer["signatures"].clone()).expect("signatures");
    let keys = keys_of(mint, keyset.id).await;
    let proofs = construct_proofs(signatures, factors, secrets, &keys).expect("proofs");
    let url = mint.url().parse().expect("a url");
    Token::new(url, proofs, None, CurrencyUnit::custom("vip")).to_string()
}

async fn keys_of(mint: &StockMint, id: Id) -> cdk_common::Keys {
    mint.mint().keyset_pubkeys(&id).expect("keys").keysets[0].keys.clone()
}

async fn post(url: &str, body: serde_json::Value) -> serde_json::Value {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.strip_prefix("http://").expect("http");
    let (host, path) = address.split_once('/').expect("a path");
    let body = body.to_string();
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connects");
    let request = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"))
}

/// A ticket that either of two people can spend, made by another wallet.
pub async fn locked_to_either(mint: &StockMint, keys: &[nostr::PublicKey; 2]) -> String {
    let point = |key: &nostr::PublicKey| {
        cdk_common::PublicKey::from_hex(format!("02{}", key.to_hex())).expect("a point")
    };
    let conditions = cdk_common::Conditions {
        pubkeys: Some(vec![point(&keys[1])]),
        ..cdk_common::Conditions::default()
    };
    let lock = cdk_common::SpendingConditions::new_p2pk(point(&keys[0]), Some(conditions));
    let wallet = peer(mint, "vip", [88; 64]).await;
    let funds = Owner::new(8, &[mint]).open().await;
    let minted = funds.mint("m", given(mint, "vip", 1, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    wallet.receive(&token, ReceiveOptions::default()).await.expect("they receive");
    let options = SendOptions { conditions: Some(lock), ..SendOptions::default() };
    let prepared = wallet.prepare_send(Amount::from(1), options).await.expect("they prepare");
    prepared.confirm(None).await.expect("they send").to_string()
}
