//! Opening a URL and proving who one is.

use portal_core::client::RequestBody;
use portal_core::event::PortalEvent;
use portal_core::primitives::ErrorCode;
use portal_core::service::{Call, Idempotency, NewHandshake, Recipient};

use crate::harness::{Ear, World, approved, log, next, soon, until, wallet_app};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_opens_the_url_and_logs_in() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let mut ear = Ear::new();
    let call = Call { attach: Some(ear.sink.clone()), ..Call::default() };
    let opened = service.logins().handshake_url(NewHandshake::default(), call).await;
    let opened = opened.expect("a URL");

    client.handshakes().send(&opened.url, wallet_app()).await.expect("the service's relay took it");
    let PortalEvent::KeyHandshake { main_key, preferred_relays } = ear.body().await else {
        panic!("a handshake")
    };
    assert_eq!(main_key, client.main_key());
    assert_eq!(preferred_relays, [world.relay.url()]);
    let info = service.streams().info(opened.stream).await.expect("readable");
    assert!(!info.expect("known").open, "a one-time URL ends with the first person");

    let login = service.logins().authenticate(Recipient::new(main_key), Call::default()).await;
    let login = login.expect("durable");
    let request = next(&client).await;
    assert_eq!(request.service, service.main_key());
    assert!(matches!(request.body, RequestBody::Login(_)));
    client.replies().login(&request, approved()).await.expect("open");
    client.requests().handled(request.id).await.expect("saved");

    let answer = soon("the answer", service.streams().wait(login.stream)).await.expect("answered");
    let PortalEvent::AuthenticateKey { user_key, recipient, status, .. } = answer else {
        panic!("an answer to the challenge")
    };
    assert_eq!((user_key, recipient), (client.main_key(), client.public_key()));
    assert_eq!(status, approved());
    assert!(client.requests().all().is_empty());
    assert!(service.shutdown().await && client.shutdown().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_open_at_a_crash_goes_on_after_the_restart() {
    let mut world = World::new().await;
    let service = world.service().await;
    let call = Call {
        idempotency: Some(Idempotency { key: "login-1".to_owned(), command_hash: [1; 32] }),
        attach: None,
    };
    let person = world.client_key.public_key();
    let login = service.logins().authenticate(Recipient::new(person), call.clone()).await;
    let login = login.expect("durable");
    // Nobody listened; now the process dies without a word.
    drop(service);
    until("the old service is gone", || world.relay.connections() == 0).await;
    world.service_store = std::sync::Arc::new(world.service_store.reopen());

    let client = world.client().await;
    let service = world.service().await;
    let request = next(&client).await;
    client.replies().login(&request, approved()).await.expect("open");
    let answer = soon("the answer", service.streams().wait(login.stream)).await.expect("answered");
    assert!(matches!(answer, PortalEvent::AuthenticateKey { .. }));

    let again = service.logins().authenticate(Recipient::new(person), call).await.expect("known");
    assert!(again.repeated && again.stream == login.stream);
    let other = Call {
        idempotency: Some(Idempotency { key: "login-1".to_owned(), command_hash: [2; 32] }),
        attach: None,
    };
    let refused = service.logins().authenticate(Recipient::new(person), other).await;
    assert_eq!(refused.expect_err("another command").code(), ErrorCode::IdempotencyConflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_token_serves_many_people_until_it_is_revoked() {
    let world = World::new().await;
    let service = world.service().await;
    let new = || NewHandshake { static_token: Some("table 7 & co".to_owned()), no_request: false };
    let mut ear = Ear::new();
    let call = Call { attach: Some(ear.sink.clone()), ..Call::default() };
    let first = service.logins().handshake_url(new(), call).await.expect("a URL");
    let again = service.logins().handshake_url(new(), Call::default()).await.expect("a URL");
    assert_eq!((&first.url, first.stream, again.repeated), (&again.url, again.stream, true));

    let client = world.client().await;
    for _ in 0..3 {
        client.handshakes().send(&first.url, wallet_app()).await.expect("taken");
        assert!(matches!(ear.body().await, PortalEvent::KeyHandshake { .. }));
    }
    assert!(service.logins().revoke_static_token("table 7 & co").await.expect("running"));
    let told = ear.body().await;
    assert!(matches!(told, PortalEvent::Error { code: ErrorCode::Cancelled, .. }), "{told:?}");
    assert!(!service.logins().revoke_static_token("table 7 & co").await.expect("running"));
    client.handshakes().send(&first.url, wallet_app()).await.expect("the relay took it");
    // The next login works: the stale handshake was ignored, not a fault.
    let person = Recipient::new(client.main_key());
    let login = service.logins().authenticate(person, Call::default()).await.expect("durable");
    let request = next(&client).await;
    client.replies().login(&request, approved()).await.expect("open");
    soon("the answer", service.streams().wait(login.stream)).await.expect("answered");
    assert_eq!(log(&service, first.stream).await.len(), 4, "three people and the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_token_that_reads_like_another_one_in_a_url_is_refused_until_that_is_revoked() {
    let world = World::new().await;
    let service = world.service().await;
    let url = async |token: &str| {
        let new = NewHandshake { static_token: Some(token.to_owned()), no_request: false };
        service.logins().handshake_url(new, Call::default()).await
    };
    let plain = url("a b").await.expect("a URL");
    let refused = url("a%20b").await.expect_err("people echo `a%20b` for both");
    assert_eq!(refused.code(), ErrorCode::InvalidToken);
    assert_eq!(url("a b").await.expect("the same").stream, plain.stream);
    assert!(service.logins().revoke_static_token("a%20b").await.expect("as it stands in the URL"));
    let encoded = url("a%20b").await.expect("a URL");
    let refused = url("a b").await.expect_err("the other way round");
    assert_eq!(refused.code(), ErrorCode::InvalidToken);

    let client = world.client().await;
    client.handshakes().send(&encoded.url, wallet_app()).await.expect("taken");
    let opened = async || log(&service, encoded.stream).await.len() == 1;
    soon("the handshake", async {
        while !opened().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_repeats_an_event_until_it_is_acknowledged_and_ends_with_the_stream() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    let person = Recipient::new(client.main_key());
    let login = service.logins().authenticate(person, Call::default()).await.expect("durable");
    let reader = service.streams().reader(login.stream, None).await.expect("known");
    let request = next(&client).await;
    client.requests().handled(request.id).await.expect("saved");
    let recalled = client.replies().recall(request.id).await.expect("running");
    client.replies().login(&recalled.expect("open"), approved()).await.expect("open");

    reader.acknowledge(0);
    assert_eq!(reader.cursor(), None, "what was not given cannot be acknowledged");
    for _ in 0..2 {
        let event = soon("an event", reader.next()).await.expect("running").expect("open");
        assert_eq!(event.index, 0);
    }
    reader.acknowledge(7);
    assert_eq!(reader.cursor(), Some(0), "nothing is skipped");
    assert!(soon("the end", reader.next()).await.expect("running").is_none());

    let later = service.streams().reader(login.stream, None).await.expect("known");
    assert!(soon("an event", later.next()).await.expect("running").is_some());
    let later = service.streams().reader(login.stream, Some(0)).await.expect("known");
    assert!(soon("the end", later.next()).await.expect("running").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_is_told_when_the_service_stops() {
    let world = World::new().await;
    let service = world.service().await;
    let person = Recipient::new(world.client_key.public_key());
    let login = service.logins().authenticate(person, Call::default()).await.expect("durable");
    let reader = service.streams().reader(login.stream, None).await.expect("known");
    let (waiting, stopped) = tokio::join!(soon("the end", reader.next()), service.shutdown());
    assert!(stopped);
    assert_eq!(waiting.expect_err("stopped").code(), ErrorCode::ShuttingDown);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handled_is_not_given_again() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    for _ in 0..20 {
        let person = Recipient::new(client.main_key());
        service.logins().authenticate(person, Call::default()).await.expect("durable");
        let request = next(&client).await;
        client.requests().handled(request.id).await.expect("saved");
        assert_eq!(client.requests().all(), []);
    }
}
