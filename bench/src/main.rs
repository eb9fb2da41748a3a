//! `portal-bench`: measures Portal against floors measured in the same run, and breaks it on
//! purpose while an oracle counts.
//!
//! ```text
//! portal-bench bench [--short] [names…] [--json FILE]     figures, each a ratio to its floor
//! portal-bench chaos [--short] [names…] [--json FILE]     kill, money, payouts, charges, tickets, loss
//! portal-bench list                                       the names
//! ```
//!
//! Relays, people, mints and the daemon run in processes of their own (`relay`, `users`, `worker`, `payer`,
//! `ticket-worker` are the children's subcommands), so that the CPU time of this process is that of the service it
//! measures. Nothing asserts a duration: a figure that misses its target says so, and only what is
//! lost, wrong or done twice makes the exit code 1.
#![expect(clippy::print_stdout, reason = "a program for people: its table goes to the terminal")]

mod arguments;
mod chaos;
mod child;
mod daemon;
mod figures;
mod floor;
mod gauge;
mod load;
mod people;
mod purse;
mod relay_process;
mod report;
mod stock_mint;
mod world;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let (word, rest) = match all.split_first() {
        Some((word, rest)) => (word.as_str(), rest),
        None => ("help", all.as_slice()),
    };
    let result = match word {
        "bench" => Arguments::read(rest).and_then(|arguments| figures::run(&arguments)),
        "chaos" => Arguments::read(rest).and_then(|arguments| chaos::run(&arguments)),
        "worker" => chaos::kill::worker::run(rest),
        "payer" => chaos::payouts::worker::run(rest),
        "charges-worker" => chaos::charges::work(rest),
        "ticket-worker" => chaos::tickets::worker::run(rest),
        "relay" => relay_process::run(rest),
        "stock-mint" => stock_mint::run(rest),
        "users" => people::process::run(rest),
        "list" => {
            for (name, what) in figures::NAMES.iter().chain(chaos::NAMES) {
                println!("{name:16} {what}");
            }
            Ok(true)
        }
        _ => {
            println!(
                "portal-bench bench|chaos [--short] [names…] [--json FILE]\nportal-bench list"
            );
            Ok(word == "help")
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("portal-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
