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
mod mint;
mod outage;
mod sequential;
mod settle_latency;
mod subscription_scale;
mod subscription_years;
mod subscriptions;
mod sweep_cpu;

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
    ("subscription-years", "ten virtual years of subscriptions: each period charged once"),
    ("subscription-scale", "a million subscriptions: finding what is due, charging it"),
    ("sweep-cpu", "CPU of watching many open payments, by that of watching none"),
    ("settle-latency", "from the wallet's books to `paid` on the socket, over a linked wallet"),
    ("bad-relay", "one of three relays silent, slow or dead, by three good ones"),
    ("outage", "all relays down with requests open: until all are done"),
    ("deadline", "when a request ends that nobody answers"),
    ("footprint", "memory at rest, start, size of the daemon"),
    ("foreign-relay", "logins over a relay that we did not write"),
    ("mint-issue", "1,000 tickets in one request, by the signing of them"),
    ("mint-swap", "a swap at the mint, by stock cdk and by its cryptography"),
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
        "subscription-years" => subscription_years::run,
        "subscription-scale" => subscription_scale::run,
        "sweep-cpu" => sweep_cpu::run,
        "settle-latency" => settle_latency::run,
        "bad-relay" => bad_relay::run,
        "outage" => outage::run,
        "deadline" => deadline::run,
        "footprint" => footprint::run,
        "foreign-relay" => foreign_relay::run,
        "mint-issue" => mint::issue,
        "mint-swap" => mint::swap,
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
