//! Paying.

use std::time::Duration;

use portal_breez::FeePolicy;
use portal_core::primitives::Millisats;
use portal_core::wallet::{
    Direction, LightningWallet as _, PayInvoice, PayOutcome, PaymentState, WalletError,
};
use portal_testkit::NextSend;
use sha2::{Digest as _, Sha256};

use crate::world::{WORDS, World, balance, list, payment, settled, soon, until};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_arrives_once_with_its_preimage_and_its_fee() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    assert_eq!(balance(&wallet).await, 1_000);
    let mut events = wallet.events();
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    let hash = request.payment_hash;
    assert_eq!(wallet.lookup(hash).await.expect("answers"), None);
    let outcome = soon("paid", wallet.pay(request.clone())).await.expect("answers");
    let PayOutcome::Settled { preimage, fee } = outcome.clone() else { panic!("{outcome:?}") };
    assert_eq!(Sha256::digest(preimage).as_slice(), hash.0);
    assert_eq!(fee, Millisats::new(3_000));
    assert_eq!(balance(&wallet).await, 897);
    let told = settled(&mut events).await;
    assert_eq!((told.payment_hash, told.direction), (hash, Direction::Outgoing));
    assert_eq!((told.amount, told.fee), (Millisats::new(100_000), Millisats::new(3_000)));

    assert_eq!(soon("again", wallet.pay(request.clone())).await.expect("answers"), outcome);
    wallet.shutdown().await;
    drop(wallet);
    let wallet = world.open(world.config(WORDS, "wallet")).await;
    assert_eq!(soon("again", wallet.pay(request)).await.expect("answers"), outcome);
    assert_eq!(world.spark.paid(hash.0), 1);
    let listed = list(&wallet).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(
        matches!(listed[0].state, PaymentState::Settled { preimage: Some(it), .. } if it == preimage)
    );
    assert_eq!(balance(&wallet).await, 897);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_asking_at_once_pay_once() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    let asking = (0..20).map(|_| wallet.pay(request.clone()));
    for outcome in soon("all answer", futures_util::future::join_all(asking)).await {
        let outcome = outcome.expect("answers");
        assert!(!matches!(outcome, PayOutcome::Failed { .. }), "{outcome:?}");
    }
    assert_eq!(world.spark.paid(request.payment_hash.0), 1);
    assert_eq!(balance(&wallet).await, 897);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_fails_is_failed_and_costs_nothing() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    world.spark.order_send(NextSend::Fail);
    let outcome = soon("an answer", wallet.pay(request.clone())).await.expect("answers");
    assert!(matches!(outcome, PayOutcome::Failed { .. }), "{outcome:?}");
    let seen = wallet.lookup(request.payment_hash).await.expect("answers").expect("known");
    assert_eq!((seen.direction, seen.state), (Direction::Outgoing, PaymentState::Failed));
    assert_eq!(balance(&wallet).await, 1_000);
    assert_eq!(world.spark.paid(request.payment_hash.0), 0);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_under_way_is_pending_until_it_arrives() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let mut request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    request.timeout = Duration::from_secs(8);
    let hash = request.payment_hash;
    world.spark.order_send(NextSend::Hold);
    let outcome = soon("an answer", wallet.pay(request.clone())).await.expect("answers");
    assert_eq!(outcome, PayOutcome::Pending);
    let seen = wallet.lookup(hash).await.expect("answers").expect("known");
    assert_eq!((seen.direction, seen.state), (Direction::Outgoing, PaymentState::Pending));
    let again = soon("an answer", wallet.pay(request.clone())).await.expect("answers");
    assert_eq!(again, PayOutcome::Pending);
    world.spark.release(hash.0);
    until("it arrived", async || {
        let seen = wallet.lookup(hash).await.expect("answers").expect("known");
        matches!(seen.state, PaymentState::Settled { preimage: Some(_), .. })
    })
    .await;
    assert_eq!(world.spark.paid(hash.0), 1);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_after_the_money_left_is_not_a_failure() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    let hash = request.payment_hash;
    world.spark.order_send(NextSend::LoseAnswerAndHold);
    match soon("an answer", wallet.pay(request.clone())).await {
        Ok(PayOutcome::Pending) => {}
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    let seen = wallet.lookup(hash).await.expect("answers").expect("it left");
    assert_eq!(seen.state, PaymentState::Pending);
    // Asking again, also after a restart, sends nothing.
    let again = soon("an answer", wallet.pay(request.clone())).await;
    assert_eq!(again.expect("known"), PayOutcome::Pending);
    wallet.shutdown().await;
    drop(wallet);
    let wallet = world.open(world.config(WORDS, "wallet")).await;
    assert_eq!(wallet.pay(request.clone()).await.expect("known"), PayOutcome::Pending);
    assert_eq!(world.spark.calls("initiate_preimage_swap_v3"), 1);
    world.spark.release(hash.0);
    until("it arrived", async || {
        let seen = wallet.lookup(hash).await.expect("answers").expect("known");
        matches!(seen.state, PaymentState::Settled { .. })
    })
    .await;
    assert_eq!(world.spark.paid(hash.0), 1);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_is_not_there_leaves_the_outcome_open_and_the_money_where_it_is() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    world.spark.order_send(NextSend::RefuseSwap);
    match soon("an answer", wallet.pay(request.clone())).await {
        Ok(PayOutcome::Pending) => {}
        Ok(outcome) => panic!("{outcome:?}"),
        Err(error) => assert!(error.outcome_unknown(), "{error}"),
    }
    assert_eq!(world.spark.paid(request.payment_hash.0), 0);
    assert_eq!(balance(&wallet).await, 1_000);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_preimage_does_not_settle_a_payment() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    world.spark.order_send(NextSend::WrongPreimage);
    let outcome = soon("an answer", wallet.pay(request)).await;
    assert!(outcome.is_err_and(|error| error.outcome_unknown()));
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fee_is_known_before_and_limited() {
    let Some(world) = World::new().await else { return };
    world.spark.fund(WORDS, 1_000).expect("words");
    let mut config = world.config(WORDS, "wallet");
    config.fees = FeePolicy { floor: Millisats::new(10_000), ppm: 10_000 };
    let wallet = world.open(config).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    let quote = soon("a quote", wallet.quote(&request)).await.expect("known");
    assert_eq!(quote.fee, Millisats::new(3_000));
    let too_dear = |result: Result<PayOutcome, WalletError>| {
        let error = result.expect_err("too dear");
        assert!(!error.outcome_unknown());
        assert!(matches!(error, WalletError::Refused { code, .. } if code == "FEE_TOO_HIGH"));
    };
    let capped = PayInvoice { max_fee: Some(Millisats::new(2_999)), ..request.clone() };
    too_dear(soon("an answer", wallet.pay(capped)).await);
    world.spark.set_fee(11);
    let generous = PayInvoice { max_fee: Some(Millisats::new(50_000)), ..request.clone() };
    too_dear(soon("an answer", wallet.pay(generous.clone())).await);
    assert_eq!(world.spark.calls("initiate_preimage_swap_v3"), 0);
    world.spark.set_fee(10);
    let outcome = soon("paid", wallet.pay(generous)).await.expect("within the limits");
    assert!(matches!(outcome, PayOutcome::Settled { fee, .. } if fee == Millisats::new(10_000)));
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_little_money_has_its_code_and_sends_nothing() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(100).await;
    let request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    let error = soon("an answer", wallet.pay(request.clone())).await.expect_err("too little");
    assert!(!error.outcome_unknown(), "{error}");
    assert!(
        matches!(&error, WalletError::Refused { code, .. } if code == "INSUFFICIENT_BALANCE"),
        "{error}"
    );
    assert_eq!(wallet.lookup(request.payment_hash).await.expect("answers"), None);
    assert_eq!(balance(&wallet).await, 100);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_without_an_amount_is_paid_with_the_given_one() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(None, HOUR));
    let without = wallet.pay(request.clone()).await;
    assert!(matches!(without, Err(WalletError::BadRequest { .. })), "{without:?}");
    let part = PayInvoice { amount: Some(Millisats::new(1_500)), ..request.clone() };
    let part = wallet.pay(part).await;
    assert!(matches!(part, Err(WalletError::BadRequest { .. })), "{part:?}");
    let with = PayInvoice { amount: Some(Millisats::new(40_000)), ..request };
    let outcome = soon("paid", wallet.pay(with)).await.expect("answers");
    assert!(matches!(outcome, PayOutcome::Settled { .. }), "{outcome:?}");
    assert_eq!(balance(&wallet).await, 957);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_for_a_part_of_a_satoshi_is_not_paid_short() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let request = payment(&world.spark.outside_invoice(Some(40_001), HOUR));
    let hash = request.payment_hash;
    // 999 msat make the satoshi whole, and 3 sat are the fee.
    let on_top = Millisats::new(3_999);
    assert_eq!(soon("a quote", wallet.quote(&request)).await.expect("known").fee, on_top);
    let capped = PayInvoice { max_fee: Some(Millisats::new(3_998)), ..request.clone() };
    let refused = soon("an answer", wallet.pay(capped)).await;
    assert!(matches!(refused, Err(WalletError::Refused { .. })), "{refused:?}");
    let outcome = soon("paid", wallet.pay(request)).await.expect("answers");
    assert!(matches!(outcome, PayOutcome::Settled { fee, .. } if fee == on_top), "{outcome:?}");
    let seen = wallet.lookup(hash).await.expect("answers").expect("known");
    assert_eq!((seen.amount, seen.fee), (Millisats::new(40_001), on_top));
    assert_eq!(balance(&wallet).await, 1_000 - 44);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_no_longer_waits_does_not_stop_a_payment() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(1_000).await;
    let mut request = payment(&world.spark.outside_invoice(Some(100_000), HOUR));
    request.timeout = Duration::from_millis(1);
    let hash = request.payment_hash;
    let outcome = wallet.pay(request).await;
    assert!(matches!(outcome, Err(WalletError::Timeout)), "{outcome:?}");
    until("it arrived", async || {
        let seen = wallet.lookup(hash).await.expect("answers");
        seen.is_some_and(|seen| matches!(seen.state, PaymentState::Settled { .. }))
    })
    .await;
    assert_eq!(world.spark.paid(hash.0), 1);
    wallet.shutdown().await;
}
