//! A mint, and wallets that can be opened again.

use std::path::PathBuf;
use std::time::Duration;

use portal_core::cashu::{
    Give, Lock, MintAddress, NewMint, NewSend, Patience, Purpose, TicketWallet,
    TicketWalletOptions, Unit,
};
use portal_core::env::Env;
use portal_core::primitives::Secret;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;
use portal_testkit::mint::{StockMint, StockMintOptions};

pub fn unit(name: &str) -> Unit {
    name.parse().expect("a unit")
}

/// A mint with tickets (`vip`) and money (`sat`).
pub async fn mint() -> StockMint {
    StockMint::start(StockMintOptions::default()).await.expect("a mint")
}

pub fn address(mint: &StockMint) -> MintAddress {
    mint.url().parse().expect("an address")
}

/// A person's or a merchant's wallet in a folder of its own.
pub struct Owner {
    folder: tempfile::TempDir,
    pub seed: [u8; 64],
    pub keys: Vec<[u8; 32]>,
    trusted: Vec<MintAddress>,
    pub patience: Patience,
}

impl Owner {
    pub fn new(number: u8, mints: &[&StockMint]) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            seed: [number; 64],
            keys: Vec::new(),
            trusted: mints.iter().map(|mint| address(mint)).collect(),
            patience: Patience { connect: Duration::from_secs(5), answer: Duration::from_secs(10) },
        }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("tickets.db")
    }

    /// Opens the wallet without asking any mint.
    pub async fn open(&self) -> TicketWallet {
        self.open_with(Env::system()).await
    }

    pub async fn open_with(&self, env: Env) -> TicketWallet {
        let store = TicketStore::open(&self.path(), SqliteOptions::default()).expect("opens");
        let mut options = TicketWalletOptions::new(env, Secret::new(self.seed), store);
        options.trusted = self.trusted.clone();
        options.keys = self.keys.iter().copied().map(Secret::new).collect();
        options.patience = self.patience;
        TicketWallet::open(options).await.expect("opens")
    }
}

pub fn new_mint(mint: &StockMint, name: &str, amount: u64) -> NewMint {
    NewMint { mint: address(mint), unit: unit(name), amount, description: None, give: None }
}

pub fn given(mint: &StockMint, name: &str, amount: u64, lock: Option<Lock>) -> NewMint {
    NewMint { give: Some(Give { lock, memo: None }), ..new_mint(mint, name, amount) }
}

pub fn new_send(mint: &StockMint, name: &str, amount: u64) -> NewSend {
    NewSend {
        mint: address(mint),
        unit: unit(name),
        amount,
        give: Give::default(),
        purpose: Purpose::PassOn,
    }
}

/// What a wallet holds of a unit: available, reserved, given.
pub async fn holds(wallet: &TicketWallet, name: &str) -> (u64, u64, u64) {
    let balances = wallet.balances().await.expect("reads");
    let of_unit = balances.into_iter().filter(|balance| balance.unit == unit(name));
    of_unit.fold((0, 0, 0), |sum, balance| {
        (sum.0 + balance.available, sum.1 + balance.reserved, sum.2 + balance.given)
    })
}
