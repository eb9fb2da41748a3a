//! `sweep-cpu`: CPU of a service that waits for many payments nobody makes, in percent of one core.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use nostr::PublicKey;
use portal_core::env::Env;
use portal_core::primitives::Millisats;
use portal_core::protocol::Currency;
use portal_core::service::{Call, NewPayment, Recipient};
use portal_core::storage::memory::MemoryStore;
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};

use crate::arguments::Arguments;
use crate::gauge::process_cpu;
use crate::people;
use crate::report::{Report, Row, count};
use crate::world::{self, Core};

/// Payments that settle just before: every sweep sees them again.
const SETTLED: u64 = 100;
/// The most that watching may take, in percent of a core.
const TARGET: f64 = 0.5;

/// Measures with few and with many open, for wallets that notify and for those that do not.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let many: u64 = arguments.size(10_000, 1_000);
    let time = Duration::from_secs(arguments.size(60, 10));
    let runtime = world::runtime(1)?;
    for notifies in [true, false] {
        let of = |open| runtime.block_on(share(open, notifies, time));
        let (floor, share) = (of(0)?, of(many)?);
        let name = if notifies { "sweep-cpu" } else { "sweep-cpu, a silent wallet" };
        let note = format!("of one core, {many} open payments over {} s", time.as_secs());
        report.add(Row::new(name, share, "%").over(floor).at_most(TARGET).note(note));
    }
    Ok(())
}

/// CPU time by time, in percent.
async fn share(open: u64, notifies: bool, time: Duration) -> Result<f64> {
    let relays = world::relays(1).await?;
    let network = SimulatedNetwork::new(Env::system());
    let merchant = network.wallet("merchant", Millisats::new(0))?;
    let payer = network.wallet("person", Millisats::new(1 << 50))?;
    let wallet: Arc<dyn LightningWallet> = match notifies {
        true => merchant.clone(),
        false => Arc::new(Silent(merchant.clone())),
    };
    let key = world::new_key();
    let store = Arc::new(MemoryStore::new());
    let core = Core::start_with(&key, &world::urls(&relays), store, Some(wallet)).await?;
    let nobody: PublicKey = people::key_of(&[1; 32], 0).public_key();
    for number in 0..open {
        let new = NewPayment {
            amount: 1_000 + number,
            currency: Currency::Millisats,
            current_exchange_rate: None,
            invoice: None,
            auth_token: None,
            // Longer than the measurement takes.
            expires_at: Some(core.service.now().saturating_add(Duration::from_secs(3600))),
            subscription_id: None,
            description: None,
            request_id: None,
        };
        let payments = core.service.payments();
        payments.request_with(Recipient::new(nobody), new, Call::default()).await?;
    }
    for _ in 0..SETTLED {
        let expiry = Duration::from_secs(600);
        let order = NewInvoice { amount: Millisats::new(1_000), description: None, expiry };
        let bolt11 = merchant.make_invoice(order).await?.bolt11;
        let payment_hash = Bolt11::parse(&bolt11)?.payment_hash;
        let timeout = Duration::from_secs(10);
        payer
            .pay(PayInvoice { bolt11, payment_hash, amount: None, max_fee: None, timeout })
            .await?;
    }
    // What was begun comes to rest.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = process_cpu();
    tokio::time::sleep(time).await;
    let spent = process_cpu().saturating_sub(began).as_secs_f64();
    anyhow::ensure!(
        core.service.node().open_conversations().await >= Some(usize::try_from(open)?),
        "payments ended that nobody made"
    );
    core.service.shutdown().await;
    Ok(spent / time.as_secs_f64() * count(100_u32))
}

/// A wallet that tells nothing by itself.
struct Silent(Arc<SimulatedWallet>);

#[async_trait]
impl LightningWallet for Silent {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        Ok(WalletInfo { notifies: false, ..self.0.info().await? })
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.0.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.0.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.0.lookup(hash).await
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        self.0.pay(request).await
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.0.list(query).await
    }

    async fn list_settled(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.0.list_settled(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        futures_util::stream::pending().boxed()
    }

    async fn shutdown(&self) {}
}
