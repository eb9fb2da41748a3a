//! What a link may do: read from the wallet, and held to.

use super::*;
use crate::wallet::{Budget, WalletState};

const RECEIVE: NwcOptions = NwcOptions {
    timeout: Duration::from_secs(10),
    cipher: None,
    info_wait: Duration::from_secs(3),
    allow_spending: false,
};

#[tokio::test]
async fn a_link_that_may_spend_is_not_used_where_only_receiving_is_allowed() {
    let (linked, _) = linked(SPEND, &BOTH);
    let wallet = client(&linked.rig, &linked.hub, &linked.uri, RECEIVE);
    let invoice = linked.rig.merchant.make_invoice(order(1_000)).await.expect("made");
    assert!(matches!(wallet.make_invoice(order(1_000)).await, Err(WalletError::MaySpend)));
    // The wallet was asked what the link may do, and nothing else.
    assert_eq!(linked.hub.published(KIND_REQUEST).len(), 1);
    assert!(matches!(wallet.balance().await, Err(WalletError::MaySpend)));
    assert!(matches!(wallet.lookup(invoice.payment_hash).await, Err(WalletError::MaySpend)));
    assert!(matches!(wallet.info().await, Err(WalletError::MaySpend)));
    assert_eq!(wallet.state(), WalletState::MaySpend);
    let refused = wallet.pay(payment(&invoice)).await;
    assert!(matches!(refused, Err(WalletError::Unsupported { what: "pay_invoice" })));
    assert_eq!(linked.hub.published(KIND_REQUEST).len(), 2, "only info asked again");
    assert!(linked.rig.network.settled().is_empty());
}

#[tokio::test]
async fn a_link_that_only_receives_is_asked_once_for_each_connect() {
    let rig = SimulatedRig::direct();
    let hub = Hub::default();
    let merchant = rig.merchant.clone();
    let (service, uri) = serve(&rig, &hub, merchant, Permission::ReceiveOnly, &BOTH);
    let wallet = client(&rig, &hub, &uri, RECEIVE);
    for _ in 0..3 {
        wallet.make_invoice(order(1_000)).await.expect("made");
    }
    assert_eq!(hub.published(KIND_REQUEST).len(), 4);
    assert_eq!(wallet.state(), WalletState::Answering);
    hub.down(&relay("one"));
    assert_eq!(wallet.state(), WalletState::Unreachable);
    hub.up(&relay("one"));
    wallet.balance().await.expect("answers");
    assert_eq!(hub.published(KIND_REQUEST).len(), 6, "permissions may have changed meanwhile");
    let own = rig.person.make_invoice(order(1_000)).await.expect("made");
    assert!(wallet.pay(payment(&own)).await.is_err());
    service.shutdown().await;
    assert_eq!(wallet.state(), WalletState::Answering, "until somebody notices");
    wallet.shutdown().await;
    assert_eq!(wallet.state(), WalletState::ShutDown);
}

#[tokio::test]
async fn the_budget_is_what_the_wallet_says() {
    let budget = Permission::Spend { budget: Some(Millisats::new(10_000)) };
    let (linked, wallet) = linked(budget, &BOTH);
    let invoice = linked.rig.merchant.make_invoice(order(6_000)).await.expect("made");
    wallet.pay(payment(&invoice)).await.expect("paid");
    let left = wallet.budget().await.expect("answers").expect("a bound");
    let expected =
        Budget { total: Millisats::new(10_000), used: Millisats::new(6_000), renews_at: None };
    assert_eq!(left, expected);
    assert_eq!(left.left(), Millisats::new(4_000));
    assert_eq!(linked.rig.payee.budget().await.expect("answers"), None);
}

#[tokio::test]
async fn a_budget_is_given_back_only_for_what_certainly_was_not_sent() {
    for (code, given_back) in [
        ("INSUFFICIENT_BALANCE", true),
        ("NOT_SENT", true),
        ("INTERNAL", false),
        ("SOMETHING_NEW", false),
    ] {
        let budget = Millisats::new(10_000);
        let (linked, wallet) = linked(Permission::Spend { budget: Some(budget) }, &BOTH);
        let invoice = linked.rig.merchant.make_invoice(order(6_000)).await.expect("made");
        let message = "no".to_owned();
        let trouble = Trouble::Refuse { code: code.to_owned(), message };
        linked.rig.person.order(Fault::OnCall(Some(Call::Pay), trouble));
        let outcome = wallet.pay(payment(&invoice)).await;
        assert!(!matches!(outcome, Ok(PayOutcome::Settled { .. })), "{code}: {outcome:?}");
        let used = wallet.budget().await.expect("told").expect("bounded").used;
        assert_eq!(used, Millisats::new(if given_back { 0 } else { 6_000 }), "{code}");
    }
}
