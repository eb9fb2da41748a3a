//! What a mint's no is worth: what it said of the proofs is believed, what went wrong inside it
//! says nothing, and a quote that may be paid is not forgotten for it.

use std::time::Duration;

use portal_core::cashu::{
    CashuError, Event, Expected, OfflineRule, Outcome, TicketWallet, Verdict,
};
use portal_core::env::Env;
use portal_testkit::mint::{Fault, StockMint};
use serde_json::json;

use crate::harness::{Owner, address, given, holds, mint, new_mint, new_send, unit};

/// What cdk's mint answers when its database fails: a client's error, and no code of the protocol.
fn failed_inside() -> String {
    json!({"code": 50000, "detail": "database error"}).to_string()
}

fn code(code: u16) -> String {
    json!({"code": code, "detail": "no"}).to_string()
}

/// It failed after it had acted, or before; and somebody on the way said no for it.
fn failures() -> [Fault; 4] {
    [
        Fault::AnswerFor(400, failed_inside()),
        Fault::Answer(400, failed_inside()),
        Fault::AnswerFor(422, "no".into()),
        Fault::Answer(400, "{}".into()),
    ]
}

fn is_unknown<T: std::fmt::Debug>(result: &Result<T, CashuError>) {
    match result {
        Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}"),
        Ok(value) => panic!("it should not be known: {value:?}"),
    }
}

/// Quotes the mint was asked for, whatever they are paid by.
fn quotes(mint: &StockMint) -> usize {
    mint.faults().asked("/v1/mint/quote/bolt11") + mint.faults().asked("/v1/mint/quote/portal")
}

async fn open_count(wallet: &TicketWallet) -> usize {
    wallet.open_operations().await.expect("reads").len()
}

#[tokio::test]
async fn sending_waits_when_the_mint_fails_inside() {
    for failure in failures() {
        let mint = mint().await;
        let wallet = Owner::new(1, &[&mint]).open().await;
        wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
        mint.faults().once("/v1/swap", failure.clone());
        is_unknown(&wallet.send("s", new_send(&mint, "sat", 10)).await);
        assert_eq!(holds(&wallet, "sat").await, (0, 64, 0), "{failure:?}");
        assert_eq!(wallet.recover().await.expect("recovers").done, 1, "{failure:?}");
        assert_eq!(holds(&wallet, "sat").await, (54, 0, 10));
        let sent = wallet.send("s", new_send(&mint, "sat", 10)).await.expect("done");
        let other = Owner::new(2, &[&mint]).open().await;
        assert_eq!(other.receive("r", &sent.token).await.expect("good").amount, 10);
    }
}

#[tokio::test]
async fn burning_and_taking_back_wait_when_the_mint_fails_inside() {
    for failure in failures() {
        let mint = mint().await;
        let wallet = Owner::new(1, &[&mint]).open().await;
        let minted = wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
        wallet.mint("n", given(&mint, "vip", 2, None)).await.expect("mints");
        let token = minted.token.expect("a token");
        let expected = Expected { mint: address(&mint), unit: unit("vip"), amount: Some(1) };
        mint.faults().once("/v1/melt/portal", failure.clone());
        is_unknown(&wallet.burn("b", &token, &expected).await);
        mint.faults().once("/v1/swap", failure.clone());
        is_unknown(&wallet.take_back("n").await);
        assert_eq!(wallet.recover().await.expect("recovers").done, 2, "{failure:?}");
        assert_eq!(wallet.burn("b", &token, &expected).await.expect("done").amount, 1);
        assert_eq!(wallet.take_back("n").await.expect("done"), 2);
        assert_eq!(mint.outstanding("vip").await.expect("says"), 2, "{failure:?}");
    }
}

#[tokio::test]
async fn a_ticket_is_pending_at_the_door_when_the_mint_fails_inside() {
    let mint = mint().await;
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    let gate = wallet.gate(Event {
        mint: address(&mint),
        unit: unit("vip"),
        amount: Some(1),
        offline: OfflineRule::Nothing,
    });
    mint.faults().once("/v1/melt/portal", Fault::AnswerFor(400, failed_inside()));
    assert_eq!(gate.check(&token).await.expect("looks"), Verdict::Pending);
    let verdict = gate.check(&token).await.expect("looks");
    assert_eq!(verdict, Verdict::Valid { amount: 1, offline: false });
}

#[tokio::test]
async fn what_a_broken_mint_has_not_touched_is_free_after_a_while() {
    let mint = mint().await;
    let (env, clock) = portal_core::env::mock::env(Env::system().now(), 1);
    let wallet = Owner::new(1, &[&mint]).open_with(env).await;
    wallet.mint("m", new_mint(&mint, "sat", 64)).await.expect("mints");
    mint.faults().always("/v1/swap", Fault::Answer(400, failed_inside()));
    is_unknown(&wallet.send("s", new_send(&mint, "sat", 10)).await);
    assert_eq!(wallet.recover().await.expect("asks").waiting, 1, "it may be on its way");
    assert_eq!(holds(&wallet, "sat").await, (0, 64, 0));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(wallet.recover().await.expect("asks").failed, 1);
    assert_eq!(holds(&wallet, "sat").await, (64, 0, 0), "the mint has neither spent nor signed");
    mint.faults().clear();
    wallet.send("s", new_send(&mint, "sat", 10)).await.expect("asked again it sends");
    assert_eq!(holds(&wallet, "sat").await, (54, 0, 10));
}

#[tokio::test]
async fn a_paid_quote_is_kept_whatever_the_mint_says_no_for() {
    for (number, code_of) in
        [20003, 20007, 20008, 11006, 11013, 12003, 30001].into_iter().enumerate()
    {
        let mint = mint().await;
        let owner = Owner::new(1, &[&mint]);
        let wallet = owner.open().await;
        mint.faults().once("/v1/mint/portal", Fault::Answer(400, code(code_of)));
        let refused = wallet.mint("m", given(&mint, "sat", 8, None)).await;
        assert!(refused.is_err(), "{code_of}: {refused:?}");
        assert_eq!(open_count(&wallet).await, 1, "{code_of}: it is paid");
        wallet.close().await;
        let wallet = owner.open().await;
        if number % 2 == 0 {
            assert_eq!(wallet.recover().await.expect("recovers").done, 1, "{code_of}");
        }
        let minted = wallet.mint("m", given(&mint, "sat", 8, None)).await.expect("mints");
        assert!(minted.token.is_some());
        assert_eq!(quotes(&mint), 1, "{code_of}: with the quote that was paid");
        assert_eq!(mint.outstanding("sat").await.expect("says"), 8);
    }
}

#[tokio::test]
async fn a_paid_quote_outlives_a_door_that_stays_shut_for_months() {
    let mint = mint().await;
    let (env, clock) = portal_core::env::mock::env(Env::system().now(), 1);
    let wallet = Owner::new(1, &[&mint]).open_with(env).await;
    mint.faults().always("/v1/mint/portal", Fault::Answer(400, code(20003)));
    assert!(wallet.mint("m", new_mint(&mint, "sat", 8)).await.is_err());
    for _ in 0..3 {
        clock.advance(Duration::from_secs(40 * 24 * 3600));
        assert_eq!(wallet.recover().await.expect("asks").waiting, 1);
    }
    mint.faults().clear();
    clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(wallet.recover().await.expect("asks").done, 1);
    assert_eq!(holds(&wallet, "sat").await, (8, 0, 0));
    assert_eq!(mint.mint().mint_quotes().await.expect("says").len(), 1, "the one that was paid");
}

#[tokio::test]
async fn an_unpaid_quote_says_what_to_pay_and_ends_with_its_time() {
    let mint = mint().await;
    mint.pay(false);
    let (env, clock) = portal_core::env::mock::env(Env::system().now(), 1);
    let wallet = Owner::new(1, &[&mint]).open_with(env).await;
    let unpaid = wallet.mint("m", new_mint(&mint, "sat", 8)).await;
    let Err(CashuError::Unpaid { request }) = unpaid else { panic!("{unpaid:?}") };
    let unpaid = async || wallet.open_operations().await.expect("reads")[0].unpaid.clone();
    assert_eq!(unpaid().await.as_ref(), Some(&request));
    assert_eq!(wallet.recover().await.expect("asks").waiting, 1);
    assert_eq!(unpaid().await.as_ref(), Some(&request), "also when it was asked about");
    assert_eq!(mint.faults().asked("/v1/restore"), 0, "what is not paid is not signed");
    clock.advance(Duration::from_secs(60 * 24 * 3600));
    assert_eq!(wallet.recover().await.expect("asks").failed, 1, "its time is over");
    assert_eq!(open_count(&wallet).await, 0);
    mint.pay(true);
    wallet.mint("m", new_mint(&mint, "sat", 8)).await.expect("asked again it is a new quote");
    assert_eq!(quotes(&mint), 2);
}
