//! The URLs that a service shows: which relays they name, and that a printed one stays as it is.

use portal_core::protocol::handshake::KeyHandshakeUrl;
use portal_core::relay::RelayAddress;
use portal_core::service::{Call, HandshakeOpened, NewHandshake, Service};

use crate::harness::World;

/// Nobody listens there.
const ELSEWHERE: &str = "ws://127.0.0.1:1";

fn address(url: &str) -> RelayAddress {
    RelayAddress::parse(url).expect("an address")
}

async fn show(service: &Service, static_token: Option<&str>) -> HandshakeOpened {
    let static_token = static_token.map(str::to_owned);
    let new = NewHandshake { static_token, no_request: false };
    service.logins().handshake_url(new, Call::default()).await.expect("a URL")
}

fn relays_in(opened: &HandshakeOpened) -> Vec<String> {
    opened.url.parse::<KeyHandshakeUrl>().expect("ours").relays().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_names_the_first_five_relays() {
    let world = World::new().await;
    let mut relays: Vec<RelayAddress> =
        [9, 8, 7].iter().map(|port| address(&format!("ws://127.0.0.1:{port}"))).collect();
    relays.extend(world.relays());
    relays.extend([3, 2, 1].iter().map(|port| address(&format!("ws://127.0.0.1:{port}"))));
    let service = world.service_with(|builder| builder.relays(relays.clone())).await;
    let first: Vec<&str> = relays[..5].iter().map(RelayAddress::as_str).collect();
    for token in [None, Some("door")] {
        assert_eq!(relays_in(&show(&service, token).await), first, "{token:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_a_static_token_stays_while_relays_come_and_go() {
    let mut world = World::new().await;
    let service = world.service().await;
    let printed = show(&service, Some("door")).await;
    service.relays().add(ELSEWHERE).expect("an address");
    let again = show(&service, Some("door")).await;
    assert_eq!((&again.url, again.stream), (&printed.url, printed.stream));
    assert_eq!(relays_in(&show(&service, None).await).len(), 2, "new ones name the new relay");
    service.shutdown().await;
    drop(service);

    world.service_store = std::sync::Arc::new(world.service_store.reopen());
    let own = world.relays();
    let both = vec![address(ELSEWHERE), own[0].clone()];
    let service = world.service_with(|builder| builder.relays(both)).await;
    assert_eq!(show(&service, Some("door")).await.url, printed.url);

    // Nobody could open it any more: all it names is gone.
    service.relays().remove(own[0].as_str()).expect("an address");
    let moved = show(&service, Some("door")).await;
    assert_eq!((relays_in(&moved), moved.stream), (vec![ELSEWHERE.to_owned()], printed.stream));
}
