//! Recurring payments, invoices and tickets, from both sides.

use std::time::Duration;

use portal_core::client::RequestBody;
use portal_core::event::PortalEvent;
use portal_core::primitives::{ErrorCode, Millisats};
use portal_core::protocol::Currency;
use portal_core::protocol::subscription::{Recurrence, RecurringStatus};
use portal_core::protocol::ticket::CashuStatus;
use portal_core::service::{
    CLOSES, Call, NewCashuRequest, NewInvoiceRequest, NewRecurringPayment, Recipient,
};
use portal_core::wallet::{LightningWallet, NewInvoice};

use crate::harness::{Ear, World, heard, next, soon};

fn monthly(first: portal_core::primitives::Timestamp) -> Recurrence {
    Recurrence {
        until: None,
        calendar: "monthly".parse().expect("a calendar"),
        max_payments: Some(12),
        first_payment_due: first,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_agreed_and_closed_by_either_side() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let mut closes = Ear::new();
    service.streams().attach(CLOSES, None, closes.sink.clone()).await.expect("always open");
    let now = service.now();
    let new = NewRecurringPayment {
        amount: 10_000,
        currency: Currency::Millisats,
        recurrence: monthly(now),
        expires_at: now.saturating_add(Duration::from_secs(60)),
        description: None,
        auth_token: None,
        request_id: None,
    };
    let person = Recipient::new(client.main_key());
    let opened = service.subscriptions().request(person.clone(), new, Call::default()).await;
    let opened = opened.expect("durable");
    let request = next(&client).await;
    let RequestBody::Recurring(asked) = &request.body else { panic!("a subscription") };
    let status = RecurringStatus::Confirmed {
        subscription_id: "sub-42".to_owned(),
        authorized_amount: asked.amount,
        authorized_currency: asked.currency.clone(),
        authorized_recurrence: asked.recurrence.clone(),
    };
    client.replies().recurring(&request, status.clone()).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
    let answer = soon("the answer", service.streams().wait(opened.stream)).await.expect("answered");
    let PortalEvent::RecurringPaymentResponse { status: answered } = answer else { panic!() };
    assert_eq!(answered.status, status);

    let reason = Some("moved".to_owned());
    let to = service.main_key();
    client.subscriptions().close(to, "sub-42".to_owned(), reason).await.expect("durable");
    let expected = PortalEvent::ClosedRecurringPayment {
        reason: Some("moved".to_owned()),
        subscription_id: "sub-42".to_owned(),
        recipient: client.public_key(),
        main_key: client.main_key(),
    };
    assert_eq!(closes.body().await, expected);

    let closed = service.subscriptions().close(person, "sub-43".to_owned(), Call::default()).await;
    let delivery = soon("delivery", service.streams().wait(closed.expect("durable").stream)).await;
    assert!(matches!(delivery, Ok(PortalEvent::Delivery { delivered, .. })
        if delivered == [world.relay.url()]));
    let request = next(&client).await;
    assert!(matches!(&request.body, RequestBody::SubscriptionClosed(close)
        if close.subscription_id == "sub-43"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_is_asked_for_checked_and_paid_out_once() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    for (amount, good) in [(7_000, true), (7_001, false)] {
        let new = NewInvoiceRequest {
            amount: 7_000,
            currency: Currency::Millisats,
            expires_at: service.now().saturating_add(Duration::from_secs(60)),
            description: None,
            refund_invoice: None,
            request_id: None,
        };
        let opened = service.invoices().request(person.clone(), new, Call::default()).await;
        let opened = opened.expect("durable");
        let request = next(&client).await;
        let invoice = world
            .person_wallet
            .make_invoice(NewInvoice {
                amount: Millisats::new(amount),
                description: None,
                expiry: Duration::from_secs(60),
            })
            .await
            .expect("made");
        client.replies().invoice(&request, invoice.bolt11.clone(), None).await.expect("open");
        client.requests().handled(request.id).await.expect("saved");
        let answer = soon("the answer", service.streams().wait(opened.stream)).await;
        if good {
            let Ok(PortalEvent::InvoiceResponse { invoice: text, payment_hash }) = answer else {
                panic!("an invoice, not {answer:?}")
            };
            assert_eq!(
                (text, payment_hash),
                (invoice.bolt11, Some(invoice.payment_hash.to_string()))
            );
        } else {
            let code = answer.expect_err("another amount").code();
            assert_eq!(code, ErrorCode::InvalidInvoice);
        }
    }
}

/// One sat of `http://localhost:3338`, from the vectors of NUT-00.
const TOKEN: &str = "cashuBpGF0gaJhaUgArSaMTR9YJmFwgaNhYQFhc3hAOWE2ZGJiODQ3YmQyMzJiYTc2ZGIwZGYxOTc\
    yMTZiMjlkM2I4Y2MxNDU1M2NkMjc4MjdmYzFjYzk0MmZlZGI0ZWFjWCEDhhhUP_trhpXfStS6vN6So0qWvc2X3O4NfM-Y\
    1HISZ5JhZGlUaGFuayB5b3VhbXVodHRwOi8vbG9jYWxob3N0OjMzMzhhdWNzYXQ=";

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_asked_for_and_given() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let new = NewCashuRequest {
        mint_url: "http://localhost:3338/".to_owned(),
        unit: "sat".to_owned(),
        amount: 1,
    };
    let opened = service.tickets().request(person.clone(), new, Call::default()).await;
    let opened = opened.expect("durable");
    let request = next(&client).await;
    assert!(matches!(&request.body, RequestBody::Ticket(asked) if asked.unit == "sat"));
    let status = CashuStatus::Success { token: TOKEN.to_owned() };
    client.replies().ticket(&request, status.clone()).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");
    let answer = soon("the answer", service.streams().wait(opened.stream)).await.expect("answered");
    assert_eq!(answer, PortalEvent::CashuResponse { status });

    let (mut ear, call) = heard();
    service.tickets().send(person, "cashuBgift".to_owned(), call).await.expect("durable");
    let request = next(&client).await;
    assert!(matches!(&request.body, RequestBody::TicketGift(gift) if gift.token == "cashuBgift"));
    assert!(matches!(ear.body().await, PortalEvent::Delivery { queued: false, .. }));
}
