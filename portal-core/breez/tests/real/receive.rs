//! Being paid.

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use portal_breez::Fractions;
use portal_core::primitives::Millisats;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{Direction, LightningWallet as _, PaymentState, WalletError};
use portal_testkit::NextReceive;
use sha2::{Digest as _, Sha256};

use crate::world::{
    OTHER_WORDS, WORDS, World, balance, invoice, list, order, settled, soon, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_invoice_is_told_found_listed_and_counted() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let mut events = wallet.events();
    let made = invoice(&wallet, 777).await;
    let read = Bolt11::parse(&made.bolt11).expect("an invoice");
    assert_eq!(read.amount, Some(Millisats::new(777_000)));
    assert_eq!(read.description.as_deref(), Some("a cup"));
    assert_eq!((made.created_at, made.expires_at), (read.created_at, read.expires_at));
    let waiting = wallet.lookup(made.payment_hash).await.expect("answers").expect("ours");
    assert_eq!((waiting.state, waiting.amount), (PaymentState::Pending, Millisats::new(777_000)));
    assert!(list(&wallet).await.is_empty());

    let preimage = world.spark.pay(&made.bolt11).expect("paid");
    let told = settled(&mut events).await;
    assert_eq!(told.payment_hash, made.payment_hash);
    assert_eq!((told.direction, told.amount), (Direction::Incoming, Millisats::new(777_000)));
    assert_eq!(Sha256::digest(preimage).as_slice(), made.payment_hash.0);
    let PaymentState::Settled { preimage: shown, .. } = told.state.clone() else {
        panic!("{told:?}")
    };
    assert_eq!(shown, Some(preimage));
    let found = wallet.lookup(made.payment_hash).await.expect("answers").expect("known");
    assert_eq!(found, told);
    assert_eq!(list(&wallet).await, [told]);
    assert_eq!(wallet.invoice_of(made.payment_hash).await.expect("answers"), Some(made.bolt11));
    assert_eq!(balance(&wallet).await, 777);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invoices_and_payments_survive_a_restart() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let mut events = wallet.events();
    let (paid, open) = (invoice(&wallet, 10).await, invoice(&wallet, 20).await);
    world.spark.pay(&paid.bolt11).expect("paid");
    let told = settled(&mut events).await;
    let identity = wallet.identity().to_owned();
    wallet.shutdown().await;
    drop(wallet);

    let wallet = world.open(world.config(WORDS, "wallet")).await;
    assert_eq!(wallet.identity(), identity);
    assert_eq!(wallet.lookup(paid.payment_hash).await.expect("answers"), Some(told.clone()));
    let waiting = wallet.lookup(open.payment_hash).await.expect("answers").expect("remembered");
    assert_eq!((waiting.state, waiting.amount), (PaymentState::Pending, Millisats::new(20_000)));
    assert_eq!(list(&wallet).await, [told]);
    assert_eq!(balance(&wallet).await, 10);
    let mut events = wallet.events();
    world.spark.pay(&open.bolt11).expect("paid");
    assert_eq!(settled(&mut events).await.payment_hash, open.payment_hash);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_nobody_told_of_is_found_and_a_doubled_one_told_once() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let silent = invoice(&wallet, 5).await;
    world.spark.order_receive(NextReceive::Silent);
    world.spark.pay(&silent.bolt11).expect("paid");
    let found = wallet.lookup(silent.payment_hash).await.expect("answers").expect("known");
    assert!(matches!(found.state, PaymentState::Settled { .. }));

    let mut events = wallet.events();
    let (doubled, last) = (invoice(&wallet, 6).await, invoice(&wallet, 7).await);
    world.spark.order_receive(NextReceive::Twice);
    world.spark.pay(&doubled.bolt11).expect("paid");
    assert_eq!(settled(&mut events).await.payment_hash, doubled.payment_hash);
    world.spark.pay(&last.bolt11).expect("paid");
    assert_eq!(settled(&mut events).await.payment_hash, last.payment_hash, "only once");
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_details_is_not_settled_until_they_are_there() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let mut events = wallet.events();
    let made = invoice(&wallet, 50).await;
    world.spark.order_receive(NextReceive::WithoutDetails);
    world.spark.pay(&made.bolt11).expect("paid");
    for _ in 0..3 {
        let seen = wallet.lookup(made.payment_hash).await.expect("answers").expect("ours");
        assert_eq!(seen.state, PaymentState::Pending);
    }
    assert_eq!(events.next().now_or_never(), None, "nothing was told");
    world.spark.release(made.payment_hash.0);
    until("the details are there", async || {
        let seen = wallet.lookup(made.payment_hash).await.expect("answers").expect("ours");
        matches!(seen.state, PaymentState::Settled { preimage: Some(_), .. })
    })
    .await;
    assert_eq!(settled(&mut events).await.payment_hash, made.payment_hash);
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preimage_that_does_not_fit_is_not_passed_on() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let made = invoice(&wallet, 50).await;
    world.spark.order_receive(NextReceive::WrongPreimage);
    world.spark.pay(&made.bolt11).expect("paid");
    until("it is known", async || {
        let seen = wallet.lookup(made.payment_hash).await.expect("answers").expect("ours");
        match seen.state {
            PaymentState::Settled { preimage, .. } => {
                assert_eq!(preimage, None);
                true
            }
            PaymentState::Pending | PaymentState::Failed => false,
        }
    })
    .await;
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_satoshi_are_rounded_up_or_refused_and_never_lost() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let made = soon("an invoice", wallet.make_invoice(order(1_001))).await.expect("made");
    let read = Bolt11::parse(&made.bolt11).expect("an invoice");
    assert_eq!(read.amount, Some(Millisats::new(2_000)));
    let nothing = wallet.make_invoice(order(0)).await;
    assert!(matches!(nothing, Err(WalletError::BadRequest { .. })), "{nothing:?}");
    wallet.shutdown().await;

    let mut strict = world.config(OTHER_WORDS, "strict");
    strict.fractions = Fractions::Refuse;
    let wallet = world.open(strict).await;
    let refused = wallet.make_invoice(order(1_001)).await;
    assert!(matches!(refused, Err(WalletError::BadRequest { .. })), "{refused:?}");
    assert!(wallet.make_invoice(order(1_000)).await.is_ok());
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_the_operators_did_not_finish_is_thrown_away() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    world.spark.break_call("store_preimage_share_v2", Some(13));
    let refused = soon("an answer", wallet.make_invoice(order(5_000))).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(world.spark.calls("RequestLightningReceive"), 1, "the provider did make one");
    world.spark.break_call("store_preimage_share_v2", None);
    let made = invoice(&wallet, 5).await;
    world.spark.pay(&made.bolt11).expect("paid");
    wallet.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spark_address_is_there_without_asking_anybody() {
    let Some(world) = World::new().await else { return };
    let wallet = world.wallet(0).await;
    let address = soon("an address", wallet.spark_address()).await.expect("made");
    assert!(address.starts_with("spark"), "{address}");
    assert_eq!(wallet.spark_address().await.expect("made"), address);
    // These servers know no deposits: an error, and nothing else.
    assert!(soon("an answer", wallet.bitcoin_address()).await.is_err());
    wallet.shutdown().await;
}
