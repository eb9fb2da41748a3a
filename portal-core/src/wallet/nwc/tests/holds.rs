//! Hold invoices over NIP-47, and wallets that have none.

use nostr::hashes::{Hash, sha256};

use super::*;

fn hash_of(preimage: [u8; 32]) -> PaymentHash {
    PaymentHash(sha256::Hash::hash(&preimage).to_byte_array())
}

fn holds(wallet: &Arc<dyn LightningWallet>) -> &dyn HoldInvoices {
    wallet.hold_invoices().expect("a link may have them")
}

#[tokio::test]
async fn held_money_waits_to_be_taken_or_let_go() {
    let (linked, payer) = linked(SPEND, &BOTH);
    let payee = linked.rig.payee.clone();
    payee.info().await.expect("answers");
    let mut held = holds(&payee).held();
    let (take, leave) = ([5; 32], [6; 32]);
    for preimage in [take, leave] {
        let hash = hash_of(preimage);
        let invoice = holds(&payee).make_hold_invoice(order(2_000), hash).await.expect("made");
        assert_eq!(invoice.payment_hash, hash);
        assert!(!holds(&payee).is_held(hash).await.expect("answers"));
        let early = holds(&payee).settle_hold(preimage).await.expect_err("nobody has paid");
        assert!(matches!(early, WalletError::Refused { code, .. } if code == "NOT_FOUND"));
        let outcome = payer.pay(payment(&invoice)).await.expect("left");
        assert_eq!(outcome, PayOutcome::Pending);
        let told = held.next().await.expect("told");
        assert_eq!((told.payment_hash, told.state), (hash, PaymentState::Pending));
        assert!(holds(&payee).is_held(hash).await.expect("answers"));
        let seen = payee.lookup(hash).await.expect("answers").expect("known");
        assert_eq!(seen.state, PaymentState::Pending, "held is not paid");
    }
    assert!(holds(&payee).settle_hold([9; 32]).await.is_err());
    assert!(linked.rig.network.settled().is_empty());
    let mut events = payee.events();
    holds(&payee).settle_hold(take).await.expect("taken");
    let Some(WalletEvent::Settled(told)) = events.next().await else { panic!("settled") };
    assert_eq!(told.payment_hash, hash_of(take));
    holds(&payee).cancel_hold(hash_of(leave)).await.expect("let go");
    assert!(holds(&payee).cancel_hold(hash_of(leave)).await.is_err());
    assert!(!holds(&payee).is_held(hash_of(leave)).await.expect("answers"));
    let seen = payer.lookup(hash_of(take)).await.expect("answers").expect("known");
    assert!(
        matches!(seen.state, PaymentState::Settled { preimage: Some(told), .. } if told == take)
    );
    let seen = payer.lookup(hash_of(leave)).await.expect("answers").expect("known");
    assert_eq!(seen.state, PaymentState::Failed);
    assert_eq!(linked.rig.network.balance("merchant"), Some(Millisats::new(2_000)));
    assert!(held.next().now_or_never().is_none(), "told once, though in two ciphers");
}

#[tokio::test]
async fn a_wallet_without_hold_invoices_says_so() {
    let rig = SimulatedRig::direct();
    let hub = Hub::default();
    let plain = Arc::new(Cheat(rig.merchant.clone()));
    let (service, uri) = serve(&rig, &hub, plain, Permission::ReceiveOnly, &BOTH);
    let wallet: Arc<dyn LightningWallet> = client(&rig, &hub, &uri, NwcOptions::default());
    let info = wallet.info().await.expect("answers");
    assert!(!info.methods.iter().any(|method| method.contains("hold")));
    let refused = holds(&wallet).make_hold_invoice(order(2_000), hash_of([1; 32])).await;
    assert!(matches!(refused, Err(WalletError::Unsupported { what: "make_hold_invoice" })));
    service.shutdown().await;
}
