//! The seed: everything comes back from it, and no other seed gets into its file.

use std::str::FromStr;

use cdk_common::nuts::nut00::token::TokenV4;
use portal_core::cashu::{CashuError, TicketWallet, TicketWalletOptions};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_testkit::mint::{Fault, StockMint};
use serde_json::json;

use crate::harness::{Owner, address, given, holds, mint, new_mint, unit};

/// The active keyset of a unit, as counters are named.
async fn keyset(mint: &StockMint, name: &str) -> String {
    let keysets = mint.mint().keysets().keysets;
    let found = keysets.iter().find(|keyset| keyset.active && keyset.unit.to_string() == name);
    found.expect("a keyset").id.to_string()
}

/// A gift of proofs that no mint has signed, and that do not say so.
fn invented(token: &str, number: usize) -> String {
    let mut token = TokenV4::from_str(token).expect("a token");
    let proof = token.token[0].proofs[0].clone();
    token.token[0].proofs = (0..150)
        .map(|index| {
            let mut proof = proof.clone();
            proof.secret = cdk_common::secret::Secret::new(format!("invented {number} {index}"));
            proof.dleq = None;
            proof
        })
        .collect();
    token.to_string()
}

async fn restored(mint: &StockMint, name: &str) -> u64 {
    let fresh = Owner::new(1, &[mint]).open().await;
    fresh.restore(&address(mint), &unit(name)).await.expect("restores").amount
}

#[tokio::test]
async fn what_comes_behind_a_hole_of_a_thousand_numbers_is_restored() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("before", new_mint(&mint, "vip", 2)).await.expect("mints");
    wallet.close().await;
    let store = TicketStore::open(&owner.path(), SqliteOptions::default()).expect("opens");
    store.take_numbers(&keyset(&mint, "vip").await, 1000).await.expect("taken");
    store.close().await;
    let wallet = owner.open().await;
    wallet.mint("behind", new_mint(&mint, "vip", 3)).await.expect("mints");
    assert_eq!(restored(&mint, "vip").await, 5);
}

#[tokio::test]
async fn strangers_cannot_make_a_hole_with_gifts_that_are_worth_nothing() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let minted = Owner::new(2, &[&mint]).open().await.mint("m", given(&mint, "vip", 1, None)).await;
    let token = minted.expect("mints").token.expect("a token");
    for number in 0..3 {
        let gift = invented(&token, number);
        let key = format!("gift-{number}");
        wallet.accept(&key, &gift).await.expect("written down");
        let refused = wallet.receive(&key, &gift).await;
        assert!(matches!(refused, Err(CashuError::InvalidToken { .. })), "{refused:?}");
    }
    // And a good one that the mint does not want now: it waits, with its numbers.
    let no = json!({"code": 11006, "detail": "too much"}).to_string();
    mint.faults().once("/v1/swap", Fault::Answer(400, no));
    let gift = Owner::new(3, &[&mint]).open().await.mint("n", given(&mint, "vip", 40, None)).await;
    let gift = gift.expect("mints").token.expect("a token");
    assert!(wallet.receive("limits", &gift).await.is_err());
    wallet.close().await;
    let store = TicketStore::open(&owner.path(), SqliteOptions::default()).expect("opens");
    let next = store.next_number(&keyset(&mint, "vip").await).await.expect("reads");
    assert_eq!(next, 40, "what is worth nothing gave its numbers back; the other is asked again");
    store.close().await;
    let wallet = owner.open().await;
    wallet.receive("limits", &gift).await.expect("asked again it is received");
    assert_eq!(holds(&wallet, "vip").await, (40, 0, 0));
    assert_eq!(restored(&mint, "vip").await, 40);
}

#[tokio::test]
async fn a_store_is_searched_as_far_as_it_has_counted() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let store = TicketStore::open(&owner.path(), SqliteOptions::default()).expect("opens");
    store.take_numbers(&keyset(&mint, "vip").await, 5000).await.expect("taken");
    store.close().await;
    let wallet = owner.open().await;
    wallet.mint("m", given(&mint, "vip", 2, None)).await.expect("mints");
    let token = wallet.unclaimed().await.expect("reads")[0].token.clone();
    Owner::new(2, &[&mint]).open().await.receive("r", &token).await.expect("receives");
    let found = wallet.restore(&address(&mint), &unit("vip")).await.expect("restores");
    assert_eq!((found.amount, found.spent), (0, 2));
}

#[tokio::test]
async fn another_seed_does_not_get_into_the_file() {
    let mint = mint().await;
    let mut owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "vip", 1)).await.expect("mints");
    wallet.close().await;
    let right = owner.seed;
    owner.seed = [9; 64];
    let open = async |seed| {
        let store = TicketStore::open(&owner.path(), SqliteOptions::default()).expect("opens");
        TicketWallet::open(TicketWalletOptions::new(Env::system(), Secret::new(seed), store)).await
    };
    let other = open([9; 64]).await;
    assert!(matches!(other, Err(CashuError::OtherSeed)), "{other:?}");
    let wallet = open(right).await.expect("opens");
    assert_eq!(holds(&wallet, "vip").await, (1, 0, 0), "nothing was touched");
}
