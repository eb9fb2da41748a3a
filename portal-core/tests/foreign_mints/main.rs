//! Our ticket wallet against mints that others wrote, each a process of its own on loopback.
//!
//! | variable | mint | what it has |
//! |---|---|---|
//! | `PORTAL_FOREIGN_MINT_NUTSHELL` | nutshell | `sat`, with a fee for each proof |
//! | `PORTAL_FOREIGN_MINT_CDK` | cdk-mintd | `sat`, and tickets (`vip`) by the method `portal` |
//!
//! `cargo xtask test --only wallet-peers` installs and starts them, and runs this.

mod money;
mod tickets;

use std::time::Duration;

use portal_core::cashu::{
    CashuError, Give, MintAddress, Minted, NewMint, NewSend, Patience, Purpose, TicketWallet,
    TicketWalletOptions, Unit,
};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;

/// How long a test may take, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
/// How long to wait before a mint is asked again whether a quote is paid: they pay late on purpose.
const AGAIN: Duration = Duration::from_millis(200);

/// A unit of a mint.
#[derive(Clone)]
struct Place {
    mint: MintAddress,
    unit: Unit,
}

impl Place {
    fn nutshell() -> Self {
        Self::named("PORTAL_FOREIGN_MINT_NUTSHELL", "sat")
    }

    fn cdk(unit: &str) -> Self {
        Self::named("PORTAL_FOREIGN_MINT_CDK", unit)
    }

    fn named(variable: &str, unit: &str) -> Self {
        let Ok(url) = std::env::var(variable) else {
            panic!("{variable} names no mint: run `cargo xtask test --only wallet-peers`");
        };
        Self { mint: url.parse().expect("an address"), unit: unit.parse().expect("a unit") }
    }

    fn to_mint(&self, amount: u64) -> NewMint {
        let (mint, unit) = (self.mint.clone(), self.unit.clone());
        NewMint { mint, unit, amount, description: None, give: None }
    }

    fn to_send(&self, amount: u64, give: Give) -> NewSend {
        let (mint, unit) = (self.mint.clone(), self.unit.clone());
        NewSend { mint, unit, amount, give, purpose: Purpose::PassOn }
    }
}

/// Somebody with a wallet in a folder of their own. Seeds are new in every run: these mints are
/// shared by all tests, and a mint signs a secret once.
struct Owner {
    folder: tempfile::TempDir,
    seed: [u8; 64],
    mint: MintAddress,
}

impl Owner {
    fn at(place: &Place) -> Self {
        Self::with_seed(place, Env::system().bytes())
    }

    fn with_seed(place: &Place, seed: [u8; 64]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, seed, mint: place.mint.clone() }
    }

    /// Opens the wallet, also again.
    async fn open(&self) -> TicketWallet {
        let path = self.folder.path().join("tickets.db");
        let store = TicketStore::open(&path, SqliteOptions::default()).expect("opens");
        let mut options = TicketWalletOptions::new(Env::system(), Secret::new(self.seed), store);
        options.trusted = vec![self.mint.clone()];
        options.patience =
            Patience { connect: Duration::from_secs(10), answer: Duration::from_secs(60) };
        TicketWallet::open(options).await.expect("opens")
    }
}

/// Mints; the quote is paid by the mint itself, some time later.
async fn minted(wallet: &TicketWallet, key: &str, new: NewMint) -> Minted {
    loop {
        match wallet.mint(key, new.clone()).await {
            Err(CashuError::Unpaid { .. }) => tokio::time::sleep(AGAIN).await,
            other => return other.expect("mints"),
        }
    }
}

/// What a wallet holds: available, reserved, given.
async fn holds(wallet: &TicketWallet) -> (u64, u64, u64) {
    let balances = wallet.balances().await.expect("reads");
    balances
        .into_iter()
        .fold((0, 0, 0), |sum, of| (sum.0 + of.available, sum.1 + of.reserved, sum.2 + of.given))
}

/// Everything ends in time, or fails.
async fn within(work: impl Future<Output = ()>) {
    tokio::time::timeout(LIMIT, work).await.expect("in time");
}
