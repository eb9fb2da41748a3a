//! Either side on a subkey.

use std::time::Duration;

use portal_core::env::Env;
use portal_core::event::PortalEvent;
use portal_core::identity::{LocalKey, subkey};
use portal_core::protocol::payment::PaymentStatus;
use portal_core::protocol::subkey::SubkeyMetadata;
use portal_core::protocol::subkey::SubkeyPermission::{self, Auth, Payment};
use portal_core::service::{Call, NewHandshake, Recipient};

use crate::harness::{World, approve, coffee, heard, login, next, soon, update, wallet_app};

/// A subkey of this key, for a day.
pub fn derived(main: &LocalKey, permissions: &[SubkeyPermission]) -> LocalKey {
    let env = Env::system();
    let metadata = SubkeyMetadata {
        name: "device".to_owned(),
        nonce: env.bytes(),
        valid_from: env.now(),
        expires_at: env.now().saturating_add(Duration::from_secs(86_400)),
        permissions: permissions.to_vec(),
        version: 2,
    };
    subkey::derive(main, metadata).expect("derivable")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_a_subkey_is_known_by_its_main_key() {
    let mut world = World::new().await;
    let main = world.service_key.clone();
    world.service_key = derived(&main, &[Auth, Payment]);
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let opened = service.logins().handshake_url(NewHandshake::default(), call).await.expect("URL");
    let url = client.handshakes().send(&opened.url, wallet_app()).await.expect("taken");
    assert_eq!(url.main_key(), main.public_key());
    assert!(matches!(ear.body().await, PortalEvent::KeyHandshake { .. }));
    let person = Recipient::new(client.main_key());
    let asked = service.logins().authenticate(person, Call::default()).await.expect("durable");
    let request = next(&client).await;
    assert_eq!((request.service, request.signer), (main.public_key(), service.public_key()));
    approve(&client).await;
    soon("the answer", service.streams().wait(asked.stream)).await.expect("answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_on_a_subkey_is_reached_by_its_main_key() {
    let mut world = World::new().await;
    let main = world.client_key.clone();
    world.client_key = derived(&main, &[Auth, Payment]);
    let (service, client) = (world.service().await, world.client().await);
    assert_eq!(client.main_key(), main.public_key());
    // It sees what it cannot open, proves itself, and is asked again.
    let (mut ear, call) = heard();
    let person = Recipient::new(main.public_key());
    service.logins().authenticate(person.clone(), call).await.expect("durable");
    approve(&client).await;
    let PortalEvent::AuthenticateKey { user_key, recipient, .. } = ear.body().await else {
        panic!("an answer")
    };
    assert_eq!((user_key, recipient), (main.public_key(), client.public_key()));
    // Known from now on, for payments too.
    let (mut ear, call) = heard();
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    client.replies().payment(&request, PaymentStatus::Approved).await.expect("open");
    update(ear.body().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_negotiated_with_a_subkey_that_nobody_knew() {
    let mut world = World::new().await;
    let main = world.client_key.clone();
    world.client_key = derived(&main, &[Payment]);
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let person = Recipient::new(main.public_key());
    service.payments().request_single(person, coffee(), call).await.expect("asked");
    let request = next(&client).await;
    client.replies().payment(&request, PaymentStatus::Approved).await.expect("open");
    update(ear.body().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subkey_that_was_taken_for_a_main_key_tells_whose_it_is() {
    let mut world = World::new().await;
    let main = world.client_key.clone();
    world.client_key = derived(&main, &[Auth]);
    let (service, client) = (world.service().await, world.client().await);
    let (mut ear, call) = heard();
    let opened = service.logins().handshake_url(NewHandshake::default(), call).await.expect("URL");
    client.handshakes().send(&opened.url, wallet_app()).await.expect("taken");
    let PortalEvent::KeyHandshake { main_key: taken_for, .. } = ear.body().await else { panic!() };
    assert_eq!(taken_for, client.public_key());
    let (mut ear, call) = heard();
    service.logins().authenticate(Recipient::new(taken_for), call).await.expect("durable");
    approve(&client).await;
    let PortalEvent::AuthenticateKey { user_key, recipient, .. } = ear.body().await else {
        panic!("an answer")
    };
    assert_eq!((user_key, recipient), (main.public_key(), client.public_key()));
    assert_eq!(login(&service, &client).await, main.public_key(), "by its main key from now on");
}
