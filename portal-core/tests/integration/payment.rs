//! Asking for money; the wallet alone says `paid`.

use portal_core::client::RequestBody;
use portal_core::event::PaymentUpdate;
use portal_core::primitives::RequestId;
use portal_core::protocol::Currency;
use portal_core::protocol::payment::PaymentStatus;
use portal_core::service::{Call, NewSinglePayment, Recipient};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::{LightningWallet, PayInvoice, PayOutcome};

use crate::harness::{Ear, World, next, update};

fn coffee() -> NewSinglePayment {
    NewSinglePayment {
        amount: 2_000,
        currency: Currency::Millisats,
        description: Some("Coffee".to_owned()),
        auth_token: None,
        subscription_id: None,
        request_id: Some(RequestId::new("order-1")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_then_paid_by_the_wallets_word() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let mut ear = Ear::new();
    let call = Call { attach: Some(ear.sink.clone()), ..Call::default() };
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");

    let request = next(&client).await;
    let RequestBody::Payment(asked) = &request.body else { panic!("a payment") };
    let invoice = Bolt11::parse(&asked.invoice).expect("a real invoice");
    assert_eq!(invoice.amount.map(|amount| amount.as_u64()), Some(2_000));
    client.replies().payment(&request, PaymentStatus::Approved).await.expect("open");
    assert_eq!(update(ear.body().await), PaymentUpdate::UserApproved);

    let outcome = world
        .person_wallet
        .pay(PayInvoice {
            bolt11: asked.invoice.clone(),
            payment_hash: invoice.payment_hash,
            amount: None,
            max_fee: None,
            timeout: std::time::Duration::from_secs(5),
        })
        .await
        .expect("paid");
    let PayOutcome::Settled { preimage, .. } = outcome else { panic!("settled at once") };
    let preimage = Some(hex::encode(preimage));
    let paid = PaymentUpdate::Paid { preimage: preimage.clone(), late: false };
    assert_eq!(update(ear.body().await), paid, "whether or not the phone says so");

    let claim = PaymentStatus::Success { preimage };
    client.replies().payment(&request, claim).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
    assert!(ear.is_silent(), "nothing follows `paid`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_of_the_payer_is_not_paid() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let mut ear = Ear::new();
    let call = Call { attach: Some(ear.sink.clone()), ..Call::default() };
    let person = Recipient::new(client.main_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    let lie = PaymentStatus::Success { preimage: Some("00".repeat(32)) };
    client.replies().payment(&request, lie.clone()).await.expect("open");
    assert!(matches!(update(ear.body().await), PaymentUpdate::UserSuccess { .. }));
    client.replies().payment(&request, lie).await.expect("open");

    let RequestBody::Payment(asked) = &request.body else { panic!("a payment") };
    let invoice = Bolt11::parse(&asked.invoice).expect("a real invoice");
    world
        .person_wallet
        .pay(PayInvoice {
            bolt11: asked.invoice.clone(),
            payment_hash: invoice.payment_hash,
            amount: None,
            max_fee: None,
            timeout: std::time::Duration::from_secs(5),
        })
        .await
        .expect("paid");
    assert!(matches!(update(ear.body().await), PaymentUpdate::Paid { late: false, .. }));
    assert_eq!(world.network.settled().len(), 1);
}
