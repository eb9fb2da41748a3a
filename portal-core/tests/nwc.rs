//! NIP-47 over real WebSockets: our client and our service, with relays that we did not write
//! between them, and the wallet suite on top.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::wallet::nwc::{
    Cipher, NwcConnection, NwcOptions, NwcService, NwcServiceOptions, NwcWallet, Permission,
};
use portal_core::wallet::suite::{Rig, SimulatedRig};
use portal_core::wallet::{Invoice, LightningWallet, PaymentHash, WalletEvent};
use portal_testkit::relay::LocalRelay;
use tokio::runtime::Handle;

/// The simulated ledger behind NIP-47 behind a relay.
struct OverSockets {
    rig: SimulatedRig,
    relays: Vec<LocalRelay>,
    services: Vec<NwcService>,
}

fn connector(
    relays: Vec<RelayAddress>,
    env: Env,
) -> impl FnOnce(Arc<dyn RelaySink>) -> Arc<dyn RelayPool> {
    move |sink| {
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(Handle::current(), env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    }
}

impl OverSockets {
    async fn start(relays: usize) -> Self {
        let mut rig = SimulatedRig::direct();
        let mut running = Vec::new();
        for _ in 0..relays {
            running.push(LocalRelay::start().await.expect("a relay on loopback"));
        }
        let addresses: Vec<RelayAddress> = running
            .iter()
            .map(|relay| RelayAddress::parse(&relay.url()).expect("its own address"))
            .collect();
        let mut services = Vec::new();
        let spend = Permission::Spend { budget: None };
        for (wallet, permission) in
            [(rig.merchant.clone(), Permission::ReceiveOnly), (rig.person.clone(), spend)]
        {
            // Relays look at the clock, so events are signed with the real one; the ledger's is
            // the mock.
            let env = Env::system();
            let connection = NwcConnection::generate(&env, permission);
            let options = NwcServiceOptions {
                key: Secret::new(env.bytes()),
                relays: addresses.clone(),
                ciphers: vec![Cipher::Nip44, Cipher::Nip04],
            };
            let service = NwcService::start(
                wallet,
                std::slice::from_ref(&connection),
                options,
                connector(addresses.clone(), env.clone()),
                env.clone(),
                &Handle::current(),
            )
            .expect("a key");
            let uri = service.uri_for(&connection);
            let client = NwcWallet::connect(
                &uri,
                connector(uri.relays.clone(), env.clone()),
                env,
                NwcOptions::default(),
            )
            .expect("our own link");
            if permission == Permission::ReceiveOnly {
                rig.payee = Arc::new(client);
            } else {
                rig.payer = Arc::new(client);
            }
            services.push(service);
        }
        Self { rig, relays: running, services }
    }
}

#[async_trait]
impl Rig for OverSockets {
    fn payee(&self) -> Arc<dyn LightningWallet> {
        self.rig.payee()
    }
    fn payer(&self) -> Arc<dyn LightningWallet> {
        self.rig.payer()
    }
    fn amountless_invoice(&self) -> Invoice {
        self.rig.amountless_invoice()
    }
    fn pass(&self, time: Duration) {
        self.rig.pass(time);
    }
    fn hold_next_payment(&self) {
        self.rig.hold_next_payment();
    }
    fn release(&self, hash: PaymentHash) {
        self.rig.release(hash);
    }
    fn lose_next_answer(&self) {
        self.rig.lose_next_answer();
    }
    fn lose_next_event(&self) {
        self.rig.lose_next_event();
    }
    fn double_next_event(&self) {
        self.rig.double_next_event();
    }
    async fn end(&self) {
        self.rig.end().await;
        for service in &self.services {
            service.shutdown().await;
        }
        for relay in &self.relays {
            relay.stop().await;
        }
    }
}

mod one_relay {
    use super::OverSockets;

    async fn rig() -> OverSockets {
        OverSockets::start(1).await
    }

    portal_core::wallet_suite!(rig);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wallet_goes_on_when_its_relays_come_back() {
    let bounded = tokio::time::timeout(Duration::from_secs(60), async {
        let linked = OverSockets::start(2).await;
        let wallet = linked.payer();
        wallet.info().await.expect("answers");
        // One of two is enough.
        linked.relays[0].stop().await;
        wallet.balance().await.expect("answers");
        let mut events = wallet.events();
        linked.relays[1].stop().await;
        while events.next().await.expect("goes on") != WalletEvent::Disconnected {}
        linked.relays[0].restart().await.expect("the same port");
        while events.next().await.expect("goes on") != WalletEvent::Reconnected {}
        // The other side may still be on its way back; who is not there misses a request.
        wallet.balance().await.expect("asked again until it is there");
        linked.end().await;
    });
    bounded.await.expect("in time");
}
