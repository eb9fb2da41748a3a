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
use portal_core::wallet::WalletEvent;
use portal_core::wallet::nwc::{
    Cipher, NwcConnection, NwcOptions, NwcService, NwcServiceOptions, NwcUri, NwcWallet, Permission,
};
use portal_core::wallet::suite::{OnLedger, Rig, SimulatedRig};
use portal_testkit::relay::LocalRelay;
use tokio::runtime::Handle;

/// The simulated ledger behind NIP-47 behind a relay.
struct OverSockets {
    rig: SimulatedRig,
    relays: Vec<LocalRelay>,
    services: Vec<NwcService>,
    /// The links to the payee's wallet and to the payer's.
    uris: Vec<NwcUri>,
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
        let rig = SimulatedRig::direct();
        // Relays look at the clock; what the wallets and their users sign is of now.
        rig.user_clock.set(Env::system().now());
        let mut running = Vec::new();
        for _ in 0..relays {
            running.push(LocalRelay::start().await.expect("a relay on loopback"));
        }
        let mut linked = Self { rig, relays: running, services: Vec::new(), uris: Vec::new() };
        linked.link();
        linked
    }

    /// Puts a service before each wallet of the ledger, and a client before each service.
    fn link(&mut self) {
        let addresses: Vec<RelayAddress> = self
            .relays
            .iter()
            .map(|relay| RelayAddress::parse(&relay.url()).expect("its own address"))
            .collect();
        let spend = Permission::Spend { budget: None };
        let (merchant, person) = (self.rig.merchant.clone(), self.rig.person.clone());
        self.services.clear();
        self.uris.clear();
        for (wallet, permission) in [(merchant, Permission::ReceiveOnly), (person, spend)] {
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
                connector(uri.relays.clone(), env),
                self.rig.user_env.clone(),
                NwcOptions::default(),
            )
            .expect("our own link");
            if permission == Permission::ReceiveOnly {
                self.rig.payee = Arc::new(client);
            } else {
                self.rig.payer = Arc::new(client);
            }
            self.services.push(service);
            self.uris.push(uri);
        }
    }
}

#[async_trait]
impl OnLedger for OverSockets {
    fn ledger(&self) -> &SimulatedRig {
        &self.rig
    }

    async fn restart(&mut self) {
        self.rig.payee.shutdown().await;
        self.rig.payer.shutdown().await;
        for service in &self.services {
            service.shutdown().await;
        }
        self.rig.reopen().await;
        self.link();
    }

    async fn end(&self) {
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
        Rig::end(&linked).await;
    });
    bounded.await.expect("in time");
}

/// The `nwc` crate: another client, which knows only the older cipher and has closed lists of
/// words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_uses_our_service() {
    use nostr::nips::nip47::{
        ListTransactionsRequest, LookupInvoiceRequest, MakeInvoiceRequest, NostrWalletConnectURI,
        PayInvoiceRequest, TransactionState,
    };

    let bounded = tokio::time::timeout(Duration::from_secs(60), async {
        let linked = OverSockets::start(1).await;
        let [payee, payer] = [0, 1].map(|index| {
            let text = linked.uris[index].to_text();
            nwc::NWC::new(NostrWalletConnectURI::parse(text.expose()).expect("a link"))
        });
        let info = payee.get_info().await.expect("answers");
        assert_eq!(info.network.as_deref(), Some("regtest"));
        assert_eq!(payer.get_balance().await.expect("answers"), 1_000_000);
        let order = MakeInvoiceRequest {
            amount: 4_000,
            description: Some("a cup".to_owned()),
            description_hash: None,
            expiry: Some(600),
        };
        let made = payee.make_invoice(order).await.expect("made");
        let paid = payer.pay_invoice(PayInvoiceRequest::new(made.invoice.clone())).await;
        let proof = paid.expect("paid").preimage;
        let by_text = LookupInvoiceRequest { payment_hash: None, invoice: Some(made.invoice) };
        let seen = payee.lookup_invoice(by_text).await.expect("known");
        assert_eq!(seen.state, Some(TransactionState::Settled));
        assert_eq!(seen.preimage, Some(proof));
        let all = ListTransactionsRequest {
            from: None,
            until: None,
            limit: None,
            offset: None,
            unpaid: None,
            transaction_type: None,
        };
        assert_eq!(payee.list_transactions(all).await.expect("listed").len(), 1);
        let refused = payee.pay_invoice(PayInvoiceRequest::new("lnbcrt1")).await;
        assert!(refused.expect_err("may only receive").to_string().contains("may not pay"));
        payee.shutdown().await;
        payer.shutdown().await;
        Rig::end(&linked).await;
    });
    bounded.await.expect("in time");
}
