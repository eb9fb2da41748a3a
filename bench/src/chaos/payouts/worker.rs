//! The subcommand `payer`: a payer with its journal in SQLite and a simulated ledger in a file,
//! behind a wallet that fails in every way. Made to be killed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portal_core::env::{Clock, Env, Rng};
use portal_core::payments::{PayError, PayPolicy, PayRequest, Payer};
use portal_core::primitives::Millisats;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::wallet::bolt11::Bolt11;
use portal_core::wallet::simulated::{Fault, FeeModel, SimulatedNetwork, SimulatedWallet};
use portal_core::wallet::{
    Balance, Invoice, LightningWallet, ListPayments, NewInvoice, PayInvoice, PayOutcome,
    PaymentHash, WalletError, WalletEvent, WalletInfo, WalletPayment,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::world;

/// The database within the folder.
pub const DATABASE: &str = "portal.db";
/// The ledger within the folder.
pub const LEDGER: &str = "ledger";
/// What was handed to the wallet, and what it certainly did not take.
const HANDED: &str = "handed";
/// How every line ends, so that one that was cut off can be told from a whole one.
pub const END: &str = " ;";
/// So much later nothing can leave any more.
pub const LATER: Duration = Duration::from_secs(4 * 3600);
/// How long an invoice can be paid.
const EXPIRY: Duration = Duration::from_secs(2 * 3600);

/// `payer <folder> <seconds later>`, then lines: `make <number>`, `pay <number> <invoice>`. Says
/// `ready`, `made <number> <invoice>`, `paid <number>`, `failed <number>`, `open <number>`.
pub fn run(arguments: &[String]) -> Result<bool> {
    let [folder, later] = arguments else { bail!("payer <folder> <seconds later>") };
    let later = Duration::from_secs(later.parse()?);
    world::runtime(2)?.block_on(async {
        let worker = Arc::new(Worker::start(Path::new(folder), later)?);
        let keeper = worker.clone();
        tokio::spawn(async move {
            let events = keeper.payer.wallet().events();
            keeper.payer.keep_accounts(events).await;
        });
        worker.say("ready");
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let worker = worker.clone();
            tokio::spawn(async move {
                if let Err(error) = worker.obey(&line).await {
                    worker.say(&format!("broken {line}: {error:#}"));
                }
            });
        }
        Ok(true)
    })
}

/// How often each payment hash was handed to the wallet, and how often certainly not taken.
pub fn handed(folder: &Path) -> Result<BTreeMap<[u8; 32], (usize, usize)>> {
    let mut handed: BTreeMap<[u8; 32], (usize, usize)> = BTreeMap::new();
    // Nothing was handed over by a worker that died early.
    let Ok(text) = std::fs::read_to_string(folder.join(HANDED)) else { return Ok(handed) };
    for line in text.lines() {
        let (word, hash) = line.split_once(' ').context("two words")?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes)?;
        let entry = handed.entry(bytes).or_default();
        match word {
            "sent" => entry.0 += 1,
            _ => entry.1 += 1,
        }
    }
    Ok(handed)
}

struct Worker {
    env: Env,
    payee: Arc<SimulatedWallet>,
    network: SimulatedNetwork,
    payer: Arc<Payer>,
    wallet: Arc<Faulty>,
    last: bool,
    out: mpsc::UnboundedSender<String>,
}

impl Worker {
    fn start(folder: &Path, later: Duration) -> Result<Self> {
        let env = Env::new(Arc::new(Shifted { system: Env::system(), by: later }), Arc::new(Dice));
        let network = SimulatedNetwork::open(&folder.join(LEDGER), env.clone())?;
        network.charge(FeeModel { base: Millisats::new(1_000), ppm: 1_000 });
        let payee = network.wallet("payee", Millisats::new(0))?;
        let own = network.wallet("payer", Millisats::new(1 << 50))?;
        let store = Arc::new(SqliteStore::open(&folder.join(DATABASE), SqliteOptions::default())?);
        let last = !later.is_zero();
        let handed = OpenOptions::new().create(true).append(true).open(folder.join(HANDED))?;
        let wallet = Arc::new(Faulty {
            inner: own,
            env: env.clone(),
            handed: Mutex::new(handed),
            well: last,
        });
        let policy = PayPolicy { per_day: Some(Millisats::new(1 << 52)), ..PayPolicy::default() };
        let payer = Arc::new(Payer::new(env.clone(), store, wallet.clone(), policy));
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
        Ok(Self { env, payee, network, payer, wallet, last, out })
    }

    fn say(&self, line: &str) {
        // Nobody reads any more when the supervisor is gone.
        drop(self.out.send(line.to_owned()));
    }

    async fn obey(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["make", number] => {
                let amount = Millisats::new(1_000 + number.parse::<u64>()?);
                let order = NewInvoice { amount, description: None, expiry: EXPIRY };
                let made = self.payee.make_invoice(order).await?;
                self.say(&format!("made {number} {}", made.bolt11));
            }
            ["pay", number, invoice] => self.pay(number, invoice).await?,
            _ => bail!("not understood"),
        }
        Ok(())
    }

    async fn pay(&self, number: &str, invoice: &str) -> Result<()> {
        let [dice, other] = self.env.bytes::<2>();
        let hash = Bolt11::parse(invoice)?.payment_hash;
        if other.is_multiple_of(4) {
            // What is held on its way arrives, or comes back; most are not on their way.
            match other.is_multiple_of(8) {
                true => drop(self.network.settle(hash)),
                false => {
                    if self.network.fail(hash).is_ok() {
                        self.wallet.note("refused", hash);
                    }
                }
            }
        }
        let retry = dice.is_multiple_of(2);
        let request = PayRequest { retry, ..PayRequest::new(invoice) };
        // Dropped at any of its awaits, as by a caller that goes away.
        let patience = match dice {
            0..128 if !self.last => Duration::from_micros(u64::from(other) * 40),
            _ => Duration::from_secs(30),
        };
        match tokio::time::timeout(patience, self.payer.pay(&request)).await {
            Ok(Ok(_)) => self.say(&format!("paid {number}")),
            // A failure that may be retried has not ended; one that is not, has.
            Ok(Err(PayError::Failed { .. })) if !retry => self.say(&format!("failed {number}")),
            // In the end invoices are over: what was never handed over, never will be.
            Ok(Err(PayError::InvalidInvoice { .. } | PayError::Failed { .. })) if self.last => {
                self.say(&format!("failed {number}"));
            }
            Ok(Err(_)) | Err(_) => {
                if self.last {
                    // On its way until somebody decides.
                    drop(self.network.settle(hash));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.say(&format!("open {number}"));
            }
        }
        Ok(())
    }
}

/// The system's clock, put forward.
struct Shifted {
    system: Env,
    by: Duration,
}

impl Clock for Shifted {
    fn now_millis(&self) -> u64 {
        let by = u64::try_from(self.by.as_millis()).unwrap_or(u64::MAX);
        self.system.now_millis().saturating_add(by)
    }
}

/// The system's randomness.
struct Dice;

impl Rng for Dice {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let bytes = Env::system().bytes::<32>();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// A wallet that fails in every way that wallets do.
struct Faulty {
    inner: Arc<SimulatedWallet>,
    env: Env,
    handed: Mutex<File>,
    /// Whether it does not fail any more.
    well: bool,
}

impl Faulty {
    fn note(&self, word: &str, hash: PaymentHash) {
        // One write of one line: whole or not at all when the process is killed.
        let mut file = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(format!("{word} {hash}\n").as_bytes()).expect("the disk has room");
    }

    fn die(&self) -> u8 {
        let [die] = self.env.bytes::<1>();
        if self.well { u8::MAX } else { die }
    }

    async fn dawdle(&self) {
        tokio::time::sleep(self.env.jitter(Duration::from_millis(3))).await;
    }
}

#[async_trait]
impl LightningWallet for Faulty {
    async fn info(&self) -> Result<WalletInfo, WalletError> {
        match self.die() {
            0..10 => Err(WalletError::Timeout),
            _ => self.inner.info().await,
        }
    }

    async fn balance(&self) -> Result<Balance, WalletError> {
        self.inner.balance().await
    }

    async fn make_invoice(&self, request: NewInvoice) -> Result<Invoice, WalletError> {
        self.inner.make_invoice(request).await
    }

    async fn lookup(&self, hash: PaymentHash) -> Result<Option<WalletPayment>, WalletError> {
        self.dawdle().await;
        match self.die() {
            0..15 => Err(WalletError::Timeout),
            15..25 => Err(WalletError::Unreachable),
            25..35 => {
                // Not in the books yet.
                Ok(None)
            }
            35..45 => {
                self.inner.order(Fault::LiarPreimage);
                self.inner.lookup(hash).await
            }
            _ => self.inner.lookup(hash).await,
        }
    }

    async fn pay(&self, request: PayInvoice) -> Result<PayOutcome, WalletError> {
        let hash = request.payment_hash;
        self.note("sent", hash);
        self.dawdle().await;
        let outcome = match self.die() {
            0..12 => Err(WalletError::Timeout),
            12..20 => Err(WalletError::Unreachable),
            20..28 => Err(WalletError::BadAnswer { what: "nonsense".to_owned() }),
            28..36 => {
                let (code, message) = ("INTERNAL".to_owned(), "broken".to_owned());
                // Done, or not.
                if self.die().is_multiple_of(2) {
                    drop(self.inner.pay(request).await);
                }
                Err(WalletError::Refused { code, message })
            }
            36..44 => {
                let (code, message) = ("QUOTA_EXCEEDED".to_owned(), "not today".to_owned());
                Err(WalletError::Refused { code, message })
            }
            44..52 => Ok(PayOutcome::Failed { reason: "no route".to_owned() }),
            52..68 => {
                drop(self.inner.pay(request).await);
                Err(WalletError::Timeout)
            }
            68..84 => {
                self.inner.order(Fault::PayLater);
                self.inner.pay(request).await
            }
            _ => self.inner.pay(request).await,
        };
        let certain = match &outcome {
            Ok(PayOutcome::Failed { .. }) => true,
            Err(WalletError::Refused { code, .. }) => code == "QUOTA_EXCEEDED",
            _ => false,
        };
        if certain {
            self.note("refused", hash);
        }
        self.dawdle().await;
        outcome
    }

    async fn list(&self, query: ListPayments) -> Result<Vec<WalletPayment>, WalletError> {
        self.inner.list(query).await
    }

    fn events(&self) -> BoxStream<'static, WalletEvent> {
        self.inner.events()
    }

    async fn shutdown(&self) {}
}
