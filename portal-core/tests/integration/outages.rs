//! Relays that go and come, processes that restart.

use std::sync::Arc;

use portal_core::client::RequestBody;
use portal_core::conversation::Limits;
use portal_core::event::PortalEvent;
use portal_core::protocol::envelope::Refusal;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, Recipient};
use portal_testkit::relay::EphemeralRelay;

use crate::harness::{World, approve, approved, heard, log, login, next, soon, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_open_when_the_relay_restarted_is_answered_once() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    world.relay.stop().await;
    let person = Recipient::new(client.main_key());
    let (mut ear, call) = heard();
    let opened = service.logins().authenticate(person, call).await.expect("durable");
    world.relay.restart().await.expect("the same port");
    approve(&client).await;
    assert!(matches!(ear.body().await, PortalEvent::AuthenticateKey { .. }));
    for _ in 0..2 {
        world.relay.disconnect_all();
        assert_eq!(login(&service, &client).await, client.main_key());
    }
    assert_eq!(log(&service, opened.stream).await.len(), 1);
    assert!(ear.is_silent() && client.requests().all().is_empty(), "asked and answered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_no_relay_took_goes_out_when_one_is_back_also_after_a_restart() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let first = service.logins().authenticate(person, Call::default()).await.expect("durable");
    let request = next(&client).await;
    world.relay.stop().await;
    until("the relay is gone", || {
        client.relays().status().iter().all(|relay| !relay.is_connected())
    })
    .await;
    client.replies().login(&request, approved()).await.expect("durable");
    client.requests().handled(request.id).await.expect("saved");
    drop(client);
    world.client_store.kill();
    world.client_store = Arc::new(world.client_store.reopen());
    world.relay.restart().await.expect("the same port");
    let client = world.client().await;
    soon("the answer", service.streams().wait(first.stream)).await.expect("answered");
    assert!(client.requests().all().is_empty(), "it was handled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_not_handled_is_there_after_a_restart_in_order() {
    let mut world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let (mut ear, call) = heard();
    service.logins().authenticate(person.clone(), call).await.expect("durable");
    let request = next(&client).await;
    service.tickets().send(person, "cashuB".to_owned(), Call::default()).await.expect("durable");
    until("both are there", || client.requests().all().len() == 2).await;
    drop(client);
    world.client_store.kill();
    world.client_store = Arc::new(world.client_store.reopen());
    let client = world.client().await;
    let again = soon("the request", client.requests().next()).await.expect("running");
    assert_eq!((again.id, again.replied), (request.id, false));
    client.replies().login(&again, approved()).await.expect("open");
    assert!(matches!(ear.body().await, PortalEvent::AuthenticateKey { .. }));
    until("the app sees its reply", || client.requests().all()[0].replied).await;
    client.requests().handled(again.id).await.expect("saved");
    assert!(matches!(next(&client).await.body, RequestBody::TicketGift(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_relays_go_and_come_back() {
    let world = World::new().await;
    let others = [EphemeralRelay::start().await, EphemeralRelay::start().await]
        .map(|relay| relay.expect("a relay on loopback"));
    let all = || -> Vec<RelayAddress> {
        let mut all = world.relays();
        all.extend(others.iter().map(|relay| RelayAddress::parse(&relay.url()).expect("one")));
        all
    };
    let service = world.service_with(|builder| builder.relays(all())).await;
    let client = world.client_with(|builder| builder.relays(all())).await;
    for relay in others.iter().chain([&world.relay]) {
        relay.stop().await;
    }
    let person = Recipient::new(client.main_key());
    let (mut ear, call) = heard();
    service.logins().authenticate(person, call).await.expect("durable");
    others[1].restart().await.expect("the same port");
    approve(&client).await;
    assert!(matches!(ear.body().await, PortalEvent::AuthenticateKey { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_from_three_relays_counts_once() {
    let world = World::new().await;
    let others = [EphemeralRelay::start().await, EphemeralRelay::start().await]
        .map(|relay| relay.expect("a relay on loopback"));
    let all = || -> Vec<RelayAddress> {
        let mut all = world.relays();
        all.extend(others.iter().map(|relay| RelayAddress::parse(&relay.url()).expect("one")));
        all
    };
    let service = world.service_with(|builder| builder.relays(all())).await;
    let client = world.client_with(|builder| builder.relays(all())).await;
    for node in [service.relays(), client.relays()] {
        until("all are connected", || node.status().iter().all(|relay| relay.is_connected())).await;
    }
    let before = service.node().counters().accepted();
    login(&service, &client).await;
    let counters = service.node().counters();
    until("the copies came too", || counters.refused(Refusal::Duplicate) == 2).await;
    assert_eq!(counters.accepted() - before, 1);
    assert_eq!(counters.refused(Refusal::Unexpected), 0, "no copy reached a machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_refuses_and_stopping_twice_is_one_stop() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.requests().next().await })
    };
    assert!(service.shutdown().await && service.shutdown().await);
    assert!(client.shutdown().await && client.shutdown().await);
    assert!(soon("the app is told", waiting).await.expect("no panic").is_none());
    let person = Recipient::new(client.main_key());
    let refused = service.logins().authenticate(person, Call::default()).await;
    assert!(refused.is_err());
    until("the connections end", || world.relay.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_comes_back_to_a_relay_after_the_service_is_asked_again() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.public_key());
    let opened = service.logins().authenticate(person, Call::default()).await.expect("durable");
    world.relay.stop().await;
    until("the relay is gone", || {
        service.relays().status().iter().all(|relay| !relay.is_connected())
    })
    .await;
    world.relay.restart().await.expect("the same port");
    let before = world.relay.events_received();
    until("the service is back and has asked", || world.relay.events_received() > before).await;
    let client = world.client().await;
    approve(&client).await;
    soon("the answer", service.streams().wait(opened.stream)).await.expect("answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_open_requests_all_go_out_when_the_relay_is_back() {
    const MANY: usize = 600;
    let world = World::new().await;
    let limits = Limits {
        inbound: 1000,
        inbound_per_author: 1000,
        inbound_from_strangers: 1000,
        ..Limits::default()
    };
    let (service, client) =
        (world.service().await, world.client_with(|builder| builder.limits(limits)).await);
    world.relay.stop().await;
    for _ in 0..MANY {
        let person = Recipient::new(client.main_key());
        service.logins().authenticate(person, Call::default()).await.expect("durable");
    }
    world.relay.restart().await.expect("the same port");
    until("all are there", || client.requests().all().len() == MANY).await;
    // And what is new does not wait behind them.
    assert!(service.node().is_alive().await);
}
