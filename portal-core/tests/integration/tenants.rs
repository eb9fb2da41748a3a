//! Nothing is global: one process serves several merchants, each with a wallet of its own.

use std::sync::Arc;

use portal_core::event::PaymentUpdate;
use portal_core::identity::LocalKey;
use portal_core::primitives::Millisats;
use portal_core::service::{Recipient, Service};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::LightningWallet;
use portal_core::wallet::simulated::SimulatedWallet;

use crate::harness::{World, coffee, heard, invoice_of, next, update};

async fn tenant(world: &World, name: &str) -> (Service, Arc<SimulatedWallet>) {
    let wallet = world.network.wallet(name, Millisats::new(0)).expect("in memory");
    let port: Arc<dyn LightningWallet> = wallet.clone();
    let key = LocalKey::generate(&portal_core::env::Env::system());
    let service = Service::builder(key)
        .relays(world.relays())
        .store(Arc::new(MemoryStore::new()))
        .wallet(port)
        .allow_private_relays(true)
        .start(tokio::runtime::Handle::current())
        .await
        .expect("a service");
    (service, wallet)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_merchants_in_one_process_have_two_wallets() {
    let world = World::new().await;
    let (baker, butcher) = (tenant(&world, "baker").await, tenant(&world, "butcher").await);
    let client = world.client().await;
    let person = Recipient::new(client.main_key());
    let mut open = Vec::new();
    for (service, _) in [&baker, &butcher] {
        let (ear, call) = heard();
        service.payments().request_single(person.clone(), coffee(), call).await.expect("asked");
        let request = next(&client).await;
        assert_eq!(request.service, service.main_key());
        client.requests().handled(request.id).await.expect("acknowledged");
        open.push((ear, invoice_of(&request)));
    }
    let [(baker_ear, baker_invoice), (butcher_ear, butcher_invoice)] = &mut open[..] else {
        panic!("two")
    };
    world.pay(butcher_invoice).await;
    assert!(matches!(update(butcher_ear.body().await), PaymentUpdate::Paid { late: false, .. }));
    let amounts = async |tenant: &(Service, Arc<SimulatedWallet>)| {
        let (info, known) = tenant.0.payments().wallet_info().await.expect("answers");
        assert_eq!((info.kind.as_str(), known.stale), ("simulated", false));
        known.balance.amount
    };
    assert_eq!(amounts(&baker).await, Millisats::new(0));
    assert!(amounts(&butcher).await > Millisats::new(0));
    assert!(baker_ear.is_silent(), "another's money is none of its business");
    // One merchant's end is not the other's.
    assert!(butcher.0.shutdown().await);
    butcher.1.shutdown().await;
    world.pay(baker_invoice).await;
    assert!(matches!(update(baker_ear.body().await), PaymentUpdate::Paid { late: false, .. }));
    assert_eq!(amounts(&baker).await, Millisats::new(coffee().amount));
}
