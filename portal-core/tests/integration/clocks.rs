//! A phone whose clock is wrong by almost ten minutes logs in, over a relay that we did not write.

use std::sync::Arc;

use portal_core::env::{Clock, Env, Rng};
use portal_core::event::PortalEvent;
use portal_core::relay::RelayAddress;
use portal_core::service::NewHandshake;
use portal_testkit::relay::LocalRelay;

use crate::harness::{World, heard, login, wallet_app};

/// The clock and the randomness of the system, the clock wrong by this.
struct Wrong {
    system: Env,
    by_secs: i64,
}

impl Clock for Wrong {
    fn now_millis(&self) -> u64 {
        self.system.now_millis().saturating_add_signed(self.by_secs * 1000)
    }
}

impl Rng for Wrong {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let bytes: [u8; 32] = self.system.bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// The service has just started, so its subscriptions reach back least.
async fn logs_in_with_a_clock_wrong_by(by_secs: i64) {
    let wrong = || Arc::new(Wrong { system: Env::system(), by_secs });
    let world = World::new().await;
    let relay = LocalRelay::start().await.expect("a relay on loopback");
    let address = RelayAddress::parse(&relay.url()).expect("an address");
    let env = Env::new(wrong(), wrong());
    let phone = world.client_with(|builder| builder.relays(vec![address.clone()]).env(env)).await;
    let service = world.service_with(|builder| builder.relays(vec![address])).await;
    let (mut ear, call) = heard();
    let shown = service.logins().handshake_url(NewHandshake::default(), call).await;
    phone.handshakes().send(&shown.expect("a URL").url, wallet_app()).await.expect("taken");
    let PortalEvent::KeyHandshake { main_key, .. } = ear.body().await else { panic!() };
    assert_eq!(main_key, phone.main_key());
    assert_eq!(login(&service, &phone).await, phone.main_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_late_by_590_seconds_logs_in() {
    logs_in_with_a_clock_wrong_by(-590).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_early_by_590_seconds_logs_in() {
    logs_in_with_a_clock_wrong_by(590).await;
}
