//! `portal wallet`: a person's wallet in the terminal.
//!
//! This file is the set-up: key, memory, relays, the wallet to pay from. [`session`] is what
//! happens while it runs, [`tickets`] what becomes of tickets meanwhile, [`show`] is how it looks.

mod input;
mod prices;
mod session;
mod show;
mod tickets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use portal_core::client::TOLERANCE_PERMILLE;
use portal_core::env::Env;
use portal_core::identity::LocalKey;
use portal_core::primitives::{Millisats, Secret};
use portal_core::rates::RateDesk;
use portal_core::relay::RelayAddress;
use portal_core::storage::Store;
use portal_core::storage::sqlite::{SqliteOptions, SqliteStore};
use portal_core::wallet::LightningWallet;
use portal_core::wallet::nwc::NwcUri;
use portal_core::wallet::simulated::SimulatedNetwork;

use crate::error::CliError;
use crate::key::KeyFile;
use crate::person::{Parts, Person, link_kept};
use crate::place::{Place, create_folder};
use crate::terminal::Terminal;
use crate::tickets::Tickets;
use session::{Automatic, Session};

/// Where a person listens who did not say where.
pub const USUAL_RELAYS: [&str; 3] =
    ["wss://relay.damus.io", "wss://nos.lol", "wss://relay.snort.social"];
/// What a simulated wallet begins with: a million sats.
const PLAY_MONEY: Millisats = Millisats::new(1_000_000_000);

/// A person's wallet: open login URLs, answer requests, pay.
#[derive(clap::Args)]
pub struct Arguments {
    /// The login URL of a service (portal://…); more can be pasted while it runs.
    url: Option<String>,
    #[command(flatten)]
    key: KeyFile,
    /// A relay to listen on; give it several times for several relays.
    #[arg(long = "relay", value_name = "URL", env = "PORTAL_RELAYS", value_delimiter = ',')]
    relays: Vec<String>,
    /// Follow services to relays on this machine or in its network (for development).
    #[arg(long)]
    allow_private_relays: bool,
    /// Follow services to mints on this machine or in its network (for development).
    #[arg(long)]
    allow_private_mints: bool,
    /// Approve without asking: logins, payments up to --limit, and tickets that were allowed with
    /// `portal tickets allow`.
    #[arg(long)]
    auto: bool,
    /// The most that --auto pays at once, in millisatoshi.
    #[arg(long, value_name = "MSAT", default_value_t = 0, requires = "auto")]
    limit: u64,
    /// What --auto compares amounts in fiat with, before it pays them: `all` public sources of
    /// exchange rates, `none` (then it asks), or some by name, also at another address
    /// (kraken=https://…).
    #[arg(
        long,
        value_name = "SOURCES",
        env = "PORTAL_RATES",
        value_delimiter = ',',
        default_value = "all"
    )]
    rates: Vec<String>,
    /// How far the rate of a service may be from ours, in thousandths, before --auto asks.
    #[arg(long, value_name = "PERMILLE", default_value_t = TOLERANCE_PERMILLE, requires = "auto")]
    tolerance: u16,
    /// The lightning wallet to pay from (nostr+walletconnect://…).
    #[arg(long, value_name = "URI", env = "NWC_URL", hide_env_values = true)]
    nwc: Option<String>,
    /// Pay from a simulated wallet with play money; it knows its own invoices alone.
    #[arg(long, conflicts_with = "nwc")]
    simulated: bool,
}

/// Everything that had to be read, asked or opened before the wallet can run.
pub struct Ready {
    url: Option<String>,
    key: LocalKey,
    relays: Vec<RelayAddress>,
    allow_private: bool,
    auto: Option<Automatic>,
    rates: Option<Arc<RateDesk>>,
    funds: Funds,
    store_path: PathBuf,
    tickets: Tickets,
}

enum Funds {
    None,
    Nwc(NwcUri),
    Simulated(PathBuf),
}

/// Reads and asks what the wallet needs; blocks for the person.
///
/// # Errors
/// When something is missing or cannot be used.
pub fn prepare(arguments: Arguments, place: &Place) -> Result<Ready, CliError> {
    let Arguments {
        url,
        key,
        relays,
        allow_private_relays,
        allow_private_mints,
        auto,
        limit,
        rates,
        tolerance,
        nwc,
        simulated,
    } = arguments;
    let named: Vec<&str> =
        relays.iter().map(|relay| relay.trim()).filter(|relay| !relay.is_empty()).collect();
    let named = if named.is_empty() { USUAL_RELAYS.to_vec() } else { named };
    let relays = named.into_iter().map(RelayAddress::parse).collect::<Result<Vec<_>, _>>()?;
    let nwc = nwc.filter(|text| !text.trim().is_empty()).map(Secret::new);
    let nwc = nwc.map(|text| NwcUri::parse(text.expose())).transpose()?;
    // Whoever decides here asks nobody for a rate.
    let rates = if auto { prices::desk(&rates, &Env::system())? } else { None };
    let (_, key) = key.open(place)?;
    create_folder(place.folder()?)?;
    let owner = key.public_key();
    let tickets = Tickets::of(&key, place, allow_private_mints)?;
    let funds = match nwc {
        Some(uri) => Funds::Nwc(uri),
        None if simulated => Funds::Simulated(place.wallet_file(owner, "ledger.jsonl")?),
        None => Funds::None,
    };
    Ok(Ready {
        url,
        key,
        relays,
        allow_private: allow_private_relays,
        auto: auto.then_some(Automatic { limit: Millisats::new(limit), tolerance }),
        rates,
        funds,
        store_path: place.wallet_file(owner, "sqlite")?,
        tickets,
    })
}

/// Runs the wallet until Ctrl-C.
///
/// # Errors
/// When it cannot start, its memory fails, or the output cannot be written.
pub async fn run(ready: Ready, terminal: &Terminal) -> Result<ExitCode, CliError> {
    let Ready { url, key, relays, allow_private, auto, rates, funds, store_path, tickets } = ready;
    let store: Arc<dyn Store> = Arc::new(
        SqliteStore::open(&store_path, SqliteOptions::default())
            .map_err(|source| CliError::Storage { path: store_path, source })?,
    );
    let (wallet, pays_with): (Option<Arc<dyn LightningWallet>>, _) = match funds {
        Funds::None => (None, "none"),
        Funds::Nwc(uri) => (Some(link_kept(&uri, Arc::clone(&store)).await?), "nwc"),
        Funds::Simulated(path) => {
            let network = SimulatedNetwork::open(&path, Env::system())?;
            (Some(network.wallet("person", PLAY_MONEY)?), "simulated")
        }
    };
    let tickets = tickets.open(terminal).await?;
    let own_relays = relays.clone();
    let parts = Parts { key, relays, store, wallet, rates, allow_private };
    let person = Arc::new(Person::start(parts).await?);
    let mut session = Session::new(Arc::clone(&person), tickets.clone(), *terminal, auto);
    let limit = auto.map(|auto| auto.limit);
    show::ready(terminal, &person, &own_relays, pays_with, limit)?;
    let result = session.run(url).await;
    drop(session);
    person.stop().await;
    tickets.close().await;
    result.map(|()| ExitCode::SUCCESS)
}
