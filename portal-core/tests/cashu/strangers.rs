//! What strangers can send, and mints that are where strangers must not send us.

use std::str::FromStr;
use std::time::Duration;

use cdk_common::nuts::nut00::token::TokenV4;
use portal_core::cashu::{CashuError, Patience, TicketToken, TicketWallet};
use portal_core::env::Env;
use portal_testkit::mint::{Fault, StockMint, StockMintOptions, StockUnit};

use crate::harness::{Owner, address, given, holds, mint, new_mint};

async fn open_count(wallet: &TicketWallet) -> usize {
    wallet.open_operations().await.expect("reads").len()
}

async fn gift(mint: &StockMint, name: &str, amount: u64) -> String {
    let wallet = Owner::new(9, &[mint]).open().await;
    let key = format!("gift {name} {amount}");
    let minted = wallet.mint(&key, given(mint, name, amount, None)).await.expect("mints");
    minted.token.expect("a token")
}

#[tokio::test]
async fn a_mint_that_was_named_once_is_trusted_after_a_restart() {
    let mint = mint().await;
    // Nothing says at the start that this mint may be on a private address.
    let owner = Owner::new(1, &[]);
    let wallet = owner.open().await;
    wallet.trust_always(&address(&mint)).await.expect("kept");
    wallet.mint("kept", given(&mint, "vip", 1, None)).await.expect("mints");
    mint.faults().once("/v1/mint/portal", Fault::LoseAnswer);
    assert!(wallet.mint("m", given(&mint, "vip", 2, None)).await.is_err());
    wallet.close().await;
    let wallet = owner.open().await;
    assert_eq!(wallet.recover().await.expect("recovers").done, 1);
    assert_eq!(wallet.watch().await.expect("asks"), 0);
    assert_eq!(wallet.take_back("kept").await.expect("takes back"), 1);
    assert_eq!(holds(&wallet, "vip").await, (1, 0, 2));
    wallet.close().await;

    let owner = Owner::new(2, &[]);
    let wallet = owner.open().await;
    wallet.trust(&address(&mint));
    wallet.mint("m", given(&mint, "vip", 1, None)).await.expect("mints");
    wallet.close().await;
    let later = owner.open().await.take_back("m").await;
    assert!(matches!(later, Err(CashuError::ForbiddenMint(_))), "only as long as it was open");
}

#[tokio::test]
async fn a_gift_that_can_never_be_received_does_not_stay_open() {
    let units = vec![StockUnit::tickets("vip"), StockUnit::fungible("sat").with_fee(1000)];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let wallet = Owner::new(1, &[&mint]).open().await;
    let fee = wallet.receive("fee", &gift(&mint, "sat", 1).await).await;
    assert!(matches!(fee, Err(CashuError::Amount { .. })), "{fee:?}");
    let mut dressed_up = TokenV4::from_str(&gift(&mint, "sat", 2).await).expect("a token");
    dressed_up.unit = "vip".parse().expect("a unit");
    let unit = wallet.receive("unit", &dressed_up.to_string()).await;
    assert!(matches!(unit, Err(CashuError::WrongUnit)), "{unit:?}");
    assert_eq!(open_count(&wallet).await, 0);
}

#[tokio::test]
async fn gifts_that_wait_are_limited_and_those_of_named_mints_are_not() {
    let mint = mint().await;
    let token = gift(&mint, "vip", 1).await;
    let invented = |number: usize| {
        let mut token = TokenV4::from_str(&token).expect("a token");
        let secret = cdk_common::secret::Secret::new(format!("invented {number}"));
        token.token[0].proofs[0].secret = secret;
        token.to_string()
    };
    let wallet = Owner::new(1, &[]).open().await;
    let mut refused = None;
    for number in 0..150 {
        match wallet.accept(&format!("g{number}"), &invented(number)).await {
            Ok(()) => assert!(refused.is_none()),
            Err(CashuError::TooMany { most }) => refused = Some((number, most)),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(refused, Some((149, 100)));
    assert_eq!(open_count(&wallet).await, 100);
    wallet.accept("g0", &invented(0)).await.expect("what is there is there");
    wallet.trust_always(&address(&mint)).await.expect("kept");
    wallet.accept("g149", &invented(149)).await.expect("of a mint that its owner has named");
    wallet.mint("own", new_mint(&mint, "vip", 1)).await.expect("what the owner does has no limit");
}

#[tokio::test]
async fn a_gift_ends_when_its_mint_is_not_heard_of_for_a_month_and_many_looks() {
    let mint = mint().await;
    let token = gift(&mint, "vip", 1).await;
    let (env, clock) = portal_core::env::mock::env(Env::system().now(), 1);
    let wallet = Owner::new(1, &[]).open_with(env).await;
    wallet.accept("g", &token).await.expect("written down");
    for _ in 0..60 {
        assert_eq!(wallet.recover().await.expect("looks").waiting, 1);
    }
    clock.advance(Duration::from_secs(31 * 24 * 3600));
    for _ in 0..49 {
        let report = wallet.recover().await.expect("looks");
        assert_eq!(report.waiting, 1, "a phone that was off for a month looks again");
    }
    assert_eq!(wallet.recover().await.expect("looks").failed, 1);
    assert_eq!(open_count(&wallet).await, 0);
    wallet.trust(&address(&mint));
    assert_eq!(wallet.receive("g", &token).await.expect("asked for it is received").amount, 1);
}

#[tokio::test]
async fn a_mint_that_is_away_is_asked_once_what_is_spent() {
    let (here, away) = (mint().await, mint().await);
    let mut owner = Owner::new(1, &[&here, &away]);
    let wallet = owner.open().await;
    wallet.mint("a", given(&away, "vip", 350, None)).await.expect("mints");
    let minted = wallet.mint("h", given(&here, "vip", 350, None)).await.expect("mints");
    let token = minted.token.expect("a token");
    Owner::new(2, &[&here]).open().await.receive("r", &token).await.expect("receives");
    wallet.close().await;
    // Long enough for the mint that is there, on a busy machine too.
    let patience = Duration::from_secs(3);
    owner.patience = Patience { connect: patience, answer: patience };
    let wallet = owner.open().await;
    away.faults().always("/v1/checkstate", Fault::Hang);
    assert_eq!(wallet.watch().await.expect("asks"), 350);
    assert_eq!(away.faults().asked("/v1/checkstate"), 1);
}

#[tokio::test]
async fn more_than_can_be_counted_is_no_token() {
    let units = vec![StockUnit {
        amounts: (0..63).map(|power| 1_u64 << power).collect(),
        ..StockUnit::fungible("sat")
    }];
    let mint = StockMint::start(StockMintOptions { units, ..StockMintOptions::default() })
        .await
        .expect("a mint");
    let wallet = Owner::new(1, &[&mint]).open().await;
    let minted = wallet.mint("m", given(&mint, "sat", 5, None)).await;
    let token = minted.expect("its other keys are good").token.expect("a token");
    let mut worth = TokenV4::from_str(&token).expect("a token");
    for (amount, fits) in [(1 << 52, true), ((1 << 53) + 1, false), (1 << 62, false)] {
        worth.token[0].proofs[0].amount = cdk_common::Amount::from(amount);
        let read = TicketToken::parse(&worth.to_string());
        assert_eq!(read.is_ok(), fits, "{amount}: {read:?}");
    }
    let much = portal_core::cashu::NewMint { amount: 1 << 60, ..new_mint(&mint, "sat", 1) };
    let refused = wallet.mint("n", much).await;
    assert!(matches!(refused, Err(CashuError::Amount { .. })), "{refused:?}");
}
