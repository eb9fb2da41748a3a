//! Relays that serve only those who say who they are (NIP-42): both sides sign what is asked.

use futures_util::{SinkExt as _, StreamExt as _};
use portal_core::event::PortalEvent;
use portal_core::relay::RelayAddress;
use portal_core::service::NewHandshake;
use portal_testkit::relay::LocalRelay;
use serde_json::Value;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{World, heard, login, soon, wallet_app};

/// What the relay answers to somebody who asks without having said who they are.
async fn answer_to_a_stranger(url: &str) -> Value {
    let (mut socket, _) = soon("a connection", connect_async(url)).await.expect("connected");
    let question = r#"["REQ","x",{"kinds":[1],"limit":1}]"#;
    socket.send(Message::text(question)).await.expect("connected");
    loop {
        let message = soon("an answer", socket.next()).await.expect("connected").expect("a frame");
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            // The challenge comes before the answer.
            if frame[0] != "AUTH" {
                return frame;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_over_a_relay_that_wants_to_know_who_listens_and_writes() {
    let world = World::new().await;
    let relay = LocalRelay::start_with_authentication().await.expect("a relay on loopback");
    let refused = answer_to_a_stranger(&relay.url()).await;
    assert_eq!(refused[0], "CLOSED", "{refused}");
    assert!(refused[2].as_str().is_some_and(|why| why.starts_with("auth-required")), "{refused}");

    let address = RelayAddress::parse(&relay.url()).expect("an address");
    let service = world.service_with(|builder| builder.relays(vec![address.clone()])).await;
    let client = world.client_with(|builder| builder.relays(vec![address])).await;
    let (mut ear, call) = heard();
    let shown = service.logins().handshake_url(NewHandshake::default(), call).await;
    client.handshakes().send(&shown.expect("a URL").url, wallet_app()).await.expect("taken");
    let PortalEvent::KeyHandshake { main_key, .. } = ear.body().await else { panic!() };
    assert_eq!(main_key, client.main_key());
    assert_eq!(login(&service, &client).await, client.main_key());
}
