//! The truth about what reached a relay.

use portal_core::client::RequestBody;
use portal_core::event::PortalEvent;
use portal_core::service::Recipient;

use crate::harness::{World, heard, next, until};

fn delivery(event: PortalEvent) -> (Vec<String>, Vec<(String, String)>, bool) {
    match event {
        PortalEvent::Delivery { delivered, refused, queued } => (delivered, refused, queued),
        other => panic!("a delivery, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_a_relay_takes_is_delivered_and_one_it_refuses_is_not() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.public_key());
    let (mut ear, call) = heard();
    service.tickets().send(person.clone(), "cashuB1".to_owned(), call).await.expect("durable");
    let relay = world.relay.url();
    assert_eq!(delivery(ear.body().await), (vec![relay.clone()], vec![], false));

    world.relay.set_refusal(Some("blocked: not here"));
    let (mut ear, call) = heard();
    service.tickets().send(person, "cashuB2".to_owned(), call).await.expect("durable");
    let (delivered, refused, queued) = delivery(ear.body().await);
    assert_eq!((delivered.len(), queued), (0, false));
    assert_eq!(refused.len(), 1);
    assert!(refused[0].0 == relay && refused[0].1.contains("not here"), "{refused:?}");
    assert!(ear.is_silent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_without_a_relay_is_queued_and_delivered_after_a_restart() {
    let mut world = World::new().await;
    let service = world.service().await;
    world.relay.stop().await;
    until("the relay is gone", || {
        service.relays().status().iter().all(|relay| !relay.is_connected())
    })
    .await;
    let person = Recipient::new(world.client_key.public_key());
    let (mut ear, call) = heard();
    let opened = service.tickets().send(person, "cashuB1".to_owned(), call).await.expect("durable");
    assert!(delivery(ear.body().await).2, "queued");
    drop(service);
    world.service_store = std::sync::Arc::new(world.service_store.reopen());
    world.relay.restart().await.expect("the same port");
    let client = world.client().await;
    let service = world.service().await;
    let (delivered, _, queued) =
        delivery(service.streams().wait(opened.stream).await.expect("delivered"));
    assert_eq!((delivered, queued), (vec![world.relay.url()], false));
    let request = next(&client).await;
    assert!(matches!(request.body, RequestBody::TicketGift(_)));
}
