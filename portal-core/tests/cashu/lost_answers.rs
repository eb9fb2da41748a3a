//! Every answer that a mint can give is lost once: at the latest the next start knows what
//! happened, and the sum of all value is what it should be.

use portal_core::cashu::{CashuError, Expected, Outcome};
use portal_testkit::mint::{Fault, StockMint};

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

/// Both ways to lose: the mint has acted, or has not.
const LOSSES: [Fault; 2] = [Fault::LoseAnswer, Fault::LoseRequest];

fn is_unknown<T: std::fmt::Debug>(result: &Result<T, CashuError>) {
    match result {
        Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}"),
        Ok(value) => panic!("it should not be known: {value:?}"),
    }
}

async fn all_there(mint: &StockMint, name: &str, parts: &[u64]) {
    let outstanding = mint.outstanding(name).await.expect("says");
    assert_eq!(outstanding, parts.iter().sum::<u64>(), "{parts:?}");
}

#[tokio::test]
async fn minting() {
    for loss in LOSSES {
        let mint = mint().await;
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        mint.faults().once("/v1/mint/portal", loss.clone());
        is_unknown(&wallet.mint("m", given(&mint, "vip", 3, None)).await);
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1, "{loss:?}");
        let minted = wallet.mint("m", given(&mint, "vip", 3, None)).await.expect("done");
        assert!(minted.token.is_some());
        all_there(&mint, "vip", &[holds(&wallet, "vip").await.2]).await;
        assert_eq!(holds(&wallet, "vip").await, (0, 0, 3));
    }
}

#[tokio::test]
async fn minting_for_a_holder_whose_lock_is_random() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    let person = Owner::new(2, &[&mint]).open().await;
    let lock = portal_core::cashu::Lock { to: person.key(), until: None };
    mint.faults().once("/v1/mint/portal", Fault::LoseAnswer);
    is_unknown(&wallet.mint("m", given(&mint, "vip", 2, Some(lock))).await);
    wallet.close().await;
    let wallet = owner.open().await;
    assert_eq!(wallet.recover().await.expect("recovers").done, 1);
    let minted = wallet.mint("m", given(&mint, "vip", 2, Some(lock))).await.expect("done");
    let token = minted.token.expect("a token");
    assert_eq!(person.receive("r", &token).await.expect("it is theirs").amount, 2);
}

#[tokio::test]
async fn the_quote() {
    for loss in LOSSES {
        let mint = mint().await;
        let wallet = Owner::new(1, &[&mint]).open().await;
        mint.faults().once("/v1/mint/quote/portal", loss);
        let lost = wallet.mint("m", given(&mint, "vip", 1, None)).await;
        assert!(lost.is_err());
        assert!(wallet.open_operations().await.expect("reads").is_empty(), "nothing happened");
        wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("asked again it mints");
        all_there(&mint, "vip", &[1]).await;
    }
}

#[tokio::test]
async fn sending_with_change() {
    for loss in LOSSES {
        let mint = mint().await;
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
        mint.faults().once("/v1/swap", loss);
        is_unknown(&wallet.send("s", new_send(&mint, "sat", 10)).await);
        assert_eq!(holds(&wallet, "sat").await, (0, 64, 0), "put aside");
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1);
        assert_eq!(holds(&wallet, "sat").await, (54, 0, 10));
        let sent = wallet.send("s", new_send(&mint, "sat", 10)).await.expect("done");
        let other = Owner::new(2, &[&mint]).open().await;
        assert_eq!(other.receive("r", &sent.token).await.expect("good").amount, 10);
        all_there(&mint, "sat", &[54, 10]).await;
    }
}

#[tokio::test]
async fn receiving() {
    for loss in LOSSES {
        let mint = mint().await;
        let sender = Owner::new(1, &[&mint]).open().await;
        let minted = sender.mint("m", given(&mint, "sat", 21, None)).await.expect("mints");
        let token = minted.token.expect("a token");
        let owner = Owner::new(2, &[&mint]);
        let wallet = owner.open().await;
        wallet.accept("r", &token).await.expect("written down");
        mint.faults().once("/v1/swap", loss);
        is_unknown(&wallet.receive("r", &token).await);
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1);
        assert_eq!(holds(&wallet, "sat").await, (21, 0, 0));
        assert_eq!(wallet.receive("r", &token).await.expect("done").amount, 21);
        all_there(&mint, "sat", &[21]).await;
    }
}

#[tokio::test]
async fn burning() {
    for loss in LOSSES {
        let mint = mint().await;
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        let minted = wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
        let token = minted.token.expect("a token");
        let expected = Expected { mint: address(&mint), unit: unit("vip"), amount: Some(1) };
        mint.faults().once("/v1/melt/portal", loss.clone());
        is_unknown(&wallet.burn("b", &token, &expected).await);
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1, "{loss:?}");
        assert_eq!(wallet.burn("b", &token, &expected).await.expect("done").amount, 1);
        assert_eq!(holds(&wallet, "vip").await, (0, 0, 0));
        all_there(&mint, "vip", &[]).await;
    }
}

#[tokio::test]
async fn burning_money() {
    for loss in LOSSES {
        let mint = mint().await;
        let person = Owner::new(2, &[&mint]).open().await;
        let minted = person.mint("m", given(&mint, "sat", 9, None)).await.expect("mints");
        let token = minted.token.expect("a token");
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        let expected = Expected { mint: address(&mint), unit: unit("sat"), amount: Some(9) };
        mint.faults().once("/v1/swap", loss);
        is_unknown(&wallet.burn("b", &token, &expected).await);
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1);
        assert_eq!(holds(&wallet, "sat").await, (9, 0, 0));
        all_there(&mint, "sat", &[9]).await;
    }
}

#[tokio::test]
async fn taking_back() {
    for loss in LOSSES {
        let mint = mint().await;
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        wallet.mint("m", given(&mint, "vip", 2, None)).await.expect("mints");
        mint.faults().once("/v1/swap", loss);
        is_unknown(&wallet.take_back("m").await);
        wallet.close().await;
        let wallet = owner.open().await;
        assert_eq!(wallet.recover().await.expect("recovers").done, 1);
        assert_eq!(wallet.take_back("m").await.expect("done"), 2);
        assert_eq!(holds(&wallet, "vip").await, (2, 0, 0));
        all_there(&mint, "vip", &[2]).await;
    }
}

#[tokio::test]
async fn the_second_answer_is_lost_as_well() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    mint.faults().always("/v1/swap", Fault::LoseAnswer);
    mint.faults().once("/v1/restore", Fault::LoseAnswer);
    is_unknown(&wallet.send("s", new_send(&mint, "sat", 10)).await);
    wallet.close().await;
    let wallet = owner.open().await;
    assert_eq!(wallet.recover().await.expect("recovers").waiting, 1, "still not known");
    assert_eq!(holds(&wallet, "sat").await, (0, 64, 0));
    mint.faults().clear();
    assert_eq!(wallet.recover().await.expect("recovers").done, 1);
    assert_eq!(holds(&wallet, "sat").await, (54, 0, 10));
    all_there(&mint, "sat", &[64]).await;
}

#[tokio::test]
async fn a_request_that_never_left_puts_nothing_aside() {
    let mint = mint().await;
    let owner = Owner::new(1, &[&mint]);
    let wallet = owner.open().await;
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    drop(mint);
    let mint = crate::harness::mint().await;
    let gone = wallet.balances().await.expect("reads")[0].mint.clone();
    let mut new = new_send(&mint, "sat", 10);
    new.mint = gone;
    let refused = wallet.send("s", new).await;
    assert!(matches!(refused, Err(CashuError::Unreachable)), "{refused:?}");
    assert_eq!(holds(&wallet, "sat").await, (64, 0, 0), "free again");
    assert!(wallet.open_operations().await.expect("reads").is_empty());
}
