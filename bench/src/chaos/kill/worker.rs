//! The subcommand `worker`: a service with SQLite and a simulated ledger in a file, told by lines
//! what to do, saying by lines what is durable. Made to be killed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nostr::PublicKey;
use portal_core::env::Env;
use portal_core::event::StreamEvent;
use portal_core::identity::LocalKey;
use portal_core::primitives::{Millisats, RequestId, StreamId};
use portal_core::protocol::Currency;
use portal_core::service::{
    Call, EventSink, Idempotency, NewSinglePayment, Opened, Recipient, Service,
};
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{LightningWallet, PayInvoice, PayOutcome};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::world;

/// The database within the folder.
pub const DATABASE: &str = "portal.db";
/// The ledger within the folder.
pub const LEDGER: &str = "ledger";
/// How every line ends, so that one that was cut off can be told from a whole one.
pub const END: &str = " ;";
/// The smallest payment; the others are told apart by what they are above it.
pub const SMALLEST: u64 = 1_000;

/// `worker <folder> <key> <relay,relay>`, then lines:
/// `login|pay <number> <person> [again]`, `attach <stream> <after>`, `settle <invoice>`.
/// Says `ready`, `opened|again <number> <stream> <repeated>`, `event <stream> <index> <json>`,
/// `settled <invoice>`, `failed <why>`.
pub fn run(arguments: &[String]) -> Result<bool> {
    let [folder, key, relays] = arguments else { bail!("worker <folder> <key> <relay,relay>") };
    let runtime = world::runtime(2)?;
    runtime.block_on(async {
        let worker = Arc::new(Worker::start(Path::new(folder), key, relays).await?);
        worker.say("ready");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let worker = worker.clone();
            tokio::spawn(async move {
                if let Err(error) = worker.obey(&line).await {
                    worker.say(&format!("failed {line}: {error:#}"));
                }
            });
        }
        Ok(true)
    })
}

struct Worker {
    service: Service,
    person: Arc<SimulatedWallet>,
    out: mpsc::UnboundedSender<String>,
}

/// Says what happens on streams.
struct Mouth(mpsc::UnboundedSender<String>);

impl EventSink for Mouth {
    fn deliver(&self, event: &Arc<StreamEvent>) -> bool {
        let StreamEvent { stream, index, body, .. } = &**event;
        let body = serde_json::to_string(body).expect("events are stored as JSON");
        self.0.send(format!("event {stream} {index} {body}")).is_ok()
    }
}

impl Worker {
    async fn start(folder: &Path, key: &str, relays: &str) -> Result<Self> {
        let env = Env::system();
        let network = SimulatedNetwork::open(&folder.join(LEDGER), env)?;
        let merchant = network.wallet("merchant", Millisats::new(0))?;
        let person = network.wallet("person", Millisats::new(1 << 50))?;
        let store = SqliteStore::open(&folder.join(DATABASE), SqliteOptions::default())?;
        let relays = relays
            .split(',')
            .map(portal_core::relay::RelayAddress::parse)
            .collect::<Result<_, _>>()?;
        let service = Service::builder(LocalKey::parse(key)?)
            .relays(relays)
            .store(Arc::new(store))
            .wallet(merchant)
            .allow_private_relays(true)
            .start(Handle::current())
            .await?;
        let (out, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            let mut stdout = tokio::io::stdout();
            while let Some(line) = lines.recv().await {
                let written = stdout.write_all(format!("{line}{END}\n").as_bytes()).await;
                if written.is_err() || stdout.flush().await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { service, person, out })
    }

    fn say(&self, line: &str) {
        // Nobody reads any more when the supervisor is gone.
        drop(self.out.send(line.to_owned()));
    }

    async fn obey(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [what @ ("login" | "pay"), number, person, rest @ ..] => {
                let again = rest == ["again"];
                let opened =
                    self.open(what, number.parse()?, PublicKey::from_hex(person)?, again).await?;
                let word = if again { "again" } else { "opened" };
                self.say(&format!("{word} {number} {} {}", opened.stream, opened.repeated));
            }
            ["attach", stream, after] => {
                let stream: StreamId = stream.parse()?;
                let mouth = Arc::new(Mouth(self.out.clone()));
                self.service.streams().attach(stream, after.parse().ok(), mouth).await?;
            }
            ["settle", invoice] => self.settle(invoice).await?,
            _ => bail!("not understood"),
        }
        Ok(())
    }

    async fn open(
        &self,
        what: &str,
        number: u64,
        person: PublicKey,
        again: bool,
    ) -> Result<Opened> {
        let mut command_hash = [0; 32];
        command_hash[..8].copy_from_slice(&number.to_be_bytes());
        let call = Call {
            idempotency: Some(Idempotency { key: format!("{what}-{number}"), command_hash }),
            attach: (!again).then(|| {
                let mouth: Arc<dyn EventSink> = Arc::new(Mouth(self.out.clone()));
                mouth
            }),
        };
        let recipient = Recipient::new(person);
        if what == "login" {
            return Ok(self.service.logins().authenticate(recipient, call).await?);
        }
        let new = NewSinglePayment {
            amount: SMALLEST + number,
            currency: Currency::Millisats,
            description: None,
            auth_token: None,
            subscription_id: None,
            request_id: Some(RequestId::new(format!("order-{number}"))),
        };
        Ok(self.service.payments().request_single(recipient, new, call).await?)
    }

    async fn settle(&self, invoice: &str) -> Result<()> {
        let read = Bolt11::parse(invoice).context("an invoice")?;
        let outcome = self
            .person
            .pay(PayInvoice {
                bolt11: invoice.to_owned(),
                payment_hash: read.payment_hash,
                amount: None,
                max_fee: None,
                timeout: Duration::from_secs(10),
            })
            .await?;
        match outcome {
            PayOutcome::Settled { .. } => self.say(&format!("settled {invoice}")),
            other => bail!("not settled: {other:?}"),
        }
        Ok(())
    }
}
