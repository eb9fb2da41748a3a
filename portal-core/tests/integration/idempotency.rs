//! One key, one request, whoever asks how often, and whoever goes away.

use std::sync::Arc;

use portal_core::primitives::ErrorCode;
use portal_core::service::{Call, Idempotency, NewHandshake, Recipient};

use crate::harness::{World, approve, coffee, heard, next, soon, until};

fn keyed(key: &str) -> Call {
    let idempotency = Idempotency { key: key.to_owned(), command_hash: [1; 32] };
    Call { idempotency: Some(idempotency), attach: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_identical_calls_at_once_are_one_request() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let (service, person) = (service.clone(), person.clone());
            tokio::spawn(async move {
                service.payments().request_single(person, coffee(), keyed("order")).await
            })
        })
        .collect();
    let mut fresh = 0;
    let mut streams = std::collections::HashSet::new();
    for call in calls {
        let opened = soon("a call", call).await.expect("no panic").expect("opened");
        fresh += u32::from(!opened.repeated);
        streams.insert(opened.stream);
    }
    assert_eq!((fresh, streams.len()), (1, 1));
    let request = next(&client).await;
    client.requests().handled(request.id).await.expect("saved");
    // A login behind it: whatever else was sent for the payment would have come before.
    service.logins().authenticate(person, Call::default()).await.expect("durable");
    approve(&client).await;
    assert!(client.requests().all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_while_it_is_saved_leaves_one_request() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.public_key());
    world.service_store.hold();
    let first = {
        let (service, person) = (service.clone(), person.clone());
        tokio::spawn(async move { service.logins().authenticate(person, keyed("login")).await })
    };
    let store = world.service_store.clone();
    until("it is being saved", || store.held() > 0).await;
    first.abort();
    assert!(first.await.expect_err("gone").is_cancelled());
    let again = {
        let (service, person) = (service.clone(), person.clone());
        tokio::spawn(async move { service.logins().authenticate(person, keyed("login")).await })
    };
    tokio::task::yield_now().await;
    world.service_store.release();
    let opened = soon("the second caller", again).await.expect("no panic").expect("attached");
    assert!(opened.repeated, "the first one's request");
    // Closes, receipts and this login: nothing else was opened.
    assert_eq!(service.node().open_conversations().await, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_url_is_the_same_for_the_same_key_also_after_a_restart() {
    let mut world = World::new().await;
    let service = world.service().await;
    let first = service.logins().handshake_url(NewHandshake::default(), keyed("url")).await;
    let first = first.expect("a URL");
    let again = service.logins().handshake_url(NewHandshake::default(), keyed("url")).await;
    let again = again.expect("a URL");
    assert_eq!((&again.url, again.stream, again.repeated), (&first.url, first.stream, true));
    assert!(service.shutdown().await);
    world.service_store = Arc::new(world.service_store.reopen());
    let service = world.service().await;
    let again = service.logins().handshake_url(NewHandshake::default(), keyed("url")).await;
    assert_eq!(again.expect("a URL").url, first.url);
    let other = Idempotency { key: "url".to_owned(), command_hash: [2; 32] };
    let call = Call { idempotency: Some(other), attach: None };
    let refused = service.logins().handshake_url(NewHandshake::default(), call).await;
    assert_eq!(refused.expect_err("another command").code(), ErrorCode::IdempotencyConflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_cannot_be_saved_is_told_and_frees_its_key() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    world.service_store.fail_next(1);
    let failed = service.logins().authenticate(person.clone(), keyed("login")).await;
    assert_eq!(failed.expect_err("the disk failed").code(), ErrorCode::StorageFailed);
    let (mut ear, call) = heard();
    let call = Call { attach: call.attach, ..keyed("login") };
    let opened = service.logins().authenticate(person, call).await.expect("the disk is back");
    assert!(!opened.repeated);
    approve(&client).await;
    ear.body().await;
}
