//! The figures, one file each.

mod bad_relay;
mod deadline;
mod footprint;
mod foreign_relay;
mod gate;
mod idle_cpu;
mod idle_rss;
mod login_cpu;
mod login_matrix;
mod outage;
mod sequential;
mod subscriptions;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::report::{Report, Row};

/// The names, and what each measures.
pub const NAMES: &[(&str, &str)] = &[
    ("login-core", "CPU of a login through the core, by the cryptography of it"),
    ("login-daemon", "the same through the daemon's socket, with its durable log"),
    ("login-matrix", "many logins at once over 1 and 3 relays: nothing lost, wrong or twice"),
    ("sequential", "one login after another, by round trips and commits"),
    ("idle-cpu", "CPU of a login beside many idle streams, by that without"),
    ("idle-rss", "memory of the daemon for each idle stream and socket"),
    ("subscriptions", "subscriptions open at a relay after many logins"),
    ("bad-relay", "one of three relays silent, slow or dead, by three good ones"),
    ("outage", "all relays down with requests open: until all are done"),
    ("deadline", "when a request ends that nobody answers"),
    ("footprint", "memory at rest, start, size of the daemon"),
    ("foreign-relay", "logins over a relay that we did not write"),
    ("gate", "the verdict on a ticket at the door, with and without its mint"),
];

type Figure = fn(&Arguments, &mut Report) -> Result<()>;

fn figure(name: &str) -> Option<Figure> {
    Some(match name {
        "login-core" => login_cpu::core,
        "login-daemon" => login_cpu::daemon,
        "login-matrix" => login_matrix::run,
        "sequential" => sequential::run,
        "idle-cpu" => idle_cpu::run,
        "idle-rss" => idle_rss::run,
        "subscriptions" => subscriptions::run,
        "bad-relay" => bad_relay::run,
        "outage" => outage::run,
        "deadline" => deadline::run,
        "footprint" => footprint::run,
        "foreign-relay" => foreign_relay::run,
        "gate" => gate::run,
        _ => return None,
    })
}

/// Measures what was asked for. False when something was lost, wrong or done twice.
pub fn run(arguments: &Arguments) -> Result<bool> {
    arguments.check(NAMES)?;
    let mut report = Report::begin();
    for (name, figure) in NAMES.iter().filter_map(|(name, _)| Some((*name, figure(name)?))) {
        if !arguments.wants(name) {
            continue;
        }
        if let Err(error) = figure(arguments, &mut report) {
            let mut row = Row::faults(name, 1, format!("did not finish: {error:#}"));
            row.measured = None;
            report.add(row);
        }
    }
    report.end(arguments.json.as_deref())?;
    Ok(report.is_right())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_figure() {
        for (name, _) in NAMES {
            assert!(figure(name).is_some(), "{name}");
        }
    }
}
