//! `settle-latency`: from the moment the payee's books have the money to `paid` on a socket of the
//! daemon, whose wallet is linked over a relay and notifies.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret};
use portal_core::relay::nostr::{NostrRelays, RelayOptions};
use portal_core::relay::{RelayAddress, RelayPool, RelaySink};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::nwc::{Cipher, NwcConnection, NwcService, NwcServiceOptions, Permission};
use portal_core::wallet::simulated::SimulatedNetwork;
use portal_core::wallet::{LightningWallet, PayInvoice};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::arguments::Arguments;
use crate::daemon::{Daemon, Socket};
use crate::gauge::Samples;
use crate::people::{Asked, Manners, People};
use crate::report::{Report, Row};
use crate::world;

/// Payments at once.
const AT_ONCE: u64 = 4;
/// The target for 99 of 100.
const TARGET_MS: f64 = 100.0;
/// How long one may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pays and waits, again and again.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let payments: u64 = arguments.size(2_000, 60);
    world::runtime(2)?.block_on(async {
        let relays = world::relays(1).await?;
        let urls = world::urls(&relays);
        let key = world::new_key();
        let (asked, asks) = mpsc::unbounded_channel();
        let manners = Manners::default();
        let people = People::connect(&urls, key.public_key(), world::SEED, manners, Some(asked));
        people.ready(Duration::from_secs(10)).await?;
        let person = people.invite(0).to_hex();
        let network = SimulatedNetwork::new(Env::system());
        let merchant = network.wallet("merchant", Millisats::new(0))?;
        let payer = network.wallet("person", Millisats::new(1 << 50))?;
        let (service, link) = behind_a_link(merchant, &urls)?;
        let daemon = Daemon::start_with_wallet(&key, &urls, &link).await?;
        daemon.ready().await?;
        let socket = Socket::connect(&daemon.address).await?;
        let desk = Arc::new(Desk::default());
        let sorting = tokio::spawn(sort(asks, desk.clone()));
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (socket, next, desk) = (socket.clone(), next.clone(), desk.clone());
            let (payer, person) = (payer.clone(), person.clone());
            workers.spawn(async move {
                let mut waits = Samples::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= payments {
                        return anyhow::Ok(waits);
                    }
                    let one = one(&socket, &*payer, &desk, &person, 1_000 + number);
                    waits.add(tokio::time::timeout(PATIENCE, one).await.context("no `paid`")??);
                }
            });
        }
        let mut waits = Samples::default();
        while let Some(worker) = workers.join_next().await {
            waits.join(worker??);
        }
        sorting.abort();
        service.shutdown().await;
        let note = format!(
            "p99 of {payments} payments, {AT_ONCE} at once; p50 {:.2} ms, longest {:.2} ms",
            waits.median(),
            waits.most()
        );
        let row = Row::new("settle-latency", waits.quantile(0.99), "ms").at_most(TARGET_MS);
        report.add(row.note(note));
        Ok(())
    })
}

/// From settled to `paid`.
async fn one(
    socket: &Socket,
    payer: &dyn LightningWallet,
    desk: &Desk,
    person: &str,
    amount: u64,
) -> Result<Duration> {
    let (sender, invoice) = oneshot::channel();
    desk.waiting.lock().await.insert(amount, sender);
    let params = json!({
        "main_key": person, "subkeys": [],
        "payment_request": {"amount": amount, "currency": "Millisats", "description": null},
    });
    let reply = socket.command("RequestSinglePayment", &params, None).await?;
    let mut events = reply.events.context("a stream")?;
    let bolt11 = invoice.await?;
    let payment_hash = Bolt11::parse(&bolt11)?.payment_hash;
    let timeout = Duration::from_secs(10);
    // The books change within this call: to measure from its start is to measure too much.
    let began = Instant::now();
    payer.pay(PayInvoice { bolt11, payment_hash, amount: None, max_fee: None, timeout }).await?;
    loop {
        let event = events.recv().await.context("the socket is closed")?;
        match event["status"]["status"].as_str() {
            Some("paid") => return Ok(began.elapsed()),
            Some("user_approved") => {}
            _ => bail!("not a step of a payment: {event}"),
        }
    }
}

/// Who waits to see the invoice of which amount.
#[derive(Default)]
struct Desk {
    waiting: Mutex<HashMap<u64, oneshot::Sender<String>>>,
}

/// Hands what people are asked to pay to whoever waits for it.
async fn sort(mut asks: mpsc::UnboundedReceiver<Asked>, desk: Arc<Desk>) -> Result<()> {
    while let Some(asked) = asks.recv().await {
        let amount = Bolt11::parse(&asked.invoice)?.amount.context("an amount")?;
        if let Some(waiting) = desk.waiting.lock().await.remove(&amount.as_u64()) {
            // Whoever waited may have given up.
            drop(waiting.send(asked.invoice));
        }
    }
    Ok(())
}

/// A wallet offered over these relays, and the link to it.
fn behind_a_link(
    wallet: Arc<dyn LightningWallet>,
    urls: &[String],
) -> Result<(NwcService, String)> {
    let env = Env::system();
    let relays: Vec<_> =
        urls.iter().map(|url| RelayAddress::parse(url)).collect::<Result<_, _>>()?;
    let connection = NwcConnection::generate(&env, Permission::ReceiveOnly);
    let options = NwcServiceOptions {
        key: Secret::new(env.bytes()),
        relays: relays.clone(),
        ciphers: vec![Cipher::Nip44],
    };
    let pool_env = env.clone();
    let connect = move |sink: Arc<dyn RelaySink>| -> Arc<dyn RelayPool> {
        let options = RelayOptions { allow_private: true, ..RelayOptions::default() };
        let pool = NostrRelays::start(Handle::current(), pool_env, sink, options);
        for relay in relays {
            pool.add(relay);
        }
        pool
    };
    let connections = std::slice::from_ref(&connection);
    let service =
        NwcService::start(wallet, connections, options, connect, env, &Handle::current())?;
    let link = service.uri_for(&connection).to_text().expose().clone();
    Ok((service, link))
}
