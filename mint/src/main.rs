//! `portal-mint`: a Cashu mint for tickets, and the commands to run one.

mod commands;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use portal_mint::auth::NewToken;
use portal_mint::telemetry;

use commands::Place;

/// A Cashu mint for tickets.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// The configuration file [default: CONFIG_PATH, else MINT_CONFIG, else portal/mint.toml in
    /// your configuration directory, else /config.toml].
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Where to keep data [default: DATA_DIR, else portal-mint in your data directory].
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// The address and port to listen on; port 0 takes any free one.
    #[arg(long, global = true)]
    listen: Option<SocketAddr>,
    /// Try it without any set-up: units, a key and a token are made up, on loopback.
    #[arg(long)]
    dev: bool,
    /// Say what programs want to know, as lines of JSON, and log as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Work on the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigTask,
    },
    /// Work on keysets, also beside a mint that runs.
    Keys {
        #[command(subcommand)]
        command: KeysTask,
    },
    /// Work on the file of tokens, also beside a mint that runs.
    Token {
        /// The file [default: auth.tokens_file of the configuration].
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(subcommand)]
        command: TokenTask,
    },
    /// Tell what was sold, used and is outstanding, by unit.
    Accounts,
    /// Copy the SQLite database while the mint runs.
    Backup {
        /// The copy, which must not exist yet.
        copy: PathBuf,
    },
    /// Ask a running mint whether it is healthy; for containers.
    Health,
}

#[derive(Subcommand)]
enum ConfigTask {
    /// Tell whether the mint could start with the configuration as it is.
    Check,
}

#[derive(Subcommand)]
enum KeysTask {
    /// List keysets.
    List,
    /// Make a new keyset for a unit; tokens of the one before it stay good.
    Rotate {
        /// The unit.
        unit: String,
    },
}

#[derive(Subcommand)]
enum TokenTask {
    /// Make a token. It is printed once; only its hash is kept.
    New {
        /// Its name.
        name: String,
        /// What it may do: mint, melt, swap, restore, check_mint_quote, check_melt_quote,
        /// check_proof_state, metrics, or * for all.
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        /// Only this unit; may be given more than once.
        #[arg(long = "unit")]
        units: Vec<String>,
        /// When it ends, in Unix time.
        #[arg(long)]
        expires_at: Option<u64>,
    },
    /// List tokens.
    List,
    /// Remove a token.
    Remove {
        /// Its name.
        name: String,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "portal-mint: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, data_dir, listen, dev, json, command } = arguments;
    let rust_log = std::env::var("RUST_LOG").ok();
    telemetry::init(rust_log.as_deref(), json).context("the log filter (RUST_LOG)")?;
    let place = Place { config, data_dir, json };
    match command {
        None => commands::serve::run(&place, listen, dev),
        Some(Task::Config { command: ConfigTask::Check }) => commands::check::run(&place),
        Some(Task::Keys { command: KeysTask::List }) => commands::keys::list(&place),
        Some(Task::Keys { command: KeysTask::Rotate { unit } }) => {
            commands::keys::rotate(&place, &unit)
        }
        Some(Task::Token { file, command }) => match command {
            TokenTask::New { name, scopes, units, expires_at } => {
                let units = (!units.is_empty()).then_some(units);
                let new = NewToken { name, scopes, units, expires_at };
                commands::tokens::make(&place, file.as_deref(), new)
            }
            TokenTask::List => commands::tokens::list(&place, file.as_deref()),
            TokenTask::Remove { name } => commands::tokens::remove(&place, file.as_deref(), &name),
        },
        Some(Task::Accounts) => commands::books::accounts(&place),
        Some(Task::Backup { copy }) => commands::books::backup(&place, &copy),
        Some(Task::Health) => commands::health::run(&place, listen),
    }
}
