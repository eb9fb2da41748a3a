//! What is broken on purpose while an oracle counts.

pub mod charges;
pub mod kill;
mod loss;
mod money;
pub mod payouts;
pub mod tickets;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::report::{Report, Row};

/// The names, and what each breaks.
pub const NAMES: &[(&str, &str)] = &[
    ("kill", "a service is killed at random points: nothing acknowledged is lost or repeated"),
    ("money", "liars, lost messages, late money, outages: `paid` is what the ledger says, soon"),
    (
        "payouts",
        "a payer is killed, its wallet fails in every way: nothing is paid twice or forgotten",
    ),
    ("charges", "a service that charges and an app that pays are killed: each period paid once"),
    ("tickets", "wallets are killed, answers of the mint are lost: the sum of all value stays"),
    ("loss", "relays drop connections and frames: every login and payment ends as it should"),
];

/// Breaks what was asked for. False when something was lost, wrong or done twice.
pub fn run(arguments: &Arguments) -> Result<bool> {
    arguments.check(NAMES)?;
    let mut report = Report::begin();
    for (name, _) in NAMES {
        if !arguments.wants(name) {
            continue;
        }
        let result = match *name {
            "kill" => kill::run(arguments, &mut report),
            "money" => money::run(arguments, &mut report),
            "payouts" => payouts::run(arguments, &mut report),
            "charges" => charges::run(arguments, &mut report),
            "tickets" => tickets::run(arguments, &mut report),
            _ => loss::run(arguments, &mut report),
        };
        if let Err(error) = result {
            let mut row = Row::faults(*name, 1, format!("did not finish: {error:#}"));
            row.measured = None;
            report.add(row);
        }
    }
    report.end(arguments.json.as_deref())?;
    Ok(report.is_right())
}
