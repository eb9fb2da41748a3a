//! Money that anybody may send.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use portal_core::env::{Env, mock};
use portal_core::event::PortalEvent;
use portal_core::primitives::{ErrorCode, Millisats};
use portal_core::service::{NewWalkIn, RECEIPTS, Service};
use portal_core::wallet::Invoice;
use portal_core::wallet::simulated::{Call as WalletCall, Fault, Trouble};

use crate::harness::{Ear, World, log, soon};

async fn asked(service: &Service, msat: u64) -> Invoice {
    let new = NewWalkIn {
        name: "shop".to_owned(),
        amount: Millisats::new(msat),
        metadata: r#"[["text/plain","Coffee"]]"#.to_owned(),
        expiry: Duration::from_secs(600),
    };
    service.payments().walk_in(new).await.expect("made")
}

/// Waits until nothing is open but the two streams that always are: closes and receipts.
async fn nothing_is_open(service: &Service) {
    let wait = async {
        while service.node().open_conversations().await != Some(2) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("they are given up", wait).await;
}

fn amount(event: &PortalEvent) -> u64 {
    match event {
        PortalEvent::LightningAddressPayment { amount_msat, .. } => amount_msat.as_u64(),
        other => panic!("money, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_payment_is_one_receipt_across_a_crash_and_doubled_notifications() {
    let mut world = World::new().await;
    let service = world.service().await;
    let mut ear = Ear::new();
    service.streams().attach(RECEIPTS, None, ear.sink.clone()).await.expect("always open");
    let (first, second) = (asked(&service, 1_000).await, asked(&service, 2_000).await);
    let unpaid = asked(&service, 9_000).await;
    world.merchant_wallet.order(Fault::DuplicateNotification);
    world.pay(&first.bolt11).await;
    assert_eq!(amount(&ear.body().await), 1_000);
    // The process dies with the second one open, which is paid before it is back.
    drop(service);
    world.service_store.kill();
    world.pay(&second.bolt11).await;
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    let mut ear = Ear::new();
    service.streams().attach(RECEIPTS, Some(0), ear.sink.clone()).await.expect("always open");
    assert_eq!(amount(&ear.body().await), 2_000);
    assert!(service.shutdown().await);
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    world.pay(&unpaid.bolt11).await;
    let wait = async {
        while log(&service, RECEIPTS).await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the third", wait).await;
    let amounts: Vec<_> = log(&service, RECEIPTS).await.iter().map(amount).collect();
    assert_eq!(amounts, [1_000, 2_000, 9_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_each_told_once() {
    let world = World::new().await;
    let service = world.service().await;
    let mut hashes = HashSet::new();
    let mut invoices = Vec::new();
    for number in 1..=30 {
        let made = asked(&service, number * 1000).await;
        hashes.insert(made.payment_hash.to_string());
        invoices.push(made.bolt11);
    }
    for invoice in &invoices {
        world.pay(invoice).await;
    }
    let wait = async {
        while log(&service, RECEIPTS).await.len() < 30 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("all of them", wait).await;
    let told: Vec<_> = log(&service, RECEIPTS)
        .await
        .into_iter()
        .map(|event| match event {
            PortalEvent::LightningAddressPayment { payment_hash, .. } => payment_hash,
            other => panic!("money, not {other:?}"),
        })
        .collect();
    assert_eq!(told.len(), 30);
    assert_eq!(told.into_iter().collect::<HashSet<_>>(), hashes);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_cannot_be_saved_is_shown_to_nobody() {
    let world = World::new().await;
    let service = world.service().await;
    let new = NewWalkIn {
        name: "shop".to_owned(),
        amount: Millisats::new(1_000),
        metadata: "[]".to_owned(),
        expiry: Duration::from_secs(600),
    };
    world.service_store.fail_next(1);
    let unsaved = service.payments().walk_in(new.clone()).await.expect_err("the disk is full");
    assert_eq!(unsaved.code(), ErrorCode::StorageFailed);
    let trouble = Trouble::Unreachable;
    world.merchant_wallet.order(Fault::OnCall(Some(WalletCall::MakeInvoice), trouble));
    let unmade = service.payments().walk_in(new.clone()).await.expect_err("the wallet is away");
    assert_eq!(unmade.code(), ErrorCode::WalletUnavailable);
    let nameless = NewWalkIn { name: String::new(), ..new };
    assert!(service.payments().walk_in(nameless).await.is_err());
    nothing_is_open(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_paid_is_forgotten_without_a_word() {
    let (env, clock) = mock::env(Env::system().now(), 1);
    let world = World::with_env(env.clone()).await;
    let service = world.service_with(|builder| builder.env(env)).await;
    for _ in 0..3 {
        asked(&service, 1_000).await;
    }
    assert_eq!(service.node().open_conversations().await, Some(5));
    clock.advance(Duration::from_secs(600 + 3600));
    nothing_is_open(&service).await;
    assert_eq!(log(&service, RECEIPTS).await, []);
}
