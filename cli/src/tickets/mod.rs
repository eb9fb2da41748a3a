//! `portal tickets`: what a person holds, and what services may take of it. The terminal wallet
//! and the demo keep their tickets through this too.
//!
//! A running `portal wallet` has the file to itself; there, typing `tickets` lists them.

pub mod holdings;
mod manage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portal_core::cashu::{CashuError, TicketWallet, TicketWalletOptions};
use portal_core::env::Env;
use portal_core::identity::{LocalKey, Mnemonic};
use portal_core::keystore::words::{KeptWords, kept_words};
use portal_core::primitives::Secret;
use portal_core::relay::AddressPolicy;
use portal_core::storage::sqlite::SqliteOptions;
use portal_core::storage::sqlite::tickets::TicketStore;

use crate::error::CliError;
use crate::key::KeyFile;
use crate::place::{Place, create_folder};
use crate::terminal::Terminal;

/// Tickets: list, pass on, take back, allow services to take them.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    key: KeyFile,
    /// Also ask mints on this machine or in its network (for development).
    #[arg(long)]
    allow_private_mints: bool,
    #[command(subcommand)]
    task: Option<manage::Task>,
}

/// A unit of a mint.
#[derive(clap::Args, Clone, Debug)]
pub struct Of {
    /// The mint.
    #[arg(long, value_name = "URL")]
    mint: String,
    /// The unit: vip, sat.
    #[arg(long, value_name = "NAME")]
    unit: String,
}

/// Everything that had to be read or asked before the wallet can be opened.
pub struct Ready {
    tickets: Tickets,
    task: manage::Task,
}

/// Where a person's tickets are, and what opens them.
pub struct Tickets {
    path: PathBuf,
    words: PathBuf,
    key: LocalKey,
    private_mints: bool,
}

/// Reads and asks what is needed; blocks for the person.
///
/// # Errors
/// When something is missing or cannot be used.
pub fn prepare(arguments: Arguments, place: &Place) -> Result<Ready, CliError> {
    let Arguments { key, allow_private_mints, task } = arguments;
    let (_, key) = key.open(place)?;
    create_folder(place.folder()?)?;
    let tickets = Tickets::of(&key, place, allow_private_mints)?;
    Ok(Ready { tickets, task: task.unwrap_or(manage::Task::List) })
}

/// Does what was asked for.
///
/// # Errors
/// When the tickets cannot be opened, or it cannot be done.
pub async fn run(ready: Ready, terminal: &Terminal) -> Result<ExitCode, CliError> {
    let Ready { tickets, task } = ready;
    let key = tickets.key.clone();
    let wallet = tickets.open(terminal).await?;
    let done = manage::run(task, &wallet, &key, terminal).await;
    wallet.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

impl Tickets {
    /// Those of this key.
    ///
    /// # Errors
    /// When there is no place for the data.
    pub fn of(key: &LocalKey, place: &Place, private_mints: bool) -> Result<Self, CliError> {
        let owner = key.public_key();
        Ok(Self {
            path: place.wallet_file(owner, "tickets.sqlite")?,
            words: place.wallet_file(owner, "tickets-words")?,
            key: key.clone(),
            private_mints,
        })
    }

    /// Opens them. The first time, words are made that they can be restored from.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub async fn open(self, terminal: &Terminal) -> Result<TicketWallet, CliError> {
        let Self { path, words, key, private_mints } = self;
        let KeptWords { words: text, new } = kept_words(&words, &Env::system())
            .map_err(|source| CliError::File { path: words.clone(), done: "read", source })?;
        let seed = Mnemonic::parse(text.expose())?.seed();
        if new {
            terminal.say(&format!(
                "Tickets can be restored with the words in {}: keep a copy of that file.",
                words.display()
            ))?;
        }
        let keys = vec![Secret::new(key.secret_key().to_secret_bytes())];
        open(&path, seed, keys, private_mints).await
    }
}

/// A ticket wallet in a file. `keys`: what people may have locked tickets to.
///
/// # Errors
/// When the file cannot be used.
pub async fn open(
    path: &Path,
    seed: Secret<[u8; 64]>,
    keys: Vec<Secret<[u8; 32]>>,
    private_mints: bool,
) -> Result<TicketWallet, CliError> {
    let store = TicketStore::open(path, SqliteOptions::default())
        .map_err(|source| CliError::Storage { path: path.to_owned(), source })?;
    let mut options = TicketWalletOptions::new(Env::system(), seed, store);
    options.keys = keys;
    if private_mints {
        options.strangers = AddressPolicy::Open;
    }
    TicketWallet::open(options).await.map_err(refused)
}

/// A refusal of the ticket wallet.
pub fn refused(error: CashuError) -> CliError {
    CliError::from(portal_core::Error::from(error))
}
