//! Public profiles: ours and those of others, well-meant or not.

use nostr::{EventBuilder, Keys, Kind, Timestamp};
use portal_core::primitives::ErrorCode;
use portal_core::protocol::profile::Profile;
use portal_core::protocol::subkey::SubkeyPermission;
use portal_core::relay::RelayAddress;
use portal_testkit::relay::EphemeralRelay;

use crate::harness::{World, until};
use crate::peer::Peer;
use crate::subkeys::derived;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_set_and_fetched() {
    let world = World::new().await;
    let (service, client) = (world.service().await, world.client().await);
    assert_eq!(client.profiles().fetch(service.main_key()).await.expect("connected"), None);
    let profile = Profile { name: Some("Café".to_owned()), ..Profile::default() };
    service.profiles().set(&profile).await.expect("taken");
    let fetched = client.profiles().fetch(service.main_key()).await.expect("connected");
    assert_eq!(fetched.and_then(|profile| profile.name), Some("Café".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_profile_of_the_right_author_counts_and_a_hostile_one_harms_nobody() {
    let world = World::new().await;
    let other = EphemeralRelay::start().await.expect("a relay on loopback");
    let mut relays = world.relays();
    relays.push(RelayAddress::parse(&other.url()).expect("an address"));
    let client = world.client_with(|builder| builder.relays(relays)).await;
    until("both are connected", || {
        client.relays().status().iter().all(|relay| relay.is_connected())
    })
    .await;
    let keys = Keys::generate();
    let mut peer = Peer::connect(&world.relay.url(), keys.clone(), &[1]).await;
    let mut elsewhere = Peer::connect(&other.url(), keys.clone(), &[1]).await;
    let author = keys.public_key();
    let at = |seconds| Timestamp::from_secs(1_700_000_000 + seconds);
    let named = |content: &str, seconds| {
        let event = EventBuilder::new(Kind::Metadata, content).custom_created_at(at(seconds));
        event.sign_with_keys(&keys).expect("signed")
    };
    elsewhere.publish(&named("{\"name\":\"new\"}", 10)).await;
    peer.publish(&named("{\"name\":\"old\"}", 5)).await;
    let fetched = client.profiles().fetch(author).await.expect("connected").expect("there");
    assert_eq!(fetched.name.as_deref(), Some("new"));
    let deep = "[".repeat(20_000);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let name = "{\"name\":\"n\",\"nip05\":\"a@127.0.0.1\"}";
    for (round, content) in [&deep, &long, "7", "", "{\"name\":7}", name].iter().enumerate() {
        let seconds = 20 + u64::try_from(round).expect("few");
        peer.publish(&named(content, seconds)).await;
        let fetched = client.profiles().fetch(author).await.expect("connected");
        assert_eq!(fetched.and_then(|profile| profile.nip05), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_needs_the_main_key_and_a_relay() {
    let mut world = World::new().await;
    world.service_key = derived(&world.service_key, &[SubkeyPermission::Auth]);
    let service = world.service().await;
    let refused = service.profiles().set(&Profile::default()).await;
    assert_eq!(refused.expect_err("a subkey").code(), ErrorCode::MainKeyRequired);
    let client = world.client().await;
    world.relay.set_refusal(Some("blocked: no"));
    assert!(client.profiles().set(&Profile::default()).await.is_err());
}
