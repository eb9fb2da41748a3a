//! Servers, folders and wallets of a test.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use portal_breez::{
    BreezConfig, BreezLibrary, BreezNetwork, BreezWallet, Limits, SparkEnvironment, SparkOperator,
};
use portal_core::env::Env;
use portal_core::primitives::{Millisats, Secret, Timestamp};
use portal_core::wallet::{
    Invoice, LightningWallet as _, ListPayments, NewInvoice, PayInvoice, WalletEvent, WalletPayment,
};
use portal_testkit::{FakeSpark, SparkAccess};
use tempfile::TempDir;

pub const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon about";
pub const OTHER_WORDS: &str =
    "legal winner thank year wave sausage worth useful legal winner thank yellow";

/// Everything ends within this, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the library is; `None`, loudly, when nobody says.
pub fn library_path() -> Option<PathBuf> {
    let path = std::env::var_os(portal_breez::find::VARIABLE).filter(|path| !path.is_empty());
    if path.is_none() {
        assert!(
            std::env::var_os("PORTAL_BREEZ_REQUIRED").is_none(),
            "PORTAL_BREEZ_LIB does not name the Breez library"
        );
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not through the macros, whose output the test runner hides.
        writeln!(
            std::io::stderr(),
            "SKIPPED {test}: PORTAL_BREEZ_LIB does not name the Breez library (cargo xtask test fetches it)"
        )
        .expect("standard error is open");
    }
    path.map(PathBuf::from)
}

pub struct World {
    pub spark: FakeSpark,
    pub library: BreezLibrary,
    folder: TempDir,
}

impl World {
    /// `None`, loudly, without the library.
    pub async fn new() -> Option<Self> {
        Self::at(Env::system()).await
    }

    pub async fn at(env: Env) -> Option<Self> {
        let path = library_path()?;
        let opened = tokio::task::spawn_blocking(move || BreezLibrary::open(Some(&path)));
        let library = opened.await.expect("no panic").expect("the library that is tested with");
        let spark = FakeSpark::start_at(env).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self { spark, library, folder })
    }

    pub fn storage(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self, words: &str, name: &str) -> BreezConfig {
        let words = Secret::new(words.to_owned());
        let mut config = BreezConfig::new(words, self.storage(name), BreezNetwork::Regtest);
        config.spark = Some(environment(&self.spark.access()));
        config.limits = Limits { fresh: Duration::ZERO, ..Limits::default() };
        config
    }

    pub async fn open(&self, config: BreezConfig) -> Arc<BreezWallet> {
        self.open_at(config, Env::system()).await
    }

    pub async fn open_at(&self, config: BreezConfig, env: Env) -> Arc<BreezWallet> {
        soon("the wallet opens", BreezWallet::open(&self.library, config, env))
            .await
            .expect("opened")
    }

    /// The usual wallet, with this much in it.
    pub async fn wallet(&self, sats: u64) -> Arc<BreezWallet> {
        self.spark.fund(WORDS, sats).expect("words");
        self.open(self.config(WORDS, "wallet")).await
    }
}

pub fn environment(access: &SparkAccess) -> SparkEnvironment {
    let operators = access.operators.iter().map(|(address, public_key)| SparkOperator {
        address: address.clone(),
        public_key: public_key.clone(),
    });
    SparkEnvironment {
        operators: operators.collect(),
        threshold: access.threshold,
        ssp_url: access.ssp_url.clone(),
        ssp_public_key: access.ssp_public_key.clone(),
    }
}

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not in time"),
    }
}

pub fn order(msat: u64) -> NewInvoice {
    NewInvoice {
        amount: Millisats::new(msat),
        description: Some("a cup".to_owned()),
        expiry: Duration::from_secs(600),
    }
}

pub async fn invoice(wallet: &BreezWallet, sats: u64) -> Invoice {
    soon("an invoice", wallet.make_invoice(order(sats * 1000))).await.expect("made")
}

/// Pays what somebody outside asks for.
pub fn payment(bolt11: &str) -> PayInvoice {
    let read = portal_core::wallet::bolt11::Bolt11::parse(bolt11).expect("an invoice");
    PayInvoice {
        bolt11: bolt11.to_owned(),
        payment_hash: read.payment_hash,
        amount: None,
        max_fee: None,
        timeout: Duration::from_secs(20),
    }
}

pub async fn balance(wallet: &BreezWallet) -> u64 {
    soon("a balance", wallet.balance()).await.expect("known").amount.as_u64() / 1000
}

pub async fn list(wallet: &BreezWallet) -> Vec<WalletPayment> {
    let all =
        ListPayments { since: Timestamp::from_secs(0), direction: None, offset: 0, limit: 100 };
    soon("a list", wallet.list(all)).await.expect("listed")
}

/// The next payment that the wallet tells of.
pub async fn settled(events: &mut BoxStream<'static, WalletEvent>) -> WalletPayment {
    soon("an event", async {
        loop {
            if let WalletEvent::Settled(payment) = events.next().await.expect("it goes on") {
                return payment;
            }
        }
    })
    .await
}

/// Waits for something that nothing announces.
pub async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    soon(what, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
