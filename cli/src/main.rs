//! `portal`: a person's wallet in the terminal, keys, the doctor, and the demo.
//!
//! One file or folder per subcommand; all behaviour is in `portal-core`. What is printed is either
//! for people or, with `--json`, one JSON object a line; [`terminal`] knows which. No secret is
//! printed unless it was asked for.

mod demo;
mod doctor;
mod error;
mod key;
mod password;
mod person;
mod place;
mod signals;
mod socket;
mod terminal;
mod tickets;
mod wallet;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use error::CliError;
use place::Place;
use terminal::Terminal;

/// Portal in the terminal: a person's wallet, keys, a doctor and a demo.
#[derive(Parser)]
#[command(name = "portal", version, about, propagate_version = true)]
struct Arguments {
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Where keys and wallets are kept [default: PORTAL_DATA_DIR, else portal in your data
    /// directory].
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make, show or encrypt a key.
    Key(key::Arguments),
    /// A person's wallet: open login URLs, answer requests, pay.
    Wallet(wallet::Arguments),
    /// What tickets a person holds, and what services may take of them.
    Tickets(tickets::Arguments),
    /// Find out what is wrong with a set-up, and what to do about it.
    Doctor(doctor::Arguments),
    /// Show a login and a payment from end to end, on this machine alone.
    Demo(demo::Arguments),
}

/// What a wrong command line ends with, as elsewhere.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and the version are no errors, and are for people.
        Err(error) if error.use_stderr() && wants_json(std::env::args_os()) => {
            // When this cannot be written either, the exit code has to do.
            drop(Terminal::new(true).failure(&CliError::Usage(error)));
            return ExitCode::from(USAGE);
        }
        Err(error) => error.exit(),
    };
    log_when_asked();
    let terminal = Terminal::new(arguments.json);
    match run(arguments, &terminal) {
        Ok(code) => code,
        // Whoever read our output has gone; there is nobody to tell.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::FAILURE
        }
        Err(error) => {
            // When this cannot be written either, the exit code has to do.
            drop(terminal.failure(&error));
            ExitCode::FAILURE
        }
    }
}

/// Whether `--json` is among arguments that could not be read.
fn wants_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

fn run(arguments: Arguments, terminal: &Terminal) -> Result<ExitCode, CliError> {
    let place = Place::find(arguments.data_dir);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|source| CliError::Io { what: "the runtime cannot start", source })
    };
    match arguments.command {
        Command::Key(key) => key::run(key, &place, terminal),
        Command::Wallet(wallet) => {
            let ready = wallet::prepare(wallet, &place)?;
            let runtime = runtime()?;
            let result = runtime.block_on(wallet::run(ready, terminal));
            runtime.shutdown_timeout(Duration::from_millis(200));
            result
        }
        Command::Tickets(tickets) => {
            let ready = tickets::prepare(tickets, &place)?;
            let runtime = runtime()?;
            let result = runtime.block_on(tickets::run(ready, terminal));
            runtime.shutdown_timeout(Duration::from_millis(200));
            result
        }
        Command::Doctor(doctor) => {
            let runtime = runtime()?;
            let result = runtime.block_on(doctor::run(doctor, &place, terminal));
            runtime.shutdown_timeout(Duration::from_millis(200));
            result
        }
        Command::Demo(demo) => {
            let runtime = runtime()?;
            let result = runtime.block_on(demo::run(demo, terminal));
            runtime.shutdown_timeout(Duration::from_millis(200));
            result
        }
    }
}

/// `RUST_LOG` turns the logs of the core on; they go to the standard error.
fn log_when_asked() {
    if std::env::var_os("RUST_LOG").is_none_or(|filter| filter.is_empty()) {
        return;
    }
    let started = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && terminal::colours_are_wanted())
        .try_init();
    if let Err(error) = started {
        drop(writeln!(std::io::stderr(), "portal: no logs: {error}"));
    }
}
