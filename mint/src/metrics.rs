//! The mint's figures, in the text form of Prometheus.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::store::Account;
use crate::units::Units;

/// Counts since the start.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Metrics {
    /// Counts a request.
    pub fn count(&self, operation: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = requests.entry((operation, status)).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// All figures as text.
    #[must_use]
    pub fn text(&self, accounts: &[Account], units: &Units) -> String {
        let mut text = String::new();
        head(&mut text, "requests_total", "counter", "Requests by operation and HTTP status.");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((operation, status), count) in requests {
            let labels = format!("operation=\"{operation}\",status=\"{status}\"");
            line(&mut text, "requests_total", &labels, count);
        }
        type Figure = fn(&Account) -> u64;
        let figures: [(&str, &str, Figure); 3] = [
            ("sold", "Issued for quotes, in base units.", |account| account.sold),
            ("used", "Burned or paid out, in base units.", |account| account.used),
            ("outstanding", "In people's hands, in base units.", |account| account.outstanding),
        ];
        for (name, help, figure) in figures {
            head(&mut text, name, "gauge", help);
            for account in accounts {
                line(&mut text, name, &unit(&account.unit), figure(account));
            }
        }
        head(&mut text, "max_supply", "gauge", "The most that is ever sold, in base units.");
        for (name, found) in units {
            if let Some(cap) = found.max_supply {
                line(&mut text, "max_supply", &unit(name), cap);
            }
        }
        head(&mut text, "unit_expires_at", "gauge", "When a unit ends, in Unix time.");
        for (name, found) in units {
            if let Some(end) = found.expires_at {
                line(&mut text, "unit_expires_at", &unit(name), end);
            }
        }
        text
    }
}

fn unit(name: &str) -> String {
    // Names of units are words; those of old keysets were checked when they were made.
    format!("unit=\"{}\"", name.replace(['\\', '"', '\n'], "_"))
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    text.push_str(&format!("# HELP portal_mint_{name} {help}\n"));
    text.push_str(&format!("# TYPE portal_mint_{name} {kind}\n"));
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    text.push_str(&format!("portal_mint_{name}{{{labels}}} {value}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_that_prometheus_reads() {
        let metrics = Metrics::default();
        metrics.count("swap", 200);
        metrics.count("swap", 200);
        metrics.count("swap", 400);
        let account = Account { unit: "vip".into(), sold: 5, used: 2, outstanding: 3 };
        let text = metrics.text(&[account], &Units::new());
        for expected in [
            "# TYPE portal_mint_requests_total counter",
            "portal_mint_requests_total{operation=\"swap\",status=\"200\"} 2",
            "portal_mint_requests_total{operation=\"swap\",status=\"400\"} 1",
            "portal_mint_sold{unit=\"vip\"} 5",
            "portal_mint_used{unit=\"vip\"} 2",
            "portal_mint_outstanding{unit=\"vip\"} 3",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected}\n{text}");
        }
    }
}
